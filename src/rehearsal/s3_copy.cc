// Copies: the source's bytes are read and summed up again, as S3 does.
#include "base/text.h"
#include "os/clock.h"
#include "rehearsal/s3_actions.h"

namespace ferry::rehearsal {
namespace {

/// The source, allowed, open, and as its conditions want it.
S3Result<S3Store::Opened> open_source(S3Call& call) {
  S3_SET(source, copy_source(call.request));
  S3_TRY(call.allow("s3:GetObject", source.bucket, source.key));
  S3_SET(opened, call.store.open_object(source.bucket, source.key));
  if (!opened) return no_such_key(source.key);
  S3_TRY(read_conditions(call.request, opened->object, "x-amz-copy-source-"));
  return *std::move(opened);
}

std::string copy_result(std::string_view etag, std::int64_t modified_ms, const Json& sums) {
  Xml xml;
  xml.text("ETag", quoted_etag(etag)).text("LastModified", os::iso_time(modified_ms, true));
  for (const auto& [kind, value] : sums.items()) xml.text("Checksum" + kind, value.get<std::string>());
  return xml.str();
}

bool replaces(std::string_view directive) { return directive == "REPLACE"; }

S3Status check_directive(const S3Request& request, std::string_view header) {
  const auto directive = request.header(header);
  if (directive.empty() || directive == "COPY" || directive == "REPLACE") return {};
  return invalid_argument("Unknown directive.", header, directive);
}

/// "bytes=0-8388607", both ends there and within the source.
S3Result<ByteRange> copied_range(const S3Request& request, std::uint64_t size) {
  const auto header = request.header("x-amz-copy-source-range");
  if (header.empty()) return ByteRange{0, size};
  constexpr std::string_view unit = "bytes=";
  const auto text = header.substr(std::min(unit.size(), header.size()));
  const auto dash = text.find('-');
  const auto first = dash == text.npos ? std::nullopt : parse_int(text.substr(0, dash));
  const auto last = dash == text.npos ? std::nullopt : parse_int(text.substr(dash + 1));
  if (!header.starts_with(unit) || !first || !last || *first < 0 || *last < *first)
    return invalid_argument(
        "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
        "zero-based offsets of the first and last bytes to copy",
        "x-amz-copy-source-range", header);
  if (static_cast<std::uint64_t>(*last) >= size)
    return invalid_argument(fmt::format("Range specified is not valid for source object of size: {}", size),
                            "x-amz-copy-source-range", header);
  return ByteRange{static_cast<std::uint64_t>(*first), static_cast<std::uint64_t>(*last - *first + 1)};
}

}  // namespace

S3Result<os::ServedReply> copy_object(S3Call& call) {
  const auto& request = call.request;
  const auto& key = request.key;
  S3_SET(conditions, write_conditions(request));
  S3_SET(head, head_of_request(request));
  S3_TRY(check_directive(request, "x-amz-metadata-directive"));
  S3_TRY(check_directive(request, "x-amz-tagging-directive"));
  const auto seen = call.store.object(call.bucket.name, key);
  S3_TRY(check_write(conditions, key, seen ? &*seen : nullptr));
  S3_SET(source, open_source(call));
  const bool new_head = replaces(request.header("x-amz-metadata-directive"));
  if (source.object.size > most_put_bytes)
    return invalid_request(fmt::format(
        "The specified copy source is larger than the maximum allowable size for a copy source: {}", most_put_bytes));
  if (seen && seen->id == source.object.id && !new_head && !request.has_header("x-amz-storage-class"))
    return invalid_request(
        "This copy request is illegal because it is trying to copy an object to itself without changing the "
        "object's metadata, storage class, website redirect location or encryption attributes.");
  auto kind = checksum_named(text_at(source.object.head.value("checksum", Json::object()), "kind"))
                  .value_or(Checksum::crc64nvme);
  if (const auto wanted = request.header("x-amz-checksum-algorithm"); !wanted.empty()) {
    const auto named = checksum_named(wanted);
    if (!named) return invalid_request("Checksum algorithm provided is unsupported.");
    kind = *named;
  }
  S3_SET(blob, call.store.copy(source.file, 0, source.object.size, {kind}));
  S3Object object;
  object.key = key;
  object.etag = hex(blob.sum(Checksum::md5));
  object.modified_ms = call.now_ms;
  object.head = std::move(head);
  if (!new_head) {
    for (const char* member : {"headers", "meta"}) {
      object.head.erase(member);
      if (source.object.head.contains(member)) object.head[member] = source.object.head[member];
    }
  }
  if (!replaces(request.header("x-amz-tagging-directive")) && source.object.head.contains("tags"))
    object.head["tags"] = source.object.head["tags"];
  object.head["checksum"] = checksum_json(kind, blob.sum(kind), "FULL_OBJECT");
  Xml xml;
  xml.raw(copy_result(object.etag, object.modified_ms, {{std::string(name(kind)), base64(blob.sum(kind))}}))
      .text("ChecksumType", "FULL_OBJECT");
  S3_TRY(
      call.store.put_object(call.bucket.name, std::move(object), std::move(blob), unless_raced(conditions, key, seen)));
  auto reply = s3_xml_reply("CopyObjectResult", xml);
  add_encryption_header(reply.headers);
  return reply;
}

S3Result<os::ServedReply> upload_part_copy(S3Call& call) {
  S3_SET(upload, named_upload(call));
  S3_SET(number, named_part(call));
  S3_SET(source, open_source(call));
  S3_SET(range, copied_range(call.request, source.object.size));
  if (range.count > most_put_bytes)
    return invalid_request(fmt::format(
        "The specified copy source is larger than the maximum allowable size for a copy source: {}", most_put_bytes));
  const auto kind = kind_of_upload(upload);
  S3_SET(blob, call.store.copy(source.file, range.first, range.count, {kind}));
  const auto etag = hex(blob.sum(Checksum::md5));
  const Json sums = {{std::string(name(kind)), base64(blob.sum(kind))}};
  S3_TRY(keep_part(call, upload, number, std::move(blob), {kind}));
  auto reply = s3_xml_reply("CopyPartResult", Xml().raw(copy_result(etag, call.now_ms, sums)));
  add_encryption_header(reply.headers);
  return reply;
}

}  // namespace ferry::rehearsal
