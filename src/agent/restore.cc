#include "agent/restore.h"

#include <algorithm>

#include "agent/store_place.h"
#include "agent/stored_files.h"
#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/process.h"
#include "store/data_set.h"
#include "sync/outputs.h"

namespace ferry::agent {

namespace {

constexpr std::size_t longest_order = std::size_t{1} << 20;
constexpr Millis tell_every{500};

/// The newest that the run has, of that attempt or one before.
Result<std::optional<store::Manifest>> newest_manifest(store::Store& store, const RestoreOrder& order) {
  for (int attempt = order.attempt; attempt > 0; --attempt) {
    const auto got = store.get(store::manifest_key(order.run, attempt, order.rank), store::most_manifest_bytes);
    if (!got && got.error().kind == Kind::not_found) continue;
    if (!got) return tl::unexpected<Error>(got.error());
    TRY_SET(manifest, "", store::parse_manifest(got->bytes));
    if (!files_of(manifest).empty()) return std::optional(std::move(manifest));
  }
  return std::optional<store::Manifest>();
}

/// The files of another run, as they were when this one began.
Result<std::vector<store::ManifestEntry>> files_of_other(store::Store& store, const RestoreOrder& order) {
  const auto got = store.get(store::manifest_key(order.run, order.attempt, order.rank), store::most_manifest_bytes);
  if (!got && got.error().kind == Kind::not_found)
    return fail(Kind::not_found, "the store does not have what " + order.run + " made, any more");
  if (!got) return tl::unexpected<Error>(got.error());
  TRY_SET(manifest, "", store::parse_manifest(got->bytes));
  TRY_SET(text, "", store::manifest_text(manifest));
  if (hex(sha256(text)) != order.manifest)
    return fail(Kind::conflict, "what the store has of " + order.run + " is not what it had when this run began");
  auto files = files_of(manifest);
  std::erase_if(files, [](const auto& one) { return !one.link.empty(); });  // they are sent
  return files;
}

Result<RestoreOrder> read_order(int in) {
  std::string line;
  while (line.find('\n') == std::string::npos) {
    TRY_SET(more, "read what is to be restored", os::read_some(in));
    if (more.empty() || line.size() > longest_order) return fail(Kind::bad_input, "nothing was asked for");
    line += more;
  }
  TRY_SET(json, "read what is to be restored", parse_json(line.substr(0, line.find('\n'))));
  return restore_order_from(json);
}

}  // namespace

Json to_json(const RestoreOrder& order) {
  return {{"run", order.run}, {"attempt", order.attempt},      {"rank", order.rank},        {"workdir", order.workdir},
          {"set", order.set}, {"store", to_json(order.store)}, {"manifest", order.manifest}};
}

Result<RestoreOrder> restore_order_from(const Json& json) {
  if (!json.is_object() || !json.contains("store")) return fail(Kind::bad_input, "that is no run's store");
  RestoreOrder order;
  TRY_SET(spec, "", store_spec_from(json["store"]));
  order.store = std::move(spec);
  order.run = text_at(json, "run");
  order.workdir = text_at(json, "workdir");
  order.set = text_at(json, "set");
  order.manifest = text_at(json, "manifest");
  constexpr std::int64_t most = 1'000'000;
  const auto attempt = int_at(json, "attempt"), rank = int_at(json, "rank", -1);
  if (!store::is_run_name(order.run) || !order.workdir.starts_with('/') || order.store.uri.empty() ||
      (!order.set.empty() && !store::is_set_id(order.set)) ||
      (!order.manifest.empty() && !store::is_sha256(order.manifest)) || attempt < 1 || attempt > most || rank < 0 ||
      rank > most)
    return fail(Kind::bad_input, "that is no run's store");
  order.attempt = static_cast<int>(attempt);
  order.rank = static_cast<int>(rank);
  return order;
}

Json to_json(const RestoreReport& report) {
  Json json = {{"attempt", report.attempt}, {"files", report.files}, {"files_total", report.files_total},
               {"bytes", report.bytes},     {"done", report.done},   {"bytes_total", report.bytes_total}};
  if (report.error) json["error"] = to_json(*report.error);
  return json;
}

Result<RestoreReport> restore_report_from(const Json& json) {
  if (!json.is_object()) return fail(Kind::corrupt, "the machine's word on what it restored cannot be read");
  const auto count = [&](const char* key) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, int_at(json, key)));
  };
  RestoreReport report{.attempt = static_cast<int>(std::clamp<std::int64_t>(int_at(json, "attempt"), 0, 1'000'000)),
                       .files = count("files"),
                       .files_total = count("files_total"),
                       .bytes = count("bytes"),
                       .bytes_total = count("bytes_total"),
                       .done = json.value("done", Json()) == true};
  if (json.contains("error")) report.error = error_from(json["error"]);
  return report;
}

Result<RestoreReport> restore(const RestoreOrder& order, const os::Path& dir,
                              const std::function<bool(const RestoreReport&)>& tell) {
  const auto open = connections_to(order.store, dir);
  TRY_SET(store, "", open());
  RestoreReport report;
  report.done = true;
  sync::ReceiveOptions options;
  std::vector<store::ManifestEntry> files;
  if (!order.manifest.empty()) {
    TRY_SET(others, "look for what is stored", files_of_other(*store, order));
    files = std::move(others);
    report.attempt = order.attempt;
    options.state_file = dir.string() + "-sync.state";
  } else if (order.set.empty()) {
    TRY_SET(manifest, "look for what is stored", newest_manifest(*store, order));
    if (!manifest) return report;
    report.attempt = manifest->attempt;
    files = files_of(*manifest);
    std::erase_if(files, [](const auto& one) { return one.path.starts_with(sync::elsewhere_folder); });
  } else {
    TRY_SET(listed, "look for the data set", store::files_of_set(*store, order.set));
    files = std::move(listed);
  }
  RestoreReport now;
  bool goes_on = true;
  std::int64_t told = 0;
  options.progress = [&](const sync::Progress& progress) {
    const auto at = os::system_clock().steady_ms();
    if (at - told < tell_every.count()) return;
    told = at;
    now = {report.attempt, progress.files_done, progress.files_total, progress.bytes_done, progress.bytes_total,
           false,          std::nullopt};
    goes_on = tell(now);
  };
  options.cancelled = [&] { return !goes_on; };
  TRY_SET(taken, "", take_stored(open, files, order.workdir, options));
  report.files = report.files_total = taken.files;
  report.bytes = report.bytes_total = taken.bytes;
  return report;
}

Status run_restore(const os::Path& dir, int in, int out, bool alone) {
  os::ignore_sigpipe();
  const auto say = [&](const RestoreReport& report) {
    // Whoever asked says nothing more, and is gone at the end of it.
    const bool is_over = !alone && os::wait_readable(in, Millis(0)) && os::read_some(in).value_or("").empty();
    return !is_over && os::write_all(out, dump_json(to_json(report)) + "\n").has_value();
  };
  const auto restored = [&]() -> Result<RestoreReport> {
    TRY_SET(order, "", read_order(in));
    return restore(order, dir, say);
  }();
  (void)say(restored ? *restored : RestoreReport{.error = restored.error()});
  return restored ? Status() : tl::unexpected<Error>(restored.error());
}

}  // namespace ferry::agent
