#include "sandbox/namespaces.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "sandbox/machine.h"

namespace ferry::sandbox {

namespace {

/// fork(2) into the namespaces of `mode`.
pid_t fork_into(Mode mode) {
  unsigned long flags = SIGCHLD;
  if (mode != Mode::plain) flags |= CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC;
  if (mode == Mode::user) flags |= CLONE_NEWUSER;
  if (mode == Mode::unmapped || mode == Mode::user) flags |= CLONE_NEWNET;  // root mode's has another owner: ids.h
  return static_cast<pid_t>(::syscall(SYS_clone, flags, 0, 0, 0, 0));
}

/// Our one uid and gid become login_uid inside.
ferry::Status map_ids(pid_t child) {
  const std::string proc = "/proc/" + std::to_string(child) + "/";
  const std::string inside = std::to_string(login_uid) + " ";
  TRY("", write_proc(proc + "setgroups", "deny"));
  TRY("", write_proc(proc + "uid_map", inside + std::to_string(::geteuid()) + " 1"));
  return write_proc(proc + "gid_map", inside + std::to_string(::getegid()) + " 1");
}

void close_all_but(int kept) {
  if (kept > 3) ::close_range(3, static_cast<unsigned>(kept - 1), 0);
  ::close_range(static_cast<unsigned>(kept + 1), ~0U, 0);
}

/// The child's half of the handshake, up to "go", with what came along. Nothing if it is not to be.
std::optional<os::Fd> settle_in(Mode mode, Channel& channel) {
  const auto mapped = channel.receive();
  if (!mapped) return std::nullopt;
  // Changing ids clears the parent-death signal, so it is asked for after.
  if (mode == Mode::user &&
      (::setresgid(login_uid, login_uid, login_uid) < 0 || ::setresuid(login_uid, login_uid, login_uid) < 0))
    return std::nullopt;
  ::prctl(PR_SET_DUMPABLE, 1);
  if (mode == Mode::plain) ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::prctl(PR_SET_PDEATHSIG, mode == Mode::plain ? SIGTERM : SIGKILL);
  if (!channel.send("bound")) return std::nullopt;
  // If the parent died before the signal was asked for, no "go" ever comes.
  auto go = channel.receive();
  if (!go || go->text != "go") return std::nullopt;
  return std::move(go->passed);
}

/// What the trial child does; its exit code is the number of the step that failed.
int trial() {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return 1;
  if (::mount("tmpfs", "/tmp", "tmpfs", 0, "mode=755") < 0) return 2;
  if (::mkdir("/tmp/proc", 0755) < 0 || ::mount("proc", "/tmp/proc", "proc", 0, nullptr) < 0) return 3;
  if (!raise_network("")) return 4;
  return ::sethostname("trial", 5) < 0 ? 5 : 0;
}

ferry::Status set_address(int control, const char* interface, const std::string& address) {
  ifreq request{};
  std::strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  if (::inet_pton(AF_INET, address.c_str(), &where.sin_addr) != 1)
    return fail(Kind::bad_input, "not an IPv4 address: " + address);
  std::memcpy(&request.ifr_addr, &where, sizeof where);
  if (::ioctl(control, SIOCSIFADDR, &request) < 0) return fail_errno("set address " + address);
  where.sin_addr.s_addr = INADDR_NONE;  // all ones: a /32
  std::memcpy(&request.ifr_netmask, &where, sizeof where);
  if (::ioctl(control, SIOCSIFNETMASK, &request) < 0) return fail_errno("set netmask of " + address);
  return {};
}

}  // namespace

Result<FirstProcess> start_first_process(Mode mode, const std::function<int(Channel, os::Fd)>& body) {
  TRY_SET(ends, "", Channel::make());
  auto& [ours, theirs] = ends;
  const pid_t pid = fork_into(mode);
  if (pid < 0) return fail_errno("make the instance's namespaces");
  if (pid == 0) {
    ours.close();
    close_all_but(theirs.fd());
    auto passed = settle_in(mode, theirs);
    ::_exit(passed ? body(std::move(theirs), std::move(*passed)) : 127);
  }
  theirs.close();
  const auto give_up = [&, channel = &ours](Error error) {
    channel->close();
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return fail("make the instance's first process", std::move(error));
  };
  if (mode == Mode::user) {
    if (auto mapped = map_ids(pid); !mapped) return give_up(std::move(mapped).error());
  }
  ours.send("mapped");
  if (!ours.receive()) return give_up({Kind::io, "it ended at once", {}, {}, {}});
  return FirstProcess{pid, std::move(ours)};
}

ferry::Status try_namespaces(Mode mode) {
  auto child = start_first_process(mode, [](Channel, os::Fd) { return trial(); });
  if (!child) return fail("", std::move(child).error());
  child->channel.send("go");
  int status = 0;
  while (::waitpid(child->pid, &status, 0) < 0 && errno == EINTR) continue;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  constexpr std::array<const char*, 6> steps{"start",      "make mounts private", "mount a tmpfs",
                                             "mount proc", "bring up a network",  "set a host name"};
  const auto step = WIFEXITED(status) ? static_cast<std::size_t>(WEXITSTATUS(status)) : 0;
  return fail(Kind::denied,
              std::string("could not ") + steps.at(step < steps.size() ? step : 0) + " in new namespaces");
}

ferry::Status write_proc(const std::string& path, const std::string& text) {
  TRY_SET(fd, "", os::open_file(path, O_WRONLY));
  if (::write(fd.get(), text.data(), text.size()) < 0) return fail_errno("write " + path);
  return {};
}

ferry::Status raise_network(const std::string& private_ip) {
  const os::Fd control(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(control.get(), SIOCSIFFLAGS, &request) < 0) return fail_errno("bring up lo");
  TRY("", set_address(control.get(), "lo:1", "169.254.169.254"));
  // A second address also makes getaddrinfo's AI_ADDRCONFIG work.
  if (!private_ip.empty()) TRY("", set_address(control.get(), "lo:2", private_ip));
  return {};
}

}  // namespace ferry::sandbox
