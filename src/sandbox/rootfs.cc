#include "sandbox/rootfs.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/ids.h"
#include "sandbox/kept.h"
#include "sandbox/mounts.h"
#include "sandbox/wall.h"

namespace ferry::sandbox {

namespace {

/// What of /etc shows through where it cannot be an overlay: nothing secret, nothing that names the computer.
constexpr std::array shared_settings{"alternatives",
                                     "bash.bashrc",
                                     "ca-certificates",
                                     "debian_version",
                                     "fonts",
                                     "gai.conf",
                                     "inputrc",
                                     "ld.so.cache",
                                     "ld.so.conf",
                                     "ld.so.conf.d",
                                     "localtime",
                                     "login.defs",
                                     "lsb-release",
                                     "magic",
                                     "mime.types",
                                     "matplotlibrc",
                                     "os-release",
                                     "pam.conf",
                                     "pam.d",
                                     "protocols",
                                     "rpc",
                                     "services",
                                     "shells",
                                     "skel",
                                     "ssl",
                                     "terminfo",
                                     "timezone",
                                     "python3",
                                     "python3.11",
                                     "python3.12",
                                     "OpenCL",
                                     "nvidia",
                                     "security",
                                     "vim",
                                     "emacs"};

ferry::Status make_link(const os::Path& target, const os::Path& link) {
  if (::symlink(target.c_str(), link.c_str()) < 0 && errno != EEXIST) return fail_errno("link " + link.string());
  return {};
}

bool is_link(const os::Path& path) {
  struct stat info;
  return ::lstat(path.c_str(), &info) == 0 && S_ISLNK(info.st_mode);
}

/// Folders of programs besides /usr; on a merged system they are links into it.
constexpr std::array program_folders{"bin", "sbin", "lib", "lib32", "lib64", "libx32"};

ferry::Status mount_programs(const Machine& machine, const std::function<ferry::Status(const std::string&)>& show) {
  TRY("", show("usr"));
  for (const char* folder : program_folders) {
    const os::Path outside = os::Path("/") / folder;
    if (is_link(outside)) {
      TRY("", make_link(std::filesystem::read_symlink(outside), machine.at(folder)));
    } else if (os::is_directory(outside)) {
      TRY("", show(folder));
    }
  }
  return {};
}

/// Takes what only root may read on the computer out of the overlay of /etc (unless the instance wrote its
/// own). The kernel notes it in the layer; the computer's file stays.
ferry::Status hide_secrets(const os::Path& outside, const os::Path& layer, const os::Path& inside) {
  TRY_SET(names, "", os::list_dir(outside));
  for (const auto& entry : names) {
    struct stat info, written;
    if (::lstat((outside / entry).c_str(), &info) < 0 || S_ISLNK(info.st_mode)) continue;
    const bool known = ::lstat((layer / entry).c_str(), &written) == 0;
    if (S_ISDIR(info.st_mode)) {
      if ((info.st_mode & 0005) == 0005) {
        TRY("", hide_secrets(outside / entry, layer / entry, inside / entry));
      } else if (!known) {
        TRY("", os::remove_all(inside / entry));
        TRY("", os::make_dirs(inside / entry, info.st_mode & 07777));
      }
    } else if (!(info.st_mode & 0004) && !known) {
      TRY("", os::remove_all(inside / entry));
    }
  }
  return {};
}

ferry::Status mount_overlays(const Machine& machine) {
  const os::Path layers = machine.folder.layers();
  const auto show = [&](const std::string& folder) -> ferry::Status {
    std::string layer = folder;
    std::replace(layer.begin(), layer.end(), '/', '-');
    const os::Path outside = os::Path("/") / folder, inside = machine.at(folder);
    if (machine.owner) TRY("", map_ids(outside, inside, machine.owner));
    return mount_overlay(machine.owner ? inside : outside, layers / layer, inside,
                         machine.is_trial ? Kept::not_at_all : Kept::on_disk);
  };
  TRY("", mount_programs(machine, show));
  for (const char* folder : {"etc", "var/lib/dpkg", "var/lib/apt"}) {
    if (os::is_directory(os::Path("/") / folder)) TRY("", show(folder));
  }
  if (machine.fresh_disk) TRY("", os::remove_all(machine.at("etc/ssh")));
  if (machine.is_trial) return {};
  return hide_secrets("/etc", layers / "etc" / "up", machine.at("etc"));
}

ferry::Status mount_read_only(const Machine& machine) {
  const auto show = [&](const std::string& folder) {
    return bind(os::Path("/") / folder, machine.at(folder), Access::read_only);
  };
  TRY("", mount_programs(machine, show));
  // The shims and whatever the instance adds; the computer's own is nearly always empty.
  if (os::is_directory("/usr/local/sbin"))
    TRY("", bind(machine.folder.disk() / "sbin", machine.shims(), Access::read_write));
  for (const char* entry : shared_settings) {
    const os::Path outside = os::Path("/etc") / entry;
    if (!os::exists(outside)) continue;
    if (is_link(outside)) {
      TRY("", make_link(std::filesystem::read_symlink(outside), machine.at("etc") / entry));
    } else {
      TRY("", show("etc/" + std::string(entry)));
    }
  }
  if (os::is_directory("/etc/ssl/private"))
    TRY("", mount_new("tmpfs", machine.at("etc/ssl/private"), MS_NODEV, "mode=700,size=64k"));
  if (os::is_directory("/var/lib/dpkg")) TRY("", show("var/lib/dpkg"));
  return {};
}

/// Read-only, and not through sysctl or sysrq: those belong to the computer.
ferry::Status mount_kernel_views(const Machine& machine) {
  const os::Path proc = machine.at("proc"), sys = machine.at("sys");
  constexpr unsigned long guarded = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  TRY("", mount_new("proc", proc, guarded));
  if (!mount_new("sysfs", sys, guarded | MS_RDONLY)) TRY("", bind("/sys", sys, Access::read_only));
  return machine.has_root() ? cover_kernel_views(proc, sys) : ferry::Status();
}

/// A device of our own where that is allowed: whoever changes its mode inside changes nothing of the computer's.
ferry::Status show_device(const os::Path& outside, const os::Path& inside) {
  struct stat info;
  if (::stat(outside.c_str(), &info) == 0 && S_ISCHR(info.st_mode) &&
      ::mknod(inside.c_str(), info.st_mode, info.st_rdev) == 0)
    return ::chmod(inside.c_str(), info.st_mode & 07777) < 0 ? fail_errno("chmod " + inside.string()) : ferry::Status();
  return bind(outside, inside, Access::read_write);
}

ferry::Status mount_devices(const Machine& machine) {
  const os::Path dev = machine.at("dev");
  TRY("", mount_new("tmpfs", dev, MS_NOSUID, "mode=755,size=1m"));
  for (const char* device : {"null", "zero", "full", "random", "urandom", "tty"}) {
    TRY("", show_device(os::Path("/dev") / device, dev / device));
  }
  TRY_SET(devices, "", os::list_dir("/dev"));
  for (const auto& device : devices) {  // the graphics cards of this computer, for those who rehearse with them
    if (device.starts_with("nvidia")) TRY("", show_device(os::Path("/dev") / device, dev / device));
  }
  // In user mode group tty has no gid there.
  const std::string options = "newinstance,ptmxmode=0666,mode=620";
  TRY("", mount_new("devpts", dev / "pts", MS_NOSUID | MS_NOEXEC,
                    machine.has_root() ? fmt::format("{},gid={}", options, machine.first_id + 5) : options));
  TRY("", mount_new("tmpfs", dev / "shm", MS_NOSUID | MS_NODEV, "mode=1777"));
  TRY("", make_link("pts/ptmx", dev / "ptmx"));
  TRY("", make_link("/proc/self/fd", dev / "fd"));
  TRY("", make_link("/proc/self/fd/0", dev / "stdin"));
  TRY("", make_link("/proc/self/fd/1", dev / "stdout"));
  return make_link("/proc/self/fd/2", dev / "stderr");
}

}  // namespace

ferry::Status open_disk(Machine& machine) {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return fail_errno("make mounts private");
  if (machine.mode != Mode::root) return {};
  TRY_SET(owner, "", join_network(std::exchange(machine.network, os::Fd())));
  machine.owner = std::move(owner);
  TRY("", make_files_as(machine.first_id));
  return map_ids(machine.folder.disk(), machine.folder.disk(), machine.owner);
}

ferry::Status make_skeleton(const Machine& machine) {
  const auto make = [&](std::string_view inside, mode_t mode) { return os::make_dirs(machine.at(inside), mode); };
  for (const char* folder : {"etc", "home", "mnt", "opt", "proc", "run", "srv", "sys", "dev", "usr", "var", "var/cache",
                             "var/lib", "var/log", "var/mail", "var/spool", "var/lib/cloud", "run/ferry"}) {
    TRY("", make(folder, 0755));
  }
  for (const char* folder : {"tmp", "var/tmp"}) TRY("", make(folder, 01777));
  TRY("", make("root", 0700));
  TRY("", os::make_dirs(machine.home(), 0755));
  if (machine.isolated()) {
    TRY("", os::make_dirs(machine.folder.disk() / "sbin"));
    TRY("", make_link("/run", machine.at("var/run")));
    TRY("", make_link("/run/lock", machine.at("var/lock")));
  } else {
    TRY("", os::make_dirs(machine.shims()));
  }
  return {};
}

ferry::Status mount_system(const Machine& machine) {
  const os::Path& root = machine.root;
  TRY("", bind(root, root, Access::read_write));
  TRY("", forbid_devices(root));
  if (machine.has_root()) {
    auto done = mount_overlays(machine);
    if (done || machine.mode == Mode::root) return done;
    fmt::print(stderr, "no overlay ({}): the system is read-only\n", describe(done.error()));
    for (const char* folder : {"usr", "etc"}) ::umount2(machine.at(folder).c_str(), MNT_DETACH);
  }
  return mount_read_only(machine);
}

ferry::Status enter_system(const Machine& machine) {
  TRY("", mount_kernel_views(machine));
  TRY("", mount_devices(machine));
  TRY("", mount_new("tmpfs", machine.at("run"), MS_NOSUID | MS_NODEV, "mode=755"));
  for (const char* folder : {"run/sshd", "run/lock", "run/ferry"}) TRY("", os::make_dirs(machine.at(folder)));
  if (machine.spec.disk_mib > 0) {
    TRY("", mount_new("tmpfs", machine.home(), MS_NOSUID | MS_NODEV,
                      fmt::format("mode=755,size={}m", machine.spec.disk_mib)));
  }
  auto kept = take_kept(machine);
  TRY("", change_root(machine.root));
  show_kept(machine, std::move(kept));
  return {};
}

}  // namespace ferry::sandbox
