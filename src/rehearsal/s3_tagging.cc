// Tags of objects.
#include "rehearsal/s3_actions.h"

namespace ferry::rehearsal {

S3Result<Json> tags_of_xml(const pugi::xml_node& tagging) {
  Json tags = Json::object();
  if (!tagging.child("TagSet")) return malformed_xml();
  for (const auto& tag : tagging.child("TagSet").children("Tag")) {
    const std::string key = tag.child_value("Key");
    if (tags.contains(key)) return s3_refuse("InvalidTag", "Cannot provide multiple Tags with the same key");
    tags[key] = tag.child_value("Value");
  }
  return tags;
}

S3Result<os::ServedReply> get_object_tagging(S3Call& call) {
  const auto object = call.store.object(call.bucket.name, call.request.key);
  if (!object) return no_such_key(call.request.key);
  Xml xml;
  const auto tags = object->head.value("tags", Json::object());
  xml.node("TagSet", [&] {
    for (const auto& [key, value] : tags.items())
      xml.node("Tag", [&, tag = key, text = value.get<std::string>()] { xml.text("Key", tag).text("Value", text); });
  });
  return s3_xml_reply("Tagging", xml);
}

S3Result<os::ServedReply> put_object_tagging(S3Call& call) {
  S3_SET(document, read_s3_xml(call, "Tagging"));
  S3_SET(tags, tags_of_xml(document->document_element()));
  S3_TRY(check_tags(tags));
  S3_TRY(call.store.set_head(call.bucket.name, call.request.key, [&](Json& head) {
    if (tags.empty())
      head.erase("tags");
    else
      head["tags"] = tags;
  }));
  return s3_empty_reply();
}

S3Result<os::ServedReply> delete_object_tagging(S3Call& call) {
  S3_TRY(call.store.set_head(call.bucket.name, call.request.key, [](Json& head) { head.erase("tags"); }));
  return s3_empty_reply(204);
}

}  // namespace ferry::rehearsal
