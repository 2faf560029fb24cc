// Lists: objects (both versions of the call), the parts of an upload, the uploads of a bucket.
#include <algorithm>

#include "base/text.h"
#include "os/clock.h"
#include "rehearsal/s3_actions.h"

namespace ferry::rehearsal {
namespace {

/// Continuation tokens are opaque, so they are made so.
constexpr std::string_view token_mark = "s3-list/1\n";

S3Result<std::string> place_of_token(const std::string& token) {
  const auto text = from_base64(token);
  if (!text || !text->starts_with(token_mark))
    return invalid_argument("The continuation token provided is incorrect", "continuation-token", token);
  return text->substr(token_mark.size());
}

S3Status check_encoding(const S3Call& call) {
  const auto encoding = call.request.param("encoding-type");
  if (call.request.has("encoding-type") && encoding != "url")
    return invalid_argument("Invalid Encoding Method specified in Request", "encoding-type", encoding);
  return {};
}

void add_contents(Xml& xml, const S3Call& call, const S3Object& object, bool with_owner) {
  xml.node("Contents", [&] {
    xml.text("Key", shown_key(call, object.key))
        .text("LastModified", os::iso_time(object.modified_ms, true))
        .text("ETag", quoted_etag(object.etag));
    if (object.head.contains("checksum"))
      xml.text("ChecksumAlgorithm", text_at(object.head["checksum"], "kind"))
          .text("ChecksumType", text_at(object.head["checksum"], "type"));
    xml.number("Size", static_cast<std::int64_t>(object.size));
    if (with_owner) add_owner(xml);
    xml.text("StorageClass", text_at(object.head, "class", "STANDARD"));
  });
}

void add_prefixes(Xml& xml, const S3Call& call, const std::vector<std::string>& prefixes) {
  for (const auto& prefix : prefixes) xml.node("CommonPrefixes", [&] { xml.text("Prefix", shown_key(call, prefix)); });
}

/// What both versions begin with.
void add_query(Xml& xml, const S3Call& call, const S3ListQuery& query) {
  xml.text("Name", query.bucket).text("Prefix", shown_key(call, query.prefix));
  if (!query.delimiter.empty()) xml.text("Delimiter", shown_key(call, query.delimiter));
  xml.number("MaxKeys", static_cast<std::int64_t>(query.most));
  if (call.request.has("encoding-type")) xml.text("EncodingType", "url");
}

}  // namespace

S3Result<os::ServedReply> list_objects(S3Call& call) {
  const auto& request = call.request;
  const bool second = request.has("list-type");
  if (second && request.param("list-type") != "2")
    return invalid_argument("Invalid List Type specified in Request", "list-type", request.param("list-type"));
  S3_TRY(check_encoding(call));
  S3_SET(most, page_size(call, "max-keys"));
  S3ListQuery query{call.bucket.name, request.param("prefix"), request.param("delimiter"),
                    request.param(second ? "start-after" : "marker"), static_cast<std::size_t>(most)};
  const auto token = request.param("continuation-token");
  if (second && request.has("continuation-token")) {
    S3_SET(place, place_of_token(token));
    query.after = std::max(query.after, place);
  }
  auto page = most == 0 ? S3Page() : call.store.list(query);
  Xml xml;
  add_query(xml, call, query);
  xml.flag("IsTruncated", page.truncated);
  if (second) {
    xml.number("KeyCount", static_cast<std::int64_t>(page.objects.size() + page.prefixes.size()));
    xml.some("ContinuationToken", token).some("StartAfter", shown_key(call, request.param("start-after")));
    if (page.truncated) xml.text("NextContinuationToken", base64(std::string(token_mark) + page.last));
  } else {
    xml.text("Marker", shown_key(call, query.after));
    if (page.truncated && !query.delimiter.empty()) xml.text("NextMarker", shown_key(call, page.last));
  }
  const bool with_owner = !second || request.param("fetch-owner") == "true";
  for (const auto& object : page.objects) add_contents(xml, call, object, with_owner);
  add_prefixes(xml, call, page.prefixes);
  auto reply = s3_xml_reply("ListBucketResult", xml);
  reply.headers.emplace_back("x-amz-bucket-region", call.bucket.region);
  return reply;
}

S3Result<os::ServedReply> list_parts(S3Call& call) {
  S3_SET(upload, named_upload(call));
  S3_SET(most, page_size(call, "max-parts"));
  const auto after = parse_int(call.request.param("part-number-marker", "0")).value_or(-1);
  if (after < 0)
    return invalid_argument("Argument part-number-marker must be an integer between 0 and 2147483647",
                            "part-number-marker", call.request.param("part-number-marker"));
  auto parts = call.store.parts(upload.id);
  std::erase_if(parts, [&](const S3Part& part) { return part.number <= after; });
  const bool truncated = parts.size() > static_cast<std::size_t>(most);
  if (truncated) parts.resize(static_cast<std::size_t>(most));
  Xml xml;
  xml.text("Bucket", upload.bucket).text("Key", shown_key(call, upload.key)).text("UploadId", upload.id);
  add_owner(xml, "Initiator");
  add_owner(xml);
  xml.text("StorageClass", "STANDARD").number("PartNumberMarker", after);
  xml.number("NextPartNumberMarker", parts.empty() ? 0 : parts.back().number)
      .number("MaxParts", most)
      .flag("IsTruncated", truncated);
  if (upload.head.contains("algorithm"))
    xml.text("ChecksumAlgorithm", text_at(upload.head, "algorithm")).text("ChecksumType", text_at(upload.head, "type"));
  for (const auto& part : parts)
    xml.node("Part", [&] {
      xml.number("PartNumber", part.number)
          .text("LastModified", os::iso_time(part.modified_ms, true))
          .text("ETag", quoted_etag(part.etag));
      xml.number("Size", static_cast<std::int64_t>(part.size));
      for (auto sum = part.checksums.begin(); sum != part.checksums.end(); ++sum)
        xml.text("Checksum" + sum.key(), sum.value().get<std::string>());
    });
  return s3_xml_reply("ListPartsResult", xml);
}

S3Result<os::ServedReply> list_uploads(S3Call& call) {
  const auto& request = call.request;
  S3_TRY(check_encoding(call));
  S3_SET(most, page_size(call, "max-uploads"));
  const auto prefix = request.param("prefix"), delimiter = request.param("delimiter");
  const auto key_marker = request.param("key-marker"), id_marker = request.param("upload-id-marker");
  std::vector<S3Upload> shown;
  std::vector<std::string> prefixes;
  bool truncated = false, behind_marker = key_marker.empty() || id_marker.empty();
  std::string next_key, next_id;
  for (const auto& upload : call.store.uploads(call.bucket.name)) {
    const bool same_key = upload.key == key_marker;
    const bool old =
        !key_marker.empty() &&
        (id_marker.empty() ? upload.key <= key_marker : upload.key < key_marker || (same_key && !behind_marker));
    if (same_key && upload.id == id_marker) behind_marker = true;
    if (old || !upload.key.starts_with(prefix)) continue;
    const auto cut = delimiter.empty() ? upload.key.npos : upload.key.find(delimiter, prefix.size());
    const auto common = cut == upload.key.npos ? std::string() : upload.key.substr(0, cut + delimiter.size());
    if (!common.empty() && ((!prefixes.empty() && prefixes.back() == common) || common == key_marker)) continue;
    if (static_cast<std::int64_t>(shown.size() + prefixes.size()) >= most) {
      truncated = true;
      break;
    }
    next_key = common.empty() ? upload.key : common;
    next_id = common.empty() ? upload.id : "";
    if (common.empty())
      shown.push_back(upload);
    else
      prefixes.push_back(common);
  }
  Xml xml;
  xml.text("Bucket", call.bucket.name).text("KeyMarker", shown_key(call, key_marker)).text("UploadIdMarker", id_marker);
  if (truncated) xml.text("NextKeyMarker", shown_key(call, next_key)).text("NextUploadIdMarker", next_id);
  xml.text("Prefix", shown_key(call, prefix));
  if (!delimiter.empty()) xml.text("Delimiter", shown_key(call, delimiter));
  if (request.has("encoding-type")) xml.text("EncodingType", "url");
  xml.number("MaxUploads", most).flag("IsTruncated", truncated);
  for (const auto& upload : shown)
    xml.node("Upload", [&] {
      xml.text("Key", shown_key(call, upload.key)).text("UploadId", upload.id);
      add_owner(xml, "Initiator");
      add_owner(xml);
      xml.text("StorageClass", "STANDARD").text("Initiated", os::iso_time(upload.initiated_ms, true));
    });
  add_prefixes(xml, call, prefixes);
  return s3_xml_reply("ListMultipartUploadsResult", xml);
}

}  // namespace ferry::rehearsal
