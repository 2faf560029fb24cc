// One object: written, read, removed; and many removed at once.
#include "base/text.h"
#include "rehearsal/s3_actions.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t most_deletes = 1000;

void add_sum_headers(os::HeaderLines& headers, const Json& sum) {
  headers.emplace_back("x-amz-checksum-" + lower(text_at(sum, "kind")), text_at(sum, "value"));
  headers.emplace_back("x-amz-checksum-type", text_at(sum, "type"));
}

/// The bytes that a GET asks for by partNumber, of an object of several parts.
S3Result<ByteRange> range_of_part(const S3Object& object, std::int64_t number) {
  const auto parts = object.head.value("parts", Json::array());
  const auto count = static_cast<std::int64_t>(parts.empty() ? 1 : parts.size());
  if (number < 1 || number > count)
    return s3_refuse("InvalidPartNumber", "The requested partnumber is not satisfiable", 416);
  if (parts.empty()) return ByteRange{0, object.size};
  ByteRange range;
  for (std::int64_t i = 0; i < number; ++i) {
    range.first += range.count;
    range.count = parts[static_cast<std::size_t>(i)].value("size", std::uint64_t{0});
  }
  return range;
}

/// response-content-type=… and the like: the answer's header is to be that.
void override_headers(const S3Request& request, os::HeaderLines& headers) {
  for (const char* header :
       {"content-type", "content-language", "expires", "cache-control", "content-disposition", "content-encoding"}) {
    const auto wanted = request.param(std::string("response-") + header);
    if (wanted.empty() || wanted.find_first_of("\r\n") != wanted.npos) continue;
    std::erase_if(headers, [&](const auto& line) { return lower(line.first) == header; });
    headers.emplace_back(header, wanted);
  }
}

struct WantedBytes {
  std::optional<ByteRange> range;
  bool partial = false;
};

S3Result<WantedBytes> wanted_bytes(S3Call& call, const S3Object& object, os::HeaderLines& headers) {
  WantedBytes out;
  if (call.request.has("partNumber")) {
    if (call.request.has_header("range"))
      return invalid_request("Cannot specify both Range header and partNumber query parameter");
    S3_SET(number, named_part(call));
    S3_SET(range, range_of_part(object, number));
    if (object.head.contains("parts"))
      headers.emplace_back("x-amz-mp-parts-count", std::to_string(object.head["parts"].size()));
    out.range = range;
    out.partial = range.count > 0;
    return out;
  }
  S3_SET(range, parse_byte_range(call.request.header("range"), object.size));
  out.range = range;
  out.partial = range.has_value();
  return out;
}

struct ToDelete {
  std::string key;
  WriteConditions conditions;
};

S3Result<std::vector<ToDelete>> keys_to_delete(const pugi::xml_node& root) {
  std::vector<ToDelete> out;
  for (const auto& node : root.children("Object")) {
    ToDelete one;
    one.key = node.child_value("Key");
    if (one.key.empty() || !is_utf8(one.key) || out.size() == most_deletes) return malformed_xml();
    if (const auto etag = node.child("ETag")) one.conditions.match = unquoted_etag(etag.child_value());
    out.push_back(std::move(one));
  }
  if (out.empty()) return malformed_xml();
  return out;
}

}  // namespace

S3Status check_announced_size(S3Call& call, const S3Payload& payload) {
  const bool chunked = call.request.has_header("x-amz-decoded-content-length");
  if (!payload.size() || (!chunked && !call.request.has_header("content-length")))
    return s3_refuse("MissingContentLength", "You must provide the Content-Length HTTP header.", 411);
  if (*payload.size() > most_put_bytes)
    return s3_refuse(
        "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size", 400,
        {{"ProposedSize", std::to_string(*payload.size())}, {"MaxSizeAllowed", std::to_string(most_put_bytes)}});
  return {};
}

