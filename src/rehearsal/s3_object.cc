#include "rehearsal/s3_object.h"

#include <algorithm>

#include "base/text.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t most_metadata = 2048;
constexpr std::size_t most_object_tags = 10;
constexpr std::array<std::string_view, 6> kept_headers = {"content-type",     "cache-control",    "content-disposition",
                                                          "content-encoding", "content-language", "expires"};
constexpr std::array<std::string_view, 6> storage_classes = {
    "STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "REDUCED_REDUNDANCY", "GLACIER_IR"};
constexpr std::string_view meta_prefix = "x-amz-meta-";

/// "aws-chunked" is how the body came, no property of the object.
std::string own_encoding(std::string_view text) {
  std::vector<std::string> kept;
  for (const auto& one : split(text, ','))
    if (lower(trim(one)) != "aws-chunked" && !trim(one).empty()) kept.emplace_back(trim(one));
  return join(kept, ",");
}

S3Status refuse_what_is_not_done(const S3Request& request) {
  const auto encryption = request.header("x-amz-server-side-encryption");
  if (!encryption.empty() && encryption != "AES256")
    return not_implemented("keys of KMS (x-amz-server-side-encryption)");
  for (const auto& [key_text, value] : request.headers) {
    if (key_text.starts_with("x-amz-server-side-encryption-customer-"))
      return not_implemented("keys of the customer's own (SSE-C)");
    if (key_text.starts_with("x-amz-object-lock-"))
      return invalid_request("Bucket is missing Object Lock Configuration");
    if (key_text.starts_with("x-amz-grant-"))
      return s3_refuse("AccessControlListNotSupported", "The bucket does not allow ACLs");
  }
  const auto acl = request.header("x-amz-acl");
  // What says no more than that the owner owns it.
  if (!acl.empty() && acl != "private" && acl != "bucket-owner-full-control")
    return s3_refuse("AccessControlListNotSupported", "The bucket does not allow ACLs");
  return {};
}

}  // namespace

std::string quoted_etag(std::string_view etag) { return "\"" + std::string(etag) + "\""; }

std::string unquoted_etag(std::string_view text) {
  text = trim(text);
  if (text.starts_with("W/")) text.remove_prefix(2);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  return std::string(text);
}

S3Status check_tags(const Json& tags) {
  if (tags.size() > most_object_tags) return s3_refuse("BadRequest", "Object tags cannot be greater than 10");
  for (const auto& [key, value] : tags.items()) {
    if (key.empty() || key.size() > 128) return s3_refuse("InvalidTag", "The TagKey you have provided is invalid");
    if (value.get_ref<const std::string&>().size() > 256)
      return s3_refuse("InvalidTag", "The TagValue you have provided is invalid");
    if (key.starts_with("aws:")) return s3_refuse("InvalidTag", "System tags cannot be added/updated by requester");
  }
  return {};
}

S3Result<Json> parse_tags(std::string_view text) {
  Json tags = Json::object();
  for (const auto& pair : split(text, '&')) {
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    const auto key = percent_decoded(std::string_view(pair).substr(0, equals), true);
    if (!is_utf8(key) || tags.contains(key))
      return s3_refuse("InvalidTag", "Cannot provide multiple Tags with the same key");
    const auto value = equals == pair.npos ? "" : percent_decoded(std::string_view(pair).substr(equals + 1), true);
    if (!is_utf8(value)) return s3_refuse("InvalidTag", "The TagValue you have provided is invalid");
    tags[key] = value;
  }
  S3_TRY(check_tags(tags));
  return tags;
}

S3Result<Json> head_of_request(const S3Request& request) {
  S3_TRY(refuse_what_is_not_done(request));
  Json head = Json::object();
  for (const auto kept : kept_headers) {
    auto value = std::string(request.header(kept));
    if (kept == "content-encoding") value = own_encoding(value);
    if (!value.empty()) head["headers"][std::string(kept)] = value;
  }
  std::size_t bytes = 0;
  for (const auto& [key_text, value] : request.headers) {
    if (!key_text.starts_with(meta_prefix)) continue;
    const auto meta = key_text.substr(meta_prefix.size());
    auto& place = head["meta"][meta];
    place = place.is_null() ? value : place.get<std::string>() + "," + value;  // a name that comes twice
    bytes += meta.size() + value.size();
  }
  if (bytes > most_metadata)
    return s3_refuse("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size", 400,
                     {{"Size", std::to_string(bytes)}, {"MaxSizeAllowed", std::to_string(most_metadata)}});
  if (const auto storage = request.header("x-amz-storage-class"); !storage.empty()) {
    if (std::find(storage_classes.begin(), storage_classes.end(), storage) == storage_classes.end())
      return s3_refuse("InvalidStorageClass", "The storage class you specified is not valid");
    if (storage != "STANDARD") head["class"] = storage;
  }
  if (request.has_header("x-amz-tagging")) {
    S3_SET(tags, parse_tags(request.header("x-amz-tagging")));
    if (!tags.empty()) head["tags"] = tags;
  }
  return head;
}

void add_encryption_header(os::HeaderLines& headers) { headers.emplace_back("x-amz-server-side-encryption", "AES256"); }

