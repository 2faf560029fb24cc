#include "rehearsal/describe.h"

#include "base/text.h"
#include "os/clock.h"
#include "rehearsal/actions.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {

std::string private_dns(const Instance& instance) {
  std::string dashed = instance.private_ip;
  std::replace(dashed.begin(), dashed.end(), '.', '-');
  return "ip-" + dashed + ".ec2.internal";
}

void write_groups(Xml& xml, const State& state, const Instance& instance) {
  xml.list("groupSet", instance.groups, [&](const std::string& id) {
    const auto found = state.groups.find(id);
    xml.text("groupId", id).text("groupName", found == state.groups.end() ? "" : found->second.name);
  });
}

void write_metadata_options(Xml& xml, std::string_view name, const MetadataOptions& options) {
  xml.node(name, [&] {
    xml.text("state", "applied").text("httpTokens", options.token_required ? "required" : "optional");
    xml.number("httpPutResponseHopLimit", options.hop_limit)
        .text("httpEndpoint", options.endpoint_enabled ? "enabled" : "disabled");
    xml.text("httpProtocolIpv6", "disabled").text("instanceMetadataTags", options.tags ? "enabled" : "disabled");
  });
}

void write_interface(Xml& xml, const State& state, const Instance& instance, InterfaceForm form) {
  const auto association = [&] {
    if (instance.public_ip().empty()) return;
    xml.node("association", [&] {
      xml.text("publicIp", instance.public_ip())
          .text("publicDnsName", instance.public_ip())
          .text("ipOwnerId", "amazon");
    });
  };
  xml.text("networkInterfaceId", instance.eni_id)
      .text("subnetId", instance.subnet_id)
      .text("vpcId", state.vpc_of(instance))
      .text("description", "");
  if (form == InterfaceForm::within_instance) xml.text("ownerId", account_id);
  xml.text("status", "in-use")
      .text("macAddress", instance.mac)
      .text("privateIpAddress", instance.private_ip)
      .text("privateDnsName", private_dns(instance));
  xml.flag("sourceDestCheck", instance.check_source_dest).text("interfaceType", "interface");
  write_groups(xml, state, instance);
  xml.node("attachment", [&] {
    xml.text("attachmentId", instance.eni_attachment_id)
        .number("deviceIndex", 0)
        .number("networkCardIndex", 0)
        .text("status", "attached");
    xml.text("attachTime", os::iso_time(instance.launched_ms, true)).flag("deleteOnTermination", true);
    if (form == InterfaceForm::alone) xml.text("instanceId", instance.id).text("instanceOwnerId", account_id);
  });
  association();
  xml.list("privateIpAddressesSet", std::array{instance.private_ip}, [&](const std::string& address) {
    xml.text("privateIpAddress", address).text("privateDnsName", private_dns(instance)).flag("primary", true);
    association();
  });
  xml.raw("<ipv6AddressesSet/>");
}

