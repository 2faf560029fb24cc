#include <fmt/format.h>

#include "base/text.h"
#include "task/field_reader.h"

namespace ferry::task {

Status ResourcesReader::read(const Entry& resources) {
  if (resources.value->type != Node::Type::map) return wrong_type(resources, "a mapping");
  for (const auto& entry : resources.value->entries) {
    if (entry.value->type == Node::Type::null) continue;
    if (entry.name == "instance_type") {
      TRY_SET(text, "", text_of(entry));
      task_.resources.instance_type = trim(text);
    } else if (entry.name == "accelerators") {
      TRY("", read_accelerators(entry));
    } else if (entry.name == "cpus") {
      TRY("", read_amount(entry, task_.resources.cpus, parse_cpus));
    } else if (entry.name == "memory") {
      TRY("", read_amount(entry, task_.resources.memory, parse_memory));
    }
  }
  return read_infra(*resources.value);
}

Status ResourcesReader::read_amount(const Entry& entry, std::optional<Amount>& amount,
                                    Result<Amount> (*parse)(std::string_view)) {
  TRY_SET(text, "", text_of(entry));
  const auto read = parse(text);
  if (!read) return complain_in(entry, read.error());
  amount = *read;
  return {};
}

/// `infra`, or the older spelling in three parts: `cloud`, `region`, `zone`.
Status ResourcesReader::read_infra(const Node& resources) {
  const auto given = [&](std::string_view name) {
    const Entry* entry = resources.find(name);
    return entry && entry->value->type != Node::Type::null ? entry : nullptr;
  };
  const Entry* place = given("infra");
  std::string parts[] = {"aws", "*", "*"};
  constexpr const char* names[] = {"cloud", "region", "zone"};
  for (std::size_t i = 0; i < 3; ++i) {
    const Entry* entry = given(names[i]);
    if (!entry) continue;
    if (given("infra")) {
      return complain_at(entry->at, fmt::format("'{}' beside 'infra': both say where", names[i]), {},
                         "keep 'infra' only, as in aws/us-east-1");
    }
    TRY_SET(text, "", text_of(*entry));
    parts[i] = text;
    place = entry;
  }
  if (!place) return {};
  std::string text = parts[0];
  if (place->name == "infra") {
    TRY_SET(written, "", text_of(*place));
    text = written;
  } else if (place->name != "cloud") {
    text = join(parts, "/");
  }
  const auto infra = parse_infra(text);
  if (!infra) return complain_in(*place, infra.error());
  task_.resources.infra = *infra;
  return {};
}

/// Written `A100:8`, `{A100: 8}`, `{T4, V100}`, `'{T4:1, V100:1}'` or as a list; the last three name
/// alternatives.
Status ResourcesReader::read_accelerators(const Entry& entry) {
  std::vector<std::string> choices;
  const auto& value = *entry.value;
  if (value.type == Node::Type::text) {
    std::string_view text = trim(value.text);
    if (text.starts_with('{') && text.ends_with('}')) text = text.substr(1, text.size() - 2);
    choices = split(text, ',');
  }
  for (const auto& item : value.entries) {
    if (value.type == Node::Type::list) {
      if (item.value->type != Node::Type::text)
        return complain_at(item.at, "accelerators: a list holds texts like A100:8");
      choices.push_back(item.value->text);
    } else if (item.value->type == Node::Type::null) {
      choices.push_back(item.name);
    } else {
      TRY_SET(count, "", text_of(item));
      choices.push_back(item.name + ":" + count);
    }
  }
  for (const auto& choice : choices) {
    const auto accelerator = parse_accelerator(trim(choice));
    if (!accelerator) return complain_in(entry, accelerator.error());
    task_.resources.accelerators.choices.push_back(*accelerator);
  }
  task_.resources.accelerators.ordered = value.type == Node::Type::list && choices.size() > 1;
  return {};
}

}  // namespace ferry::task
