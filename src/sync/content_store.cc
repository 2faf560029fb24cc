#include "sync/content_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "base/hash.h"
#include "base/text.h"
#include "sync/clone.h"
#include "sync/state.h"

namespace ferry::sync {

namespace {

constexpr std::int64_t hour_ns = 3600 * second_ns;
constexpr std::string_view new_prefix = "new-";
constexpr std::size_t most_looked_at = 5 * ContentStore::most_contents;
constexpr std::uint64_t smallest_shared = std::uint64_t{64} << 10;  // a copy of it is quicker than sharing its blocks
constexpr int open_folder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/// `to`, which is empty, becomes a copy of `from`; false if it is not what it should be. What was copied is hashed,
/// whoever writes to `from` meanwhile.
Result<bool> copy_checked(int from, int to, const Digest& sha256, std::uint64_t size) {
  std::string buffer(std::min<std::uint64_t>(std::size_t{256} << 10, size + 1), '\0');
  if (size < smallest_shared) {
    const ssize_t got = ::pread(from, buffer.data(), buffer.size(), 0);
    if (got != static_cast<ssize_t>(size)) return false;
    buffer.resize(size);
    const ssize_t written = ::pwrite(to, buffer.data(), size, 0);
    if (written < 0) return fail_errno("copy a content");
    if (written != got) return fail(Kind::disk_full, "copy a content: there is no more room");
    return ferry::sha256(buffer) == std::string_view(sha256);
  }
  TRY("copy a content", clone_content(from, to));
  std::uint64_t seen = 0;
  Sha256 hash;
  while (seen <= size) {
    const ssize_t got = ::pread(to, buffer.data(), buffer.size(), static_cast<off_t>(seen));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read a copy");
    if (got == 0) break;
    hash.add({buffer.data(), static_cast<std::size_t>(got)});
    seen += static_cast<std::uint64_t>(got);
  }
  return seen == size && hash.finish() == sha256;
}

bool empty_again(int to) { return ::ftruncate(to, 0) == 0 && ::lseek(to, 0, SEEK_SET) == 0; }

void touch(int folder, const std::string& name) {
  const timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  (void)::utimensat(folder, name.c_str(), times, AT_SYMLINK_NOFOLLOW);
}

/// Names in a folder, each given to `visit` as long as it says true.
template <class Visit>
void each_name(os::Fd folder, Visit&& visit) {
  DIR* stream = ::fdopendir(folder.get());
  if (stream == nullptr) return;
  (void)folder.release();
  while (const dirent* one = ::readdir(stream)) {
    const std::string_view name = one->d_name;
    if (name != "." && name != ".." && !visit(name)) break;
  }
  ::closedir(stream);
}

std::string place_of(const Digest& sha256) { return hex(sha256).insert(2, "/"); }

/// A file that is written under a name of its own, which goes away unless it was moved.
class NewFile {
 public:
  explicit NewFile(int folder) : folder_(folder), name_(std::string(new_prefix) + random_name(12)) {
    file_ = os::Fd(::openat(folder_, name_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  }
  NewFile(const NewFile&) = delete;
  ~NewFile() {
    if (file_ && !moved_) ::unlinkat(folder_, name_.c_str(), 0);
  }
  int fd() const { return file_ ? file_.get() : -1; }
  bool move_to(int folder, const std::string& name) {
    return moved_ = ::renameat(folder_, name_.c_str(), folder, name.c_str()) == 0;
  }

 private:
  int folder_;
  std::string name_;
  os::Fd file_;
  bool moved_ = false;
};

struct Content {
  std::int64_t used_ns;
  std::uint64_t size;
  std::array<char, 64> digits;
};

/// Collects the folders of contents on the way.
void remove_stale(int top, std::vector<std::string>& groups) {
  std::vector<std::string> stale;
  each_name(os::Fd(::openat(top, ".", open_folder)), [&](std::string_view name) {
    if (is_hex(name, 2)) groups.emplace_back(name);
    if (name.starts_with(new_prefix)) stale.emplace_back(name);
    return stale.size() < most_looked_at;
  });
  for (const auto& name : stale) {
    struct stat info;
    const bool found = ::fstatat(top, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
    if (found && ns_of(info.st_mtim) < file_clock_ns() - day_ns) ::unlinkat(top, name.c_str(), 0);
  }
}

void list_group(int top, const std::string& group, std::vector<Content>& all, std::uint64_t& bytes) {
  const os::Fd folder(::openat(top, group.c_str(), open_folder));
  if (!folder) return;
  each_name(os::Fd(::openat(folder.get(), ".", open_folder)), [&](std::string_view name) {
    struct stat info;
    if (!is_hex(name, 62) || ::fstatat(folder.get(), name.data(), &info, AT_SYMLINK_NOFOLLOW) < 0) return true;
    Content content{.used_ns = ns_of(info.st_mtim), .size = static_cast<std::uint64_t>(info.st_size), .digits = {}};
    std::copy(name.begin(), name.end(), std::copy(group.begin(), group.end(), content.digits.begin()));
    bytes += content.size;
    all.push_back(content);
    return all.size() < most_looked_at;
  });
}

}  // namespace

bool is_hex(std::string_view name, std::size_t digits) {
  return name.size() == digits && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<ContentStore> ContentStore::open(const os::Path& folder) {
  TRY("keep contents", os::make_dirs(folder, 0700));
  os::Fd top(::open(folder.c_str(), open_folder));
  struct stat info;
  if (!top || ::fstat(top.get(), &info) < 0) return fail_errno("open " + printable(folder.string()));
  if (info.st_uid != ::geteuid() || (info.st_mode & 0022) != 0)
    return fail(Kind::denied, "others can write to " + printable(folder.string()), {}, "remove it");
  return ContentStore(std::move(top), folder);
}

/// No link. Looked at once.
bool ContentStore::has_group(const Digest& sha256) const {
  if (sha256.empty()) return false;
  const auto number = static_cast<unsigned char>(std::string_view(sha256)[0]);
  struct stat info;
  if (!groups_[number]) {
    const std::string group = place_of(sha256).substr(0, 2);
    groups_[number] = ::fstatat(top_.get(), group.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
  }
  return groups_[number];
}

Result<std::string> ContentStore::make_place(const Digest& sha256) const {
  if (sha256.empty()) return fail(Kind::bug, "a content without its SHA-256");
  std::string place = place_of(sha256);
  if (::mkdirat(top_.get(), place.substr(0, 2).c_str(), 0700) < 0 && errno != EEXIST)
    return fail_errno("make a folder in " + printable(path_.string()));
  if (!has_group(sha256)) return fail(Kind::conflict, "no folder: " + printable((path_ / place.substr(0, 2)).string()));
  return place;
}

/// The content, open for reading, if it is a regular file of that size.
Result<os::Fd> ContentStore::find(const Digest& sha256, std::uint64_t size) const {
  if (!has_group(sha256)) return fail(Kind::not_found, "no such content");
  const std::string place = place_of(sha256);
  os::Fd file(::openat(top_.get(), place.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!file && errno == ELOOP) return fail(Kind::corrupt, "a link in a content's place");
  if (!file) return fail_errno("open a content");
  struct stat info;
  if (::fstat(file.get(), &info) < 0) return fail_errno("open a content");
  if (S_ISREG(info.st_mode) && static_cast<std::uint64_t>(info.st_size) == size) {
    if (ns_of(info.st_mtim) < file_clock_ns() - hour_ns) touch(top_.get(), place);
    return file;
  }
  return fail(Kind::corrupt, "a content of another size");
}

bool ContentStore::holds(const Digest& sha256, std::uint64_t size) const {
  struct stat info;
  return has_group(sha256) && ::fstatat(top_.get(), place_of(sha256).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG(info.st_mode) && static_cast<std::uint64_t>(info.st_size) == size;
}

Result<bool> ContentStore::take(const Digest& sha256, std::uint64_t size, int to) {
  if (sha256.empty()) return fail(Kind::bug, "a content without its SHA-256");
  const auto file = find(sha256, size);
  if (!file && file.error().kind != Kind::corrupt) return false;
  if (file) {
    auto good = copy_checked(file->get(), to, sha256, size);
    if (good ? *good : good.error().kind == Kind::disk_full) return good;
    if (!empty_again(to)) return fail_errno("empty a file again");
  }
  ::unlinkat(top_.get(), place_of(sha256).c_str(), 0);
  return false;
}

Result<bool> ContentStore::offer(int from, const Digest& sha256, std::uint64_t size) {
  if (holds(sha256, size)) return false;
  TRY_SET(place, "", make_place(sha256));
  NewFile fresh(top_.get());
  if (fresh.fd() < 0) return fail_errno("make a file in " + printable(path_.string()));
  TRY_SET(good, "", copy_checked(from, fresh.fd(), sha256, size));
  if (!good) return false;
  if (!fresh.move_to(top_.get(), place)) return fail_errno("keep a content in " + printable(path_.string()));
  return true;
}

bool ContentStore::adopt(int folder, const std::string& name, const Digest& sha256, std::uint64_t size) {
  if (holds(sha256, size)) return false;
  struct stat info;
  if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0) return false;
  if (!S_ISREG(info.st_mode) || info.st_uid != ::geteuid() || info.st_nlink != 1) return false;
  if (static_cast<std::uint64_t>(info.st_size) != size) return false;
  const auto place = make_place(sha256);
  if (!place || ::renameat(folder, name.c_str(), top_.get(), place->c_str()) < 0) return false;
  touch(top_.get(), *place);
  (void)set_mode(top_.get(), *place, 0600);
  return true;
}

std::uint64_t ContentStore::usual_limit() const {
  constexpr std::uint64_t most = std::uint64_t{20} << 30, share = 20;
  struct statvfs disk;
  if (::fstatvfs(top_.get(), &disk) < 0) return 0;
  return std::min(most, static_cast<std::uint64_t>(disk.f_blocks) * disk.f_frsize / share);
}

Status ContentStore::trim(std::uint64_t most_bytes) {
  const os::Fd lock(::openat(top_.get(), ".", open_folder));
  if (!lock) return fail_errno("open " + printable(path_.string()));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) < 0) return {};
  std::vector<std::string> groups;
  remove_stale(top_.get(), groups);
  std::vector<Content> all;
  std::uint64_t bytes = 0;
  for (const auto& group : groups) list_group(top_.get(), group, all, bytes);
  std::sort(all.begin(), all.end(), [](const Content& a, const Content& b) { return a.used_ns < b.used_ns; });
  std::size_t left = all.size();
  for (const Content& oldest : all) {
    if (bytes <= most_bytes && left <= most_contents) break;
    const std::string digits(oldest.digits.data(), oldest.digits.size());
    ::unlinkat(top_.get(), (digits.substr(0, 2) + "/" + digits.substr(2)).c_str(), 0);
    bytes -= oldest.size;
    --left;
  }
  return {};
}

Result<std::size_t> keep_contents(ContentStore& store, const os::Path& root, const os::Path& state_file) {
  TRY_SET(tree, "", Root::open(root));
  const State state = State::load(state_file);
  std::size_t kept = 0;
  TRY("", state.each([&](std::string_view path, const Record& record) -> Status {
    if (record.size == 0) return {};
    const auto now = tree.look(path);
    if (!now || !seems_untouched(record, *now)) return {};
    const auto at = tree.place(path);
    if (at && store.adopt(at->folder, at->name, record.sha256, record.size)) ++kept;
    return {};
  }));
  return kept;
}

}  // namespace ferry::sync
