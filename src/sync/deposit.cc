#include "sync/deposit.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "base/units.h"
#include "sync/content.h"
#include "sync/manifest.h"

namespace ferry::sync {

namespace {

constexpr std::uint32_t folder_mode = 0755;

/// The entries sorted, and before each the folders that it lies in.
Result<std::vector<Entry>> with_folders(std::vector<Entry> entries) {
  sort_by_path(entries);
  std::map<std::string, Entry> all;
  for (const Entry& entry : entries) {
    for (auto slash = entry.path.find('/'); slash != std::string::npos; slash = entry.path.find('/', slash + 1)) {
      const auto folder = entry.path.substr(0, slash);
      all.try_emplace(folder, Entry{.path = folder, .type = Type::folder, .mode = folder_mode});
    }
  }
  for (Entry& entry : entries) {
    auto path = entry.path;
    if (!all.try_emplace(std::move(path), std::move(entry)).second)
      return fail(Kind::corrupt, "the list names a path twice");
  }
  std::vector<Entry> list;
  for (auto& [path, entry] : all) {
    TRY("", check_entry(list, entry));
    if (entry.type == Type::file && entry.sha256.size() != 32) return fail(Kind::bug, "a file without its SHA-256");
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace

Deposit::Deposit(Root root, std::vector<Entry> entries, const ReceiveOptions& options)
    : root_(std::make_unique<Root>(std::move(root))),
      options_(options),
      entries_(std::move(entries)),
      before_(std::make_unique<State>(State::load(options.state_file))),
      now_(*before_),
      placer_(std::make_unique<Placer>(*root_, *before_, options.without_mode)) {}

Result<Deposit> Deposit::open(const os::Path& root, std::vector<Entry> entries, const ReceiveOptions& options) {
  TRY_SET(list, "", with_folders(std::move(entries)));
  TRY("", os::make_dirs(root, 0777 & ~options.without_mode.value_or(0)));
  TRY_SET(opened, "", Root::open(root));
  opened.may_open_up(true);
  Deposit deposit(std::move(opened), std::move(list), options);
  TRY("", deposit.begin());
  return deposit;
}

Status Deposit::begin() {
  TRY("", placer_->begin());
  const auto name = root_->shown(incoming_folder);
  if (::mkdirat(root_->fd(), incoming_folder, 0700) < 0 && errno != EEXIST) return fail_errno("make " + name);
  incoming_ = os::Fd(::openat(root_->fd(), incoming_folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!incoming_) return fail_errno("open " + name);
  if (::flock(incoming_.get(), LOCK_EX | LOCK_NB) == 0) return {};
  if (errno != EWOULDBLOCK) return fail_errno("lock " + name);
  return fail(Kind::conflict, "another ferry is bringing files to " + root_->shown(""), {}, "wait for it");
}

std::string Deposit::incoming_name(std::size_t index) const {
  return hex(sha256((entries_[index].path + '\0').append(entries_[index].sha256)));
}

os::Path Deposit::incoming(std::size_t index) const {
  return "/proc/self/fd/" + std::to_string(incoming_.get()) + "/" + incoming_name(index);
}

Result<std::vector<std::size_t>> Deposit::compare() {
  std::vector<std::size_t> wanted;
  std::uint64_t bytes = 0, replaced = 0;
  std::string buffer;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (options_.cancelled && options_.cancelled()) return fail(Kind::cancelled, "stopped while files were compared");
    const Entry& entry = entries_[i];
    const auto now = root_->look(entry.path);
    if (!now && now.error().kind != Kind::not_found) return tl::unexpected<Error>(now.error());
    if (now) TRY("", placer_->check(entry, *now));
    if (entry.type != Type::file) continue;
    const bool is_file = now && now->is == Standing::Is::file;
    if (is_file && now->size == entry.size) {
      const auto known = before_->hash_of(entry.path, *now);
      const auto hashed =
          known ? Result<Hashed>(Hashed{.sha256 = *known, .stable = true}) : hash_file(*root_, entry.path, buffer);
      if (hashed && hashed->stable && hashed->sha256 == entry.sha256) continue;
    }
    wanted.push_back(i);
    bytes += entry.size;
    if (is_file) replaced += now->size;
    struct stat made;
    if (::fstatat(incoming_.get(), incoming_name(i).c_str(), &made, AT_SYMLINK_NOFOLLOW) == 0)
      replaced += static_cast<std::uint64_t>(made.st_size);
  }
  const auto room = os::free_space(root_->shown(""));
  if (bytes > replaced && bytes - replaced > room) {
    return fail(Kind::disk_full,
                fmt::format("not enough space in {}: {} are to come, {} are free", root_->shown(""), show_bytes(bytes),
                            show_bytes(room)),
                {}, "free some space there, and try again");
  }
  // Should we be killed in the middle, what was placed counts as received.
  for (const std::size_t index : wanted) {
    const Entry& entry = entries_[index];
    now_.note(entry.path, Record{.type = Type::file, .size = entry.size, .sha256 = entry.sha256});
  }
  if (!wanted.empty()) (void)now_.save(options_.state_file);
  TRY("", make_folders());
  return wanted;
}

Status Deposit::make_folders() {
  for (const Entry& entry : entries_) {
    if (entry.type != Type::folder) continue;
    TRY_SET(made, "", placer_->make_folder(entry));
    now_.note(entry.path, Record{.type = Type::folder});
    if (!made) continue;
    TRY_SET(at, "", root_->place(entry.path));
    TRY("", set_mode(at.folder, at.name, placer_->allowed_mode(entry)));
  }
  return {};
}

Status Deposit::place(std::size_t index) {
  const Entry& entry = entries_[index];
  TRY_SET(marks, "", placer_->place_made(incoming_.get(), incoming_name(index), entry));
  if (marks.size != entry.size)
    return fail(Kind::corrupt, "a file was changed before it was in its place: " + entry.path);
  return {};
}

Result<std::vector<std::string>> Deposit::finish() {
  std::vector<std::string> notes;
  for (const Entry& entry : entries_) {
    if (entry.type == Type::folder) continue;
    if (entry.type == Type::link) {
      TRY("", placer_->make_link(entry));
      now_.note(entry.path, Record{.type = Type::link, .sha256 = sha256(entry.target)});
      continue;
    }
    auto marks = root_->look(entry.path);
    if (!marks || marks->is != Standing::Is::file || marks->size != entry.size) {
      notes.push_back("changed here while files were moving: " + printable(entry.path));
      continue;
    }
    const auto mode = placer_->allowed_mode(entry);
    if (marks->mode != mode || marks->mtime_ns != entry.mtime_ns) {
      TRY_SET(at, "", root_->place(entry.path));
      (void)set_mode(at.folder, at.name, mode);
      (void)set_mtime(at.folder, at.name, entry.mtime_ns);
      marks = root_->look(entry.path);
    }
    if (marks) now_.note_file(entry.path, *marks, entry.sha256, file_clock_ns());
  }
  placer_->end();
  ::unlinkat(root_->fd(), incoming_folder, AT_REMOVEDIR);  // what a broken transfer left there stays
  TRY("", flush_to_disk(*root_));
  if (const auto saved = now_.save(options_.state_file); !saved)
    notes.push_back("the next time every file is read again: " + saved.error().what);
  return notes;
}

}  // namespace ferry::sync
