#include "agent/protocol.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include "base/text.h"

namespace ferry::agent {
namespace {

constexpr std::size_t log_header = 8 + 1 + 1 + 8;
constexpr std::int64_t longest_s = 366 * 86400;
constexpr std::int64_t latest_ms = std::int64_t{1} << 52;
constexpr std::size_t longest_name = 200, longest_reason = 40, longest_text = 1500;

template <class T>
void put(std::string& out, T value) {
  auto bits = static_cast<std::make_unsigned_t<T>>(value);
  for (std::size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>(bits >> (8 * i) & 0xff);
}

template <class T>
T get(std::string_view bytes, std::size_t at) {
  std::make_unsigned_t<T> bits = 0;
  for (std::size_t i = sizeof(T); i-- > 0;) {
    bits = static_cast<decltype(bits)>(bits << 8 | static_cast<unsigned char>(bytes[at + i]));
  }
  return static_cast<T>(bits);
}

bool known(char type) { return type == 'H' || type == 'Q' || type == 'A' || type == 'L' || type == 'S'; }

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

bool has_nul(std::string_view text) { return text.find('\0') != text.npos; }

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
  for (const std::int64_t time : {spec.max_duration_s, spec.retention_s}) {
    if (time < 0 || time > longest_s) return fail(Kind::bad_input, "a time limit is negative or above a year");
  }
  return {};
}

}  // namespace

std::size_t most_body(FrameType type) {
  constexpr std::size_t kib = 1024;
  switch (type) {
    case FrameType::request:
      return 4 * kib * kib;
    case FrameType::log:
      return kib * kib + 64;
    case FrameType::hello:
    case FrameType::answer:
    case FrameType::state:
      return 64 * kib;
  }
  return 0;
}

void FrameReader::add(std::string_view bytes) {
  if (at_ > 0 && at_ >= buffer_.size() / 2) {
    buffer_.erase(0, at_);
    at_ = 0;
  }
  buffer_.append(bytes);
}

Result<std::optional<Frame>> FrameReader::next() {
  const std::string_view rest = std::string_view(buffer_).substr(at_);
  if (rest.size() < 5) return std::nullopt;
  const auto length = get<std::uint32_t>(rest, 0);
  if (length < 1 || !known(rest[4]) || length - 1 > most_body(static_cast<FrameType>(rest[4])))
    return fail(Kind::corrupt, "not a frame of the agent protocol");
  if (rest.size() - 4 < length) return std::nullopt;
  Frame frame{static_cast<FrameType>(rest[4]), std::string(rest.substr(5, length - 1))};
  at_ += 4 + length;
  return frame;
}

bool FrameReader::skip_to_hello() {
  const auto found = buffer_.find(greeting, std::max(at_, searched_));
  if (found == buffer_.npos) {
    searched_ = buffer_.size() - std::min(buffer_.size(), greeting.size() - 1);
    return false;
  }
  at_ = found + greeting.size();
  return true;
}

std::string encode(FrameType type, std::string_view body) {
  if (body.size() > most_body(type)) throw std::length_error("a frame's body is too large");
  std::string out;
  out.reserve(5 + body.size());
  put(out, static_cast<std::uint32_t>(body.size() + 1));
  out += static_cast<char>(type);
  out += body;
  return out;
}

std::string encode_log(const LogChunk& chunk) {
  std::string body;
  body.reserve(log_header + chunk.bytes.size());
  put(body, chunk.offset);
  put(body, static_cast<std::uint8_t>(chunk.stream));
  put(body, static_cast<std::uint8_t>(chunk.phase));
  put(body, chunk.time_ms);
  body += chunk.bytes;
  return encode(FrameType::log, body);
}

Result<LogChunk> decode_log(std::string_view body) {
  if (body.size() < log_header) return fail(Kind::corrupt, "a log frame is cut short");
  const auto stream = get<std::uint8_t>(body, 8), phase = get<std::uint8_t>(body, 9);
  if (stream < 1 || stream > 2 || phase < 1 || phase > 2)
    return fail(Kind::corrupt, "a log frame of unknown stream or phase");
  LogChunk chunk;
  chunk.offset = get<std::uint64_t>(body, 0);
  chunk.stream = static_cast<LogStream>(stream);
  chunk.phase = static_cast<LogPhase>(phase);
  chunk.time_ms = get<std::int64_t>(body, 10);
  chunk.bytes = body.substr(log_header);
  if (chunk.offset + chunk.bytes.size() < chunk.offset) return fail(Kind::corrupt, "a log frame beyond all offsets");
  return chunk;
}

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
  status.reason = short_line(status.reason, longest_reason);
  status.note = short_line(status.note, longest_text);
  for (auto* time : {&status.started_ms, &status.run_started_ms, &status.ended_ms, &status.deadline_ms})
    *time = std::clamp<std::int64_t>(*time, 0, latest_ms);
  status.cpu_percent = std::clamp(status.cpu_percent, 0.0, 100.0);
  return status;
}

Json to_json(const JobSpec& spec) {
  return Json{{"run", spec.run},
              {"workdir", spec.workdir},
              {"setup", spec.setup},
              {"command", spec.command},
              {"env", spec.env},
              {"secrets", spec.secrets},
              {"max_duration_s", spec.max_duration_s},
              {"linger_s", spec.retention_s},
              {"power_off", spec.power_off}};
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
