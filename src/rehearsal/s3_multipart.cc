// Objects in parts: begun, filled in any order, completed or given up.
#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "rehearsal/s3_actions.h"

namespace ferry::rehearsal {
namespace {

constexpr std::int64_t most_parts = 10'000;
constexpr std::uint64_t least_part_bytes = 5 << 20;

struct NamedPart {
  int number = 0;
  std::string etag;
  std::map<std::string, std::string> sums;  // "CRC32": base64
};

S3Result<std::vector<NamedPart>> parts_of_xml(const pugi::xml_node& root) {
  std::vector<NamedPart> out;
  for (const auto& node : root.children("Part")) {
    const auto number = parse_int(trim(node.child_value("PartNumber")));
    if (!number || *number < 1 || *number > most_parts || !node.child("ETag")) return malformed_xml();
    NamedPart part{static_cast<int>(*number), unquoted_etag(node.child_value("ETag")), {}};
    for (const auto kind : checksum_kinds)
      if (const auto sum = node.child(element_of(kind).c_str()))
        part.sums[std::string(name(kind))] = trim(sum.child_value());
    if (!out.empty() && part.number <= out.back().number)
      return s3_refuse("InvalidPartOrder",
                       "The list of parts was not in ascending order. Parts must be ordered by part number.");
    out.push_back(std::move(part));
  }
  if (out.empty()) return malformed_xml();
  return out;
}

bool is_composite(const S3Upload& upload) { return text_at(upload.head, "type") == "COMPOSITE"; }

tl::unexpected<S3Error> invalid_part(const NamedPart& part) {
  return s3_refuse("InvalidPart",
                   "One or more of the specified parts could not be found.  The part may not have been "
                   "uploaded, or the specified entity tag may not match the part's entity tag.",
                   400, {{"PartNumber", std::to_string(part.number)}, {"ETag", part.etag}});
}

/// The parts that were named, as they were uploaded; all but the last large enough.
S3Result<std::vector<S3Part>> chosen_parts(S3Call& call, const S3Upload& upload, const std::vector<NamedPart>& named) {
  std::map<int, S3Part> there;
  for (auto& part : call.store.parts(upload.id)) there.emplace(part.number, std::move(part));
  const std::string kind(name(kind_of_upload(upload)));
  std::vector<S3Part> out;
  for (const auto& part : named) {
    const auto found = there.find(part.number);
    if (found == there.end() || found->second.etag != part.etag) return invalid_part(part);
    for (const auto& [sum, value] : part.sums)
      if (found->second.checksums.contains(sum) && text_at(found->second.checksums, sum) != value)
        return invalid_part(part);
    if (is_composite(upload) && !part.sums.contains(kind))
      return invalid_request(
          fmt::format("The upload was created using a {} checksum. The complete request must include the "
                      "checksum for each part. It was missing for part {} in the request.",
                      lower(kind), part.number));
    out.push_back(found->second);
  }
  for (std::size_t i = 0; i + 1 < out.size(); ++i)
    if (out[i].size < least_part_bytes)
      return s3_refuse("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size", 400,
                       {{"ProposedSize", std::to_string(out[i].size)},
                        {"MinSizeAllowed", std::to_string(least_part_bytes)},
                        {"PartNumber", std::to_string(out[i].number)},
                        {"ETag", out[i].etag}});
  return out;
}

/// The MD5 of the parts' MD5s, and how many there are.
std::string etag_of_parts(const std::vector<S3Part>& parts) {
  std::string all;
  for (const auto& part : parts) all += raw_of_hex(part.etag);
  return fmt::format("{}-{}", hex(checksum(Checksum::md5, all)), parts.size());
}

/// Of the whole: put together by the parts' lengths, or the sum of their sums.
Json sum_of_parts(const S3Upload& upload, const std::vector<S3Part>& parts) {
  const auto kind = kind_of_upload(upload);
  const std::string kind_name(name(kind));
  std::string out;
  for (const auto& part : parts) {
    const auto raw = from_base64(text_at(part.checksums, kind_name)).value_or("");
    out = is_composite(upload) ? out + raw : out.empty() ? raw : combined(kind, out, raw, part.size);
  }
  if (!is_composite(upload)) return checksum_json(kind, out, "FULL_OBJECT");
  auto sum = checksum_json(kind, checksum(kind, out), "COMPOSITE");
  sum["value"] = fmt::format("{}-{}", text_at(sum, "value"), parts.size());
  return sum;
}

/// What the request says the whole should be.
S3Status check_whole(const S3Request& request, const Json& sum, std::uint64_t size) {
  const auto kind = text_at(sum, "kind");
  for (const auto known : checksum_kinds) {
    const auto given = request.header(header_of(known));
    if (given.empty()) continue;
    const auto value = text_at(sum, "value");
    // A composite one may be given without the number of parts.
    if (name(known) != kind || (given != value && given != value.substr(0, value.find('-'))))
      return s3_refuse("BadDigest",
                       fmt::format("The {} you specified did not match the calculated checksum.", lower(name(known))));
  }
  if (const auto given = request.header("x-amz-checksum-type"); !given.empty() && given != text_at(sum, "type"))
    return invalid_request(
        fmt::format("The upload was created using the {} checksum mode. The complete request must use the "
                    "same checksum mode.",
                    text_at(sum, "type")));
  if (const auto given = request.header("x-amz-mp-object-size"); !given.empty() && given != std::to_string(size))
    return invalid_request(fmt::format(
        "The provided 'x-amz-mp-object-size' header value {} does not match what was computed: {}", given, size));
  return {};
}

/// The checksum that an upload is created with; CRC64NVME where none is named.
S3Status take_algorithm(const S3Request& request, Json& head) {
  const auto wanted = request.header("x-amz-checksum-algorithm"), type = request.header("x-amz-checksum-type");
  if (wanted.empty() && !type.empty())
    return invalid_request("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.");
  if (wanted.empty()) return {};
  const auto kind = checksum_named(wanted);
  if (!kind)
    return invalid_request(
        "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, "
        "CRC32C, CRC64NVME, SHA1, SHA256]");
  std::string chosen(type);
  if (chosen.empty()) chosen = *kind == Checksum::crc64nvme ? "FULL_OBJECT" : "COMPOSITE";
  const bool possible =
      chosen == "FULL_OBJECT" ? combines(*kind) : chosen == "COMPOSITE" && *kind != Checksum::crc64nvme;
  if (!possible)
    return invalid_request(
        fmt::format("The {} checksum type cannot be used with the {} checksum algorithm.", chosen, lower(name(*kind))));
  head["algorithm"] = name(*kind);
  head["type"] = chosen;
  return {};
}

}  // namespace

Checksum kind_of_upload(const S3Upload& upload) {
  return checksum_named(text_at(upload.head, "algorithm")).value_or(Checksum::crc64nvme);
}

S3Result<S3Upload> named_upload(S3Call& call) {
  const auto id = call.request.param("uploadId");
  auto upload = call.store.upload(id);
  if (!upload || upload->bucket != call.bucket.name || upload->key != call.request.key) return no_such_upload(id);
  return *std::move(upload);
}

S3Result<int> named_part(S3Call& call) {
  const auto text = call.request.param("partNumber");
  const auto number = parse_int(text);
  if (!number || *number < 1 || *number > most_parts)
    return invalid_argument("Part number must be an integer between 1 and 10000, inclusive", "partNumber", text);
  return static_cast<int>(*number);
}

S3Status keep_part(S3Call& call, const S3Upload& upload, int number, S3Blob blob, const std::set<Checksum>& kinds) {
  S3Part part;
  part.number = number;
  part.etag = hex(blob.sum(Checksum::md5));
  part.modified_ms = call.now_ms;
  for (const auto kind : kinds) part.checksums[std::string(name(kind))] = base64(blob.sum(kind));
  return call.store.put_part(upload.id, std::move(part), std::move(blob));
}

S3Result<os::ServedReply> create_upload(S3Call& call) {
  S3Upload upload;
  upload.id = hex(random_bytes(32));
  upload.bucket = call.bucket.name;
  upload.key = call.request.key;
  upload.initiated_ms = call.now_ms;
  S3_SET(head, head_of_request(call.request));
  upload.head = {{"object", std::move(head)}};
  S3_TRY(take_algorithm(call.request, upload.head));
  call.store.add_upload(upload);
  Xml xml;
  xml.text("Bucket", upload.bucket).text("Key", upload.key).text("UploadId", upload.id);
  auto reply = s3_xml_reply("InitiateMultipartUploadResult", xml);
  add_encryption_header(reply.headers);
  if (upload.head.contains("algorithm")) {
    reply.headers.emplace_back("x-amz-checksum-algorithm", text_at(upload.head, "algorithm"));
    reply.headers.emplace_back("x-amz-checksum-type", text_at(upload.head, "type"));
  }
  return reply;
}

S3Result<os::ServedReply> upload_part(S3Call& call) {
  S3_SET(upload, named_upload(call));
  S3_SET(number, named_part(call));
  S3_SET(asked, asked_sums(call.request));
  const auto kind = kind_of_upload(upload);
  const bool declared = upload.head.contains("algorithm");
  // A part of a full-object upload may do without.
  if (declared && (asked.kind ? *asked.kind != kind : is_composite(upload)))
    return invalid_request(
        fmt::format("Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                    lower(name(kind)), asked.kind ? lower(name(*asked.kind)) : "null"));
  S3_SET(payload, open_payload(call.request, call.signature, call.body));
  S3_TRY(check_announced_size(call, *payload));
  std::set<Checksum> kinds = {kind};
  if (asked.kind) kinds.insert(*asked.kind);
  S3_SET(blob, call.store.receive(*payload, kinds));
  S3_TRY(check_sums(asked, blob, *payload));
  auto reply = s3_empty_reply();
  reply.headers.emplace_back("ETag", quoted_etag(hex(blob.sum(Checksum::md5))));
  const auto shown = asked.kind.value_or(kind);
  reply.headers.emplace_back(header_of(shown), base64(blob.sum(shown)));
  add_encryption_header(reply.headers);
  S3_TRY(keep_part(call, upload, number, std::move(blob), kinds));
  return reply;
}

S3Result<os::ServedReply> complete_upload(S3Call& call) {
  S3_SET(upload, named_upload(call));
  S3_SET(conditions, write_conditions(call.request));
  const auto seen = call.store.object(call.bucket.name, upload.key);
  S3_TRY(check_write(conditions, upload.key, seen ? &*seen : nullptr));
  // Its checksum headers are about the object, not about this document.
  S3_SET(payload, open_payload(call.request, call.signature, call.body));
  const S3Error too_long{400, "MaxMessageLengthExceeded", "Your request was too big.", {}, {}};
  S3_SET(text, payload->read_all(8 << 20, too_long));
  pugi::xml_document document;
  if (!document.load_buffer(text.data(), text.size()) ||
      std::string_view(document.document_element().name()) != "CompleteMultipartUpload")
    return malformed_xml();
  S3_SET(named, parts_of_xml(document.document_element()));
  S3_SET(parts, chosen_parts(call, upload, named));
  S3Object object;
  object.key = upload.key;
  object.etag = etag_of_parts(parts);
  object.modified_ms = call.now_ms;
  object.head = upload.head.value("object", Json::object());
  object.head["checksum"] = sum_of_parts(upload, parts);
  std::uint64_t size = 0;
  for (const auto& part : parts) {
    object.head["parts"].push_back({{"size", part.size}, {"checksums", part.checksums}});
    size += part.size;
  }
  S3_TRY(check_whole(call.request, object.head["checksum"], size));
  S3_SET(blob, call.store.assemble(upload, parts));
  Xml xml;
  xml.text("Location", fmt::format("http://{}{}", call.request.header("host"), call.request.path))
      .text("Bucket", upload.bucket)
      .text("Key", upload.key)
      .text("ETag", quoted_etag(object.etag))
      .text("Checksum" + text_at(object.head["checksum"], "kind"), text_at(object.head["checksum"], "value"))
      .text("ChecksumType", text_at(object.head["checksum"], "type"));
  S3_TRY(call.store.complete(upload, std::move(object), std::move(blob), unless_raced(conditions, upload.key, seen)));
  auto reply = s3_xml_reply("CompleteMultipartUploadResult", xml);
  add_encryption_header(reply.headers);
  return reply;
}

S3Result<os::ServedReply> abort_upload(S3Call& call) {
  S3_SET(upload, named_upload(call));
  if (!call.store.abort(upload.id)) return no_such_upload(upload.id);
  return s3_empty_reply(204);
}

}  // namespace ferry::rehearsal
