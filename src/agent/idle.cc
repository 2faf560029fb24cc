#include "agent/idle.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <limits>
#include <sstream>

#include "base/text.h"
#include "os/process.h"

namespace ferry::agent {
namespace {

constexpr std::int64_t most_look_every_ms = 10'000, least_look_every_ms = 100, looks_a_limit = 10;
constexpr std::int64_t most_ask_every_ms = 60'000, asks_a_limit = 5;
constexpr std::int64_t answer_within_ms = 10'000;
constexpr std::size_t longest_answer = 16'384;

/// Of /proc/PID/stat.
struct Process {
  Named name{};
  pid_t parent = 0;
  std::uint64_t worked_ms = 0;
};

std::optional<Process> process_of(pid_t pid) {
  const auto text = os::read_file("/proc/" + std::to_string(pid) + "/stat");
  const auto behind_name = text ? text->rfind(')') : std::string::npos;
  if (behind_name == std::string::npos) return std::nullopt;
  std::istringstream rest(text->substr(behind_name + 1));
  std::array<std::string, 20> fields;  // from the third one on
  for (auto& field : fields) rest >> field;
  const auto number = [&](std::size_t field) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, parse_int(fields[field - 3]).value_or(0)));
  };
  constexpr std::size_t parent = 4, first_time = 14, last_time = 17, began = 22;
  Process out{.name = {pid, number(began)}, .parent = static_cast<pid_t>(number(parent))};
  if (fields[0] == "Z" || fields[0] == "X") return std::nullopt;
  static const auto ticks = static_cast<std::uint64_t>(std::max(1L, ::sysconf(_SC_CLK_TCK)));
  for (auto field = first_time; field <= last_time; ++field) out.worked_ms += number(field) * 1000 / ticks;
  return out;
}

std::vector<Process> all_processes() {
  std::vector<Process> out;
  const auto names = os::list_dir("/proc");
  if (!names) return out;
  for (const auto& each : *names) {
    const auto number = parse_int(each);
    if (const auto process = number ? process_of(static_cast<pid_t>(*number)) : std::nullopt) out.push_back(*process);
  }
  return out;
}

std::string groups_of(const std::string& process) { return os::read_file("/proc/" + process + "/cgroup").value_or(""); }

}  // namespace

bool is_containers(std::string_view groups, std::string_view own) {
  const auto has = [&](std::string_view word) { return groups.find(word) != groups.npos; };
  return groups != own && (has("docker-") || has("docker/") || has("libpod") || has("cri-containerd"));
}

bool is_busy(const Activity& before, const Activity& now) {
  if (now.printed != before.printed) return true;
  const auto allowed = static_cast<std::uint64_t>(std::max<std::int64_t>(0, now.at - before.at)) * busy_cpu_percent;
  return std::ranges::any_of(now.worked_ms, [&](const auto& one) {
    const auto then = before.worked_ms.find(one.first);
    const auto worked = one.second - (then == before.worked_ms.end() ? 0 : std::min(then->second, one.second));
    return worked * 100 > allowed;
  });
}

std::optional<int> busiest_gpu(std::string_view said) {
  std::optional<int> out;
  for (const auto& line : split(said, '\n')) {
    const auto percent = parse_int(trim(line));
    if (percent && *percent >= 0 && *percent <= 100) out = std::max(out.value_or(0), static_cast<int>(*percent));
  }
  return out;
}

bool is_idle(std::int64_t now, std::int64_t quiet_since, Millis limit, bool has_gpus, std::int64_t gpus_quiet_at) {
  return now - quiet_since >= limit.count() && (!has_gpus || gpus_quiet_at > quiet_since);
}

void GpuWatch::ask(std::int64_t now) {
  if (is_asking() || !can_ask()) return;
  auto started =
      os::Process::spawn({.argv = {program_->string(), "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"},
                          .in = os::Stream::null,
                          .out = os::Stream::pipe,
                          .err = os::Stream::null,
                          .die_with_parent = true});
  if (!started) return program_.reset();
  asked_ = named(started->pid());
  answer_ = std::move(started->out);
  said_.clear();
  gives_up_at_ = now + answer_within_ms;
}

