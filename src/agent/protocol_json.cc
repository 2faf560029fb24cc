#include <algorithm>
#include <filesystem>
#include <set>

#include "agent/protocol.h"
#include "base/text.h"
#include "store/keys.h"
#include "sync/globs.h"

namespace ferry::agent {
namespace {

constexpr std::int64_t longest_s = 366 * 86400;
constexpr std::int64_t latest_ms = std::int64_t{1} << 52;
constexpr std::int64_t most_tries = 1'000'000;  // attempts, ranks
constexpr std::size_t longest_name = 200, longest_reason = 40, longest_text = 1500;
constexpr std::size_t longest_uri = 2000, longest_pattern = 4096, most_patterns = 1000;

/// An absent member leaves `into` as it is; one of another type is corrupt.
template <class T>
Status read_member(const Json& object, const char* key, T& into) {
  const auto at = object.find(key);
  if (at == object.end() || at->is_null()) return {};
  bool fits = false;
  if constexpr (std::is_same_v<T, std::string>) {
    fits = at->is_string();
  } else if constexpr (std::is_same_v<T, bool>) {
    fits = at->is_boolean();
  } else if constexpr (std::is_same_v<T, double>) {
    fits = at->is_number();
  } else if constexpr (std::is_same_v<T, std::uint64_t>) {
    fits = at->is_number_unsigned();
  } else {
    fits = at->is_number_integer();
  }
  if (!fits) return fail(Kind::corrupt, std::string("member \"") + key + "\" has the wrong type");
  into = at->get<T>();
  return {};
}

Status read_exit(const Json& object, const char* key, std::optional<int>& into) {
  std::int64_t code = -1;
  TRY("", read_member(object, key, code));
  if (code >= 0 && code <= 255) into = static_cast<int>(code);
  return {};
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

Status read_pairs(const Json& object, const char* key, Pairs& into) {
  const auto at = object.find(key);
  if (at == object.end()) return {};
  const auto wrong = [&] {
    return fail(Kind::bad_input, std::string("member \"") + key + "\" is no list of [name, value]");
  };
  if (!at->is_array()) return wrong();
  for (const Json& pair : *at) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) return wrong();
    into.emplace_back(pair[0].get<std::string>(), pair[1].get<std::string>());
  }
  return {};
}

Status read_texts(const Json& object, const char* key, std::vector<std::string>& into) {
  const auto at = object.find(key);
  if (at == object.end()) return {};
  const auto is_text = [](const Json& one) { return one.is_string(); };
  if (!at->is_array() || !std::all_of(at->begin(), at->end(), is_text))
    return fail(Kind::bad_input, std::string("member \"") + key + "\" is no list of texts");
  for (const Json& one : *at) into.push_back(one.get<std::string>());
  return {};
}

bool has_nul(std::string_view text) { return text.find('\0') != text.npos; }

bool is_within(const std::string& path, const std::string& folder) {
  const auto clean = (std::filesystem::path(path) / "").lexically_normal().string();
  return clean.starts_with((std::filesystem::path(folder) / "").lexically_normal().string());
}

Status check(const StoreSpec& spec) {
  const bool is_s3 = spec.uri.starts_with("s3://") && spec.uri.size() > 5;
  if (!spec.uri.empty() && !is_s3 && spec.uri[0] != '/')
    return fail(Kind::bad_input, "a store is s3://BUCKET/PREFIX or an absolute folder, not " + short_line(spec.uri));
  for (const std::string* text : {&spec.uri, &spec.region, &spec.endpoint}) {
    if (text->size() > longest_uri || printable(*text) != *text)
      return fail(Kind::bad_input, "that is not where a store can be: " + short_line(*text));
  }
  for (const auto* patterns : {&spec.outputs, &spec.checkpoints}) {
    if (patterns->size() > most_patterns) return fail(Kind::bad_input, "too many patterns for what is stored");
    for (const auto& one : *patterns) {
      if (one.empty() || one.size() > longest_pattern || has_nul(one))
        return fail(Kind::bad_input, "not a pattern for what is stored: " + short_line(one));
    }
  }
  for (const auto* patterns : {&spec.outputs, &spec.checkpoints}) TRY("", sync::Globs::parse(*patterns));
  if (spec.every_s < 1 || spec.every_s > 86400)
    return fail(Kind::bad_input, "what is new is looked for every 1 to 86400 seconds");
  return {};
}

Status check(const JobSpec& spec) {
  if (spec.command.empty()) return fail(Kind::bad_input, "there is nothing to run");
  if (spec.workdir.empty() || spec.workdir[0] != '/')
    return fail(Kind::bad_input, "the workdir is not absolute: " + spec.workdir);
  if (spec.run.size() > longest_name) return fail(Kind::bad_input, "the run's name is too long");
  if (has_nul(spec.workdir) || has_nul(spec.setup) || has_nul(spec.command)) {
    return fail(Kind::bad_input, "a script or path contains a NUL byte");
  }
  for (const Pairs* pairs : {&spec.env, &spec.secrets}) {
    for (const auto& [key, value] : *pairs) {
      if (key.empty() || key.find('=') != key.npos || has_nul(key)) {
        return fail(Kind::bad_input, "not a name for an environment variable: \"" + key + "\"");
      }
      if (has_nul(value)) return fail(Kind::bad_input, "the value of " + key + " contains a NUL byte");
    }
  }
  for (const std::int64_t time : {spec.max_duration_s, spec.retention_s, spec.idle_s}) {
    if (time < 0 || time > longest_s) return fail(Kind::bad_input, "a time limit is negative or above a year");
  }
  if (!spec.store.uri.empty() && !store::is_run_name(spec.run))
    return fail(Kind::bad_input, "the run's name is none that a store can have");
  // It would hold itself.
  if (is_within(spec.store.uri, spec.workdir))
    return fail(Kind::bad_input, "the store " + short_line(spec.store.uri) + " is in the run's own workdir");
  return {};
}

}  // namespace

