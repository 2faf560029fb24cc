#include "fleet/stand_in.h"

#include "base/store_place.h"
#include "base/text.h"
#include "fleet/labels.h"
#include "store/keys.h"

extern "C" {
extern const char ferry_embed_stand_in_py[], ferry_embed_stand_in_py_end[];
}

namespace ferry::fleet {

std::string stand_in_name(const ledger::Run& run) { return resource_name(run); }

Json group_statement(const std::string& partition, const std::string& name) {
  const auto group = fmt::format("arn:{}:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/{}", partition, name);
  return {{"Sid", "FerryWantsNoOtherMachine"},
          {"Effect", "Allow"},
          {"Action", Json::array({"autoscaling:SetDesiredCapacity"})},
          {"Resource", Json::array({group})}};
}

Result<std::vector<Json>> stand_in_statements(const ledger::Run& run, const std::string& partition) {
  TRY_SET(place, "", parse_store_place(run.store));
  const auto bucket = "arn:" + partition + ":s3:::" + place.bucket + "/" + place.prefix;
  Json keys = Json::array();
  for (const auto& key : {store::sent_key(run.name), store::stand_in_key(run.name), store::agent_key(run.name)})
    keys.push_back(bucket + key);
  return std::vector<Json>{{{"Sid", "FerryReadsWhatToGoOnWith"},
                            {"Effect", "Allow"},
                            {"Action", Json::array({"s3:GetObject"})},
                            {"Resource", keys}},
                           group_statement(partition, stand_in_name(run))};
}

std::string stand_in_user_data(const StandInBoot& boot) {
  const Json order = {
      {"run", boot.run},
      {"user", boot.login_user},
      {"s3",
       {{"bucket", boot.bucket}, {"key", boot.agent_key}, {"region", boot.s3_region}, {"endpoint", boot.s3_endpoint}}},
      {"name", boot.agent_name},
      {"sha256", boot.agent_sha256},
      {"store", boot.store},
      {"group", boot.group}};
  const auto timer = fmt::format("left=$(({} - `date +%s`)); [ $left -gt 60 ] || left=60; {}", boot.deadline_ms / 1000,
                                 power_off_timer("$left", boot.run));
  // Lines that only people need are left out: there is little room.
  std::string script;
  for (const auto& line : split(std::string_view(ferry_embed_stand_in_py, ferry_embed_stand_in_py_end), '\n')) {
    if (!line.starts_with('#') && !line.empty()) script += line + "\n";
  }
  return fmt::format(
      "#cloud-config\n"
      "bootcmd:\n"
      "  - {}\n"
      "runcmd:\n"
      "  - {}\n",
      dump_json(Json::array({"sh", "-c", timer})), dump_json(Json::array({"python3", "-c", script, dump_json(order)})));
}

Status make_stand_in(Context& context, const ledger::Run& run, const CloudLocation& location, cloud::Cloud& cloud,
                     cloud::StandInOrder order) {
  order.name = stand_in_name(run);
  for (const auto* kind : {template_kind, group_kind})
    TRY("", context.ledger.record_resource({run.name, location.provider, location.region, location.endpoint, kind,
                                            order.name, false, location.account, location.profile}));
  return cloud.make_stand_in(order);
}

bool is_of_stand_in(std::string_view kind) { return kind == group_kind || kind == template_kind; }

Result<std::optional<CloudLocation>> stand_in_location(Context& context, const std::string& run, bool also_gone) {
  TRY_SET(resources, "", context.ledger.resources(run));
  for (const auto& one : resources) {
    if (one.kind == group_kind && (also_gone || !one.released)) return std::optional(location_of(one));
  }
  return std::optional<CloudLocation>();
}

}  // namespace ferry::fleet
