#include "job/stored.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "agent/spool.h"
#include "base/hash.h"
#include "base/text.h"
#include "store/content.h"
#include "sync/deposit.h"

namespace ferry::job {

using store::FileKind;
using store::ManifestEntry;

namespace {

/// Of a store across the world each file costs a round trip; large ones have several connections of their own.
constexpr std::size_t most_at_once = 8;
constexpr std::size_t most_end_bytes = std::size_t{64} << 10;
/// A piece of the log has at most 64 MiB (agent/store_process.h); get() of a store has the same limit.
constexpr std::size_t most_piece = store::most_small;

bool comes_home(const ManifestEntry& entry) {
  return entry.kind == FileKind::output || entry.kind == FileKind::checkpoint;
}

sync::Entry entry_of(const ManifestEntry& entry) {
  sync::Entry one{.path = entry.path, .mtime_ns = entry.mtime_ns};
  if (!entry.link.empty()) {
    one.type = sync::Type::link;
    one.target = entry.link;
    return one;
  }
  one.mode = entry.mode;
  one.size = entry.bytes;
  one.sha256 = store::raw_sha256(entry.sha256);
  return one;
}

struct Wanted {
  std::size_t index = 0;  ///< in the deposit
  std::string key;
  os::Path path;
  store::Content content;
};

/// Threads that fetch files, and the one that waits for them.
class Downloads {
 public:
  Downloads(std::vector<std::unique_ptr<store::Store>> stores, const std::vector<Wanted>& wanted)
      : stores_(std::move(stores)), wanted_(wanted) {
    for (auto& store : stores_) threads_.emplace_back([this, &store] { work(*store); });
  }
  ~Downloads() {
    stop_ = true;
    for (auto& thread : threads_) thread.join();
  }
  Downloads(const Downloads&) = delete;
  Downloads& operator=(const Downloads&) = delete;

  std::uint64_t moved() const { return moved_; }
  /// One that is whole, within a moment, or nothing.
  Result<std::optional<std::size_t>> next() {
    std::unique_lock hold(mutex_);
    changed_.wait_for(hold, std::chrono::milliseconds(50), [&] { return !whole_.empty() || error_; });
    if (!whole_.empty()) {
      const auto one = whole_.front();
      whole_.pop_front();
      return std::optional(one);
    }
    if (error_) return tl::unexpected<Error>(*error_);
    return std::optional<std::size_t>();
  }

 private:
  void work(store::Store& store) {
    for (auto at = next_++; at < wanted_.size() && !stop_; at = next_++) {
      const Wanted& one = wanted_[at];
      const auto got = store.get_file(one.key, one.path, one.content, [this](std::uint64_t bytes) {
        moved_ += bytes;
        return !stop_;
      });
      const std::lock_guard hold(mutex_);
      if (got) {
        whole_.push_back(at);
      } else {
        if (!error_) error_ = got.error();
        stop_ = true;
      }
      changed_.notify_all();
    }
  }

