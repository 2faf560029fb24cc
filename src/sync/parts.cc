#include "sync/parts.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"

namespace ferry::sync {

namespace {

constexpr std::uint64_t most_part_bytes = std::uint64_t{64} << 30;
constexpr std::int64_t longest_kept_ns = 7 * day_ns;

struct Part {
  std::string name;
  std::uint64_t bytes = 0;
  std::int64_t mtime_ns = 0;
};

std::vector<Part> parts_in(int folder) {
  std::vector<Part> found;
  for (std::string& name : names_in(folder).value_or(std::vector<std::string>())) {
    struct stat info;
    if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(info.st_mode)) continue;
    found.push_back({std::move(name), static_cast<std::uint64_t>(info.st_size), ns_of(info.st_mtim)});
  }
  return found;
}

void remove_stale(int folder) {
  auto found = parts_in(folder);
  std::sort(found.begin(), found.end(), [](const Part& a, const Part& b) { return a.mtime_ns > b.mtime_ns; });
  const std::int64_t now = file_clock_ns();
  std::uint64_t bytes = 0;
  for (const Part& part : found) {
    bytes += part.bytes;
    if (bytes > most_part_bytes || part.mtime_ns < now - longest_kept_ns) ::unlinkat(folder, part.name.c_str(), 0);
  }
}

}  // namespace

Parts Parts::open(const os::Path& state_file, const Root& root) {
  Parts parts;
  if (state_file.empty()) return parts;
  parts.path_ = state_file.string() + ".parts";
  if (state_file.has_parent_path()) (void)os::make_dirs(state_file.parent_path(), 0700);
  if (::mkdir(parts.path_.c_str(), 0700) < 0 && errno != EEXIST) return parts;
  os::Fd folder(::open(parts.path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat ours, roots;
  if (!folder || ::fstat(folder.get(), &ours) < 0 || ::fstat(root.fd(), &roots) < 0 || ours.st_dev != roots.st_dev)
    return parts;
  if (::flock(folder.get(), LOCK_EX | LOCK_NB) < 0) return parts;
  remove_stale(folder.get());
  parts.folder_ = std::move(folder);
  return parts;
}

Result<Placer::NewFile> Parts::make(const std::string& sha256) const {
  if (!folder_) return fail(Kind::not_found, "nothing is kept");
  Placer::NewFile made;
  made.folder = folder_.get();
  made.name = hex(sha256) + "-" + random_name(8);
  made.fd = os::Fd(::openat(made.folder, made.name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!made.fd) return fail_errno("make a file in " + printable(path_.string()));
  return made;
}

std::string Parts::find(const std::string& sha256) const {
  if (!folder_) return {};
  Part best;
  for (Part& part : parts_in(folder_.get())) {
    if (part.name.starts_with(hex(sha256)) && part.bytes > best.bytes) best = std::move(part);
  }
  return best.name;
}

Result<os::Fd> Parts::open_part(const std::string& name) const {
  os::Fd file(::openat(folder_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) return fail_errno("open a part");
  return file;
}

void Parts::remove(const std::string& sha256) const {
  if (!folder_) return;
  for (const Part& part : parts_in(folder_.get())) {
    if (part.name.starts_with(hex(sha256))) ::unlinkat(folder_.get(), part.name.c_str(), 0);
  }
}

void Parts::clear() {
  if (!folder_) return;
  for (const Part& part : parts_in(folder_.get())) ::unlinkat(folder_.get(), part.name.c_str(), 0);
  leave();
}

void Parts::leave() {
  if (!folder_) return;
  ::rmdir(path_.c_str());  // only if there is nothing in it
  folder_.reset();
}

}  // namespace ferry::sync
