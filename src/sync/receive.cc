#include "sync/receive.h"

#include <algorithm>
#include <future>
#include <thread>

#include "base/hash.h"
#include "base/text.h"
#include "base/units.h"
#include "sync/content.h"

namespace ferry::sync {

namespace {

constexpr auto between_reports = std::chrono::milliseconds(50);
constexpr auto past_the_tick = std::chrono::milliseconds(25);  // of the file clock, see State::note_file()
constexpr std::uint64_t worth_a_look = std::uint64_t{1} << 20;

}  // namespace

Receiver::Receiver(int in, int out, os::Path root, const ReceiveOptions& options)
    : root_path_(std::move(root)), options_(options), channel_(in, out, options.cancelled, options.silence) {}

Result<Report> Receiver::run() {
  auto done = converse();
  if (!done && done.error().kind == Kind::lost && intake_) {
    // What came before is taken in, or has something to say.
    const auto taken = collect(true);
    if (!taken && taken.error().kind != Kind::lost) done = tl::unexpected<Error>(taken.error());
  }
  intake_.reset();
  if (done) return done;
  if (placer_) remember();
  placer_.reset();
  parts_.leave();
  Error error = channel_.last_words(std::move(done).error());
  if (!peer_failed_ && error.kind != Kind::lost) channel_.tell(error);
  return tl::unexpected(std::move(error));
}

Result<Report> Receiver::converse() {
  TRY("", channel_.greet());
  TRY("", open_root());
  TRY("", read_list());
  take_kept_tree();
  before_ = State::load(options_.state_file);
  now_ = before_;
  parts_ = Parts::open(options_.state_file, *root_);
  placer_.emplace(*root_, before_, options_.without_mode);
  TRY("", compare());
  TRY("", placer_->begin());
  intake_.emplace(*root_, *placer_, parts_, options_.content_store);
  TRY("", ask());
  TRY("", intake_->start());
  TRY("", make_folders());
  TRY("", make_here());
  TRY("", take_files());
  while (may_ask_again()) {
    if (rounds_ == most_rounds) return fail(Kind::corrupt, "the sender never sends what it was asked for");
    TRY("", ask());
    TRY("", take_files());
  }
  TRY("", make_links());
  TRY("", remove_old());
  placer_->end();
  TRY("", settle());
  TRY("", confirm());
  show(true);
  return report();
}

Status Receiver::open_root() {
  TRY("", os::make_dirs(root_path_));
  TRY_SET(root, "", Root::open(root_path_));
  root_ = std::move(root);
  root_->may_open_up(true);
  return {};
}

Result<char> Receiver::next_letter() {
  TRY_SET(letter, "", channel_.letter());
  if (letter != 'E') return letter;
  peer_failed_ = true;
  TRY_SET(theirs, "", channel_.error());
  return tl::unexpected(std::move(theirs));
}

Status Receiver::compare() {
  std::uint64_t replaced = 0;
  std::vector<std::uint32_t> missing;
  std::string absent;  // a folder, with "/": nothing that lies in it is looked for
  Entry entry;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    TRY("", channel_.beat());
    entries_.get(i, entry);
    if (entry.unsettled) continue;  // what is here of it stays
    const bool is_absent = !absent.empty() && entry.path.starts_with(absent);
    if (is_absent && entry.type == Type::file) missing.push_back(static_cast<std::uint32_t>(i));
    if (is_absent) continue;
    const auto now = root_->look(entry.path);
    if (now) TRY("", placer_->check(entry, *now));
    if (!now && now.error().kind != Kind::not_found) return tl::unexpected(now.error());
    if (!now && entry.type == Type::folder) absent = entry.path + "/";
    if (entry.type != Type::file) continue;
    TRY_SET(here, "", now ? stands_here(i, entry, *now) : Result<bool>(false));
    if (here) continue;
    missing.push_back(static_cast<std::uint32_t>(i));
    if (now && now->is == Standing::Is::file) replaced += now->size;
  }
  TRY("", check_space(missing, replaced));
  plan(missing);
  note_intents(missing);
  return {};
}

/// Times are as they were set, but where the file system keeps coarser ones.
void Receiver::note_mtime(std::size_t index, std::int64_t mtime_ns) {
  if (mtime_ns != entries_.mtime_ns(index)) {
    mtimes_[index] = mtime_ns;
  } else if (!mtimes_.empty()) {
    mtimes_.erase(index);
  }
}

std::int64_t Receiver::mtime_of(std::size_t index, const Entry& entry) const {
  const auto other = mtimes_.find(index);
  return other == mtimes_.end() ? entry.mtime_ns : other->second;
}

