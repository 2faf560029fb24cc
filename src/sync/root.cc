#include "sync/root.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "base/text.h"

namespace ferry::sync {

namespace {

constexpr std::size_t kept_levels = 48;  // descriptors kept open on the way to the last folder
constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

timespec from_ns(std::int64_t value) {
  std::int64_t whole = value / second_ns, rest = value % second_ns;
  if (rest < 0) {
    rest += second_ns;
    --whole;
  }
  return {static_cast<time_t>(whole), static_cast<long>(rest)};
}

Standing standing_of(const struct stat& info) {
  Standing found;
  if (S_ISREG(info.st_mode)) found.is = Standing::Is::file;
  if (S_ISDIR(info.st_mode)) found.is = Standing::Is::folder;
  if (S_ISLNK(info.st_mode)) found.is = Standing::Is::link;
  found.mode = info.st_mode & 07777;
  found.size = static_cast<std::uint64_t>(info.st_size);
  found.inode = info.st_ino;
  found.allocated = static_cast<std::uint64_t>(info.st_blocks) * 512;
  found.mtime_ns = ns_of(info.st_mtim);
  found.ctime_ns = ns_of(info.st_ctim);
  return found;
}

template <class Visit>
Status each_name_in(int folder, const Visit& visit) {
  const int own = ::openat(folder, ".", folder_flags);
  if (own < 0) return fail_errno("open");
  DIR* stream = ::fdopendir(own);
  if (stream == nullptr) {
    ::close(own);
    return fail_errno("open");
  }
  errno = 0;
  while (const dirent* one = ::readdir(stream)) {
    const std::string_view name = one->d_name;
    if (name != "." && name != "..") visit(own, one->d_name);
    errno = 0;
  }
  const int code = errno;
  ::closedir(stream);
  return code != 0 ? fail_errno("read", code) : Status();
}

}  // namespace

std::pair<std::string_view, std::string_view> split_last(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

std::int64_t ns_of(const timespec& time) { return std::int64_t{time.tv_sec} * second_ns + time.tv_nsec; }

std::int64_t file_clock_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return ns_of(now);
}

Result<Standing> standing_of(int fd) {
  struct stat info;
  if (::fstat(fd, &info) < 0) return fail_errno("stat");
  return standing_of(info);
}

Status set_mode(int folder, const std::string& name, std::uint32_t mode) {
  if (::fchmodat(folder, name.c_str(), mode, AT_SYMLINK_NOFOLLOW) == 0) return {};
  if (errno != EOPNOTSUPP && errno != ENOSYS) return fail_errno("chmod " + printable(name));
  struct stat info;  // no /proc here: look first, then change
  if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0) return fail_errno("chmod " + printable(name));
  if (S_ISLNK(info.st_mode)) return fail(Kind::io, "chmod " + printable(name) + ": a link is in the way");
  if (::fchmodat(folder, name.c_str(), mode, 0) < 0) return fail_errno("chmod " + printable(name));
  return {};
}

Status set_mtime(int folder, const std::string& name, std::int64_t mtime_ns) {
  const timespec times[2] = {{0, UTIME_OMIT}, from_ns(mtime_ns)};
  if (::utimensat(folder, name.c_str(), times, AT_SYMLINK_NOFOLLOW) < 0) {
    return fail_errno("set the time of " + printable(name));
  }
  return {};
}

Status set_mtime(int file, std::int64_t mtime_ns) {
  const timespec times[2] = {{0, UTIME_OMIT}, from_ns(mtime_ns)};
  return ::futimens(file, times) < 0 ? Status(fail_errno("set the time of a file")) : Status();
}

Status flush_to_disk(const Root& root) {
  if (::syncfs(root.fd()) < 0) return fail_errno("flush " + root.shown("") + " to disk");
  return {};
}

Result<Root> Root::open(const os::Path& path, Grafts grafts) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    Root root(os::Fd(fd), path);
    root.grafts_ = std::move(grafts);
    return root;
  }
  if (errno == ENOTDIR) return fail(Kind::not_found, "not a folder: " + printable(path.string()));
  return fail_errno("open folder " + printable(path.string()));
}

Result<Root> Root::again() const {
  os::Fd top(::fcntl(top_.get(), F_DUPFD_CLOEXEC, 0));
  if (!top) return fail_errno("open folder " + shown(""));
  Root root(std::move(top), path_);
  root.grafts_ = grafts_;
  root.may_open_up_ = may_open_up_;
  return root;
}

std::string Root::shown(std::string_view path) const {
  return printable(path.empty() ? path_.string() : (path_ / path).string());
}

void Root::graft(const std::string& path, std::string target) {
  grafts_[path] = std::move(target);
  forget();
}

void Root::remove_graft(const std::string& path) {
  grafts_.erase(path);
  forget();
}