std::string_view name(JobState state) {
  switch (state) {
    case JobState::idle:
      return "idle";
    case JobState::setup:
      return "setup";
    case JobState::running:
      return "running";
    case JobState::done:
      return "done";
  }
  return "idle";
}

JobStatus refused_start(const Error& error) {
  JobStatus status{.state = JobState::done, .reason = std::string(not_started)};
  status.note = short_line(error.what + (error.why.empty() ? "" : ": " + error.why), longest_text);
  return status;
}

std::string_view name(StoreStatus::State state) {
  switch (state) {
    case StoreStatus::State::none:
      return "none";
    case StoreStatus::State::storing:
      return "storing";
    case StoreStatus::State::stored:
      return "stored";
    case StoreStatus::State::failed:
      return "failed";
  }
  return "none";
}

Json to_json(const StoreStatus& status) {
  return Json{{"state", name(status.state)},
              {"files", status.files},
              {"bytes", status.bytes},
              {"stored_ms", status.stored_ms},
              {"problem", short_line(status.problem, longest_text)}};
}

Result<StoreStatus> store_status_from(const Json& json) {
  using State = StoreStatus::State;
  if (!json.is_object()) return fail(Kind::corrupt, "what is said of a store is no JSON object");
  StoreStatus status;
  const std::string state = text_at(json, "state");
  const auto states = {State::none, State::storing, State::stored, State::failed};
  const auto found = std::find_if(states.begin(), states.end(), [&](State each) { return name(each) == state; });
  if (found == states.end()) return fail(Kind::corrupt, "a store of unknown state");
  status.state = *found;
  TRY("", read_member(json, "files", status.files));
  TRY("", read_member(json, "bytes", status.bytes));
  TRY("", read_member(json, "stored_ms", status.stored_ms));
  TRY("", read_member(json, "problem", status.problem));
  status.stored_ms = std::clamp<std::int64_t>(status.stored_ms, 0, latest_ms);
  status.problem = short_line(status.problem, longest_text);
  return status;
}

Json to_json(const JobStatus& status) {
  Json out{{"state", name(status.state)},
           {"reason", status.reason},
           {"note", short_line(status.note, longest_text)},
           {"log_size", status.log_size},
           {"dropped", status.dropped},
           {"started_ms", status.started_ms},
           {"run_started_ms", status.run_started_ms},
           {"ended_ms", status.ended_ms},
           {"deadline_ms", status.deadline_ms},
           {"cpu_percent", status.cpu_percent}};
  if (status.setup_exit) out["setup_exit"] = *status.setup_exit;
  if (status.run_exit) out["run_exit"] = *status.run_exit;
  if (status.store.state != StoreStatus::State::none) out["store"] = to_json(status.store);
  if (status.notice) out["notice"] = to_json(*status.notice);
  if (status.killed) out["killed"] = true;
  return out;
}

