#include "task/autostop.h"

#include <fmt/format.h>

#include "base/text.h"

namespace ferry::task {
namespace {

/// SkyPilot's own, where it is only switched on.
constexpr Seconds usual_idle{300};

std::string word_of(const Node& map, const char* name) {
  const auto* field = map.type == Node::Type::map ? map.find(name) : nullptr;
  return field && field->value->type == Node::Type::text ? lower(trim(field->value->text)) : "";
}

/// A number is minutes; 0 and -1 (never) are none.
std::optional<Seconds> idle_time(const std::string& word) {
  if (word == "true" || word == "yes" || word == "on") return usual_idle;
  if (const auto minutes = parse_int(word)) {
    constexpr std::int64_t most = 366 * 24 * 60;
    return *minutes > 0 && *minutes <= most ? std::optional(Seconds(*minutes * 60)) : std::nullopt;
  }
  const auto time = parse_duration(word);
  return time && time->count() > 0 ? std::optional(*time) : std::nullopt;
}

bool waits_for_jobs(const Node& value) { return word_of(value, "wait_for").starts_with("jobs"); }

}  // namespace

std::optional<Seconds> idle_of_autostop(const Node& value) {
  if (value.type == Node::Type::text) return idle_time(lower(trim(value.text)));
  if (value.type != Node::Type::map || waits_for_jobs(value)) return std::nullopt;
  const auto minutes = word_of(value, "idle_minutes");
  return minutes.empty() ? usual_idle : idle_time(minutes);
}

std::string autostop_words(const Entry& entry) {
  const auto idle = idle_of_autostop(*entry.value);
  std::string words = "the machine is ended when the run ends";
  if (idle)
    words += fmt::format(", and a training that does nothing for {} is ended, too (idle: {}m)", show_duration(*idle),
                         std::chrono::ceil<std::chrono::minutes>(*idle).count());
  if (waits_for_jobs(*entry.value))
    words += ", which is waited for whatever it does (idle: 20m would end one that does nothing)";
  if (const auto down = word_of(*entry.value, "down"); !down.empty() && down != "true")
    words += " (ended, not stopped: outputs come home first; ends: stop keeps its disk)";
  words += "; with --keep it costs until  ferry down RUN, at the latest until its time limit (max_duration)";
  if (!word_of(*entry.value, "hook").empty()) words += "; its hook is not run: put that at the end of run:";
  return words;
}

}  // namespace ferry::task
