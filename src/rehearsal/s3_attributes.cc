// GetObjectAttributes: what an object is, without its bytes, its parts included.
#include "base/text.h"
#include "rehearsal/s3_actions.h"

namespace ferry::rehearsal {
namespace {

void add_checksum(Xml& xml, const Json& sum) {
  xml.node("Checksum", [&] {
    const auto value = text_at(sum, "value");
    // Here without the number of parts.
    xml.text("Checksum" + text_at(sum, "kind"), value.substr(0, value.find('-')))
        .text("ChecksumType", text_at(sum, "type"));
  });
}

void add_parts(Xml& xml, const Json& parts, std::int64_t after, std::int64_t most) {
  const auto count = static_cast<std::int64_t>(parts.size());
  const auto end = std::min(count, after + most);
  xml.node("ObjectParts", [&] {
    xml.number("PartsCount", count).number("PartNumberMarker", after).number("NextPartNumberMarker", end);
    xml.number("MaxParts", most).flag("IsTruncated", end < count);
    for (auto at = after; at < end; ++at) {
      const auto& part = parts[static_cast<std::size_t>(at)];
      xml.node("Part", [&] {
        xml.number("PartNumber", at + 1).number("Size", int_at(part, "size"));
        const auto sums = part.value("checksums", Json::object());
        for (auto sum = sums.begin(); sum != sums.end(); ++sum)
          xml.text("Checksum" + sum.key(), sum.value().get<std::string>());
      });
    }
  });
}

}  // namespace

S3Result<os::ServedReply> get_object_attributes(S3Call& call) {
  std::set<std::string> wanted;
  for (const auto& [header, value] : call.request.headers)
    if (header == "x-amz-object-attributes")
      for (const auto& one : split(value, ',')) wanted.emplace(trim(one));
  for (const auto& one : wanted)
    if (one != "ETag" && one != "Checksum" && one != "ObjectParts" && one != "StorageClass" && one != "ObjectSize")
      return invalid_argument("Invalid attribute name specified.", "x-amz-object-attributes", one);
  if (wanted.empty())
    return invalid_request(
        "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or "
        "empty");
  S3_TRY(call.allow("s3:GetObject", call.bucket.name, call.request.key));
  const auto object = call.store.object(call.bucket.name, call.request.key);
  if (!object) return no_such_key(call.request.key);
  const auto after = parse_int(call.request.header("x-amz-part-number-marker")).value_or(0);
  const auto most = std::min(parse_int(call.request.header("x-amz-max-parts")).value_or(most_page), most_page);
  if (after < 0 || most < 0)
    return invalid_argument("Provided max-parts or part-number-marker not an integer or within integer range",
                            "x-amz-max-parts", "");
  Xml xml;
  if (wanted.contains("ETag")) xml.text("ETag", object->etag);
  if (wanted.contains("Checksum") && object->head.contains("checksum")) add_checksum(xml, object->head["checksum"]);
  if (wanted.contains("ObjectParts") && object->head.contains("parts"))
    add_parts(xml, object->head["parts"], after, most);
  if (wanted.contains("StorageClass")) xml.text("StorageClass", text_at(object->head, "class", "STANDARD"));
  if (wanted.contains("ObjectSize")) xml.number("ObjectSize", static_cast<std::int64_t>(object->size));
  auto reply = s3_xml_reply("GetObjectAttributesResponse", xml);
  reply.headers.emplace_back("Last-Modified", show_http_date(object->modified_ms));
  return reply;
}

}  // namespace ferry::rehearsal
