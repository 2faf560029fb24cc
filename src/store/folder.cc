#include "store/folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"
#include "store/content.h"
#include "store/keys.h"

namespace ferry::store {
namespace {

constexpr std::uint64_t version_in_listing = 64 << 10;
constexpr std::int64_t stale_ms = 24 * 3600 * 1000;
constexpr const char* own_folder = ".ferry-store";

auto changed(const std::string& key, const std::string& why) {
  return fail(Kind::conflict, "the stored " + printable(key) + " is not as expected", why,
              "look what is there now; somebody else may be at work with it");
}

std::int64_t mtime_ms(const struct stat& info) {
  return static_cast<std::int64_t>(info.st_mtim.tv_sec) * 1000 + info.st_mtim.tv_nsec / 1'000'000;
}

bool is_link(const os::Path& path) {
  struct stat info;
  return ::lstat(path.c_str(), &info) == 0 && S_ISLNK(info.st_mode);
}

class FolderStore final : public Store {
 public:
  FolderStore(os::Path root, FolderOptions options) : root_(std::move(root)), options_(std::move(options)) {}

  Status prepare() {
    if (os::exists(root_) && !os::is_directory(root_)) {
      return fail(Kind::bad_input, "the store " + root_.string() + " is no folder", {},
                  "name a folder, or a place for a new one");
    }
    for (const char* name : {"tmp", "locks"}) TRY("open the store", os::make_dirs(root_ / own_folder / name));
    const std::int64_t now = os::system_clock().now_ms();
    TRY_SET(names, "open the store", os::list_dir(root_ / own_folder / "tmp"));
    for (const auto& name : names) {
      const os::Path left = root_ / own_folder / "tmp" / name;
      struct stat info;
      if (::stat(left.c_str(), &info) == 0 && now - mtime_ms(info) > stale_ms) ::unlink(left.c_str());
    }
    return {};
  }

  Result<std::string> put_file(const std::string& key, const os::Path& path, const Content& content,
                               const Condition& condition, const Moved& moved) override {
    TRY("", check_key(key));
    TRY_SET(from, "store " + path.string(), os::open_file(path, O_RDONLY));
    return put_whole(key, condition, [&](int to) -> Result<Content> {
      TRY_SET(found, "store " + path.string(), copy(from.get(), to, moved));
      TRY("", check_content(found, content, path.string(),
                            "it was changed while it was stored: store it again when it is whole"));
      return found;
    });
  }

  Result<std::string> put(const std::string& key, std::string_view bytes, const Condition& condition) override {
    TRY("", check_key(key));
    if (bytes.size() > most_small) return fail(Kind::bad_input, "too much at once for the stored " + printable(key));
    return put_whole(key, condition, [&](int to) -> Result<Content> {
      TRY("store " + printable(key), os::write_all(to, bytes));
      return content_of_bytes(bytes);
    });
  }

  Result<Object> get_file(const std::string& key, const os::Path& path, const std::optional<Content>& expected,
                          const Moved& moved, Flush flush) override {
    TRY_SET(from, "", open_object(key));
    const os::Path temp = part_of(path);
    TRY_SET(to, "", os::open_file(temp, O_WRONLY | O_CREAT | O_TRUNC));
    const auto undo = [&](Error error) {
      ::unlink(temp.c_str());
      return tl::unexpected(std::move(error));
    };
    auto found = copy(from.get(), to.get(), moved);
    if (!found) return undo(std::move(found).error());
    if (expected) {
      if (auto good = check_content(*found, *expected, "the stored " + key, "store it again from where it is whole");
          !good) {
        return undo(std::move(good).error());
      }
    }
    if (auto placed = into_place(to.get(), temp, path, flush); !placed) return undo(std::move(placed).error());
    return described(key, from.get(), found->sha256);
  }

