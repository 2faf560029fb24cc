#include "sync/place.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/hash.h"
#include "base/text.h"
#include "sync/content.h"
#include "sync/manifest.h"

namespace ferry::sync {

namespace {

/// Runs a call that returns -1 and errno; if the folder forbids it, gives us access and tries once more.
template <class Call>
int with_access(int folder, Call call) {
  int done = call();
  if (done < 0 && errno == EACCES) {
    struct stat info;
    if (::fstat(folder, &info) < 0 || ::fchmod(folder, (info.st_mode & 07777) | 0700) < 0) {
      errno = EACCES;
      return -1;
    }
    done = call();
  }
  return done;
}

bool fits(Type type, Standing::Is is) {
  return (type == Type::file && is == Standing::Is::file) || (type == Type::folder && is == Standing::Is::folder) ||
         (type == Type::link && is == Standing::Is::link);
}

auto in_the_way(const std::string& shown, const std::string& what) {
  return fail(Kind::conflict, what + " is in the way: " + shown,
              "it was made there, not brought by a sync, and would be lost",
              "move it away or remove it, then try again");
}

}  // namespace

Placer::Placer(Root& root, const Placer& first, int number)
    : root_(root),
      received_(first.received_),
      without_mode_(first.without_mode_),
      number_(number),
      temp_name_(first.temp_name_),
      temp_at_(first.temp_at_) {}

Status Placer::begin() {
  TRY("", sweep());
  temp_name_ = std::string(temp_prefix) + random_name(8);
  if (::mkdirat(root_.fd(), temp_name_.c_str(), 0700) < 0) return fail_errno("make a folder in " + root_.shown(""));
  temp_ = os::Fd(::openat(root_.fd(), temp_name_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!temp_ || ::flock(temp_.get(), LOCK_EX | LOCK_NB) < 0) return fail_errno("open " + root_.shown(temp_name_));
  temp_at_ = temp_.get();
  return {};
}

void Placer::end() {
  if (temp_name_.empty()) return;
  if (number_ == 0) remove_temp(root_.fd(), temp_.get(), temp_name_);
  temp_name_.clear();
  temp_.reset();
}

void Placer::remove_temp(int root, int folder, const std::string& name) {
  for (const std::string& inside : names_in(folder).value_or(std::vector<std::string>()))
    ::unlinkat(folder, inside.c_str(), 0);
  ::unlinkat(root, name.c_str(), AT_REMOVEDIR);
}

Status Placer::sweep() {
  TRY_SET(names, "", root_.names(""));
  for (const std::string& name : names) {
    if (!is_temp(name)) continue;
    const os::Fd stale(::openat(root_.fd(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!stale || ::flock(stale.get(), LOCK_EX | LOCK_NB) < 0) continue;  // a living receiver's
    if (name == incoming_folder) {
      ::unlinkat(root_.fd(), name.c_str(), AT_REMOVEDIR);  // only if there is nothing in it
    } else {
      remove_temp(root_.fd(), stale.get(), name);
    }
  }
  return {};
}

bool Placer::is_as_received(const std::string& path, const Standing& now) {
  const auto known = received_.find(path);
  if (!known || !fits(known->type, now.is)) return false;
  if (now.is == Standing::Is::folder) return true;
  if (now.is == Standing::Is::link) {
    const auto target = root_.read_link(path);
    return target && sha256(*target) == known->sha256;
  }
  if (received_.hash_of(path, now)) return true;
  if (known->size != now.size) return false;
  const auto hashed = hash_file(root_, path, buffer_);
  return hashed && hashed->sha256 == known->sha256;
}

Result<std::vector<std::pair<std::string, Standing>>> Placer::below(const std::string& path) {
  std::vector<std::pair<std::string, Standing>> found;
  std::vector<std::string> folders{path};
  while (!folders.empty()) {
    const std::string folder = std::move(folders.back());
    folders.pop_back();
    TRY_SET(names, "", root_.names(folder));
    for (const std::string& name : names) {
      std::string one = folder + "/" + name;
      TRY_SET(standing, "", root_.look(one));
      if (standing.is == Standing::Is::folder) folders.push_back(one);
      found.emplace_back(std::move(one), standing);
    }
  }
  return found;
}

Status Placer::check(const Entry& entry, const Standing& now) {
  if (fits(entry.type, now.is) || now.is == Standing::Is::link) return {};
  if (now.is != Standing::Is::folder) {
    if (entry.type != Type::folder || is_as_received(entry.path, now)) return {};
    return in_the_way(root_.shown(entry.path), "a file");
  }
  TRY_SET(content, "", below(entry.path));
  for (const auto& [path, standing] : content) {
    if (!is_as_received(path, standing))
      return in_the_way(root_.shown(path), standing.is == Standing::Is::folder ? "a folder" : "a file");
  }
  return {};
}

/// Removes a folder whose content check() found to be replaceable.
Status Placer::clear_folder(const std::string& path) {
  TRY_SET(content, "", below(path));
  for (auto one = content.rbegin(); one != content.rend(); ++one) {
    TRY_SET(at, "", root_.place(one->first));
    const int flags = one->second.is == Standing::Is::folder ? AT_REMOVEDIR : 0;
    if (with_access(at.folder, [&] { return ::unlinkat(at.folder, at.name.c_str(), flags); }) < 0) {
      return fail_errno("remove " + root_.shown(one->first));
    }
  }
  root_.forget();
  TRY_SET(at, "", root_.place(path));
  if (with_access(at.folder, [&] { return ::unlinkat(at.folder, at.name.c_str(), AT_REMOVEDIR); }) < 0) {
    return fail_errno("remove " + root_.shown(path));
  }
  return {};
}

/// What stands where `entry` should and cannot be replaced by a rename is removed, if that is allowed.
Status Placer::make_room(const Entry& entry) {
  const auto now = root_.look(entry.path);
  if (!now || fits(entry.type, now->is)) return {};
  TRY("", check(entry, *now));
  if (now->is == Standing::Is::folder) return clear_folder(entry.path);
  if (entry.type != Type::folder) return {};
  root_.forget();
  TRY_SET(at, "", root_.place(entry.path));
  if (with_access(at.folder, [&] { return ::unlinkat(at.folder, at.name.c_str(), 0); }) < 0) {
    return fail_errno("remove " + root_.shown(entry.path));
  }
  return {};
}

Result<bool> Placer::make_folder(const Entry& entry) {
  const auto now = root_.look(entry.path);
  if (now && now->is == Standing::Is::folder) return false;
  TRY("", make_room(entry));
  TRY_SET(at, "", root_.place(entry.path));
  if (with_access(at.folder, [&] { return ::mkdirat(at.folder, at.name.c_str(), 0700); }) < 0) {
    return fail_errno("make folder " + root_.shown(entry.path));
  }
  return true;
}

Status Placer::move_into_place(const Entry& entry, int from, const char* name) {
  const auto move = [&](const Root::Place& at) {
    return with_access(at.folder, [&] { return ::renameat(from, name, at.folder, at.name.c_str()); });
  };
  TRY_SET(at, "", root_.place(entry.path));
  if (move(at) == 0) return {};
  if (errno != EISDIR && errno != ENOTEMPTY && errno != EEXIST) return fail_errno("place " + root_.shown(entry.path));
  TRY("", make_room(entry));
  TRY_SET(again, "", root_.place(entry.path));
  if (move(again) < 0) return fail_errno("place " + root_.shown(entry.path));
  return {};
}

Result<bool> Placer::make_link(const Entry& entry) {
  const auto now = root_.look(entry.path);
  if (now && now->is == Standing::Is::link) {
    const auto target = root_.read_link(entry.path);
    if (target && *target == entry.target) return false;
  }
  const std::string name = new_name();
  if (::symlinkat(entry.target.str().c_str(), temp_at_, name.c_str()) < 0)
    return fail_errno("make link " + root_.shown(entry.path));
  TRY("", move_into_place(entry, temp_at_, name.c_str()));
  return true;
}

Result<Placer::NewFile> Placer::new_file(const Entry& entry) {
  NewFile made;
  made.folder = temp_at_;
  made.name = new_name();
  constexpr int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  made.fd = os::Fd(::openat(made.folder, made.name.c_str(), flags, allowed_mode(entry) & 0777));
  if (!made.fd) return fail_errno("make a file in " + root_.shown(temp_name_));
  return made;
}

Result<Standing> Placer::place_file(const NewFile& file, const Entry& entry) {
  return place_open(file.fd.get(), file.folder, file.name.c_str(), entry);
}

Result<Standing> Placer::place_made(int from, const std::string& name, const Entry& entry) {
  const os::Fd file(::openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return fail_errno("open what was made for " + root_.shown(entry.path));
  return place_open(file.get(), from, name.c_str(), entry);
}

Result<Standing> Placer::place_open(int file, int from, const char* name, const Entry& entry) {
  TRY("", set_mtime(file, entry.mtime_ns));
  TRY_SET(marks, "", standing_of(file));
  if (const auto mode = allowed_mode(entry); marks.mode != mode) {
    if (::fchmod(file, mode) < 0) return fail_errno("chmod " + root_.shown(entry.path));
    marks.mode = mode;
  }
  TRY("", move_into_place(entry, from, name));
  return marks;
}

Result<bool> Placer::remove_received(const std::string& path, Type type) {
  const auto now = root_.look(path);
  if (!now) return true;
  if (!is_as_received(path, *now)) return false;
  if (type == Type::folder) root_.forget();
  TRY_SET(at, "", root_.place(path));
  const int flags = type == Type::folder ? AT_REMOVEDIR : 0;
  if (with_access(at.folder, [&] { return ::unlinkat(at.folder, at.name.c_str(), flags); }) == 0) return true;
  if (errno == ENOTEMPTY || errno == EEXIST) return false;
  return fail_errno("remove " + root_.shown(path));
}

}  // namespace ferry::sync
