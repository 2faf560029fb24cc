#include "run/run_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <csignal>

#include "base/text.h"
#include "fleet/context.h"
#include "os/process.h"

namespace ferry::run {

namespace {

constexpr std::array<std::string_view, 3> role_names = {"follow", "settle", "hand-over"};

/// The file's line: "follow 12345 987654". Of one length, so that it is overwritten as a whole.
std::string signature(Role role, int pid, std::uint64_t start) {
  return fmt::format("{:<10} {:>10} {:>20}\n", role_names.at(static_cast<std::size_t>(role)), pid, start);
}

std::optional<Holder> read_signature(std::string_view text) {
  std::vector<std::string> words;
  for (auto& word : split(trim(text), ' ')) {
    if (!word.empty()) words.push_back(std::move(word));
  }
  if (words.size() != 3) return std::nullopt;
  const auto role = std::find(role_names.begin(), role_names.end(), words[0]);
  const auto pid = parse_int(words[1]), start = parse_int(words[2]);
  if (role == role_names.end() || !pid || *pid <= 1 || *pid > INT_MAX || !start) return std::nullopt;
  return Holder{static_cast<Role>(role - role_names.begin()), static_cast<int>(*pid),
                static_cast<std::uint64_t>(*start)};
}

bool is_alive(const Holder& holder) { return holder.start != 0 && os::process_start_time(holder.pid) == holder.start; }

}  // namespace

Result<std::optional<RunLock>> RunLock::try_take(const fleet::RunDir& run_dir, Role role) {
  constexpr int most_tries = 100;
  for (int tries = 1;; ++tries) {
    TRY("", os::make_dirs(run_dir.path, 0700));
    TRY_SET(lock, "", os::FileLock::try_take(run_dir.owner_lock()));
    if (!lock) return std::optional<RunLock>();
    RunLock owner(run_dir, std::move(*lock));
    // The folder may have been removed between opening and locking.
    if (!owner.is_in_place() && tries < most_tries) continue;
    TRY("", owner.become(role));
    return std::optional<RunLock>(std::move(owner));
  }
}

Result<RunLock> RunLock::adopt(const fleet::RunDir& run_dir, int fd) {
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  RunLock owner(run_dir, os::FileLock::adopt(os::Fd(fd)));
  if (owner.is_in_place() && !os::is_locked(run_dir.owner_lock()))
    return fail(Kind::bug, "nothing was handed over: " + run_dir.path.string());
  if (!owner.still_mine())
    return fail(Kind::conflict, "another ferry owns the run of " + run_dir.path.string() + " by now");
  TRY("", owner.become(Role::follow));
  return owner;
}

Status RunLock::become(Role role) {
  role_ = role;
  // Written in place: a rename would leave the lock on another file.
  const auto line = signature(role, ::getpid(), os::process_start_time(::getpid()));
  if (::pwrite(lock_.fd(), line.data(), line.size(), 0) < 0)
    return fail_errno("write " + run_dir_.owner_lock().string());
  return {};
}

bool RunLock::is_in_place() const {
  struct stat held {
  }, there{};
  if (::fstat(lock_.fd(), &held) < 0 || ::stat(run_dir_.owner_lock().c_str(), &there) < 0) return false;
  return held.st_dev == there.st_dev && held.st_ino == there.st_ino;
}

bool RunLock::still_mine() {
  if (is_in_place()) return true;
  // Where a file system gives one file several numbers, what stands in it tells whose it is.
  const auto holder = holder_of(run_dir_);
  if (holder && holder->pid == ::getpid() && holder->role == role_) return true;
  auto anew = try_take(run_dir_, role_);
  if (!anew) return true;  // it cannot be made here now, by nobody: what we hold is the only one
  if (!*anew) return false;
  lock_ = std::move((*anew)->lock_);
  return true;
}

std::optional<Holder> RunLock::holder_of(const fleet::RunDir& run_dir) {
  if (!os::is_locked(run_dir.owner_lock())) return std::nullopt;
  const auto text = os::read_file(run_dir.owner_lock(), 256);
  const auto signed_by = text ? read_signature(*text) : std::nullopt;
  // What a former holder left says nothing about the present one, which is about to sign.
  if (!signed_by || !is_alive(*signed_by)) return Holder{};
  return signed_by;
}

bool RunLock::signal(const Holder& holder, int number, int word) {
  if (holder.role != Role::follow || holder.pid <= 1 || holder.pid == ::getpid() || !is_alive(holder)) return false;
  if (word == 0) return ::kill(holder.pid, number) == 0;
  sigval value{};
  value.sival_int = word;
  return ::sigqueue(holder.pid, number, value) == 0;
}

Result<int> hand_over(fleet::Context& context, const fleet::RunDir& run_dir, const std::string& run, RunLock owner,
                      const std::map<std::string, std::string>& env) {
  os::SpawnOptions options;
  options.env = env;
  options.argv = {os::self_program().string(), "follow-run", run, std::to_string(owner.fd())};
  TRY_SET(output, "", os::open_file(run_dir.follower_output(), O_WRONLY | O_CREAT | O_APPEND, 0600));
  options.out_fd = options.err_fd = output.get();
  options.keep_fds = {owner.fd()};
  options.new_session = true;
  options.cwd = "/";
  // Until the follower signs, the lock must name nobody who could be taken for it.
  TRY("", owner.become(Role::hand_over));
  if (context.start_follower) return context.start_follower(options);
  TRY_SET(follower, "leave a process behind that follows the run", os::Process::spawn(options));
  return follower.pid();
}

}  // namespace ferry::run