  std::vector<std::unique_ptr<store::Store>> stores_;
  const std::vector<Wanted>& wanted_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::size_t> whole_;  // places in wanted_
  std::optional<Error> error_;     // the first
  std::atomic<std::size_t> next_{0};
  std::atomic<std::uint64_t> moved_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;  // the last: they use the others
};

Status download(const OpenStore& open, sync::Deposit& deposit, const std::vector<Wanted>& wanted,
                const sync::Options& options, sync::Report& report) {
  std::vector<std::unique_ptr<store::Store>> stores;
  for (std::size_t i = 0; i < std::min(most_at_once, wanted.size()); ++i) {
    TRY_SET(store, "", open());
    stores.push_back(std::move(store));
  }
  sync::Progress progress;
  progress.files_total = wanted.size();
  for (const auto& one : wanted) progress.bytes_total += one.content.bytes;
  Downloads downloads(std::move(stores), wanted);
  while (progress.files_done < wanted.size()) {
    if (options.cancelled && options.cancelled()) return fail(Kind::cancelled, "stopped; what came home stays");
    TRY_SET(whole, "", downloads.next());
    if (whole) {
      TRY("", deposit.place(wanted[*whole].index));
      ++progress.files_done;
    }
    progress.bytes_done = std::min(downloads.moved(), progress.bytes_total);
    if (options.progress) options.progress(progress);
  }
  report.files_moved = progress.files_done;
  report.bytes_moved = progress.bytes_total;
  report.wire_bytes = downloads.moved();
  return {};
}

std::vector<ledger::Object> objects_of(const ledger::Run& run, const Stored& stored, std::int64_t home_ms) {
  std::vector<ledger::Object> objects;
  for (const auto& entry : stored.manifest.entries) {
    if (!comes_home(entry) || !entry.link.empty()) continue;
    objects.push_back({.path = entry.path,
                       .kind = std::string(store::name(entry.kind)),
                       .bytes = static_cast<std::int64_t>(entry.bytes),
                       .sha256 = entry.sha256,
                       .uri = run.store + "/" + entry.key,
                       .stored_ms = stored.manifest.made_ms,
                       .home_ms = home_ms});
  }
  return objects;
}

/// As many bytes that say that they are lost.
std::string filler(std::uint64_t bytes) {
  std::string text = fmt::format("\n[{} bytes of output are lost: the machine's disk was full]\n", bytes);
  text.resize(bytes, ' ');
  return text;
}

/// The whole records at the beginning of `pending` go to the log, and out of it.
Status add_records(std::string& pending, LocalLog& log) {
  std::size_t at = 0;
  while (const auto record = agent::parse_record(std::string_view(pending).substr(at))) {
    constexpr std::uint64_t most_hole = std::uint64_t{1} << 30;
    if (record->offset > log.size() + most_hole) return fail(Kind::corrupt, "the stored log has a hole");
    agent::LogChunk chunk{record->offset, record->stream, record->phase, record->time_ms, std::string(record->bytes)};
    if (record->offset > log.size()) {
      agent::LogChunk lost = chunk;
      lost.offset = log.size();
      lost.bytes = filler(record->offset - log.size());
      TRY("", log.append(std::move(lost)));
    }
    TRY("", log.append(std::move(chunk)));
    at += agent::record_header + record->bytes.size();
  }
  pending.erase(0, at);
  return {};
}

}  // namespace

std::size_t Stored::count(store::FileKind kind) const {
  return static_cast<std::size_t>(std::count_if(manifest.entries.begin(), manifest.entries.end(),
                                                [&](const auto& one) { return one.kind == kind && one.link.empty(); }));
}

Result<std::optional<Stored>> look_at_stored(store::Store& store, const std::string& run, int attempt, int rank) {
  const auto object = store.get(store::manifest_key(run, attempt, rank), store::most_manifest_bytes);
  if (!object && object.error().kind == Kind::not_found) return std::optional<Stored>();
  if (!object) return tl::unexpected<Error>(object.error());
  TRY_SET(manifest, "", store::parse_manifest(object->bytes));
  if (manifest.run != run || manifest.attempt != attempt || manifest.rank != rank)
    return fail(Kind::corrupt, "the store has another run's manifest in the place of that of " + run);
  Stored stored{std::move(manifest), std::nullopt};
  for (const auto& entry : stored.manifest.entries) {
    if (entry.kind != FileKind::record || entry.path != end_record) continue;
    TRY_SET(record, "", store.get(entry.key, most_end_bytes));
    TRY("", store::check_content(store::content_of_bytes(record.bytes), {entry.sha256, entry.bytes}, end_record, ""));
    TRY_SET(json, "read how the training ended", parse_json(record.bytes));
    TRY_SET(end, "read how the training ended", agent::status_from(json));
    stored.end = std::move(end);
  }
  return std::optional(std::move(stored));
}

Result<Outputs> fetch_stored(fleet::Context& context, const OpenStore& open, const fleet::RunDir& run_dir,
                             const ledger::Run& run, const Stored& stored, const sync::Options& options) {
  TRY_SET(lock, "another ferry is fetching this run", lock_fetch(run_dir, options));
  std::map<std::string, const ManifestEntry*> by_path;
  std::vector<sync::Entry> entries;
  for (const auto& entry : stored.manifest.entries) {
    if (!comes_home(entry)) continue;
    entries.push_back(entry_of(entry));
    by_path[entry.path] = &entry;
  }
  TRY_SET(deposit, "", sync::Deposit::open(run.output_dir, std::move(entries), receive_options(run_dir, options)));
  TRY_SET(missing, "", deposit.compare());
  std::vector<Wanted> wanted;
  for (const auto index : missing) {
    const auto& entry = *by_path.at(deposit.entries()[index].path);
    wanted.push_back({index, entry.key, deposit.incoming(index), {entry.sha256, entry.bytes}});
  }
  Outputs outputs;
  TRY("", download(open, deposit, wanted, options, outputs.report));
  TRY_SET(notes, "", deposit.finish());
  outputs.report.notes = std::move(notes);
  outputs.report.entries = deposit.entries();
  for (const auto& entry : outputs.report.entries) {
    outputs.report.files += entry.type == sync::Type::file ? 1 : 0;
    outputs.report.bytes += entry.size;
  }
  TRY("", context.ledger.record_objects(run.name, objects_of(run, stored, context.clock.now_ms())));
  return outputs;
}

Status record_stored(fleet::Context& context, const ledger::Run& run, const Stored& stored) {
  return context.ledger.record_objects(run.name, objects_of(run, stored, 0));
}

Status add_stored_log(store::Store& store, const Stored& stored, LocalLog& log) {
  std::string pending;
  for (const auto& entry : stored.manifest.entries) {  // in the order of their paths, and so of their bytes
    if (entry.kind != FileKind::log) continue;
    TRY_SET(piece, "", store.get(entry.key, most_piece));
    TRY("", store::check_content(store::content_of_bytes(piece.bytes), {entry.sha256, entry.bytes}, entry.path, ""));
    pending += piece.bytes;
    TRY("", add_records(pending, log));
  }
  return {};
}

}  // namespace ferry::job
