#include "agent/pipes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <string>

#include "os/file.h"

namespace ferry::agent {
namespace {

/// Everything that a process reaches when its output flows on.
std::set<pid_t> downstream(pid_t from, const std::map<pid_t, std::set<pid_t>>& next) {
  std::set<pid_t> reached;
  std::vector<pid_t> waiting{from};
  while (!waiting.empty()) {
    const auto at = next.find(waiting.back());
    waiting.pop_back();
    if (at == next.end()) continue;
    for (const pid_t pid : at->second) {
      if (reached.insert(pid).second) waiting.push_back(pid);
    }
  }
  return reached;
}

}  // namespace

std::map<pid_t, PipeEnds> pipe_ends(const std::vector<pid_t>& processes) {
  std::map<pid_t, PipeEnds> out;
  for (const pid_t pid : processes) {
    PipeEnds& ends = out[pid];
    const os::Path folder = "/proc/" + std::to_string(pid) + "/fd";
    const auto names = os::list_dir(folder);
    ends.hidden = !names;
    if (!names) continue;
    for (const auto& name : *names) {
      const auto path = (folder / name).string();
      struct stat link {};
      struct statx file {};
      // Never asks a server: one that hangs would hang the agent.
      if (::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &file) != 0 ||
          !S_ISFIFO(file.stx_mode) || ::lstat(path.c_str(), &link) != 0)
        continue;
      const auto key =
          std::pair<std::uint64_t, std::uint64_t>(::makedev(file.stx_dev_major, file.stx_dev_minor), file.stx_ino);
      if ((link.st_mode & S_IRUSR) != 0) ends.reads.insert(key);
      if ((link.st_mode & S_IWUSR) != 0) ends.writes.insert(key);
    }
  }
  return out;
}

std::set<pid_t> readers_of(const std::set<pid_t>& writers, const std::map<pid_t, PipeEnds>& processes) {
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::set<pid_t>> readers;
  for (const auto& [pid, ends] : processes) {
    for (const auto& pipe : ends.reads) readers[pipe].insert(pid);
  }
  std::map<pid_t, std::set<pid_t>> next;
  auto unwritten = readers;
  for (const auto& [pid, ends] : processes) {
    for (const auto& pipe : ends.writes) {
      const auto at = readers.find(pipe);
      if (at == readers.end()) continue;
      next[pid].insert(at->second.begin(), at->second.end());
      unwritten.erase(pipe);
    }
  }
  for (const auto& [pid, ends] : processes) {
    for (const auto& pipe : unwritten) {
      if (ends.hidden) next[pid].insert(pipe.second.begin(), pipe.second.end());
    }
  }
  std::map<pid_t, std::set<pid_t>> reached;
  for (const auto& entry : next) reached[entry.first] = downstream(entry.first, next);
  std::set<pid_t> out;
  for (const pid_t writer : writers) {
    const auto from = reached.find(writer);
    if (from == reached.end()) continue;
    for (const pid_t reader : from->second) {
      const auto back = reached.find(reader);
      const bool is_mutual = reader == writer || (back != reached.end() && back->second.contains(writer));
      if (!is_mutual) out.insert(reader);
    }
  }
  return out;
}

}  // namespace ferry::agent