Result<bool> Receiver::stands_here(std::size_t index, const Entry& entry, const Standing& now) {
  if (now.is != Standing::Is::file || now.size != entry.size) return false;
  note_mtime(index, now.mtime_ns);
  if (const auto known = before_.hash_of(entry.path, now)) return *known == entry.sha256;
  const auto hashed = hash_file(*root_, entry.path, buffer_,
                                {.sink = [&](std::string_view, std::uint64_t) { return channel_.beat(); }});
  TRY("", channel_.check_cancelled());
  if (!hashed || !hashed->stable || hashed->sha256 != entry.sha256) return false;
  note_mtime(index, hashed->marks.mtime_ns);
  changed_ = true;  // it may come from a sync that was cut off before it was on disk
  return true;
}

Status Receiver::check_space(const std::vector<std::uint32_t>& missing, std::uint64_t replaced) {
  std::uint64_t wanted = 0;
  auto sparse = sparse_.begin();
  for (const std::uint32_t index : missing) {
    while (sparse != sparse_.end() && sparse->first < index) ++sparse;
    const bool has_holes = sparse != sparse_.end() && sparse->first == index;
    wanted += has_holes ? std::min(sparse->second, entries_.bytes(index)) : entries_.bytes(index);
  }
  const std::uint64_t free = os::free_space(root_path_);
  if (wanted <= replaced || wanted - replaced <= free) return {};
  return fail(Kind::disk_full,
              "not enough space in " + root_->shown("") + ": " + show_bytes(wanted) + " are to come, " +
                  show_bytes(free) + " are free",
              {}, "free some space there, or ask for a larger disk, and try again");
}

/// Remembers what is about to be placed, so that it counts as received even if we are killed in the middle.
void Receiver::note_intents(const std::vector<std::uint32_t>& missing) {
  Entry entry;
  for (const std::uint32_t index : missing) {
    entries_.get(index, entry);
    now_.note(entry.path, Record{.type = Type::file, .size = entry.size, .sha256 = entry.sha256});
  }
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_.type(i) == Type::folder) now_.note(entries_.path(i), Record{.type = Type::folder});
  }
  if (!missing.empty()) (void)now_.save(options_.state_file);
}

Status Receiver::make_folders() {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_.type(i) != Type::folder) continue;
    TRY_SET(made, "", placer_->make_folder(entries_[i]));
    changed_ = changed_ || made;
  }
  return {};
}

Status Receiver::make_links() {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_.type(i) != Type::link) continue;
    TRY("", channel_.check_cancelled());
    TRY_SET(made, "", placer_->make_link(entries_[i]));
    changed_ = changed_ || made;
  }
  return {};
}

Status Receiver::remove_old() {
  if (!options_.mirror) return {};
  std::vector<std::pair<std::string, Type>> gone;
  std::size_t next = 0;
  Entry listed;
  if (entries_.size() > 0) entries_.get(0, listed);
  TRY("", before_.each([&](std::string_view path, const Record& record) -> Status {
    while (next < entries_.size() && listed.path < path) {
      if (++next < entries_.size()) entries_.get(next, listed);
    }
    if (next == entries_.size() || listed.path != path) gone.emplace_back(path, record.type);
    return {};
  }));
  for (auto old = gone.rbegin(); old != gone.rend(); ++old) {
    const auto& [path, type] = *old;
    TRY_SET(removed, "", placer_->remove_received(path, type));
    if (!removed && type != Type::folder) notes_.push_back("kept, because it was changed here: " + printable(path));
    now_.drop(path);
    changed_ = true;
  }
  return {};
}

Status Receiver::settle() {
  Entry entry;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_.type(i) == Type::folder) continue;
    entries_.get(i, entry);
    if (entry.type == Type::file) TRY("", settle_file(i, entry));
    if (entry.type == Type::link) settle_link(entry);
  }
  for (std::size_t i = entries_.size(); i > 0; --i) {
    if (entries_.type(i - 1) == Type::folder) settle_folder(entries_[i - 1]);
  }
  return {};
}

void Receiver::settle_link(const Entry& entry) {
  // Some file systems keep no times for links.
  if (const auto at = root_->place(entry.path)) (void)set_mtime(at->folder, at->name, entry.mtime_ns);
  now_.note(entry.path, Record{.type = Type::link, .sha256 = sha256(entry.target)});
}

