// Data of this computer that go by the run's store: they are there before anything is rented, for a machine would wait,
// and cost, while they go over. And what a run before this one has there.
#include "base/text.h"
#include "fleet/store_access.h"
#include "job/data_set.h"
#include "job/mounts.h"
#include "job/restore.h"
#include "run/run_controller.h"
#include "watch/report.h"

namespace ferry::run {

Status RunController::store_data() {
  auto& [request, ready] = *beginning_;
  bool has_new = false;
  for (auto& data : request.task.data) {
    if (data.source.empty() || !data.set.empty()) continue;
    if (!is_store_ready_) TRY("", prepare_store());
    is_store_ready_ = true;
    TRY_SET(tree, "", job::tree_of_mount({data.target, data.source, data.at, false}, request.follow));
    const auto open = [&] {
      return fleet::open_store(context_, run_.store, "", node_.location.profile, node_.location.provider);
    };
    TRY_SET(put, "", job::put_set(context_, open, data.source, std::move(tree), os::Path(data.source).filename()));
    data.set = put.set.id;
    has_new = true;
  }
  if (!has_new) return {};
  // Attempts that another process begins take the same.
  if (run_.task.contains(kept_request)) run_.task[kept_request] = request_to_keep(request, ready);
  return context_.ledger.update(run_);
}

Status RunController::take_passed_on() {
  trial_.taking.reset();
  const auto& taken = beginning_->request.task.taken;
  if (!taken) return {};
  context_.progress.begin("data", "bringing what " + taken->run + " made");
  const auto& paths = node_.connection->paths();
  agent::RestoreOrder order{
      .run = taken->run, .attempt = taken->attempt, .workdir = paths.workdir, .manifest = taken->manifest};
  TRY_SET(spec, "", store_spec());
  order.store = std::move(spec);
  auto brought = job::restore_stored(context_, *node_.connection, order);
  if (!brought) {
    auto error = std::move(brought).error();
    error.what = fmt::format("what {} made does not come from {}: {}", taken->run, run_.store, error.what);
    if (error.kind == Kind::not_found || error.kind == Kind::denied || error.kind == Kind::conflict)
      error.advice =
          "what came home of it is below its folder in the results; begin the document again (--from), and "
          "what the store lacks is sent from there";
    return tl::unexpected<Error>(std::move(error));
  }
  trial_.taking = agent::StandInStep{"bring what " + taken->run + " made",
                                     node_.connection->agent_command({"restore", paths.run_dir, "--alone"}),
                                     dump_json(to_json(order)) + "\n"};
  context_.progress.done(
      "data",
      fmt::format("{}, {}, from {}", watch::counted(brought->files, "file"), show_bytes(brought->bytes), run_.store),
      {{"run", taken->run}, {"files", brought->files}, {"bytes", brought->bytes}});
  return {};
}

}  // namespace ferry::run
