#include "agent/notice.h"

#include <algorithm>
#include <array>
#include <csignal>

#include "base/text.h"
#include "os/clock.h"

namespace ferry::agent {
namespace {

constexpr std::int64_t most_grace_s = 3600, latest_notice_ms = std::int64_t{1} << 52;
constexpr std::size_t longest_action = 40;

struct Signal {
  std::string_view name;
  int number;
};
constexpr std::array<Signal, 5> signals = {
    {{"SIGTERM", SIGTERM}, {"SIGINT", SIGINT}, {"SIGUSR1", SIGUSR1}, {"SIGUSR2", SIGUSR2}, {"none", 0}}};

}  // namespace

std::string_view name(Notice::Kind kind) { return kind == Notice::Kind::rebalance ? "rebalance" : "interruption"; }

Json to_json(const Notice& notice) {
  return Json{{"kind", name(notice.kind)}, {"action", notice.action}, {"time_ms", notice.time_ms}};
}

Result<Notice> notice_from(const Json& json) {
  Notice notice;
  const std::string kind = json.is_object() ? text_at(json, "kind") : "";
  const auto time = json.is_object() ? json.find("time_ms") : json.end();
  if (kind != name(Notice::Kind::rebalance) && kind != name(Notice::Kind::interruption))
    return fail(Kind::corrupt, "a notice of unknown kind");
  if (time == json.end() || !time->is_number_integer()) return fail(Kind::corrupt, "a notice without time");
  notice.kind = kind == "rebalance" ? Notice::Kind::rebalance : Notice::Kind::interruption;
  notice.action = short_line(text_at(json, "action"), longest_action);
  notice.time_ms = std::clamp<std::int64_t>(time->get<std::int64_t>(), 0, latest_notice_ms);
  return notice;
}

Json notice_file(const Notice& notice, std::int64_t now_ms) {
  Json out{{"kind", name(notice.kind)}, {"time", os::iso_time(notice.time_ms)}};
  if (notice.kind == Notice::Kind::rebalance) return out;
  out["action"] = notice.action;
  out["seconds_left"] = std::max<std::int64_t>(0, notice.time_ms - now_ms) / 1000;
  return out;
}

Json notice_file(const LimitNotice& notice, std::int64_t now_ms) {
  return Json{{"kind", "limit"},
              {"reason", notice.reason},
              {"time", os::iso_time(notice.time_ms)},
              {"seconds_left", std::max<std::int64_t>(0, notice.time_ms - now_ms) / 1000}};
}

Millis asked_before(std::int64_t grace_s, Millis whole) {
  constexpr int share = 10;
  return std::clamp(Millis(Seconds(grace_s)), Millis(0), std::max(Millis(0), whole / share));
}

Json to_json(const NoticeSpec& spec) { return Json{{"signal", spec.signal}, {"grace_s", spec.grace_s}}; }

Result<NoticeSpec> notice_spec_from(const Json& json) {
  if (!json.is_object()) return fail(Kind::bad_input, "what to do on a notice is no JSON object");
  NoticeSpec spec;
  spec.signal = text_at(json, "signal", spec.signal);
  if (!signal_number(spec.signal))
    return fail(Kind::bad_input, "a training cannot be told by " + short_line(spec.signal, 40));
  if (const auto grace = json.find("grace_s"); grace != json.end()) {
    if (!grace->is_number_integer() || grace->get<std::int64_t>() < 0 || grace->get<std::int64_t>() > most_grace_s)
      return fail(Kind::bad_input, "the time to save after a notice is 0 to 3600 seconds");
    spec.grace_s = grace->get<std::int64_t>();
  }
  return spec;
}

std::optional<int> signal_number(std::string_view name) {
  const auto found = std::find_if(signals.begin(), signals.end(), [&](const Signal& one) { return one.name == name; });
  return found == signals.end() ? std::nullopt : std::optional(found->number);
}

}  // namespace ferry::agent
