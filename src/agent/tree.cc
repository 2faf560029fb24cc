#include "agent/tree.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <set>
#include <sstream>
#include <string>

#include "base/text.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"

namespace ferry::agent {
namespace {

struct Entry {
  pid_t pid = 0, parent = 0, group = 0;
  char state = '?';
};

std::vector<pid_t> all_pids() {
  std::vector<pid_t> pids;
  const auto names = os::list_dir("/proc");
  if (!names) return pids;
  for (const auto& each : *names) {
    if (const auto number = parse_int(each)) pids.push_back(static_cast<pid_t>(*number));
  }
  return pids;
}

/// From /proc/PID/stat; the program's name in it may hold spaces and parentheses.
std::optional<Entry> entry_of(pid_t pid) {
  const auto text = os::read_file("/proc/" + std::to_string(pid) + "/stat");
  if (!text) return std::nullopt;
  const auto behind_name = text->rfind(')');
  if (behind_name == text->npos) return std::nullopt;
  std::istringstream fields(text->substr(behind_name + 1));
  Entry entry;
  entry.pid = pid;
  if (!(fields >> entry.state >> entry.parent >> entry.group)) return std::nullopt;
  return entry;
}

std::vector<Entry> all_entries() {
  std::vector<Entry> entries;
  for (const pid_t pid : all_pids()) {
    if (auto entry = entry_of(pid)) entries.push_back(*entry);
  }
  return entries;
}

bool alive(const Entry& entry) { return entry.state != 'Z' && entry.state != 'X'; }

/// Processes that only root may signal.
void signal_others(const std::vector<pid_t>& processes, int number) {
  if (processes.empty()) return;
  os::Argv argv{"sudo", "-n", "kill", "-" + std::to_string(number), "--"};
  for (const pid_t pid : processes) argv.push_back(std::to_string(pid));
  (void)os::run_command({.argv = argv}, {}, Millis(5000));
}

}  // namespace

void become_reaper() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }

std::vector<pid_t> descendants(const std::set<pid_t>& without) {
  auto found = family_of(::getpid(), without);
  std::erase(found, ::getpid());
  return found;
}

std::vector<pid_t> family_of(pid_t process, const std::set<pid_t>& without) {
  const auto entries = all_entries();
  std::set<pid_t> family{process};
  std::vector<pid_t> found{process};
  // A pid may be smaller than its parent's once numbers wrapped around, hence until nothing new comes.
  for (std::size_t before = 0; before != family.size();) {
    before = family.size();
    for (const Entry& entry : entries) {
      if (without.contains(entry.pid)) continue;
      if (family.contains(entry.parent) && family.insert(entry.pid).second && alive(entry)) found.push_back(entry.pid);
    }
  }
  return found;
}

Named named(pid_t process) { return {process, os::process_start_time(process)}; }

pid_t parent_of(pid_t process) {
  const auto entry = entry_of(process);
  return entry ? entry->parent : 0;
}

std::string command_line(pid_t process) {
  constexpr std::size_t longest = 120;
  const os::Path folder = "/proc/" + std::to_string(process);
  auto words = os::read_file(folder / "cmdline").value_or("");
  std::replace(words.begin(), words.end(), '\0', ' ');
  if (!trim(words).empty()) return short_line(trim(words), longest);
  const auto name = os::read_file(folder / "comm").value_or("?");
  return "[" + short_line(trim(name), longest) + "]";
}

bool handles(pid_t process, int number) {
  const auto text = os::read_file("/proc/" + std::to_string(process) + "/status");
  if (!text || number < 1) return false;
  constexpr std::string_view label = "\nSigCgt:";
  const auto at = text->find(label);
  if (at == text->npos) return false;
  const auto mask = std::strtoull(text->c_str() + at + label.size(), nullptr, 16);
  return ((mask >> (number - 1)) & 1) != 0;
}

std::vector<pid_t> group_members(pid_t group) {
  std::vector<pid_t> found;
  for (const Entry& entry : all_entries()) {
    if (entry.group == group && alive(entry)) found.push_back(entry.pid);
  }
  return found;
}

void send_signal(const std::vector<pid_t>& processes, int number) {
  std::vector<pid_t> others;
  for (const pid_t pid : processes) {
    if (::kill(pid, number) != 0 && errno == EPERM) others.push_back(pid);
  }
  signal_others(others, number);
}

void signal_group(pid_t group, int number) {
  ::kill(-group, number);
  std::vector<pid_t> others;
  for (const pid_t pid : group_members(group)) {
    if (::kill(pid, 0) != 0 && errno == EPERM) others.push_back(pid);
  }
  signal_others(others, number);
}

std::optional<pid_t> ended_child() {
  siginfo_t info{};
  if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return std::nullopt;
  return info.si_pid;
}

void reap(pid_t child) { ::waitpid(child, nullptr, WNOHANG); }

void end_descendants(Millis limit, const std::set<pid_t>& without) {
  auto& clock = os::system_clock();
  const auto end = clock.steady_ms() + limit.count();
  while (true) {
    const auto left = descendants(without);
    send_signal(left, SIGKILL);
    while (const auto child = ended_child()) reap(*child);
    if (left.empty() || clock.steady_ms() >= end) return;
    clock.sleep(Millis(2));
  }
}

void kill_marked(std::string_view entry) {
  std::vector<pid_t> found;
  for (const pid_t pid : all_pids()) {
    const auto environment = os::read_file("/proc/" + std::to_string(pid) + "/environ");
    if (!environment || pid == ::getpid()) continue;
    const auto entries = split(*environment, '\0');
    if (std::find(entries.begin(), entries.end(), entry) != entries.end()) found.push_back(pid);
  }
  send_signal(found, SIGKILL);
}

}  // namespace ferry::agent
