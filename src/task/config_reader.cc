// config: SkyPilot's own settings, as far as they are about the container that the training is in.
#include <fmt/format.h>

#include "base/text.h"
#include "task/field_reader.h"
#include "task/fields.h"
#include "task/run_options.h"

namespace ferry::task {

Status ConfigReader::read(const Entry& config) {
  const auto* inside = config.value.get();
  if (config.name == "experimental") {  // as SkyPilot had it before
    const auto* overrides = inside->type == Node::Type::map ? inside->find("config_overrides") : nullptr;
    if (!overrides) {
      not_yet(config, "SkyPilot's own configuration");
      return {};
    }
    inside = overrides->value.get();
  }
  if (inside->type == Node::Type::null) return {};
  if (inside->type != Node::Type::map) return wrong_type(config, "a mapping");
  for (const auto& field : inside->entries) {
    if (field.name == "docker") {
      TRY("", read_docker(config, field));
    } else if (field.value->type != Node::Type::null) {
      tell(config, field);
    }
  }
  return {};
}

void ConfigReader::tell(const Entry& config, const Entry& field) {
  task_.not_yet.push_back(fmt::format("{}:{}: {}: {}: not yet, this version ignores it (SkyPilot's own configuration)",
                                      printable(file_), field.at.line, config.name, printable(field.name)));
}

Status ConfigReader::read_docker(const Entry& config, const Entry& docker) {
  if (docker.value->type == Node::Type::null) return {};
  if (docker.value->type != Node::Type::map) return wrong_type(docker, "a mapping", "write docker: {run_options: …}");
  for (const auto& field : docker.value->entries) {
    if (field.name != "run_options") {
      tell(config, field);
    } else if (field.value->type == Node::Type::list) {
      for (const auto& item : field.value->entries) keep(add_options(Entry{"run_options", item.at, item.value}));
    } else if (field.value->type != Node::Type::null) {
      keep(add_options(field));
    }
  }
  return {};
}

Status ConfigReader::add_options(const Entry& entry) {
  TRY_SET(text, "", text_of(entry));
  const auto options = parse_run_options(text);
  if (!options) return complain_in(entry, options.error());
  task_.run_options.insert(task_.run_options.end(), options->begin(), options->end());
  return {};
}

}  // namespace ferry::task
