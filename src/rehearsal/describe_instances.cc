// DescribeInstances, DescribeInstanceStatus: reading what runs.
#include "os/clock.h"
#include "rehearsal/actions.h"
#include "rehearsal/describe.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {
namespace {

Facts facts_of(const State& state, const Instance& instance) {
  Facts facts;
  const auto* image = find_image(instance.image_id);
  facts.add("instance-id", instance.id)
      .add("image-id", instance.image_id)
      .add("instance-type", instance.type)
      .add("instance-state-name", name(instance.phase));
  facts.add("instance-state-code", std::to_string(code(instance.phase)))
      .add("availability-zone", instance.zone)
      .add("availability-zone-id", zone_id(instance.zone));
  facts.add("placement.availability-zone", instance.zone).add("placement-group-name", instance.placement_group);
  facts.add("client-token", instance.client_token)
      .add("key-name", instance.key_name)
      .add("reservation-id", instance.reservation_id)
      .add("owner-id", account_id);
  facts.add("launch-time", os::iso_time(instance.launched_ms, true))
      .add("launch-index", std::to_string(instance.launch_index))
      .add("tenancy", instance.tenancy);
  facts.add("dns-name", instance.public_ip())
      .add("ip-address", instance.public_ip())
      .add("architecture", image ? image->arch : "")
      .add("hypervisor", "xen");
  facts.add("root-device-type", "ebs")
      .add("root-device-name", image ? image->root_device : "")
      .add("virtualization-type", "hvm")
      .add("reason", instance.transition_reason);
  facts.add("state-reason-code", instance.reason_code)
      .add("monitoring-state", instance.monitoring ? "enabled" : "disabled");
  if (!instance.iam_profile.empty()) {
    facts.add("iam-instance-profile.arn", instance.iam_profile)
        .add("iam-instance-profile.id", instance.iam_profile_id)
        .add("iam-instance-profile.name", instance.iam_profile.substr(instance.iam_profile.rfind('/') + 1));
  }
  facts.add("metadata-options.http-tokens", instance.metadata.token_required ? "required" : "optional");
  facts.add("metadata-options.http-endpoint", instance.metadata.endpoint_enabled ? "enabled" : "disabled")
      .add("spot-instance-request-id", instance.spot_request_id);
  if (!instance.spot_request_id.empty()) facts.add("instance-lifecycle", "spot");
  if (instance.in_block) facts.add("instance-lifecycle", "capacity-block");
  facts.add("capacity-reservation-id", instance.capacity_reservation);
  if (instance.phase != Phase::terminated) {
    facts.add("vpc-id", state.vpc_of(instance))
        .add("subnet-id", instance.subnet_id)
        .add("network-interface.subnet-id", instance.subnet_id)
        .add("network-interface.vpc-id", state.vpc_of(instance));
    facts.add("private-ip-address", instance.private_ip)
        .add("private-dns-name", private_dns(instance))
        .add("network-interface.network-interface-id", instance.eni_id);
    for (const auto& group : instance.groups) {
      const auto found = state.groups.find(group);
      const std::string_view group_name = found == state.groups.end() ? std::string_view() : found->second.name;
      facts.add("group-id", group)
          .add("instance.group-id", group)
          .add("instance.group-name", group_name)
          .add("group-name", group_name)
          .add("network-interface.group-id", group);
    }
  }
  for (const auto& disk : instance.disks)
    facts.add("block-device-mapping.volume-id", disk.volume_id).add("block-device-mapping.device-name", disk.device);
  return facts.add_tags(tags_of(state, instance.id));
}

/// The instances that ids and filters leave, one page of them. MaxResults goes with filters only, as on EC2.
Api<Page> select_instances(Call& call, const Filters& filters) {
  const auto wanted = call.params.list("InstanceId");
  if (!wanted.empty() && call.params.has("MaxResults"))
    return refuse("InvalidParameterCombination",
                  "The parameter instancesSet cannot be used with the parameter maxResults");
  API_TRY(check_ids(wanted, instance_ids, [&](const std::string& id) { return call.state.instances.contains(id); }));
  std::vector<std::string> found;
  for (const auto& [id, instance] : call.state.instances)
    if ((wanted.empty() || std::find(wanted.begin(), wanted.end(), id) != wanted.end()) &&
        filters.match(facts_of(call.state, instance)))
      found.push_back(id);
  return page_of(call.params, found);
}

void write_health(Xml& xml, std::string_view name, std::string_view status) {
  xml.node(name, [&] {
    xml.text("status", status)
        .list("details", std::array{status == "ok" ? "passed" : status.data()},
              [&](const char* detail) { xml.text("name", "reachability").text("status", detail); });
  });
}

}  // namespace