void add_object_headers(os::HeaderLines& headers, const S3Object& object, bool with_checksums) {
  headers.emplace_back("ETag", quoted_etag(object.etag));
  headers.emplace_back("Last-Modified", show_http_date(object.modified_ms));
  headers.emplace_back("Accept-Ranges", "bytes");
  const auto kept = object.head.value("headers", Json::object());
  headers.emplace_back("Content-Type", text_at(kept, "content-type", "binary/octet-stream"));
  for (const auto& [key, value] : kept.items())
    if (key != "content-type") headers.emplace_back(key, value.get<std::string>());
  const auto metadata = object.head.value("meta", Json::object());
  for (const auto& [key, value] : metadata.items())
    headers.emplace_back(std::string(meta_prefix) + key, value.get<std::string>());
  if (const auto storage = text_at(object.head, "class"); !storage.empty())
    headers.emplace_back("x-amz-storage-class", storage);
  if (object.head.contains("tags"))
    headers.emplace_back("x-amz-tagging-count", std::to_string(object.head["tags"].size()));
  add_encryption_header(headers);
  if (!with_checksums || !object.head.contains("checksum")) return;
  const auto& sum = object.head["checksum"];
  headers.emplace_back("x-amz-checksum-" + lower(text_at(sum, "kind")), text_at(sum, "value"));
  headers.emplace_back("x-amz-checksum-type", text_at(sum, "type"));
}

S3Result<WriteConditions> write_conditions(const S3Request& request) {
  WriteConditions out;
  if (request.has_header("if-none-match")) {
    if (request.header("if-none-match") != "*") return not_implemented("If-None-Match with anything but * for a write");
    out.none_match = true;
  }
  if (request.has_header("if-match")) out.match = unquoted_etag(request.header("if-match"));
  if (out.none_match && out.match) return not_implemented("If-Match beside If-None-Match");
  return out;
}

S3Status check_write(const WriteConditions& conditions, const std::string& key, const S3Object* there) {
  if (conditions.none_match && there) return precondition_failed("If-None-Match");
  if (!conditions.match) return {};
  if (!there) return no_such_key(key);
  if (*conditions.match != "*" && *conditions.match != there->etag) return precondition_failed("If-Match");
  return {};
}

S3Store::Decide unless_raced(const WriteConditions& conditions, const std::string& key,
                             const std::optional<S3Object>& seen) {
  const auto id = seen ? seen->id : std::string();
  return [conditions, key, id](const S3Object* there) -> S3Status {
    if (conditions && (there ? there->id : std::string()) != id) return conditional_conflict(key);
    return check_write(conditions, key, there);
  };
}

S3Result<bool> read_conditions(const S3Request& request, const S3Object& object, const std::string& prefix) {
  const auto names_it = [&](std::string_view list) {
    for (const auto& one : split(list, ','))
      if (trim(one) == "*" || unquoted_etag(one) == object.etag) return true;
    return false;
  };
  const auto since = [&](const std::string& condition) { return parse_http_date(request.header(prefix + condition)); };
  const auto modified = object.modified_ms / 1000 * 1000;  // headers have whole seconds
  const bool has_match = request.has_header(prefix + "if-match"),
             has_none = request.has_header(prefix + "if-none-match");
  if (has_match && !names_it(request.header(prefix + "if-match"))) return precondition_failed("If-Match");
  // An ETag that is right outweighs a date.
  if (const auto date = since("if-unmodified-since"); !has_match && date && modified > *date)
    return precondition_failed("If-Unmodified-Since");
  bool same = has_none && names_it(request.header(prefix + "if-none-match"));
  if (const auto date = since("if-modified-since"); !has_none && date && modified <= *date) same = true;
  if (same && !prefix.empty()) return precondition_failed("x-amz-copy-source-If-None-Match");
  return !same;
}

S3Result<std::optional<ByteRange>> parse_byte_range(std::string_view header, std::uint64_t size) {
  constexpr std::string_view unit = "bytes=";
  const auto none = std::optional<ByteRange>();
  if (!lower(header.substr(0, unit.size())).starts_with(unit) || header.find(',') != header.npos) return none;
  const auto text = trim(header.substr(unit.size()));
  const auto dash = text.find('-');
  if (dash == text.npos) return none;
  const auto first = parse_int(text.substr(0, dash)), last = parse_int(text.substr(dash + 1));
  const bool from_end = dash == 0;
  if ((from_end && !last) || (!from_end && !first) || (!from_end && !last && dash + 1 != text.size())) return none;
  if (!from_end && last && *last < *first) return none;
  const auto unsatisfiable = [&]() -> tl::unexpected<S3Error> {
    auto error = s3_refuse("InvalidRange", "The requested range is not satisfiable", 416,
                           {{"RangeRequested", std::string(header)}, {"ActualObjectSize", std::to_string(size)}});
    error.value().headers.emplace_back("Content-Range", fmt::format("bytes */{}", size));
    return error;
  };
  if (from_end) {
    const auto count = std::min(static_cast<std::uint64_t>(*last), size);
    if (count == 0) return unsatisfiable();
    return std::optional<ByteRange>(ByteRange{size - count, count});
  }
  const auto begin = static_cast<std::uint64_t>(*first);
  if (begin >= size) return unsatisfiable();
  const auto end = last ? std::min(static_cast<std::uint64_t>(*last) + 1, size) : size;
  return std::optional<ByteRange>(ByteRange{begin, end - begin});
}

S3Result<CopySource> copy_source(const S3Request& request) {
  std::string_view text = request.header("x-amz-copy-source");
  const auto version = text.find("?versionId=");
  if (version != text.npos && text.substr(version) != "?versionId=null")
    return invalid_argument("Invalid version id specified", "x-amz-copy-source", request.header("x-amz-copy-source"));
  text = text.substr(0, version);
  auto decoded = percent_decoded(text);
  if (decoded.starts_with('/')) decoded.erase(0, 1);
  const auto slash = decoded.find('/');
  if (slash == 0 || slash == decoded.npos || slash + 1 == decoded.size() || !is_utf8(decoded))
    return invalid_argument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
                            "x-amz-copy-source", request.header("x-amz-copy-source"));
  return CopySource{decoded.substr(0, slash), decoded.substr(slash + 1)};
}

}  // namespace ferry::rehearsal
