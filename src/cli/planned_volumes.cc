#include "cli/planned_volumes.h"

#include "base/text.h"
#include "cli/command.h"
#include "fleet/volumes.h"

namespace ferry::cli {

namespace {

/// Nobody answered, or nobody may ask.
bool is_unasked(const Error& error) {
  return error.kind == Kind::denied || error.kind == Kind::lost || error.kind == Kind::timeout ||
         error.kind == Kind::throttled || error.kind == Kind::io;
}

}  // namespace

Result<PlannedVolumes> look_at_volumes(const task::Task& task, const fleet::Planned& anywhere) {
  PlannedVolumes out;
  if (task.volumes.empty()) return out;
  const auto http = os::make_http_client();
  const bool is_rehearsal = anywhere.location.provider == "rehearsal";
  const auto open = [&](const std::string& region) -> Result<std::unique_ptr<cloud::Cloud>> {
    TRY_SET(context, "", is_rehearsal ? rehearsal_context() : cloud::aws_context_from_environment(region));
    return cloud::make_ec2_cloud(context, *http, os::system_clock());
  };
  auto found = fleet::find_volumes(task, fleet::regions_of(anywhere.ranking), open);
  if (!found && is_unasked(found.error())) {
    out.why_not = found.error().what;
    return out;
  }
  if (!found) return tl::unexpected<Error>(std::move(found).error());
  out.found = *std::move(found);
  TRY_SET(cloud, "", open(out.found.front().region));
  for (const auto& one : out.found) out.used_by.push_back(fleet::used_by(*cloud, one));
  return out;
}

Json volumes_json(const task::Task& task, const PlannedVolumes& volumes) {
  Json list = Json::array();
  for (std::size_t i = 0; i < task.volumes.size(); ++i) {
    const auto& wanted = task.volumes[i];
    Json one = {{"name", wanted.name}, {"at", wanted.target}, {"read_only", wanted.read_only}};
    const bool is_found = i < volumes.found.size();
    one["id"] = is_found ? Json(volumes.found[i].id) : Json();
    one["gib"] = is_found ? Json(volumes.found[i].gib) : Json();
    one["zone"] = is_found ? Json(volumes.found[i].zone) : Json();
    one["used_by"] = is_found ? Json(volumes.used_by[i]) : Json();
    list.push_back(std::move(one));
  }
  return list;
}

std::string volumes_text(const task::Task& task, const PlannedVolumes& volumes) {
  std::string text;
  for (std::size_t i = 0; i < task.volumes.size(); ++i) {
    const auto& wanted = task.volumes[i];
    text += fmt::format("volumes: {} at {}{}", printable(wanted.name), printable(wanted.target),
                        wanted.read_only ? ", read-only" : "");
    if (i < volumes.found.size()) {
      const auto& is = volumes.found[i];
      text += fmt::format(": {}, {} GiB, in {}", is.id, is.gib, is.zone);
      if (!volumes.used_by[i].empty()) text += fmt::format("; it is {}: a run is refused", volumes.used_by[i]);
    }
    text += "\n";
  }
  return text;
}

}  // namespace ferry::cli