  Result<SmallObject> get(const std::string& key, std::size_t limit) override {
    TRY_SET(from, "", open_object(key));
    struct stat info;
    if (::fstat(from.get(), &info) == 0 && static_cast<std::uint64_t>(info.st_size) > limit) {
      return fail(Kind::bad_input, "the stored " + printable(key) + " is too large",
                  std::to_string(info.st_size) + " bytes");
    }
    TRY_SET(bytes, "read the stored " + printable(key), os::read_to_end(from.get(), limit));
    TRY_SET(object, "", described(key, from.get(), hex(sha256(bytes))));
    object.bytes = bytes.size();
    return SmallObject{std::move(bytes), std::move(object)};
  }

  Result<Object> look(const std::string& key) override {
    TRY_SET(from, "", open_object(key));
    TRY_SET(content, "", content_of(place(key)));
    return described(key, from.get(), content.sha256);
  }

  Status list(const std::string& prefix, const std::function<Status(const Object&)>& each) override {
    TRY("", check_prefix(prefix));
    const auto slash = prefix.rfind('/');
    return walk(slash == std::string::npos ? "" : prefix.substr(0, slash), prefix, each);
  }

  Status remove(const std::string& key, const Condition& condition) override {
    TRY("", check_key(key));
    if (condition.is == Condition::Is::absent) return fail(Kind::bad_input, "nothing to remove where nothing may be");
    TRY_SET(lock, "", lock_of(key));
    if (condition.is == Condition::Is::unchanged) TRY("", check_unchanged(key, condition.version));
    step("unlink");
    if (::unlink(place(key).c_str()) < 0 && errno != ENOENT && errno != ENOTDIR)
      return fail_errno("remove the stored " + printable(key));
    if (!os::is_directory(place(key).parent_path())) return {};
    return flush_folder(place(key).parent_path());
  }

  Status remove_all(const std::string& prefix) override {
    if (!prefix.ends_with('/')) return fail(Kind::bad_input, "no whole level of the store: " + printable(prefix));
    TRY("", list(prefix, [&](const Object& object) { return remove(object.key, {}); }));
    // The empty folders, too. Somebody who puts there meanwhile makes them again.
    prune(place(prefix.substr(0, prefix.size() - 1)));
    return {};
  }

  std::string uri() const override { return root_.string(); }

 private:
  os::Path place(std::string_view key) const { return root_ / key; }
  void step(const char* name) const {
    if (options_.step) options_.step(name);
  }

