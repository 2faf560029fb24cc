#include "fleet/stored_runs.h"

#include <algorithm>

#include "base/text.h"

namespace ferry::fleet {
namespace {

/// Of the store's clock beside ours, and of what takes its time between an object and the manifest that names it.
constexpr std::int64_t quiet_ms = 24LL * 3600 * 1000;

}  // namespace

Result<Standing> standing_of(Context& context, const std::string& run) {
  TRY_SET(runs, "", context.ledger.runs(false));
  const auto at = std::ranges::find(runs, run, &ledger::Run::name);
  if (at == runs.end()) return Standing::elsewhere;
  return at->phase == ledger::Phase::released ? Standing::over : Standing::going;
}

Result<std::vector<s3::BegunUpload>> uploads_of(const std::shared_ptr<s3::Session>& session, const std::string& run) {
  if (!session) return std::vector<s3::BegunUpload>();
  return s3::list_uploads(session, store::run_prefix(run));
}

Result<Clearing> find_clearing(Context& context, store::Store& store, const std::shared_ptr<s3::Session>& session,
                               std::optional<Seconds> older_than) {
  Clearing clearing;
  const auto now = context.clock.now_ms();
  TRY_SET(runs, "", store::stored_runs(store));
  for (auto& run : runs) {
    TRY_SET(standing, "", standing_of(context, run.name));
    if (standing == Standing::going || now - run.modified_ms < quiet_ms) continue;
    if (older_than && now - run.modified_ms >= older_than->count() * 1000) {
      clearing.bytes += run.bytes;
      clearing.runs.push_back(std::move(run));
      continue;
    }
    const auto manifests = store::newest_manifests(store, run);
    if (!manifests) {
      clearing.left.push_back(run.name + ": " + manifests.error().what);
      continue;
    }
    if (standing == Standing::elsewhere && !store::is_complete(*manifests)) continue;
    auto unnamed = store::unnamed_objects(store, run);
    if (!unnamed) {
      clearing.left.push_back(run.name + ": " + unnamed.error().what);
      continue;
    }
    for (auto& object : *unnamed) {
      clearing.bytes += object.bytes;
      clearing.objects.push_back(std::move(object));
    }
  }
  if (!session) return clearing;
  // Of runs of which nothing else is stored, too.
  TRY_SET(uploads, "", s3::list_uploads(session, "runs/"));
  const auto prefix = session->place().prefix + "runs/";
  for (auto& upload : uploads) {
    const auto path = upload.key.substr(prefix.size());
    TRY_SET(standing, "", standing_of(context, path.substr(0, path.find('/'))));
    // Another computer's machine may be at it still.
    const auto quiet = standing == Standing::over ? quiet_ms : 7 * quiet_ms;
    if (standing != Standing::going && now - upload.begun_ms >= quiet) clearing.uploads.push_back(std::move(upload));
  }
  return clearing;
}

Status clear(store::Store& store, const std::shared_ptr<s3::Session>& session, const Clearing& clearing) {
  for (const auto& run : clearing.runs) TRY("", store::remove_run(store, run));
  for (const auto& object : clearing.objects) {
    const auto condition = object.version.empty() ? store::Condition() : store::if_still(object.version);
    const auto removed = store.remove(object.key, condition);
    if (!removed && removed.error().kind != Kind::conflict) return removed;
  }
  for (const auto& upload : clearing.uploads) TRY("", s3::abort_upload(session, upload));
  return {};
}

}  // namespace ferry::fleet
