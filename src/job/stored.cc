#include "job/stored.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/spool.h"
#include "agent/stored_files.h"
#include "base/text.h"
#include "store/content.h"

namespace ferry::job {

using store::FileKind;

namespace {

constexpr std::size_t most_end_bytes = std::size_t{64} << 10;
/// A piece of the log has at most 64 MiB (agent/store_process.h); get() of a store has the same limit.
constexpr std::size_t most_piece = store::most_small;

std::vector<ledger::Object> objects_of(const ledger::Run& run, const Stored& stored, std::int64_t home_ms) {
  std::vector<ledger::Object> objects;
  for (const auto& entry : stored.manifest.entries) {
    if (!agent::is_file_of_run(entry.kind) || !entry.link.empty()) continue;
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
  Outputs outputs;
  TRY_SET(
      report, "",
      agent::take_stored(open, agent::files_of(stored.manifest), run.output_dir, receive_options(run_dir, options)));
  outputs.report = std::move(report);
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
