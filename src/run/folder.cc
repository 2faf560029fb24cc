#include "run/folder.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/text.h"
#include "os/process.h"
#include "run/doors.h"

namespace ferry::run {

Result<std::optional<Owner>> Owner::try_take(const Folder& folder) {
  TRY("", os::make_dirs(folder.path, 0700));
  TRY_SET(lock, "", os::FileLock::try_take(folder.owner_lock()));
  if (!lock) return std::optional<Owner>();
  Owner owner(std::move(*lock));
  TRY("", owner.sign(folder));
  return std::optional<Owner>(std::move(owner));
}

Result<Owner> Owner::adopt(const Folder& folder, int fd) {
  if (!os::is_locked(folder.owner_lock()))
    return fail(Kind::bug, "nothing was handed over: " + folder.path.string());
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  Owner owner(os::FileLock::adopt(os::Fd(fd)));
  TRY("", owner.sign(folder));
  return owner;
}

Status Owner::sign(const Folder& folder) {
  // Written in place: a rename would leave the lock on another file.
  const auto pid = fmt::format("{:<10}\n", ::getpid());
  if (::pwrite(lock_.fd(), pid.data(), pid.size(), 0) < 0)
    return fail_errno("write " + folder.owner_lock().string());
  return {};
}

std::optional<int> Owner::pid_of(const Folder& folder) {
  if (!os::is_locked(folder.owner_lock())) return std::nullopt;
  const auto text = os::read_file(folder.owner_lock(), 64);
  const auto pid = text ? parse_int(trim(*text)) : std::nullopt;
  return pid && *pid > 1 ? std::optional<int>(static_cast<int>(*pid)) : std::nullopt;
}

Result<int> hand_over(Doors& doors, const Folder& folder, const std::string& run, Owner owner) {
  os::SpawnOptions options;
  options.argv = {os::self_program().string(), "follow-run", run, std::to_string(owner.fd())};
  TRY_SET(output, "", os::open_file(folder.follower_output(), O_WRONLY | O_CREAT | O_APPEND, 0600));
  options.out_fd = options.err_fd = output.get();
  options.keep_fds = {owner.fd()};
  options.new_session = true;
  options.cwd = "/";
  if (doors.start_follower) return doors.start_follower(options);
  TRY_SET(follower, "leave a process behind that follows the run", os::Process::spawn(options));
  return follower.pid();
}

}  // namespace ferry::run
