#include "sandbox/processes.h"

#include <unistd.h>

#include <csignal>

#include "base/text.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"

namespace ferry::sandbox {

namespace {

/// The fields of /proc/PID/stat after the program's name: state, parent, …
std::vector<std::string> stat_fields(pid_t pid) {
  const auto stat = os::read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!stat) return {};
  const auto close = stat->rfind(')');
  if (close == std::string::npos || close + 2 > stat->size()) return {};
  return split(stat->substr(close + 2), ' ');
}

bool is_zombie(pid_t pid) {
  const auto fields = stat_fields(pid);
  return fields.empty() || fields[0] == "Z" || fields[0] == "X";
}

std::vector<pid_t> all_processes() {
  std::vector<pid_t> pids;
  for (const auto& entry : os::list_dir("/proc").value_or(std::vector<std::string>())) {
    if (const auto pid = parse_int(entry)) pids.push_back(static_cast<pid_t>(*pid));
  }
  return pids;
}

/// Polls gently: a millisecond at first, 20 at most.
template <class Condition>
bool wait_until(Condition&& holds, Millis limit) {
  auto& clock = os::system_clock();
  const auto end = clock.steady_ms() + limit.count();
  for (int nap = 1; !holds(); nap = std::min(nap * 2, 20)) {
    if (clock.steady_ms() >= end) return false;
    clock.sleep(Millis(nap));
  }
  return true;
}

}  // namespace

Identity identity_of(pid_t pid) { return {pid, os::process_start_time(pid)}; }

bool is_alive(const Identity& process) {
  return process.pid > 0 && os::process_start_time(process.pid) == process.start && !is_zombie(process.pid);
}

void send_signal(const Identity& process, int number) {
  if (is_alive(process)) ::kill(process.pid, number);
}

bool wait_gone(const Identity& process, Millis limit) {
  return wait_until([&] { return !is_alive(process); }, limit);
}

std::vector<pid_t> marked_processes(std::string_view instance_id) {
  const std::string entry = std::string(instance_marker) + "=" + std::string(instance_id);
  std::vector<pid_t> found;
  for (const pid_t pid : all_processes()) {
    if (pid == ::getpid()) continue;
    const auto environment = os::read_file("/proc/" + std::to_string(pid) + "/environ", 4 << 20);
    if (!environment) continue;
    const auto entries = split(*environment, '\0');
    if (std::find(entries.begin(), entries.end(), entry) != entries.end() && !is_zombie(pid)) found.push_back(pid);
  }
  return found;
}

std::vector<pid_t> descendants(pid_t ancestor) {
  std::multimap<pid_t, pid_t> children;
  for (const pid_t pid : all_processes()) {
    const auto fields = stat_fields(pid);
    if (fields.size() > 1) children.emplace(static_cast<pid_t>(parse_int(fields[1]).value_or(0)), pid);
  }
  std::vector<pid_t> found;
  std::vector<pid_t> open{ancestor};
  while (!open.empty()) {
    const auto [first, last] = children.equal_range(open.back());
    open.pop_back();
    for (auto at = first; at != last; ++at) {
      found.push_back(at->second);
      open.push_back(at->second);
    }
  }
  return found;
}

bool sweep(std::string_view instance_id, Millis limit) {
  return wait_until(
      [&] {
        const auto left = marked_processes(instance_id);
        for (const pid_t pid : left) ::kill(pid, SIGKILL);
        return left.empty();
      },
      limit);
}

}  // namespace ferry::sandbox