Result<os::Fd> Root::step(int parent, const std::string& name, std::string_view path) {
  if (const auto graft = grafts_.find(path); graft != grafts_.end()) {
    const int fd = ::open(graft->second.c_str(), folder_flags);
    if (fd >= 0) return os::Fd(fd);
    if (errno != EACCES || !may_open_up_) return fail_errno("open folder " + printable(graft->second));
    return step(AT_FDCWD, graft->second, {});
  }
  int fd = ::openat(parent, name.c_str(), folder_flags);
  if (fd < 0 && errno == EACCES && may_open_up_) {
    struct stat info;
    if (::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode) &&
        set_mode(parent, name, (info.st_mode & 07777) | 0700)) {
      fd = ::openat(parent, name.c_str(), folder_flags);
    }
  }
  if (fd >= 0) return os::Fd(fd);
  if (errno == ENOTDIR || errno == ELOOP) return fail(Kind::not_found, "not a folder: " + shown(path));
  return fail_errno("open folder " + shown(path));
}

Result<int> Root::folder(std::string_view path) {
  std::size_t level = 0;
  int at = top_.get();
  bool on_chain = true;
  os::Fd last;
  for (std::size_t begin = 0; begin < path.size(); ++level) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string name(path.substr(begin, end - begin));
    begin = end + 1;
    on_chain = on_chain && level < chain_.size() && chain_[level].first == name;
    if (on_chain) {
      at = chain_[level].second.get();
      continue;
    }
    if (level < chain_.size()) chain_.resize(level);
    TRY_SET(next, "", step(at, name, path.substr(0, end)));
    at = next.get();
    if (level < kept_levels) {
      chain_.emplace_back(name, std::move(next));
    } else {
      last = std::move(next);
    }
  }
  deep_ = std::move(last);
  return at;
}

Result<Root::Place> Root::place(std::string_view path) {
  if (const auto graft = grafts_.find(path); graft != grafts_.end()) {
    const auto [holder, last] = split_last(graft->second);
    const std::string folder(holder.empty() ? "/" : holder);
    beside_ = os::Fd(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!beside_) return fail_errno("open folder " + printable(folder));
    return Place{beside_.get(), last.empty() ? "." : std::string(last)};
  }
  const auto [parent, name] = split_last(path);
  TRY_SET(fd, "", folder(parent));
  return Place{fd, std::string(name)};
}

Result<Standing> Root::look(std::string_view path) {
  TRY_SET(at, "", place(path));
  struct stat info;
  if (::fstatat(at.folder, at.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0)
    return fail_errno("look at " + shown(path));
  return standing_of(info);
}

Result<os::Fd> Root::open_file(std::string_view path) {
  TRY_SET(at, "", place(path));
  const int fd = ::openat(at.folder, at.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0 && (errno == ELOOP || errno == ENXIO)) return fail(Kind::bad_input, "not a regular file: " + shown(path));
  if (fd < 0) return fail_errno("open " + shown(path));
  os::Fd file(fd);
  struct stat info;
  if (::fstat(fd, &info) < 0) return fail_errno("open " + shown(path));
  if (!S_ISREG(info.st_mode)) return fail(Kind::bad_input, "not a regular file: " + shown(path));
  return file;
}

Result<std::string> Root::read_link(std::string_view path) {
  TRY_SET(at, "", place(path));
  std::string target(PATH_MAX, '\0');
  const auto got = ::readlinkat(at.folder, at.name.c_str(), target.data(), target.size());
  if (got < 0) return fail_errno("read link " + shown(path));
  target.resize(static_cast<std::size_t>(got));
  return target;
}

Result<std::vector<std::string>> Root::names(std::string_view path) {
  TRY_SET(fd, "", folder(path));
  auto found = names_in(fd);
  if (!found) return fail("list " + shown(path), std::move(found).error());
  return found;
}

Result<std::vector<std::string>> names_in(int folder) {
  std::vector<std::string> found;
  TRY("", each_name_in(folder, [&](int, const char* name) { found.emplace_back(name); }));
  std::sort(found.begin(), found.end());
  return found;
}

Result<Listing> Root::list(std::string_view path) {
  Listing all;
  TRY_SET(fd, "", folder(path));
  TRY("list " + shown(path), each_name_in(fd, [&](int folder, const char* name) {
        Listing::Item item{.begin = all.names.size(), .length = static_cast<std::uint32_t>(std::strlen(name))};
        struct stat info;
        if (::fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0)
          item.found = standing_of(info);
        else
          item.error = errno;
        all.names.append(name, item.length);
        all.items.push_back(item);
      }));
  std::sort(all.items.begin(), all.items.end(),
            [&](const auto& a, const auto& b) { return all.name(a) < all.name(b); });
  return all;
}

bool Listing::has(std::string_view wanted) const {
  const auto at = std::lower_bound(items.begin(), items.end(), wanted,
                                   [&](const Item& item, std::string_view text) { return name(item) < text; });
  return at != items.end() && name(*at) == wanted;
}

}  // namespace ferry::sync
