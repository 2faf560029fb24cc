#include "sandbox/ids.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "base/hash.h"
#include "base/text.h"
#include "os/file.h"
#include "sandbox/namespaces.h"

namespace ferry::sandbox {

namespace {

/// What systemd leaves to containers: 0x00080000 to 0x6fffffff.
constexpr std::uint32_t first_of_all = 0x0008'0000, ranges = 0x6fff - 0x0008 + 1;

void add_range(std::vector<IdRange>& ids, std::string_view first, std::int64_t count) {
  const auto begin = parse_int(first);
  if (!begin || *begin < 0 || *begin > UINT32_MAX || count < 1) return;
  ids.emplace_back(*begin, std::min<std::int64_t>(*begin + count - 1, UINT32_MAX));
}

/// Holds its namespaces, and no file of ours, until it is killed or we are.
pid_t start_holder() {
  const pid_t parent = ::getpid();
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0));
  if (pid != 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it died before prctl
  ::close_range(0, ~0U, 0);
  while (true) ::pause();
}

Result<os::Fd> map_and_open(pid_t holder, std::uint32_t first_id) {
  const std::string proc = "/proc/" + std::to_string(holder) + "/";
  const std::string map = fmt::format("0 {} {}", first_id, ids_of_an_instance);
  TRY("", write_proc(proc + "uid_map", map));
  TRY("", write_proc(proc + "gid_map", map));
  return os::open_file(proc + "ns/net", O_RDONLY);
}

}  // namespace

std::vector<IdRange> ids_in(std::string_view accounts, std::string_view subordinate) {
  std::vector<IdRange> ids;
  for (const auto& line : split(accounts, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() >= 4) add_range(ids, fields[2], 1);
  }
  for (const auto& line : split(subordinate, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() == 3) add_range(ids, fields[1], parse_int(fields[2]).value_or(0));
  }
  return ids;
}

std::uint32_t first_id_for(std::string_view instance_id, const std::vector<IdRange>& taken) {
  std::uint32_t seed = 0;
  std::memcpy(&seed, sha256(instance_id).data(), sizeof seed);
  for (std::uint32_t i = 0; i < ranges; ++i) {
    const std::uint32_t first = first_of_all + (seed % ranges + i) % ranges * ids_of_an_instance;
    const auto touches = [&](const IdRange& ids) {
      return ids.first < first + ids_of_an_instance && ids.second >= first;
    };
    if (std::none_of(taken.begin(), taken.end(), touches)) return first;
  }
  return first_of_all + seed % ranges * ids_of_an_instance;  // somebody claims them all, which means nothing
}

std::uint32_t first_id_for(std::string_view instance_id) {
  const auto text = [](const char* file) { return os::read_file(file).value_or("") + "\n"; };
  return first_id_for(instance_id,
                      ids_in(text("/etc/passwd") + text("/etc/group"), text("/etc/subuid") + text("/etc/subgid")));
}

Result<os::Fd> make_id_space(std::uint32_t first_id) {
  const pid_t holder = start_holder();
  if (holder < 0) return fail_errno("make a user namespace");
  auto space = map_and_open(holder, first_id);
  ::kill(holder, SIGKILL);
  while (::waitpid(holder, nullptr, 0) < 0 && errno == EINTR) continue;
  return space;
}

Result<os::Fd> join_network(const os::Fd& network) {
  if (::setns(network.get(), CLONE_NEWNET) < 0) return fail_errno("enter the network namespace");
  os::Fd owner(::ioctl(network.get(), NS_GET_USERNS));  // close-on-exec
  if (!owner) return fail_errno("find the user namespace");
  return owner;
}

ferry::Status make_files_as(std::uint32_t first_id) {
  ::setfsgid(first_id);
  ::setfsuid(first_id);
  // That took from the effective capabilities those that concern files.
  __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> held{};
  if (::syscall(SYS_capget, &head, held.data()) < 0) return fail_errno("read the capabilities");
  for (auto& half : held) half.effective = half.permitted;
  if (::syscall(SYS_capset, &head, held.data()) < 0) return fail_errno("set the capabilities");
  return {};
}

ferry::Status enter_id_space(const os::Fd& owner) {
  if (::setns(owner.get(), CLONE_NEWUSER) < 0) return fail_errno("enter the user namespace");
  if (::setgroups(0, nullptr) < 0 || ::setresgid(0, 0, 0) < 0 || ::setresuid(0, 0, 0) < 0)
    return fail_errno("become root of the user namespace");
  // Changing ids cleared it. A parent that died in between is noticed by its silence.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  return {};
}

}  // namespace ferry::sandbox