bool GpuWatch::give_up(std::int64_t now) {
  if (!is_asking() || now < gives_up_at_) return false;
  end();
  return true;
}

std::optional<std::string> GpuWatch::read() {
  const auto bytes = os::read_some(answer_.get());
  if (bytes && !bytes->empty() && said_.size() < longest_answer) {
    said_ += *bytes;
    return std::nullopt;
  }
  end();
  return said_;
}

std::set<pid_t> GpuWatch::processes() const {
  return asked_.first > 0 && named(asked_.first) == asked_ ? std::set<pid_t>{asked_.first} : std::set<pid_t>();
}

void GpuWatch::end() {
  if (is_asking() && named(asked_.first) == asked_) ::kill(asked_.first, SIGKILL);
  answer_.reset();
}

IdleWatch::IdleWatch(Millis limit, std::int64_t now, std::optional<os::Path> nvidia_smi)
    : limit_(limit),
      look_every_(std::clamp(limit.count() / looks_a_limit, least_look_every_ms, most_look_every_ms)),
      ask_every_(std::min(limit.count() / asks_a_limit, most_ask_every_ms)),
      look_at_(now),
      quiet_since_(now),
      gpus_(std::move(nvidia_smi)) {}

void IdleWatch::step(std::int64_t now, std::set<pid_t> without, std::uint64_t printed) {
  if (gpus_.give_up(now)) gpus_quiet_at_ = now;
  if (now < look_at_) return;
  look_at_ = now + look_every_;
  without.merge(gpus_.processes());
  Activity look{.at = now, .worked_ms = worked(without), .printed = printed};
  if (before_ && is_busy(*before_, look)) quiet_since_ = now;
  before_ = std::move(look);
  if (quiet_since_ == now || now - gpus_asked_at_ < ask_every_ || !gpus_.can_ask()) return;
  gpus_asked_at_ = now;
  gpus_.ask(now);
}

void IdleWatch::read(std::int64_t now) {
  const auto said = gpus_.read();
  if (!said) return;
  // What says nothing of GPUs (there is none, or its driver is broken) keeps nothing from being idle.
  if (busiest_gpu(*said).value_or(0) > busy_gpu_percent) {
    quiet_since_ = now;
  } else {
    gpus_quiet_at_ = now;
  }
}

void IdleWatch::begin_anew(std::int64_t now) { quiet_since_ = now; }

bool IdleWatch::is_idle(std::int64_t now) const {
  return agent::is_idle(now, quiet_since_, limit_, gpus_.can_ask(), gpus_quiet_at_);
}

std::int64_t IdleWatch::due() const { return gpus_.is_asking() ? std::min(look_at_, gpus_.gives_up_at()) : look_at_; }

std::map<Named, std::uint64_t> IdleWatch::worked(const std::set<pid_t>& without) {
  const auto all = all_processes();
  std::set<pid_t> family{::getpid()};
  for (std::size_t before = 0; before != family.size();) {  // as family_of()
    before = family.size();
    for (const auto& one : all) {
      if (family.contains(one.parent) && !without.contains(one.name.first)) family.insert(one.name.first);
    }
  }
  std::map<Named, std::uint64_t> out;
  std::map<Named, bool> others;
  for (const auto& one : all) {
    const auto pid = one.name.first;
    if (pid == ::getpid() || without.contains(pid)) continue;
    bool is_the_jobs = family.contains(pid);
    if (!is_the_jobs) {
      const auto known = in_container_.find(one.name);
      is_the_jobs = others[one.name] = known == in_container_.end()
                                           ? is_containers(groups_of(std::to_string(pid)), groups_of("self"))
                                           : known->second;
    }
    if (is_the_jobs) out[one.name] = one.worked_ms;
  }
  in_container_ = std::move(others);
  return out;
}

}  // namespace ferry::agent
