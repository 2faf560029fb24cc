#include "sync/kept_tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "base/hash.h"
#include "base/text.h"
#include "sync/state.h"

namespace ferry::sync {

namespace {

constexpr std::string_view unfinished = "new-";
constexpr std::size_t most_trees = 2;

os::Path trees_of(const os::Path& contents) { return contents.string() + ".trees"; }
os::Path name_file(const os::Path& state_file) { return state_file.string() + ".list-name"; }

bool leads_below(const os::Path& link, const std::string& folder) {
  std::string target(PATH_MAX, '\0');
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
  if (length <= 0) return false;
  target.resize(static_cast<std::size_t>(length));
  return target.starts_with(folder) && (target.size() == folder.size() || target[folder.size()] == '/');
}

/// Whether a program that we may look at stands in the folder, or has something open there, or something is mounted
/// below it.
bool is_in_use(const os::Path& root) {
  std::error_code failed;
  const std::string folder = std::filesystem::canonical(root, failed).string();
  const auto processes = os::list_dir("/proc");
  const auto mounts = os::read_file("/proc/self/mountinfo");
  if (failed || !processes || !mounts || mounts->find(" " + folder + "/") != mounts->npos) return true;
  return std::any_of(processes->begin(), processes->end(), [&](const std::string& name) {
    if (name.find_first_not_of("0123456789") != std::string::npos || name == std::to_string(::getpid())) return false;
    const os::Path process = "/proc/" + name;
    if (leads_below(process / "cwd", folder)) return true;
    const auto open = os::list_dir(process / "fd").value_or(std::vector<std::string>());
    return std::any_of(open.begin(), open.end(),
                       [&](const std::string& fd) { return leads_below(process / "fd" / fd, folder); });
  });
}

/// Leaves of a run's folder what it was sent.
class Tidy {
 public:
  Tidy(const os::Path& path, Root& root, const State& state, ContentStore& store)
      : path_(path), root_(root), state_(state), store_(store) {}

  Status folder(const std::string& path) {
    TRY_SET(fd, "", root_.folder(path));
    struct stat info;
    if (::fstat(fd, &info) < 0 || (!path.empty() && info.st_dev != device_))
      return fail(Kind::conflict, "something is mounted there");
    device_ = info.st_dev;
    TRY_SET(listed, "", root_.list(path));
    for (const Listing::Item& item : listed.items) {
      const auto one = (path.empty() ? "" : path + "/") + std::string(listed.name(item));
      TRY_SET(stays, "", stays_here(one, item));
      if (!stays) TRY("", os::remove_all(path_ / one));
      if (stays && item.found.is == Standing::Is::folder) TRY("", folder(one));
    }
    return {};
  }
  /// Small files, and those of them that the store lacks.
  std::size_t files() const { return files_; }
  const std::vector<std::string>& not_stored() const { return not_stored_; }

 private:
  Result<bool> stays_here(const std::string& path, const Listing::Item& item) {
    const auto known = state_.find(path);
    if (!known || item.error != 0) return false;
    if (item.found.is == Standing::Is::folder) return known->type == Type::folder;
    if (item.found.is == Standing::Is::link) return known->type == Type::link;
    if (!seems_untouched(*known, item.found)) return false;
    if (item.found.size >= stored_size) {
      TRY_SET(at, "", root_.place(path));
      (void)store_.adopt(at.folder, at.name, known->sha256, item.found.size);
      return false;
    }
    if (++files_ > most_kept_files || (bytes_ += item.found.size) > most_kept_bytes)
      return fail(Kind::limit, "too large a tree to be kept");
    if (item.found.size > 0 && !store_.holds(known->sha256, item.found.size)) not_stored_.push_back(path);
    return true;
  }

