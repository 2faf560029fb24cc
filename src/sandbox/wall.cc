#include "sandbox/wall.h"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "sandbox/mounts.h"

namespace ferry::sandbox {

namespace {

constexpr std::array kept_capabilities{CAP_CHOWN,    CAP_DAC_OVERRIDE, CAP_FOWNER,     CAP_FSETID,
                                       CAP_KILL,     CAP_SETGID,       CAP_SETUID,     CAP_SETPCAP,
                                       CAP_SETFCAP,  CAP_NET_RAW,      CAP_SYS_CHROOT, CAP_NET_BIND_SERVICE,
                                       CAP_SYS_BOOT,  // of the instance's own process space
                                       CAP_SYS_NICE, CAP_IPC_LOCK,     CAP_AUDIT_WRITE};

#if defined(__x86_64__)
constexpr std::uint32_t native = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t native = AUDIT_ARCH_AARCH64;
#endif

/// Denied whatever their arguments. Numbers that headers of this age do not have are the same everywhere.
constexpr long denied_calls[] = {
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_setns,
    SYS_open_by_handle_at,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_bpf,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_quotactl,
    SYS_syslog,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_clock_adjtime,
    SYS_fanotify_init,
    SYS_perf_event_open,
    428 /* open_tree */,
    429 /* move_mount */,
    430 /* fsopen */,
    431 /* fsconfig */,
    432 /* fsmount */,
    433 /* fspick */,
    442 /* mount_setattr */,
#if defined(__x86_64__)
    SYS_kexec_file_load,
    SYS_iopl,
    SYS_ioperm,
#endif
};
constexpr std::uint32_t new_namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                         CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME;

std::vector<sock_filter> filter_program() {
  constexpr std::uint32_t allow = SECCOMP_RET_ALLOW, deny = SECCOMP_RET_ERRNO | EPERM,
                          unknown = SECCOMP_RET_ERRNO | ENOSYS;
  std::vector<sock_filter> out;
  const auto load = [&](std::size_t offset) {
    out.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)));
  };
  // Answers `answer` if what is loaded equals `value`, or shares bits with it; otherwise goes on.
  const auto answer_if = [&](std::uint16_t test, std::uint32_t value, std::uint32_t answer) {
    out.push_back(BPF_JUMP(static_cast<std::uint16_t>(BPF_JMP | test | BPF_K), value, 0, 1));
    out.push_back(BPF_STMT(BPF_RET | BPF_K, answer));
  };
  load(offsetof(seccomp_data, arch));
  out.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, native, 1, 0));
  out.push_back(BPF_STMT(BPF_RET | BPF_K, unknown));  // the same calls have other numbers there
  load(offsetof(seccomp_data, nr));
  answer_if(BPF_JGE, 0x40000000, unknown);  // x32's, likewise
  for (const auto call : denied_calls) answer_if(BPF_JEQ, static_cast<std::uint32_t>(call), deny);
  answer_if(BPF_JEQ, 435 /* clone3 */, unknown);  // its flags cannot be seen; everyone falls back to clone
  for (const auto call : {SYS_clone, SYS_unshare}) {
    out.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 4));
    load(offsetof(seccomp_data, args));  // the low half: both machines are little-endian
    answer_if(BPF_JSET, call == SYS_clone ? new_namespaces & ~std::uint32_t{CSIGNAL} : new_namespaces, deny);
    out.push_back(BPF_STMT(BPF_RET | BPF_K, allow));
  }
  out.push_back(BPF_STMT(BPF_RET | BPF_K, allow));
  return out;
}

ferry::Status keep_few_capabilities() {
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    const bool kept = std::ranges::find(kept_capabilities, capability) != kept_capabilities.end();
    if (!kept && ::prctl(PR_CAPBSET_DROP, capability) < 0) return fail_errno("drop a capability");
  }
  // What is inherited would come back past the bounding set.
  __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> held{};
  if (::syscall(SYS_capget, &head, held.data()) < 0) return fail_errno("read the capabilities");
  for (auto& half : held) half.inheritable = 0;
  if (::syscall(SYS_capset, &head, held.data()) < 0) return fail_errno("set the capabilities");
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  return {};
}

ferry::Status cover(const os::Path& path) {
  if (!os::exists(path)) return {};
  if (os::is_directory(path)) return mount_new("tmpfs", path, MS_NOSUID | MS_NODEV | MS_RDONLY, "size=0,mode=755");
  return bind("/dev/null", path, Access::read_only);
}

}  // namespace

ferry::Status cover_kernel_views(const os::Path& proc, const os::Path& sys) {
  for (const char* entry : {"sys", "sysrq-trigger", "irq", "bus", "fs"})
    if (os::exists(proc / entry)) TRY("", bind(proc / entry, proc / entry, Access::read_only));
  for (const char* entry :
       {"acpi", "asound", "kcore", "keys", "key-users", "latency_stats", "mtrr", "sched_debug", "scsi", "timer_list"})
    TRY("", cover(proc / entry));
  for (const char* entry : {"firmware", "kernel/debug", "kernel/tracing", "kernel/security"})
    TRY("", cover(sys / entry));
  return {};
}

ferry::Status raise_wall() {
  TRY("", keep_few_capabilities());
  const auto program = filter_program();
  const sock_fprog filter{static_cast<unsigned short>(program.size()), const_cast<sock_filter*>(program.data())};
  // Without no_new_privs, which would make sudo worthless: this process may, being root.
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0) return fail_errno("filter system calls");
  return {};
}

}  // namespace ferry::sandbox