Api<Xml> describe_instances(Call& call) {
  API_SET(filters, Filters::read(call.params, {"instance-id",
                                               "image-id",
                                               "instance-type",
                                               "instance-state-name",
                                               "instance-state-code",
                                               "availability-zone",
                                               "availability-zone-id",
                                               "client-token",
                                               "placement.availability-zone",
                                               "placement-group-name",
                                               "key-name",
                                               "reservation-id",
                                               "owner-id",
                                               "launch-time",
                                               "launch-index",
                                               "tenancy",
                                               "dns-name",
                                               "ip-address",
                                               "architecture",
                                               "hypervisor",
                                               "root-device-type",
                                               "root-device-name",
                                               "virtualization-type",
                                               "reason",
                                               "state-reason-code",
                                               "monitoring-state",
                                               "iam-instance-profile.arn",
                                               "iam-instance-profile.id",
                                               "iam-instance-profile.name",
                                               "metadata-options.http-tokens",
                                               "metadata-options.http-endpoint",
                                               "spot-instance-request-id",
                                               "instance-lifecycle",
                                               "capacity-reservation-id",
                                               "vpc-id",
                                               "subnet-id",
                                               "network-interface.subnet-id",
                                               "network-interface.vpc-id",
                                               "private-ip-address",
                                               "private-dns-name",
                                               "network-interface.network-interface-id",
                                               "network-interface.group-id",
                                               "group-id",
                                               "instance.group-id",
                                               "instance.group-name",
                                               "group-name",
                                               "block-device-mapping.volume-id",
                                               "block-device-mapping.device-name",
                                               "platform",
                                               "product-code"}));
  API_SET(page, select_instances(call, filters));
  std::map<std::string, std::vector<const Instance*>> reservations;
  for (const auto& id : page.keys) {
    const Instance& instance = call.state.instances[id];
    reservations[instance.reservation_id].push_back(&instance);
  }
  Xml xml;
  xml.list("reservationSet", reservations,
           [&](const auto& entry) { write_reservation(xml, call.state, entry.second); });
  return xml.some("nextToken", page.next_token);
}

Api<Xml> describe_instance_status(Call& call) {
  API_SET(filters, Filters::read(call.params, {"instance-state-name", "instance-state-code", "availability-zone",
                                               "availability-zone-id", "instance-status.status", "system-status.status",
                                               "instance-status.reachability", "system-status.reachability"}));
  API_SET(all, call.params.flag("IncludeAllInstances", false));
  const auto wanted = call.params.list("InstanceId");
  API_TRY(check_ids(wanted, instance_ids, [&](const std::string& id) { return call.state.instances.contains(id); }));
  std::vector<std::string> found;
  for (const auto& [id, instance] : call.state.instances) {
    const bool running = instance.phase == Phase::running;
    const std::string_view status = running ? "ok" : "not-applicable";
    const std::string_view reachable = running ? "passed" : "not-applicable";
    Facts facts;
    facts.add("instance-state-name", name(instance.phase))
        .add("instance-state-code", std::to_string(code(instance.phase)))
        .add("availability-zone", instance.zone);
    facts.add("availability-zone-id", zone_id(instance.zone))
        .add("instance-status.status", status)
        .add("system-status.status", status);
    facts.add("instance-status.reachability", reachable)
        .add("system-status.reachability", reachable)
        .add_tags(tags_of(call.state, id));
    const bool asked = wanted.empty() || std::find(wanted.begin(), wanted.end(), id) != wanted.end();
    if (asked && (all || running) && filters.match(facts)) found.push_back(id);
  }
  API_SET(page, page_of(call.params, found));
  Xml xml;
  xml.list("instanceStatusSet", page.keys, [&](const std::string& id) {
    const Instance& instance = call.state.instances[id];
    const std::string_view status = instance.phase == Phase::running ? "ok" : "not-applicable";
    xml.text("instanceId", id)
        .text("availabilityZone", instance.zone)
        .text("availabilityZoneId", zone_id(instance.zone));
    xml.node("instanceState", [&] { xml.number("code", code(instance.phase)).text("name", name(instance.phase)); });
    write_health(xml, "systemStatus", status);
    write_health(xml, "instanceStatus", status);
    write_health(xml, "attachedEbsStatus", status);
  });
  return xml.some("nextToken", page.next_token);
}

}  // namespace ferry::rehearsal
