#include "sandbox/mounts.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"
#include "os/process.h"

namespace ferry::sandbox {

namespace {

/// A bind needs a target of the same sort: a folder for a folder, a file for anything else.
ferry::Status make_target(const os::Path& source, const os::Path& target) {
  if (os::is_directory(source)) return os::make_dirs(target);
  TRY("", os::make_dirs(target.parent_path()));
  struct stat info;
  if (::lstat(target.c_str(), &info) == 0) return {};
  TRY_SET(fd, "", os::open_file(target, O_WRONLY | O_CREAT, 0644));
  return {};
}

/// Adds mount attributes to the whole tree, and leaves the others as they are.
ferry::Status add_attributes(const os::Path& target, std::uint64_t attributes) {
  mount_attr change{};
  change.attr_set = attributes;
  if (::mount_setattr(AT_FDCWD, target.c_str(), AT_RECURSIVE, &change, sizeof change) == 0) return {};
  // Before Linux 5.12: one mount, and flags that must be repeated because a user namespace may not clear
  // them.
  struct statvfs info;
  if (::statvfs(target.c_str(), &info) < 0) return fail_errno("look at the mount " + target.string());
  unsigned long flags = MS_REMOUNT | MS_BIND;
  if (attributes & MOUNT_ATTR_RDONLY || info.f_flag & ST_RDONLY) flags |= MS_RDONLY;
  if (attributes & MOUNT_ATTR_NODEV || info.f_flag & ST_NODEV) flags |= MS_NODEV;
  if (info.f_flag & ST_NOSUID) flags |= MS_NOSUID;
  if (info.f_flag & ST_NOEXEC) flags |= MS_NOEXEC;
  flags |= info.f_flag & ST_NOATIME ? MS_NOATIME : MS_RELATIME;
  if (::mount(nullptr, target.c_str(), nullptr, flags, nullptr) < 0) return fail_errno("remount " + target.string());
  return {};
}

/// A path inside overlay's option text.
std::string overlay_escaped(const os::Path& path) {
  std::string out;
  for (const char c : path.string()) {
    if (c == ',' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

/// Mount points below the folder, in the order in which they were made.
std::vector<std::string> mounted_below(const os::Path& folder) {
  std::vector<std::string> out;
  const auto top = std::filesystem::weakly_canonical(folder).string() + "/";
  for (const auto& line : split(os::read_file("/proc/self/mountinfo").value_or(""), '\n')) {
    const auto words = split(line, ' ');
    if (words.size() < 5) continue;
    std::string place;  // the kernel writes spaces and the like as \040
    for (std::size_t i = 0; i < words[4].size(); ++i) {
      const auto octal = words[4].substr(i, 4);
      if (octal.size() == 4 && octal[0] == '\\') {
        place += static_cast<char>((octal[1] - '0') * 64 + (octal[2] - '0') * 8 + (octal[3] - '0'));
        i += 3;
      } else {
        place += words[4][i];
      }
    }
    if (place.starts_with(top)) out.push_back(std::move(place));
  }
  return out;
}

}  // namespace

ferry::Status bind(const os::Path& source, const os::Path& target, Access access) {
  TRY("", make_target(source, target));
  if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND | MS_REC, nullptr) < 0) {
    return fail_errno("bind " + source.string() + " to " + target.string());
  }
  return access == Access::read_only ? add_attributes(target, MOUNT_ATTR_RDONLY) : ferry::Status();
}

Result<os::Fd> take_mount(const os::Path& source, const os::Fd& user_namespace) {
  os::Fd tree(::open_tree(AT_FDCWD, source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree) return fail_errno("take " + source.string());
  if (!user_namespace) return tree;
  mount_attr change{};
  change.attr_set = MOUNT_ATTR_IDMAP;
  change.userns_fd = static_cast<std::uint64_t>(user_namespace.get());
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &change, sizeof change) < 0)
    return fail_errno("translate the ids of " + source.string());
  return tree;
}

ferry::Status put_mount(const os::Fd& taken, const os::Path& target) {
  if (::move_mount(taken.get(), "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) < 0)
    return fail_errno("mount " + target.string());
  return {};
}

ferry::Status map_ids(const os::Path& source, const os::Path& target, const os::Fd& user_namespace) {
  TRY("", make_target(source, target));
  TRY_SET(tree, "", take_mount(source, user_namespace));
  return put_mount(tree, target);
}

ferry::Status mount_overlay(const os::Path& lower, const os::Path& layer, const os::Path& target, Kept kept) {
  const os::Path upper = layer / "up", work = layer / "work";
  TRY("", os::make_dirs(target));
  TRY("", os::make_dirs(upper));
  TRY("", os::make_dirs(work, 0700));
  const std::string options = "lowerdir=" + overlay_escaped(lower) + ",upperdir=" + overlay_escaped(upper) +
                              ",workdir=" + overlay_escaped(work);
  const auto mount_with = [&](const std::string& all) {
    return ::mount("overlay", target.c_str(), "overlay", MS_NODEV, all.c_str()) == 0;
  };
  if (kept == Kept::not_at_all && mount_with(options + ",volatile")) return {};  // Linux 5.10
  return mount_with(options) ? ferry::Status() : fail_errno("overlay of " + lower.string());
}

ferry::Status mount_new(const char* type, const os::Path& target, unsigned long flags, const std::string& options) {
  TRY("", os::make_dirs(target));
  if (::mount(type, target.c_str(), type, flags, options.c_str()) < 0) {
    return fail_errno(std::string("mount ") + type + " at " + target.string());
  }
  return {};
}

ferry::Status forbid_devices(const os::Path& target) { return add_attributes(target, MOUNT_ATTR_NODEV); }

ferry::Status unmount_below(const os::Path& folder) {
  auto mounted = mounted_below(folder);
  for (auto place = mounted.rbegin(); place != mounted.rend(); ++place) {  // the innermost first
    if (::umount2(place->c_str(), MNT_DETACH) == 0) continue;
    for (const char* helper : {"fusermount3", "fusermount"}) {  // who is not root may do so with its own
      if (!os::find_program(helper)) continue;
      os::SpawnOptions options;
      options.argv = {helper, "-uz", *place};
      (void)os::run_command(options, "");
      break;
    }
  }
  mounted = mounted_below(folder);
  if (mounted.empty()) return {};
  return fail(Kind::conflict, "something is mounted at " + printable(mounted.back()), {},
              "unmount it; until then nothing of " + folder.string() + " is removed");
}

ferry::Status change_root(const os::Path& root) {
  if (::chdir(root.c_str()) < 0) return fail_errno("enter " + root.string());
  if (::syscall(SYS_pivot_root, ".", ".") < 0) return fail_errno("pivot_root to " + root.string());
  if (::umount2(".", MNT_DETACH) < 0) return fail_errno("let go of the old root");
  if (::chdir("/") < 0) return fail_errno("enter the new root");
  return {};
}

}  // namespace ferry::sandbox