  Result<os::Fd> open_object(const std::string& key) {
    TRY("", check_key(key));
    const int fd = ::open(place(key).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    const int code = errno;
    os::Fd owned(fd);
    if (fd < 0 && (code == ENOENT || code == ENOTDIR)) return missing(key);
    if (fd < 0) return fail_errno("read the stored " + printable(key), code);
    if (::fstat(fd, &info) < 0 || !S_ISREG(info.st_mode)) return missing(key);
    return owned;
  }

  tl::unexpected<Error> missing(const std::string& key) const {
    return fail(Kind::not_found, "nothing is stored as " + printable(key), {}, "look what is there: " + uri());
  }

  Result<Object> described(const std::string& key, int fd, const std::string& sha) const {
    struct stat info;
    if (::fstat(fd, &info) < 0) return fail_errno("look at the stored " + printable(key));
    return Object{key, static_cast<std::uint64_t>(info.st_size), sha, sha, mtime_ms(info)};
  }

  Result<os::FileLock> lock_of(const std::string& key) {
    step("lock");
    // One of 256: a lock file can never be removed while others may wait for it.
    const os::Path path = root_ / own_folder / "locks" / hex(sha256(key)).substr(0, 2);
    return os::FileLock::take(path, options_.lock_limit);
  }

  Status check_unchanged(const std::string& key, const std::string& version) {
    const auto now = content_of(place(key));
    if (!now && now.error().kind == Kind::not_found) return changed(key, "it is not there any more");
    if (!now) return tl::unexpected(now.error());
    if (now->sha256 != version) return changed(key, "it was changed meanwhile");
    return {};
  }

  /// Writes by `write` beside, flushes, and puts it where it belongs as the condition says.
  Result<std::string> put_whole(const std::string& key, const Condition& condition,
                                const std::function<Result<Content>(int)>& write) {
    const os::Path temp = root_ / own_folder / "tmp" / random_name(20);
    step("write");
    TRY_SET(to, "", os::open_file(temp, O_WRONLY | O_CREAT | O_EXCL));
    const auto done = [&]() -> Result<std::string> {
      TRY_SET(content, "", write(to.get()));
      step("flush");
      if (::fsync(to.get()) < 0) return fail_errno("store " + printable(key));
      const os::Path target = place(key);
      TRY("store " + printable(key), os::make_dirs(target.parent_path()));
      TRY("", put_in_place(key, temp, target, condition));
      TRY("", flush_folder(target.parent_path()));
      return content.sha256;
    }();
    ::unlink(temp.c_str());  // after a rename there is none
    return done;
  }

  Status put_in_place(const std::string& key, const os::Path& temp, const os::Path& target,
                      const Condition& condition) {
    if (condition.is == Condition::Is::absent && options_.has_links) {
      step("place");
      if (::link(temp.c_str(), target.c_str()) == 0) return {};
      const int code = errno;
      struct stat info;
      // NFS may lose the answer of a link that was made.
      if (code == EEXIST && ::stat(temp.c_str(), &info) == 0 && info.st_nlink == 2) return {};
      if (code == EEXIST) return changed(key, "it is there already");
      if (code != EPERM && code != ENOTSUP && code != ENOSYS) return fail_errno("store " + printable(key), code);
    }
    TRY_SET(lock, "", lock_of(key));
    if (condition.is == Condition::Is::unchanged) TRY("", check_unchanged(key, condition.version));
    if (condition.is == Condition::Is::absent && os::exists(target)) return changed(key, "it is there already");
    step("place");
    if (::rename(temp.c_str(), target.c_str()) < 0) return fail_errno("store " + printable(key));
    return {};
  }

  /// The folder's objects in the order of their keys: a folder's name stands there with its slash.
  Status walk(const std::string& folder, const std::string& prefix, const std::function<Status(const Object&)>& each) {
    auto names = os::list_dir(place(folder));
    if (!names && (names.error().kind == Kind::not_found || !os::is_directory(place(folder)))) return {};
    if (!names) return tl::unexpected(names.error());
    std::vector<std::string> keys;
    for (const auto& name : *names) {
      std::string key = folder.empty() ? name : folder + "/" + name;
      // Our own, or somebody else's. A link could lead anywhere, and in circles.
      if (!check_key(key) || is_link(place(key))) continue;
      if (os::is_directory(place(key))) key += '/';
      const auto common = std::min(key.size(), prefix.size());
      if (key.compare(0, common, prefix, 0, common) == 0) keys.push_back(std::move(key));
    }
    std::sort(keys.begin(), keys.end());
    for (auto& key : keys) {
      if (key.ends_with('/')) {
        key.pop_back();
        TRY("", walk(key, prefix, each));
        continue;
      }
      if (key.size() < prefix.size()) continue;
      auto from = open_object(key);
      if (!from && from.error().kind == Kind::not_found) continue;  // removed meanwhile
      if (!from) return tl::unexpected(from.error());
      TRY_SET(object, "", described(key, from->get(), ""));
      if (object.bytes <= version_in_listing) {
        TRY_SET(content, "", content_of(place(key)));
        object.version = object.sha256 = content.sha256;
      }
      TRY("", each(object));
    }
    return {};
  }

  static void prune(const os::Path& folder) {
    const auto names = os::list_dir(folder);
    if (!names) return;
    for (const auto& name : *names) {
      if (!is_link(folder / name) && os::is_directory(folder / name)) prune(folder / name);
    }
    ::rmdir(folder.c_str());  // one that is not empty stays
  }

  os::Path root_;
  FolderOptions options_;
};

}  // namespace

Result<std::unique_ptr<Store>> open_folder(const os::Path& path, FolderOptions options) {
  auto store = std::make_unique<FolderStore>(path, std::move(options));
  TRY("", store->prepare());
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace ferry::store