Result<JobStatus> status_from(const Json& json) {
  if (!json.is_object()) return fail(Kind::corrupt, "a job's status is no JSON object");
  JobStatus status;
  const std::string state = text_at(json, "state");
  const auto states = {JobState::idle, JobState::setup, JobState::running, JobState::done};
  const auto found = std::find_if(states.begin(), states.end(), [&](JobState each) { return name(each) == state; });
  if (found == states.end()) return fail(Kind::corrupt, "a job's status of unknown state");
  status.state = *found;
  TRY("", read_exit(json, "setup_exit", status.setup_exit));
  TRY("", read_exit(json, "run_exit", status.run_exit));
  TRY("", read_member(json, "reason", status.reason));
  TRY("", read_member(json, "note", status.note));
  TRY("", read_member(json, "log_size", status.log_size));
  TRY("", read_member(json, "dropped", status.dropped));
  TRY("", read_member(json, "started_ms", status.started_ms));
  TRY("", read_member(json, "run_started_ms", status.run_started_ms));
  TRY("", read_member(json, "ended_ms", status.ended_ms));
  TRY("", read_member(json, "deadline_ms", status.deadline_ms));
  TRY("", read_member(json, "cpu_percent", status.cpu_percent));
  if (const auto store = json.find("store"); store != json.end() && !store->is_null()) {
    TRY_SET(said, "", store_status_from(*store));
    status.store = std::move(said);
  }
  if (const auto notice = json.find("notice"); notice != json.end() && !notice->is_null()) {
    TRY_SET(told, "", notice_from(*notice));
    status.notice = std::move(told);
  }
  TRY("", read_member(json, "killed", status.killed));
  status.reason = short_line(status.reason, longest_reason);
  status.note = short_line(status.note, longest_text);
  for (auto* time : {&status.started_ms, &status.run_started_ms, &status.ended_ms, &status.deadline_ms})
    *time = std::clamp<std::int64_t>(*time, 0, latest_ms);
  status.cpu_percent = std::clamp(status.cpu_percent, 0.0, 100.0);
  return status;
}

Json to_json(const StoreSpec& spec) {
  return Json{{"uri", spec.uri},         {"region", spec.region},           {"endpoint", spec.endpoint},
              {"outputs", spec.outputs}, {"checkpoints", spec.checkpoints}, {"every_s", spec.every_s}};
}

Result<StoreSpec> store_spec_from(const Json& json) {
  if (!json.is_object()) return fail(Kind::bad_input, "a store is no JSON object");
  StoreSpec spec;
  TRY("", read_member(json, "uri", spec.uri));
  TRY("", read_member(json, "region", spec.region));
  TRY("", read_member(json, "endpoint", spec.endpoint));
  TRY("", read_texts(json, "outputs", spec.outputs));
  TRY("", read_texts(json, "checkpoints", spec.checkpoints));
  TRY("", read_member(json, "every_s", spec.every_s));
  TRY("", check(spec));
  return spec;
}

namespace {

Json money_json(const MoneySpec& money) {
  return {{"at_most", money.at_most}, {"left", money.left}, {"hourly", money.hourly}};
}

Result<std::optional<MoneySpec>> money_from(const Json& json) {
  const auto there = json.find("money");
  if (there == json.end() || there->is_null()) return std::nullopt;
  if (!there->is_object()) return fail(Kind::bad_input, "what is said of money is no JSON object");
  MoneySpec money;
  TRY("", read_member(*there, "at_most", money.at_most));
  TRY("", read_member(*there, "left", money.left));
  TRY("", read_member(*there, "hourly", money.hourly));
  constexpr std::int64_t most = 1'000'000'000'000'000;
  for (const auto amount : {money.at_most, money.left, money.hourly}) {
    if (amount < 0 || amount > most) return fail(Kind::bad_input, "an amount of money without reason");
  }
  return money;
}

Status read_notice_spec(const Json& object, const char* key, std::optional<NoticeSpec>& into) {
  const auto at = object.find(key);
  if (at == object.end() || at->is_null()) return {};
  TRY_SET(asked, "", notice_spec_from(*at));
  into = std::move(asked);
  return {};
}

}  // namespace

Json to_json(const GroupSpec& group) {
  return {{"name", group.name}, {"region", group.region}, {"endpoint", group.endpoint}};
}

Result<GroupSpec> group_spec_from(const Json& json) {
  if (!json.is_object()) return fail(Kind::bad_input, "that is no group of machines");
  GroupSpec group;
  TRY("", read_member(json, "name", group.name));
  TRY("", read_member(json, "region", group.region));
  TRY("", read_member(json, "endpoint", group.endpoint));
  constexpr std::size_t longest_name = 255;
  const auto is_plain = [](char c) { return c > ' ' && c < 0x7f; };
  if (group.name.empty() || group.name.size() > longest_name || group.region.empty() ||
      !std::ranges::all_of(group.name + group.region + group.endpoint, is_plain))
    return fail(Kind::bad_input, "that is no group of machines");
  return group;
}

Json to_json(const Extension& extension) {
  Json out{{"deadline_ms", extension.deadline_ms},
           {"linger_s", extension.retention_s},
           {"power_off_in_s", extension.power_off_in_s}};
  if (extension.money) out["money"] = money_json(*extension.money);
  return out;
}