  const os::Path& path_;
  Root& root_;
  const State& state_;
  ContentStore& store_;
  dev_t device_ = 0;
  std::size_t files_ = 0;
  std::uint64_t bytes_ = 0;
  std::vector<std::string> not_stored_;
};

/// Made by us, and open to nobody else.
bool is_ours(const os::Path& trees) {
  struct stat info;
  return ::lstat(trees.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == ::geteuid() &&
         (info.st_mode & 0022) == 0;
}

/// The newest stay.
void remove_old_trees(const os::Path& trees) {
  std::vector<std::pair<std::int64_t, os::Path>> all;
  for (const auto& name : os::list_dir(trees).value_or(std::vector<std::string>())) {
    struct stat info;
    if (::lstat((trees / name).c_str(), &info) < 0) continue;
    const std::int64_t age_ns = file_clock_ns() - ns_of(info.st_mtim);
    if (!name.starts_with(unfinished)) all.emplace_back(age_ns, trees / name);
    if (name.starts_with(unfinished) && age_ns > day_ns) (void)os::remove_all(trees / name);
  }
  std::sort(all.begin(), all.end());
  for (std::size_t i = most_trees; i < all.size(); ++i) (void)os::remove_all(all[i].second);
}

/// Moves the tree and its state to where take_tree() looks for it. Another of that name makes room.
bool put_up(const os::Path& trees, const std::string& name, const os::Path& root, const os::Path& state_file) {
  const os::Path fresh = trees / (std::string(unfinished) + random_name(12)), place = trees / name;
  const os::Path old = trees / (std::string(unfinished) + random_name(12));
  if (!os::make_dirs(trees, 0700) || !is_ours(trees) || !os::make_dirs(fresh, 0700)) return false;
  const bool is_made = ::rename(state_file.c_str(), (fresh / "state").c_str()) == 0 &&
                       ::rename(root.c_str(), (fresh / "tree").c_str()) == 0;
  const bool made_room = is_made && ::rename(place.c_str(), old.c_str()) == 0;
  const bool done = is_made && ::rename(fresh.c_str(), place.c_str()) == 0;
  if (!done) (void)os::remove_all(fresh);
  if (made_room) (void)os::remove_all(old);
  return done;
}

}  // namespace

void note_list_name(const os::Path& state_file, std::string_view list_name) {
  const os::Path file = name_file(state_file);
  if (list_name.empty() || !os::write_file(file, hex(list_name), 0600)) ::unlink(file.c_str());
}

Status keep_run(const os::Path& contents, const os::Path& root, const os::Path& state_file) {
  TRY_SET(store, "", ContentStore::open(contents));
  const auto name = os::read_file(name_file(state_file), 64).value_or("");
  const State state = State::load(state_file);
  TRY_SET(folder, "", Root::open(root));
  Tidy tidy(root, folder, state, store);
  const bool is_clean = is_hex(name, 64) && !is_in_use(root) && tidy.folder("") && tidy.files() > 0;
  const os::Path trees = trees_of(contents);
  if (is_clean && put_up(trees, name, root, state_file)) {
    // A run that takes the tree meanwhile is not disturbed: what is read is hashed, and a file that is gone is skipped.
    for (const std::string& path : tidy.not_stored()) {
      const auto file = folder.open_file(path);
      const auto known = state.find(path);
      if (file && known) (void)store.offer(file->get(), known->sha256, known->size);
    }
    remove_old_trees(trees);
  } else {
    TRY("", keep_contents(store, root, state_file));
  }
  return store.trim(store.usual_limit());
}

bool take_tree(const os::Path& contents, std::string_view list_name, Root& root, const os::Path& state_file) {
  const os::Path trees = trees_of(contents), place = trees / hex(list_name);
  const auto standing = root.names("");
  if (!standing || !standing->empty() || os::exists(state_file) || !is_ours(trees)) return false;
  const os::Path taken = trees / (std::string(unfinished) + random_name(12));
  if (::rename(place.c_str(), taken.c_str()) < 0) return false;
  // First what is remembered: what it knows of and is not there is sent; what it did not know of would stay for good.
  const bool is_taken = ::rename((taken / "state").c_str(), state_file.c_str()) == 0;
  const os::Path tree = taken / "tree";
  if (const auto names = os::list_dir(tree); is_taken && names) {
    for (const std::string& name : *names)
      (void)::renameat2(AT_FDCWD, (tree / name).c_str(), root.fd(), name.c_str(), RENAME_NOREPLACE);
  }
  (void)os::remove_all(taken);
  return is_taken;
}

}  // namespace ferry::sync
