#include "agent/store_keeper.h"

#include <algorithm>
#include <thread>

#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"
#include "store/content.h"

namespace ferry::agent {
namespace {

using store::FileKind;

constexpr std::size_t most_restless_shown = 3;

/// Joins threads however their scope is left.
struct Threads {
  std::vector<std::thread> all;
  ~Threads() {
    for (auto& one : all) one.join();
  }
};

bool is_file(FileKind kind) { return kind == FileKind::output || kind == FileKind::checkpoint; }

/// How often a manifest is put while the machine is taken back.
constexpr Millis hurried_commit{1'000};
/// A large manifest takes at most one part of so many of the time.
constexpr std::int64_t commit_share = 5;

/// The folder whose files belong together: the first whose name has a number in it, else the one the file is in.
struct Unit {
  std::string folder;
  bool is_numbered = false;
};
Unit unit_of(const std::string& path) {
  const auto end = path.rfind('/');
  for (std::size_t at = 0; end != path.npos && at <= end;) {
    const auto stop = path.find('/', at);
    const std::string_view name = std::string_view(path).substr(at, stop - at);
    if (name.find_first_of("0123456789") != name.npos) return {path.substr(0, stop), true};
    at = stop + 1;
  }
  return {end == path.npos ? "" : path.substr(0, end), false};
}

}  // namespace

StoreKeeper::StoreKeeper(KeeperOptions options) : options_(std::move(options)), log_(options_.dir / "log") {}

void StoreKeeper::hurry(const Notice& notice) {
  if (!notice_) options_.commit_every = std::min(options_.commit_every, hurried_commit);
  notice_ = notice;
}

Status StoreKeeper::pass() {
  TRY("", take_up());
  TRY_SET(now, "look for what is new", look_for({}));
  TRY("", note_hurry());
  TRY("", add_log(false));
  TRY("", put_all(now));
  TRY("", add_log(false));
  return commit_all(now, false, false);
}

Status StoreKeeper::commit_all(const StoreFiles& now, bool complete, bool at_the_end) {
  const Entries before = committed_;
  const auto commits = commits_;
  TRY("", commit(notice_ ? whole_folders(now) : entries_of(now), complete));
  if (commits != commits_ || at_the_end) remove_replaced(before, at_the_end);
  return {};
}

Result<StoreKeeper::End> StoreKeeper::last_pass(const JobStatus& done, bool open_up) {
  TRY("", take_up());
  auto looked = look_for({.last = true,
                          .killed_ms = notice_ && done.killed ? done.ended_ms : 0,
                          .open_up = open_up,
                          .run_began_ms = done.run_started_ms});
  StoreFiles now;
  if (looked) {
    now = *std::move(looked);
  } else {
    now.left_out.push_back(looked.error().what);  // what there was stays, and so does the machine
  }
  TRY("", note_hurry());
  TRY("", add_log(true));
  if (notice_) {
    TRY("", note_end(done));
    TRY("", commit_what_is_new(now));
  }
  TRY("", put_all(now));
  TRY("", note_end(done));
  TRY("", commit_all(now, now.left_out.empty() && restless_.empty(), true));
  if (!restless_.empty()) {
    return fail(
        Kind::corrupt, "some files changed while they were stored",
        join(first_few(std::vector<std::string>(restless_.begin(), restless_.end()), most_restless_shown), ", "));
  }
  return End{now.left_out};
}

Status StoreKeeper::note_end(const JobStatus& done) {
  JobStatus said = done;
  said.store = {};
  TRY_SET(end, "", put_bytes(FileKind::record, end_record, dump_json(to_json(said)) + "\n"));
  end_ = std::move(end);
  end_->mtime_ns = done.ended_ms * 1'000'000;
  return {};
}

Status StoreKeeper::note_hurry() {
  if (!notice_ || told_) return {};
  TRY_SET(told, "", put_bytes(FileKind::record, "notice.json", dump_json(to_json(*notice_)) + "\n"));
  told_ = std::move(told);
  told_->mtime_ns = notice_->time_ms * 1'000'000;
  return {};
}

Result<StoreFiles> StoreKeeper::look_for(Look look) const {
  look.hashes = options_.dir / "store.hashes";
  look.settle = options_.settle;
  options_.looking(true);
  auto found = look_for_files(options_.settings, look);
  options_.looking(false);
  return found;
}

Status StoreKeeper::take_up() {
  if (!store_) {
    TRY_SET(opened, "", options_.open());
    store_ = std::move(opened);
  }
  if (taken_up_) return {};
  TRY_SET(manifest, "", read_manifest(options_.settings.attempt));
  is_there_ = manifest.has_value();
  complete_ = manifest && manifest->complete;
  committed_.clear();
  Committed there{.made_ms = manifest ? manifest->made_ms : 0};
  if (manifest) {
    for (auto& entry : manifest->entries) {
      learn(entry);
      committed_[{entry.kind, entry.path}] = entry;
      if (!is_file(entry.kind) || !entry.link.empty()) continue;
      ++there.files;
      there.bytes += entry.bytes;
    }
  }
  log_.take_up(manifest ? manifest->entries : std::vector<store::ManifestEntry>());
  // What an attempt before stored, and this one got back, need not go again.
  for (int attempt = options_.settings.attempt - 1; attempt > 0 && !looked_for_earlier_; --attempt) {
    TRY_SET(earlier, "", read_manifest(attempt));
    if (!earlier) continue;
    for (const auto& entry : earlier->entries) learn(entry);
    break;
  }
  looked_for_earlier_ = taken_up_ = true;
  options_.committed(there);
  return {};
}

Result<std::optional<store::Manifest>> StoreKeeper::read_manifest(int attempt) {
  const auto& settings = options_.settings;
  const std::string key = store::manifest_key(settings.run, attempt, settings.rank);
  std::string text;
  auto got = store_->get(key);
  if (got) {
    text = std::move(got->bytes);
  } else if (got.error().kind == Kind::not_found) {
    return std::nullopt;
  } else if (got.error().kind == Kind::bad_input) {  // too large for memory
    const os::Path file = options_.dir / "store.manifest";
    TRY_SET(object, "", store_->get_file(key, file));
    TRY_SET(bytes, "", os::read_file(file, store::most_manifest_bytes));
    text = std::move(bytes);
    TRY("", os::remove_all(file));
  } else {
    return fail("", std::move(got).error());
  }
  auto manifest = store::parse_manifest(text);
  // One that nobody can read holds nothing: it is written anew.
  if (!manifest && manifest.error().kind == Kind::corrupt) return std::nullopt;
  if (!manifest) return fail("", std::move(manifest).error());
  return std::optional(*std::move(manifest));
}

void StoreKeeper::learn(const store::ManifestEntry& entry) {
  if (!entry.link.empty()) return;
  const std::lock_guard lock(mutex_);
  keys_.emplace(entry.sha256, entry.key);
  used_[entry.key] = entry.sha256;
}

std::string StoreKeeper::key_for(FileKind kind, const std::string& path, const std::string& sha256) const {
  const auto& settings = options_.settings;
  const auto key = [&](std::string_view name) {
    return store::file_key(settings.run, settings.attempt, settings.rank, kind, name, sha256);
  };
  std::string plain = key(path);
  const auto at = used_.find(plain);
  return at == used_.end() || at->second == sha256 ? plain : key("");
}

Status StoreKeeper::put_all(const StoreFiles& now) {
  restless_.clear();
  error_.reset();
  std::vector<const StoreFile*> small, large;
  std::set<std::string> todo;
  for (const StoreFile& file : now.files) {
    if (keys_.contains(file.content.sha256) || !todo.insert(file.content.sha256).second) continue;
    (file.content.bytes <= options_.small ? small : large).push_back(&file);
  }
  if (todo.empty()) return {};
  if (notice_) {  // as many as can be had in the time
    const auto by_size = [](const StoreFile* a, const StoreFile* b) { return a->content.bytes < b->content.bytes; };
    std::stable_sort(small.begin(), small.end(), by_size);
    std::stable_sort(large.begin(), large.end(), by_size);
  }
  std::size_t next_small = 0, next_large = 0;
  {
    Threads threads;
    const auto count = std::min(small.size(), static_cast<std::size_t>(std::max(1, options_.connections)));
    at_work_ = static_cast<int>(count) + (large.empty() ? 0 : 1);
    for (std::size_t i = 0; i < count; ++i) threads.all.emplace_back([&] { put_some(small, next_small); });
    if (!large.empty()) threads.all.emplace_back([&] { put_some(large, next_large); });
    auto& clock = os::system_clock();
    std::unique_lock lock(mutex_);
    for (Millis rest = options_.commit_every; !changed_.wait_for(lock, rest, [&] { return at_work_ == 0; });) {
      lock.unlock();
      const auto began = clock.steady_ms();
      if (add_log(false)) (void)commit_what_is_new(now);  // what fails here fails again at the end
      rest = std::max(options_.commit_every, Millis(commit_share * (clock.steady_ms() - began)));
      lock.lock();
    }
  }
  if (!error_) return {};
  if (taken_up_) (void)commit_what_is_new(now);
  return tl::unexpected(*error_);
}

void StoreKeeper::put_some(const std::vector<const StoreFile*>& files, std::size_t& next) {
  auto store = options_.open();
  while (true) {
    Status done = store ? Status() : tl::unexpected(store.error());
    const StoreFile* file = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (!error_ && next < files.size()) file = files[next++];
    }
    if (done && file) done = put_one(**store, *file);
    const std::lock_guard lock(mutex_);
    if (!done && !error_) error_ = std::move(done).error();
    if (file && !error_) continue;
    --at_work_;
    changed_.notify_all();
    return;
  }
}

Status StoreKeeper::put_one(store::Store& store, const StoreFile& file) {
  const std::string& sha = file.content.sha256;
  std::string key;
  {
    const std::lock_guard lock(mutex_);
    key = key_for(file.kind, file.path, sha);
    used_[key] = sha;
  }
  const auto put = store.put_file(key, file.from, file.content, {}, [&](std::uint64_t bytes) {
    options_.moved(bytes);
    return !options_.cut();
  });
  const std::lock_guard lock(mutex_);
  if (put) {
    keys_.emplace(sha, key);
    return {};
  }
  // It changed, or vanished, since it was hashed: it comes the next time.
  const Kind kind = put.error().kind;
  if (kind != Kind::corrupt && (kind != Kind::not_found || os::exists(file.from))) return fail("", put.error());
  restless_.insert(file.path);
  return {};
}

Result<store::ManifestEntry> StoreKeeper::put_bytes(FileKind kind, const std::string& path, std::string_view bytes) {
  const auto content = store::content_of_bytes(bytes);
  store::ManifestEntry entry{
      .path = path, .kind = kind, .bytes = content.bytes, .sha256 = content.sha256, .mode = 0600};
  {
    const std::lock_guard lock(mutex_);
    const auto known = keys_.find(content.sha256);
    entry.key = known != keys_.end() ? known->second : key_for(kind, path, content.sha256);
    if (known != keys_.end()) return entry;
    used_[entry.key] = content.sha256;
  }
  TRY_SET(version, "", store_->put(entry.key, bytes));
  options_.moved(bytes.size());
  learn(entry);
  return entry;
}

Status StoreKeeper::add_log(bool all) {
  return log_.add(all, os::system_clock().steady_ms(),
                  [&](const std::string& path, std::string_view bytes) -> Result<std::string> {
                    TRY_SET(entry, "", put_bytes(FileKind::log, path, bytes));
                    return entry.key;
                  });
}

StoreKeeper::Entries StoreKeeper::entries_of(const StoreFiles& now) const {
  Entries entries;
  for (const StoreFile& file : now.files) {
    const auto key = keys_.find(file.content.sha256);
    if (key == keys_.end()) continue;  // it is restless
    entries[{file.kind, file.path}] = {.path = file.path,
                                       .kind = file.kind,
                                       .bytes = file.content.bytes,
                                       .sha256 = file.content.sha256,
                                       .mode = file.mode,
                                       .key = key->second,
                                       .mtime_ns = file.mtime_ns};
  }
  for (const auto& link : now.links) entries[{link.kind, link.path}] = link;
  keep_old(now, entries);
  for (const auto& piece : log_.pieces()) entries[{piece.kind, piece.path}] = piece;
  for (const auto* record : {&end_, &told_}) {
    if (*record) entries[{(*record)->kind, (*record)->path}] = **record;
  }
  return entries;
}

namespace {

/// Where now a folder stands in place of the file, or the other way round, the new one wins.
template <class Entries>
bool is_in_the_way(const Entries& entries, FileKind kind, const std::string& path) {
  const auto below = entries.lower_bound({kind, path + "/"});
  if (below != entries.end() && below->first.first == kind && below->second.path.starts_with(path + "/")) return true;
  for (auto slash = path.rfind('/'); slash != path.npos; slash = slash > 0 ? path.rfind('/', slash - 1) : path.npos) {
    if (entries.contains({kind, path.substr(0, slash)})) return true;
  }
  return false;
}

}  // namespace

StoreKeeper::Entries StoreKeeper::whole_folders(const StoreFiles& now) const {
  Entries entries = entries_of(now);
  std::set<std::string> lacking;
  for (const StoreFile& file : now.files) {
    if (!keys_.contains(file.content.sha256)) lacking.insert(unit_of(file.path).folder);
  }
  if (end_) {  // else they are not yet, and are named later
    for (const auto& path : now.unsettled) lacking.insert(unit_of(path).folder);
  }
  std::erase_if(entries, [&](const auto& one) {
    const auto& [kind, path] = one.first;
    const auto unit = unit_of(path);
    return is_file(kind) && lacking.contains(unit.folder) && (unit.is_numbered || committed_.contains(one.first));
  });
  for (const auto& [name, entry] : committed_) {
    const auto& [kind, path] = name;
    if (is_file(kind) && lacking.contains(unit_of(path).folder) && !is_in_the_way(entries, kind, path))
      entries[name] = entry;
  }
  return entries;
}

void StoreKeeper::keep_old(const StoreFiles& now, Entries& entries) const {
  const bool all = !now.tells_what_vanished();
  for (const auto& [name, entry] : committed_) {
    const std::string& path = entry.path;
    if (!is_file(entry.kind) || entries.contains(name)) continue;
    if (!all && !now.unsettled.contains(path) && !restless_.contains(path)) continue;
    if (!is_in_the_way(entries, entry.kind, path)) entries[name] = entry;
  }
}

Status StoreKeeper::commit_what_is_new(const StoreFiles& now) {
  Entries entries;
  {
    const std::lock_guard lock(mutex_);
    entries = notice_ ? whole_folders(now) : entries_of(now);
  }
  if (notice_) return commit(std::move(entries), complete_);
  // What is written anew waits for the pass's end. (Where now a folder stands in place of a file, no manifest can have
  // both, and this fails.)
  for (const auto& [name, entry] : committed_) {
    if (entry.kind != FileKind::log) entries[name] = entry;
  }
  return commit(std::move(entries), complete_);
}

Status StoreKeeper::commit(Entries entries, bool complete) {
  if (is_there_ ? complete == complete_ && entries == committed_ : entries.empty() && !complete) return {};
  const auto& settings = options_.settings;
  store::Manifest manifest{.run = settings.run,
                           .attempt = settings.attempt,
                           .rank = settings.rank,
                           .made_ms = os::system_clock().now_ms(),
                           .complete = complete};
  Committed told{.made_ms = manifest.made_ms};
  for (const auto& [name, entry] : entries) {
    manifest.entries.push_back(entry);
    if (!is_file(entry.kind) || !entry.link.empty()) continue;
    ++told.files;
    told.bytes += entry.bytes;
  }
  TRY_SET(text, "", store::manifest_text(std::move(manifest)));
  const std::string key = store::manifest_key(settings.run, settings.attempt, settings.rank);
  taken_up_ = false;  // until it is known to be there: a lost answer may be that of a put that was made
  if (text.size() <= store::most_small) {
    TRY_SET(version, "", store_->put(key, text));
  } else {
    const os::Path file = options_.dir / "store.manifest";
    TRY("", os::write_file(file, text, 0600));
    TRY_SET(version, "", store_->put_file(key, file, store::content_of_bytes(text)));
    TRY("", os::remove_all(file));
  }
  taken_up_ = is_there_ = true;
  complete_ = complete;
  committed_ = std::move(entries);
  ++commits_;
  options_.committed(told);
  return {};
}

void StoreKeeper::remove_replaced(const Entries& before, bool at_the_end) {
  const auto& settings = options_.settings;
  const std::string own = store::rank_prefix(settings.run, settings.attempt, settings.rank);
  std::set<std::string> named;
  for (const auto& [name, entry] : committed_) named.insert(entry.key);
  const auto is_over = [&](const std::string& key) { return key.starts_with(own) && !named.contains(key); };
  std::erase_if(keys_, [&](const auto& one) { return is_over(one.second); });
  std::erase_if(used_, [&](const auto& one) { return is_over(one.first); });
  std::vector<std::string> over = std::exchange(replaced_, {});
  for (const auto& [name, entry] : before) {
    if (is_file(entry.kind) && is_over(entry.key) && committed_.contains(name)) replaced_.push_back(entry.key);
  }
  if (at_the_end) over.insert(over.end(), replaced_.begin(), replaced_.end());
  for (const auto& key : over) {
    if (is_over(key)) (void)store_->remove(key);  // what stays costs a little, and goes with the run
  }
}

}  // namespace ferry::agent
