// Data of this computer that go by the run's store: they are there before anything is rented, for a machine would wait,
// and cost, while they go over.
#include "base/text.h"
#include "fleet/store_access.h"
#include "job/data_set.h"
#include "job/mounts.h"
#include "run/run_controller.h"

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

}  // namespace ferry::run
