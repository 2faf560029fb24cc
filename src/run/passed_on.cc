#include "run/passed_on.h"

#include <fmt/format.h>

#include "base/hash.h"
#include "base/text.h"
#include "run/stored.h"
#include "task/task.h"
#include "watch/report.h"

namespace ferry::run {

bool may_be_taken(const ledger::Run& before, const std::string& store, task::Provider provider) {
  if (!store.starts_with("s3://") || before.store != store || !before.outputs_stored) return false;
  const auto infra = task::parse_infra(before.infra);
  return infra && infra->provider == provider && provider != task::Provider::ssh;
}

std::optional<Found> find_passed_on(fleet::Context& context, const RunRequest& request, const std::string& store,
                                    std::vector<std::string>& lines) {
  if (request.passed_on.empty()) return std::nullopt;
  const auto before = context.ledger.run(request.passed_on);
  const auto infra = request.task.all_candidates()[0].infra.value_or(task::Infra{});
  if (!before || !may_be_taken(*before, store, infra.provider)) return std::nullopt;
  auto stored = look_in_store(context, *before);
  if (!stored) {
    lines.push_back(fmt::format("what {} made is sent from here: {} could not be asked: {}", before->name, store,
                                stored.error().what));
    return std::nullopt;
  }
  if (!*stored || !(*stored)->is_complete()) return std::nullopt;
  if ((*stored)->count(store::FileKind::output) + (*stored)->count(store::FileKind::checkpoint) == 0)
    return std::nullopt;
  auto& manifest = (*stored)->manifest;
  const auto text = store::manifest_text(manifest);
  if (!text) return std::nullopt;
  const task::StoredOutputs what{before->name, manifest.attempt, hex(sha256(*text))};
  return Found{{before->output_dir, std::move(manifest)}, what};
}

void note_taken(RunRequest& request, const Found& found, const job::Taken& taken, std::vector<std::string>& lines) {
  if (taken.files == 0) {
    lines.push_back(fmt::format("what {} made is sent from here: it is not all as the store has it", found.what.run));
    return;
  }
  request.task.taken = found.what;
  lines.push_back(fmt::format("what {} made ({}, {}) comes to the machine from the store, {}: it is not sent",
                              found.what.run, watch::counted(taken.files, "file"), show_bytes(taken.bytes),
                              printable(request.task.store.value_or(""))));
}

}  // namespace ferry::run
