#include "task/settings.h"

#include <algorithm>
#include <array>

#include "base/json.h"
#include "base/text.h"
#include "task/field_reader.h"
#include "task/fields.h"

namespace ferry::task {
namespace {

using Type = Node::Type;

class SettingsReader : FieldReader {
 public:
  using FieldReader::FieldReader;
  Settings read(const Node& root) {
    Settings out;
    for (const auto& entry : root.entries) {
      if (entry.value->type == Type::null) continue;
      if (entry.name == "aws") keep(AwsReader(file_, task_, found_).read(entry));
      if (entry.name == "rehearsal") keep(read_rehearsal(entry, out.rehearsal));
      if (entry.name == "defaults") keep(read_defaults(entry, out));
      if (entry.name == "limits") keep(read_limits(entry, out.limits));
      if (entry.name == "store") keep(read_store(entry, out.store));
      if (entry.name == "hold_connection") keep(read_hold_of(entry, out.hold));
    }
    out.aws = task_.aws;
    return out;
  }

 private:
  Status read_defaults(const Entry& entry, Settings& out) {
    constexpr std::array<std::string_view, 2> whose = {"ferry", "skypilot"};
    TRY_SET(choice, "", choice_of(entry, whose));
    out.skypilot_defaults = choice == "skypilot";
    return {};
  }

  Status read_hold_of(const Entry& entry, std::optional<Seconds>& hold) {
    TRY_SET(text, "", text_of(entry));
    const auto read = read_hold(text);
    if (!read) return complain_in(entry, read.error());
    hold = *read;
    return {};
  }

  Status read_rehearsal(const Entry& entry, RehearsalSettings& out) {
    if (entry.value->type != Type::map)
      return wrong_type(entry, "a mapping of fields", "write internet: false below it");
    for (const auto& field : entry.value->entries) {
      if (field.value->type == Type::null) continue;
      if (field.name == "internet") {
        TRY_SET(wanted, "", bool_of(field));
        out.internet = wanted;
      } else if (field.name == "reach") {
        TRY("", read_reach(field, out.reach));
      }
    }
    return {};
  }

  Status read_limits(const Entry& entry, Caps& out) {
    if (entry.value->type != Type::map)
      return wrong_type(entry, "a mapping of fields", "write usd_per_day: 20 below it");
    for (const auto& field : entry.value->entries) {
      if (field.value->type == Type::null) continue;
      TRY_SET(text, "", text_of(field));
      if (field.name == "machines") {
        const auto number = parse_int(trim(text));
        constexpr std::int64_t most = 10'000;
        if (!number || *number < 1 || *number > most)
          return complain_at(field.value->at, fmt::format("machines is a number from 1 to {}", most));
        out.machines = static_cast<int>(*number);
        continue;
      }
      const auto amount = parse_usd(text);
      if (!amount) return complain_in(field, amount.error());
      if (amount->micros <= 0) return complain_at(field.value->at, fmt::format("{} must be above zero", field.name));
      if (field.name == "usd_per_day") out.a_day = *amount;
      if (field.name == "usd_per_month") out.a_month = *amount;
      if (field.name == "usd_per_hour") out.an_hour = *amount;
    }
    return {};
  }

  Status read_reach(const Entry& field, std::vector<std::string>& reach) {
    if (field.value->type != Type::list) {
      TRY_SET(place, "", text_of(field));
      reach.push_back(place);
      return {};
    }
    for (const auto& item : field.value->entries) {
      TRY_SET(place, "", text_of(item));
      reach.push_back(place);
    }
    return {};
  }
};

}  // namespace

Result<Settings> parse_settings(std::string_view yaml, std::string_view file) try {
  TRY_SET(root, "", read_yaml(yaml, file));
  if (root->type == Type::null) return Settings();
  if (root->type != Type::map) {
    return complain(file, root->at, fmt::format("settings are a mapping of fields, not {}", called(root->type)), {},
                    "write aws: and its fields below it");
  }
  Task task;
  std::vector<Error> found;
  check_fields(file, *root, "settings", task.not_yet, found);
  auto settings = SettingsReader(file, task, found).read(*root);
  in_order(found, file);
  if (!found.empty()) return fail(std::move(found));
  return settings;
} catch (const std::exception& e) {
  return complain(file, {}, "the settings cannot be read", e.what());
}

Result<Seconds> read_hold(std::string_view text) {
  constexpr std::array<std::string_view, 4> none = {"off", "no", "false", "0"};
  if (std::ranges::find(none, trim(text)) != none.end()) return Seconds(0);
  TRY_SET(time, "", parse_duration(text));
  if (time > Seconds(24 * 3600))
    return fail(Kind::bad_input, "a connection is held for a day at most", show_duration(time), "e.g. 10m, or off");
  return time;
}

Result<std::string> with_store(std::string_view yaml, std::string_view file, const std::string& uri) {
  constexpr std::string_view name = "store:";
  const bool is_plain = std::ranges::all_of(uri, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/:._-~").find(c) != std::string_view::npos;
  });
  const std::string line = std::string(name) + " " + (is_plain ? uri : dump_json(uri));
  std::vector<std::string> lines = split(yaml, '\n');
  const auto at = std::ranges::find_if(lines, [&](const auto& one) { return one.starts_with(name); });
  if (at != lines.end()) {
    const auto comment = at->find(" #");
    const auto kept = comment == std::string::npos ? at->size() : at->find_last_not_of(' ', comment) + 1;
    *at = line + at->substr(kept);
  } else {
    if (!lines.empty() && lines.back().empty()) lines.pop_back();
    lines.push_back(line);
    lines.emplace_back();
  }
  auto written = join(lines, "\n");
  const auto read = parse_settings(written, file);
  if (read && read->store == uri) return written;
  return fail(Kind::bad_input, fmt::format("{} could not be written into {}", line, file),
              read ? "it would not be read as meant" : read.error().what, "write that line into it yourself");
}

}  // namespace ferry::task