Result<Extension> extension_from(const Json& json) {
  if (!json.is_object()) return fail(Kind::bad_input, "an extension is no JSON object");
  Extension extension;
  TRY("", read_member(json, "deadline_ms", extension.deadline_ms));
  TRY("", read_member(json, "linger_s", extension.retention_s));
  TRY("", read_member(json, "power_off_in_s", extension.power_off_in_s));
  TRY_SET(money, "", money_from(json));
  extension.money = money;
  if (extension.deadline_ms < 0 || extension.deadline_ms > latest_ms)
    return fail(Kind::bad_input, "an end without reason");
  for (const std::int64_t time : {extension.retention_s, extension.power_off_in_s}) {
    if (time < 0 || time > longest_s) return fail(Kind::bad_input, "a time limit is negative or above a year");
  }
  return extension;
}

Json to_json(const JobSpec& spec) {
  Json out{{"run", spec.run},
           {"workdir", spec.workdir},
           {"setup", spec.setup},
           {"command", spec.command},
           {"env", spec.env},
           {"secrets", spec.secrets},
           {"max_duration_s", spec.max_duration_s},
           {"linger_s", spec.retention_s},
           {"power_off", spec.power_off},
           {"attempt", spec.attempt},
           {"rank", spec.rank}};
  if (!spec.store.uri.empty()) out["store"] = to_json(spec.store);
  if (spec.notices) out["notices"] = to_json(*spec.notices);
  if (spec.on_limit) {
    out["on_limit"] = to_json(*spec.on_limit);
    out["limited_by"] = spec.limited_by;
  }
  if (spec.idle_s > 0) out["idle_s"] = spec.idle_s;
  if (spec.money) out["money"] = money_json(*spec.money);
  if (spec.group) out["group"] = to_json(*spec.group);
  return out;
}

Result<JobSpec> spec_from(const Json& json) {
  if (!json.is_object()) return fail(Kind::bad_input, "a job is no JSON object");
  JobSpec spec;
  TRY("", read_member(json, "run", spec.run));
  TRY("", read_member(json, "workdir", spec.workdir));
  TRY("", read_member(json, "setup", spec.setup));
  TRY("", read_member(json, "command", spec.command));
  TRY("", read_pairs(json, "env", spec.env));
  TRY("", read_pairs(json, "secrets", spec.secrets));
  TRY("", read_member(json, "max_duration_s", spec.max_duration_s));
  TRY("", read_member(json, "linger_s", spec.retention_s));
  TRY("", read_member(json, "power_off", spec.power_off));
  std::int64_t attempt = 1, rank = 0;
  TRY("", read_member(json, "attempt", attempt));
  TRY("", read_member(json, "rank", rank));
  if (attempt < 1 || attempt > most_tries || rank < 0 || rank > most_tries)
    return fail(Kind::bad_input, "an attempt or rank without reason");
  spec.attempt = static_cast<int>(attempt);
  spec.rank = static_cast<int>(rank);
  if (const auto store = json.find("store"); store != json.end() && !store->is_null()) {
    TRY_SET(asked, "", store_spec_from(*store));
    spec.store = std::move(asked);
  }
  if (const auto group = json.find("group"); group != json.end() && !group->is_null()) {
    TRY_SET(asked, "", group_spec_from(*group));
    spec.group = std::move(asked);
  }
  TRY("", read_notice_spec(json, "notices", spec.notices));
  TRY("", read_notice_spec(json, "on_limit", spec.on_limit));
  TRY("", read_member(json, "limited_by", spec.limited_by));
  TRY("", read_member(json, "idle_s", spec.idle_s));
  spec.limited_by = short_line(spec.limited_by, longest_reason);
  TRY_SET(money, "", money_from(json));
  spec.money = money;
  TRY("", check(spec));
  return spec;
}

Json to_json(const Error& error) {
  return Json{{"kind", name(error.kind)},
              {"what", short_line(error.what, longest_text)},
              {"why", short_line(error.why, longest_text)},
              {"advice", short_line(error.advice, longest_text)}};
}

Error error_from(const Json& json) {
  static const std::set<Kind> believed = {Kind::bad_input, Kind::denied,   Kind::disk_full,  Kind::io,
                                          Kind::corrupt,   Kind::conflict, Kind::unsupported};
  Error error{Kind::corrupt, short_line(text_at(json, "what", "the agent failed without saying why"), longest_text),
              short_line(text_at(json, "why"), longest_text), "", ""};
  if (const auto advice = short_line(text_at(json, "advice"), longest_text); !advice.empty())
    error.why += (error.why.empty() ? "" : "; ") + std::string("the machine says: ") + advice;
  const std::string kind = text_at(json, "kind");
  for (int each = 0; each <= static_cast<int>(Kind::bug); ++each) {
    const auto known = static_cast<Kind>(each);
    if (name(known) == kind) error.kind = believed.contains(known) ? known : Kind::io;
  }
  return error;
}

}  // namespace ferry::agent
