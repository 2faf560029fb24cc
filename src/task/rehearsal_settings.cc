#include "task/rehearsal_settings.h"

#include "task/aws_settings.h"
#include "task/field_reader.h"

namespace ferry::task {

namespace {

class RehearsalReader : FieldReader {
 public:
  using FieldReader::FieldReader;

  Result<RehearsalSettings> read(const Entry& entry) {
    RehearsalSettings out;
    if (entry.value->type == Node::Type::null) return out;
    if (entry.value->type != Node::Type::map) return wrong_type(entry, "a mapping of fields", "write internet: false below it");
    for (const auto& field : entry.value->entries) {
      if (field.value->type == Node::Type::null) continue;
      if (field.name == "internet") {
        TRY_SET(wanted, "", bool_of(field));
        out.internet = wanted;
      } else if (field.value->type != Node::Type::list) {
        TRY_SET(place, "", text_of(field));
        out.reach.push_back(place);
      } else {
        for (const auto& item : field.value->entries) {
          TRY_SET(place, "", text_of(item));
          out.reach.push_back(place);
        }
      }
    }
    return out;
  }
};

}  // namespace

Result<RehearsalSettings> parse_rehearsal_settings(std::string_view yaml, std::string_view file) try {
  TRY("", parse_settings(yaml, file));  // what is wrong with it as a whole
  TRY_SET(root, "", read_yaml(yaml, file));
  const auto* rehearsal = root->type == Node::Type::map ? root->find("rehearsal") : nullptr;
  if (!rehearsal) return RehearsalSettings();
  Task task;
  return RehearsalReader(file, task).read(*rehearsal);
} catch (const std::exception& e) {
  return fail(Kind::bad_input, std::string(file) + ": the settings cannot be read", e.what());
}

}  // namespace ferry::task