namespace {

void write_disks(Xml& xml, const State& state, const Instance& instance) {
  auto disks = instance.disks;
  for (const auto& [id, volume] : state.volumes) {
    if (volume.instance_id != instance.id) continue;
    disks.push_back({.volume_id = id,
                     .device = volume.device,
                     .snapshot_id = volume.snapshot_id,
                     .attached_ms = volume.attached_ms,
                     .delete_on_termination = false});
  }
  xml.list("blockDeviceMapping", disks, [&](const Disk& disk) {
    xml.text("deviceName", disk.device).node("ebs", [&] {
      xml.text("volumeId", disk.volume_id)
          .text("status", "attached")
          .text("attachTime", os::iso_time(disk.attached_ms, true));
      xml.flag("deleteOnTermination", disk.delete_on_termination);
    });
  });
}

void write_place(Xml& xml, const State& state, const Instance& instance) {
  xml.node("placement", [&] {
    xml.text("availabilityZone", instance.zone)
        .text("availabilityZoneId", zone_id(instance.zone))
        .text("groupName", instance.placement_group);
    const auto group = state.placement_groups.find(instance.placement_group);
    if (group != state.placement_groups.end()) xml.text("groupId", group->second.id);
    xml.text("tenancy", instance.tenancy);
  });
  xml.node("monitoring", [&] { xml.text("state", instance.monitoring ? "enabled" : "disabled"); });
  if (instance.phase == Phase::terminated) return;
  xml.text("subnetId", instance.subnet_id)
      .text("vpcId", state.vpc_of(instance))
      .text("privateIpAddress", instance.private_ip)
      .some("ipAddress", instance.public_ip());
  xml.flag("sourceDestCheck", instance.check_source_dest);
  write_groups(xml, state, instance);
  xml.list("networkInterfaceSet", std::array{&instance},
           [&](const Instance* it) { write_interface(xml, state, *it, InterfaceForm::within_instance); });
}

void write_hardware(Xml& xml, const Instance& instance) {
  const auto* image = find_image(instance.image_id);
  const auto* type = find_type(instance.type);
  xml.text("architecture", image ? image->arch : "x86_64")
      .text("rootDeviceType", "ebs")
      .text("rootDeviceName", image ? image->root_device : "/dev/sda1");
  xml.text("virtualizationType", "hvm")
      .text("hypervisor", "xen")
      .flag("enaSupport", true)
      .flag("ebsOptimized", instance.ebs_optimized);
  if (type) {
    const std::int64_t threads = type->arch == "arm64" || type->vcpus == 1 ? 1 : 2;
    xml.node("cpuOptions", [&] { xml.number("coreCount", type->vcpus / threads).number("threadsPerCore", threads); });
  }
  xml.some("capacityReservationId", instance.capacity_reservation);
  xml.node("capacityReservationSpecification", [&] {
    if (instance.capacity_target.empty())
      xml.text("capacityReservationPreference", instance.capacity_preference);
    else
      xml.node("capacityReservationTarget", [&] { xml.text("capacityReservationId", instance.capacity_target); });
  });
  xml.node("hibernationOptions", [&] { xml.flag("configured", false); }).node("enclaveOptions", [&] {
    xml.flag("enabled", false);
  });
  xml.node("maintenanceOptions", [&] { xml.text("autoRecovery", "default"); });
  xml.node("privateDnsNameOptions", [&] {
    xml.text("hostnameType", "ip-name")
        .flag("enableResourceNameDnsARecord", false)
        .flag("enableResourceNameDnsAAAARecord", false);
  });
  xml.text("platformDetails", "Linux/UNIX")
      .text("usageOperation", "RunInstances")
      .text("usageOperationUpdateTime", os::iso_time(instance.launched_ms, true));
  xml.text("bootMode", "uefi-preferred").text("currentInstanceBootMode", "uefi");
}

}  // namespace

void write_instance(Xml& xml, const State& state, const Instance& instance) {
  const bool gone = instance.phase == Phase::terminated;
  xml.text("instanceId", instance.id).text("imageId", instance.image_id);
  xml.node("instanceState", [&] { xml.number("code", code(instance.phase)).text("name", name(instance.phase)); });
  xml.text("privateDnsName", gone ? "" : private_dns(instance))
      .text("dnsName", instance.public_ip())
      .text("reason", instance.transition_reason);
  xml.some("keyName", instance.key_name).number("amiLaunchIndex", instance.launch_index).raw("<productCodes/>");
  xml.text("instanceType", instance.type).text("launchTime", os::iso_time(instance.launched_ms, true));
  write_place(xml, state, instance);
  if (!instance.reason_code.empty())
    xml.node("stateReason", [&] { xml.text("code", instance.reason_code).text("message", instance.reason_message); });
  write_hardware(xml, instance);
  write_disks(xml, state, instance);
  xml.text("clientToken", instance.client_token);
  if (!instance.spot_request_id.empty())
    xml.text("instanceLifecycle", "spot").text("spotInstanceRequestId", instance.spot_request_id);
  if (instance.in_block) xml.text("instanceLifecycle", "capacity-block");
  if (!instance.iam_profile.empty())
    xml.node("iamInstanceProfile", [&] { xml.text("arn", instance.iam_profile).text("id", instance.iam_profile_id); });
  write_tags(xml, state, instance.id);
  write_metadata_options(xml, "metadataOptions", instance.metadata);
}

void write_reservation(Xml& xml, const State& state, const std::vector<const Instance*>& instances) {
  xml.text("reservationId", instances.front()->reservation_id).text("ownerId", account_id).raw("<groupSet/>");
  xml.list("instancesSet", instances, [&](const Instance* instance) { write_instance(xml, state, *instance); });
}

}  // namespace ferry::rehearsal