Status Receiver::settle_file(std::size_t index, const Entry& entry) {
  if (entry.sha256.empty()) return {};  // left out by the sender, or unsettled
  auto marks = root_->look(entry.path);
  if (!marks || marks->is != Standing::Is::file || marks->size != entry.size ||
      marks->mtime_ns != mtime_of(index, entry)) {
    notes_.push_back("changed here while files were moving: " + printable(entry.path));
    now_.note(entry.path, Record{.type = Type::file, .size = entry.size, .sha256 = entry.sha256});
    return {};
  }
  const std::uint32_t mode = placer_->allowed_mode(entry);
  if (marks->mode != mode || marks->mtime_ns != entry.mtime_ns) {
    TRY_SET(at, "", root_->place(entry.path));
    const bool adjusted =
        (marks->mode == mode || set_mode(at.folder, at.name, mode)) && set_mtime(at.folder, at.name, entry.mtime_ns);
    if (!adjusted) notes_.push_back("mode or time could not be set: " + printable(entry.path));
    marks = root_->look(entry.path);
    changed_ = true;
  }
  if (!marks) return {};
  const Record record = file_record(*marks, entry.sha256, file_clock_ns());
  if (record.inode == 0 && entry.size >= worth_a_look) fresh_.push_back(index);
  now_.note(entry.path, record);
  return {};
}

/// Of large files the marks are worth a wait, if the flush was not long enough: by them the next sync knows of what it
/// may be a continuation.
void Receiver::settle_marks() {
  if (fresh_.empty()) return;
  std::int64_t changed_ns = 0;
  for (const std::size_t index : fresh_) {
    if (const auto marks = root_->look(entries_.path(index))) changed_ns = std::max(changed_ns, marks->ctime_ns);
  }
  const auto since = std::chrono::nanoseconds(file_clock_ns() - changed_ns);
  if (since < past_the_tick)
    std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(past_the_tick - since, past_the_tick));
  for (const std::size_t index : fresh_) {
    const Entry entry = entries_[index];
    const auto marks = root_->look(entry.path);
    if (marks && marks->size == entry.size && marks->mtime_ns == entry.mtime_ns)
      now_.note_file(entry.path, *marks, entry.sha256, file_clock_ns());
  }
}

void Receiver::settle_folder(const Entry& entry) {
  now_.note(entry.path, Record{.type = Type::folder});
  const auto marks = root_->look(entry.path);
  const auto at = root_->place(entry.path);
  if (!marks || !at) return;
  const std::uint32_t mode = placer_->allowed_mode(entry);
  if (marks->mode == mode && marks->mtime_ns == entry.mtime_ns) return;
  if (!set_mtime(at->folder, at->name, entry.mtime_ns) || !set_mode(at->folder, at->name, mode)) {
    notes_.push_back("mode or time could not be set: " + printable(entry.path));
  }
}

Status Receiver::confirm() {
  if (changed_) {
    // A slow disk with much to write may need minutes.
    auto flushed = std::async(std::launch::async, [&] { return flush_to_disk(*root_); });
    Status told;
    while (told && flushed.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready)
      told = channel_.beat();
    TRY("", flushed.get());
    TRY("", std::move(told));
  }
  settle_marks();
  remember();
  keep_list();
  parts_.clear();
  channel_.put("D");
  put_notes(channel_, notes_);
  return channel_.flush();
}

/// What is remembered only saves work, so a failure must not spoil files that arrived.
void Receiver::remember() {
  const auto saved = now_.save(options_.state_file);
  if (!saved) notes_.push_back("the next sync will read every file again: " + saved.error().what);
}

void Receiver::show(bool always) {
  if (!options_.progress) return;
  const auto now = std::chrono::steady_clock::now();
  if (!always && now - shown_ < between_reports) return;
  shown_ = now;
  progress_.wire_bytes = channel_.bytes_received();
  options_.progress(progress_);
}

Report Receiver::report() {
  std::vector<std::string> unsettled;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_.is_unsettled(i)) unsettled.push_back(entries_.path(i));
  }
  Report made{.files_moved = progress_.files_done,
              .bytes_moved = progress_.bytes_done,
              .wire_bytes = channel_.bytes_received()};
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const bool is_file = entries_.type(i) == Type::file && !entries_.sha256(i).empty();
    made.files += is_file ? 1 : 0;
    made.bytes += is_file ? entries_.bytes(i) : 0;
  }
  made.unsettled = std::move(unsettled);
  made.left_out = std::move(left_out_);
  made.notes = std::move(senders_notes_);
  made.notes.insert(made.notes.end(), notes_.begin(), notes_.end());
  if (!options_.forgets_entries) made.entries = entries_.take();
  return made;
}

Result<Report> receive_tree(int in, int out, const os::Path& root, const ReceiveOptions& options) {
  return Receiver(in, out, root, options).run();
}

}  // namespace ferry::sync
