// The task's volumes: where they are decides where a machine is rented; they are attached to it, and mounted, before
// anything of the training is there, by each attempt anew.
#include "base/text.h"
#include "fleet/volumes.h"
#include "job/volumes.h"
#include "run/run_controller.h"

namespace ferry::run {

Status RunController::look_for_volumes(const task::Task& task, const std::string& rehearsal_region) {
  TRY_SET(anywhere, "",
          fleet::plan_task(task, node_.lifetime, context_.data, context_.clock.now_ms(), rehearsal_region));
  const auto open = [&](const std::string& region) {
    fleet::CloudLocation there{anywhere.location.provider, region, "", "", ""};
    return fleet::open_cloud(context_, there);
  };
  TRY_SET(found, "", fleet::find_volumes(task, fleet::regions_of(anywhere.ranking), open));
  TRY_SET(cloud, "", open(found.front().region));
  TRY("", fleet::await_free(context_, *cloud, found));
  trial_.volumes = std::move(found);
  return {};
}

Result<fleet::Planned> RunController::plan_in_zone(const task::Task& task, const std::string& rehearsal_region) {
  const auto now_ms = context_.clock.now_ms();
  if (task.volumes.empty()) return fleet::plan_task(task, node_.lifetime, context_.data, now_ms, rehearsal_region);
  TRY("", look_for_volumes(task, rehearsal_region));
  return fleet::plan_beside(task, trial_.volumes, node_.lifetime, context_.data, now_ms, rehearsal_region);
}

Result<std::vector<std::string>> RunController::bring_volumes(const task::Task& task) {
  if (task.volumes.empty()) return std::vector<std::string>();
  constexpr int most_breaks = 5;  // what is mounted stays
  context_.progress.begin("data", task.volumes.size() == 1 ? "attaching the volume" : "attaching the volumes");
  TRY("", fleet::attach_volumes(context_, *node_.cloud, trial_.volumes, node_.instance));
  for (int breaks = 0;; ++breaks) {
    auto mounted = job::mount_volumes(context_, *node_.connection, task, trial_.volumes);
    if (mounted || mounted.error().kind != Kind::lost || breaks == most_breaks) return mounted;
    TRY("", reopen());
  }
}

void RunController::let_go_of_volumes() {
  if (beginning_ && !beginning_->request.task.volumes.empty()) job::unmount_volumes(*node_.connection);
}

}  // namespace ferry::run