S3Result<os::ServedReply> put_object(S3Call& call) {
  const auto& key = call.request.key;
  S3_SET(conditions, write_conditions(call.request));
  S3_SET(head, head_of_request(call.request));
  S3_SET(asked, asked_sums(call.request));
  const auto seen = call.store.object(call.bucket.name, key);
  S3_TRY(check_write(conditions, key, seen ? &*seen : nullptr));
  S3_SET(payload, open_payload(call.request, call.signature, call.body));
  S3_TRY(check_announced_size(call, *payload));
  const auto kind = asked.kind.value_or(Checksum::crc64nvme);  // which S3 adds where none is sent
  S3_SET(blob, call.store.receive(*payload, {kind}));
  S3_TRY(check_sums(asked, blob, *payload));
  S3Object object;
  object.key = key;
  object.etag = hex(blob.sum(Checksum::md5));
  object.modified_ms = call.now_ms;
  object.head = std::move(head);
  object.head["checksum"] = checksum_json(kind, blob.sum(kind), "FULL_OBJECT");
  auto reply = s3_empty_reply();
  reply.headers.emplace_back("ETag", quoted_etag(object.etag));
  add_sum_headers(reply.headers, object.head["checksum"]);
  add_encryption_header(reply.headers);
  S3_TRY(
      call.store.put_object(call.bucket.name, std::move(object), std::move(blob), unless_raced(conditions, key, seen)));
  return reply;
}

S3Result<os::ServedReply> get_object(S3Call& call) {
  S3_SET(opened, call.store.open_object(call.bucket.name, call.request.key));
  if (!opened) return no_such_key(call.request.key);
  const auto& object = opened->object;
  S3_SET(fresh, read_conditions(call.request, object));
  os::ServedReply reply;
  if (!fresh) {
    reply.status = 304;
    reply.headers = {{"ETag", quoted_etag(object.etag)}, {"Last-Modified", show_http_date(object.modified_ms)}};
    return reply;
  }
  S3_SET(wanted, wanted_bytes(call, object, reply.headers));
  const bool whole = !wanted.partial;
  add_object_headers(reply.headers, object, whole && lower(call.request.header("x-amz-checksum-mode")) == "enabled");
  override_headers(call.request, reply.headers);
  const auto range = wanted.range.value_or(ByteRange{0, object.size});
  if (!whole) {
    reply.status = 206;
    reply.headers.emplace_back("Content-Range",
                               fmt::format("bytes {}-{}/{}", range.first, range.first + range.count - 1, object.size));
  }
  if (range.count == 0) return reply;
  reply.file = std::move(opened->file);
  reply.file_offset = range.first;
  reply.file_bytes = range.count;
  return reply;
}

S3Result<os::ServedReply> delete_object(S3Call& call) {
  S3_SET(conditions, write_conditions(call.request));
  const auto& key = call.request.key;
  S3_TRY(call.store.remove_object(call.bucket.name, key,
                                  [&](const S3Object* there) { return check_write(conditions, key, there); }));
  return s3_empty_reply(204);
}

S3Result<os::ServedReply> delete_objects(S3Call& call) {
  S3_SET(document, read_s3_xml(call, "Delete", true));
  const auto root = document->document_element();
  const bool quiet = lower(root.child_value("Quiet")) == "true";
  S3_SET(keys, keys_to_delete(root));
  Xml xml;
  for (const auto& one : keys) {
    auto done = call.allow("s3:DeleteObject", call.bucket.name, one.key);
    if (done)
      done = call.store.remove_object(call.bucket.name, one.key, [&](const S3Object* there) {
        return check_write(one.conditions, one.key, there);
      });
    if (!done)
      xml.node("Error",
               [&] { xml.text("Key", one.key).text("Code", done.error().code).text("Message", done.error().message); });
    else if (!quiet)
      xml.node("Deleted", [&] { xml.text("Key", one.key); });
  }
  return s3_xml_reply("DeleteResult", xml);
}

}  // namespace ferry::rehearsal
