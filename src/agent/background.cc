#include "agent/background.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "base/text.h"

namespace ferry::agent {
namespace {

constexpr std::int64_t look_ms = 100;
constexpr std::uint64_t large_bytes = std::uint64_t{1} << 20, some_bytes = 64 * 1024;
/// A look must stay short, whatever lies in the workdir.
constexpr int most_entries = 2000, most_files = 256;

std::uint64_t more(std::uint64_t now, std::uint64_t before) { return now > before ? now - before : 0; }

/// Of an open file, without asking a server that may hang; 0 if it is none.
std::uint64_t size_of(const std::string& path) {
  struct statx file {};
  if (::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC, STATX_TYPE | STATX_SIZE, &file) != 0) return 0;
  return S_ISREG(file.stx_mode) ? file.stx_size : 0;
}

std::uint64_t worked_ms_of(pid_t pid) {
  const auto text = os::read_file("/proc/" + std::to_string(pid) + "/stat");
  if (!text) return 0;
  std::istringstream fields(text->substr(std::min(text->size(), text->rfind(')') + 1)));
  std::string skipped;
  std::uint64_t user = 0, system = 0;
  for (int each = 3; each < 14; ++each) fields >> skipped;
  fields >> user >> system;
  return (user + system) * 1000 / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
}

/// Bytes given to write(2) and its kin.
std::uint64_t written_by(pid_t pid) {
  const auto text = os::read_file("/proc/" + std::to_string(pid) + "/io");
  if (!text) return 0;
  for (const auto& line : split(*text, '\n')) {
    if (line.starts_with("wchar: ")) return static_cast<std::uint64_t>(parse_int(line.substr(7)).value_or(0));
  }
  return 0;
}

}  // namespace

std::vector<pid_t> Background::others() const {
  std::set<pid_t> services;
  for (const Named& one : expected_) {
    if (named(one.first) == one) services.insert(one.first);
  }
  return descendants(services);
}

Background::Seen Background::look_at(pid_t pid) const {
  Seen seen{.worked_ms = worked_ms_of(pid), .written = written_by(pid)};
  const os::Path folder = "/proc/" + std::to_string(pid) + "/fd";
  auto names = os::list_dir(folder);
  if (!names) return seen;
  if (names->size() > most_files) names->resize(most_files);
  for (const auto& name : *names) {
    const auto path = (folder / name).string();
    struct stat link {};
    std::error_code failed;
    if (::lstat(path.c_str(), &link) != 0 || (link.st_mode & S_IWUSR) == 0) continue;
    const auto target = std::filesystem::read_symlink(path, failed).string();
    if (!failed && target.starts_with(workdir_.string() + "/")) seen.below += size_of(path);
  }
  return seen;
}

Background::Stamp Background::look_at_outputs() const {
  Stamp stamp;
  int looked = 0;
  const auto add = [&](const os::Path& path) {
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) return;
    ++stamp.entries;
    if (S_ISREG(info.st_mode)) stamp.bytes += static_cast<std::uint64_t>(info.st_size);
    stamp.newest =
        std::max<std::int64_t>(stamp.newest, std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec);
  };
  std::error_code failed;
  for (std::filesystem::directory_iterator at(workdir_, failed), end; !failed && at != end; at.increment(failed)) {
    if (++looked > most_entries) return stamp;
    add(at->path());
  }
  failed.clear();
  for (std::filesystem::recursive_directory_iterator at(workdir_ / "outputs", failed), end; !failed && at != end;
       at.increment(failed)) {
    if (++looked > most_entries) return stamp;
    add(at->path());
  }
  return stamp;
}

void Background::note_changes(std::int64_t now, const std::vector<pid_t>& left) {
  std::map<pid_t, Seen> seen;
  for (const pid_t pid : left) {
    const Seen& one = seen[pid] = look_at(pid);
    const auto at = before_.find(pid);
    if (at == before_.end()) continue;
    worked_ms_ += more(one.worked_ms, at->second.worked_ms);
    written_ += more(one.written, at->second.written);
    grown_ += more(one.below, at->second.below);
    if (one.below != at->second.below) active_ = now;
  }
  const Stamp outputs = look_at_outputs();
  if (outputs != outputs_ && looked_ != 0) active_ = now;
  if (looked_ != 0) grown_ += more(outputs.bytes, outputs_.bytes);
  before_ = std::move(seen);
  outputs_ = outputs;
}

bool Background::waits(std::int64_t now) {
  if (looked_ != 0 && now - looked_ < look_ms) return waits_;
  const auto left = others();
  if (looked_ == 0) began_ = window_ = active_ = large_ = now;
  note_changes(now, left);
  looked_ = now;
  const auto quiet = patience_.quiet.count();
  if (now - window_ >= quiet) {
    const bool works = worked_ms_ * 10 >= static_cast<std::uint64_t>(now - window_) * 3;
    if (works || written_ >= some_bytes) active_ = now;
    if (grown_ >= large_bytes) large_ = now;
    window_ = now;
    worked_ms_ = written_ = grown_ = 0;
  }
  const bool is_active = now - active_ < quiet;
  const bool is_large = now - large_ < quiet + quiet / 2;
  const auto limit = is_large && now - began_ >= quiet ? patience_.large : patience_.small;
  waits_ = !left.empty() && is_active && now - began_ < limit.count();
  return waits_;
}

std::vector<std::string> Background::left() const {
  std::vector<std::string> out;
  for (const pid_t pid : others()) out.push_back(command_line(pid));
  return out;
}

}  // namespace ferry::agent
