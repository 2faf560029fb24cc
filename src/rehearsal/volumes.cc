// CreateVolume, AttachVolume, DetachVolume, DeleteVolume, DescribeVolumes.
#include "rehearsal/volumes.h"

#include <algorithm>

#include "os/clock.h"
#include "rehearsal/actions.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {

std::string_view attachment_state(const Volume& volume, std::int64_t now_ms) {
  if (volume.instance_id.empty()) return "";
  if (volume.detached_ms > 0) return now_ms < volume.detached_ms + volume_change_ms ? "detaching" : "";
  return now_ms < volume.attached_ms + volume_change_ms ? "attaching" : "attached";
}

std::string_view volume_state(const Volume& volume, std::int64_t now_ms) {
  if (now_ms < volume.created_ms + volume_change_ms) return "creating";
  return attachment_state(volume, now_ms).empty() ? "available" : "in-use";
}

void forget_attachment(Volume& volume) {
  volume.instance_id.clear();
  volume.device.clear();
  volume.attached_ms = volume.detached_ms = 0;
}

namespace {

constexpr std::array<std::string_view, 7> volume_kinds = {"gp2", "gp3", "io1", "io2", "st1", "sc1", "standard"};

/// One of the account's volumes, of either kind, as it is told.
struct VolumeRow {
  Volume volume;
  std::string_view state, attachment;
  bool ends_with_instance = false;
};

VolumeRow row_of(const Volume& volume, std::int64_t now_ms) {
  return {volume, volume_state(volume, now_ms), attachment_state(volume, now_ms)};
}

/// A disk that an instance was launched with.
VolumeRow row_of(const Instance& instance, const Disk& disk) {
  Volume volume{.id = disk.volume_id,
                .zone = instance.zone,
                .snapshot_id = disk.snapshot_id,
                .type = disk.type,
                .client_token = {},
                .gib = disk.gib,
                .iops = disk.iops,
                .throughput = disk.throughput,
                .created_ms = disk.attached_ms,
                .encrypted = disk.encrypted,
                .instance_id = instance.id,
                .device = disk.device,
                .attached_ms = disk.attached_ms};
  return {std::move(volume), "in-use", "attached", disk.delete_on_termination};
}

std::map<std::string, VolumeRow> all_volumes(const State& state, std::int64_t now_ms) {
  std::map<std::string, VolumeRow> all;
  for (const auto& [id, volume] : state.volumes) all.emplace(id, row_of(volume, now_ms));
  for (const auto& [id, instance] : state.instances) {
    if (instance.phase == Phase::terminated) continue;
    for (const auto& disk : instance.disks) all.emplace(disk.volume_id, row_of(instance, disk));
  }
  return all;
}

void write_attachment(Xml& xml, const VolumeRow& row) {
  xml.text("volumeId", row.volume.id).text("instanceId", row.volume.instance_id).text("device", row.volume.device);
  xml.text("status", row.attachment)
      .text("attachTime", os::iso_time(row.volume.attached_ms, true))
      .flag("deleteOnTermination", row.ends_with_instance);
}

void write_volume(Xml& xml, const State& state, const VolumeRow& row) {
  const auto& volume = row.volume;
  xml.text("volumeId", volume.id)
      .number("size", volume.gib)
      .text("snapshotId", volume.snapshot_id)
      .text("availabilityZone", volume.zone)
      .text("status", row.state);
  xml.text("createTime", os::iso_time(volume.created_ms, true))
      .text("volumeType", volume.type)
      .number("iops", volume.iops);
  if (volume.type == "gp3") xml.number("throughput", volume.throughput);
  xml.flag("encrypted", volume.encrypted).flag("multiAttachEnabled", false);
  if (volume.encrypted)
    xml.text("kmsKeyId",
             fmt::format("arn:aws:kms:{}:{}:key/00000000-0000-0000-0000-000000000000", region_name, account_id));
  std::vector<const VolumeRow*> attachments;
  if (!row.attachment.empty()) attachments.push_back(&row);
  xml.list("attachmentSet", attachments, [&](const VolumeRow* it) { write_attachment(xml, *it); });
  write_tags(xml, state, volume.id);
}

/// The volume that the request names: one that lives by itself, without an attachment that is over.
Api<Volume*> volume_named(Call& call) {
  API_SET(id, call.params.required("VolumeId"));
  const auto all = all_volumes(call.state, call.now_ms);
  API_TRY(check_ids({id}, volume_ids, [&](const std::string& it) { return all.contains(it); }));
  const auto found = call.state.volumes.find(id);
  if (found == call.state.volumes.end())
    return refuse("OperationNotPermitted",
                  fmt::format("The volume '{}' is a disk that an instance was launched with", id));
  if (attachment_state(found->second, call.now_ms).empty()) forget_attachment(found->second);
  return &found->second;
}

Xml attachment_answer(const VolumeRow& row) {
  Xml xml;
  write_attachment(xml, row);
  return xml;
}

Api<std::monostate> read_performance(const Params& params, Volume& volume) {
  API_SET(iops, params.number("Iops", volume.type == "gp3" ? 3000 : std::max<std::int64_t>(100, volume.gib * 3)));
  API_SET(throughput, params.number("Throughput", 125));
  if (volume.type.starts_with("io") && !params.has("Iops"))
    return refuse("MissingParameter", fmt::format("The parameter iops must be specified for {} volumes.", volume.type));
  volume.iops = iops;
  volume.throughput = throughput;
  return std::monostate{};
}

}  // namespace

Api<Xml> create_volume(Call& call) {
  const Params& params = call.params;
  Volume volume;
  const auto zone_named = params.get("AvailabilityZone"), zone_numbered = params.get("AvailabilityZoneId");
  if (zone_named.empty() && zone_numbered.empty()) return missing_parameter("AvailabilityZone");
  const auto& all = zones();
  const auto zone = std::ranges::find_if(
      all, [&](const std::string& it) { return it == zone_named || zone_id(it) == zone_numbered; });
  if (zone == all.end())
    return refuse("InvalidZone.NotFound",
                  fmt::format("The zone '{}' does not exist.", zone_named.empty() ? zone_numbered : zone_named));
  if (params.has("SnapshotId"))
    return refuse("InvalidSnapshot.NotFound",
                  fmt::format("The snapshot '{}' does not exist.", params.get("SnapshotId")));
  if (!params.has("Size")) return refuse("MissingParameter", "The request must contain the parameter size/snapshot");
  API_SET(gib, params.number("Size", 8));
  volume.type = params.get("VolumeType", "gp2");
  if (std::ranges::find(volume_kinds, volume.type) == volume_kinds.end())
    return refuse("InvalidParameterValue", fmt::format("Invalid value '{}' for VolumeType", volume.type));
  if (gib < 1 || gib > 65536)
    return refuse("InvalidParameterValue", fmt::format("Volume of {}GiB is out of range", gib));
  API_SET(encrypted, params.flag("Encrypted", false));
  API_SET(tags, read_tag_specifications(params, {"volume"}));
  volume.zone = *zone;
  volume.gib = gib;
  volume.encrypted = encrypted;
  API_TRY(read_performance(params, volume));
  volume.client_token = params.get("ClientToken");
  for (const auto& [id, known] : call.state.volumes) {
    if (volume.client_token.empty() || known.client_token != volume.client_token) continue;
    Xml again;
    write_volume(again, call.state, row_of(known, call.now_ms));
    return again;
  }
  volume.id = new_id("vol-");
  volume.created_ms = call.now_ms;
  set_tags(call.state, volume.id, tags["volume"]);
  const auto& made = call.state.volumes[volume.id] = volume;
  Xml xml;
  write_volume(xml, call.state, row_of(made, call.now_ms));
  return xml;
}

Api<Xml> attach_volume(Call& call) {
  API_SET(device, call.params.required("Device"));
  API_SET(instance_id, call.params.required("InstanceId"));
  API_SET(volume, volume_named(call));
  const auto found = call.state.instances.find(instance_id);
  API_TRY(
      check_ids({instance_id}, instance_ids, [&](const std::string&) { return found != call.state.instances.end(); }));
  const auto& instance = found->second;
  const auto state = volume_state(*volume, call.now_ms);
  if (state == "in-use") return refuse("VolumeInUse", fmt::format("{} is already attached to an instance", volume->id));
  if (state != "available")
    return refuse("IncorrectState",
                  fmt::format("Volume '{}' cannot be attached: it is in the '{}' state.", volume->id, state));
  if (instance.phase != Phase::running && instance.phase != Phase::stopped)
    return refuse("IncorrectState", fmt::format("Instance '{}' is not 'running'.", instance_id));
  if (instance.zone != volume->zone)
    return refuse(
        "InvalidVolume.ZoneMismatch",
        fmt::format("The volume '{}' is not in the same availability zone as instance '{}'", volume->id, instance_id));
  bool is_taken = std::ranges::any_of(instance.disks, [&](const Disk& disk) { return disk.device == device; });
  for (const auto& [id, other] : call.state.volumes)
    is_taken |=
        other.instance_id == instance_id && other.device == device && !attachment_state(other, call.now_ms).empty();
  if (is_taken)
    return refuse("InvalidParameterValue",
                  fmt::format("Invalid value '{0}' for unixDevice. Attachment point {0} is already in use", device));
  if (!call.machines.give_volume(instance_id, volume->id))
    return refuse("InternalError", "The volume's folder cannot be shown to the instance");
  volume->instance_id = instance_id;
  volume->device = device;
  volume->attached_ms = call.now_ms;
  return attachment_answer(row_of(*volume, call.now_ms));
}

Api<Xml> detach_volume(Call& call) {
  API_SET(volume, volume_named(call));
  const auto state = volume_state(*volume, call.now_ms);
  if (state != "in-use")
    return refuse("IncorrectState", fmt::format("Volume '{}' is in the '{}' state.", volume->id, state));
  const auto instance_id = call.params.get("InstanceId", volume->instance_id);
  if (instance_id != volume->instance_id || call.params.get("Device", volume->device) != volume->device)
    return refuse(
        "InvalidAttachment.NotFound",
        fmt::format("The volume '{}' is not attached to instance '{}' as that device", volume->id, instance_id));
  if (volume->detached_ms == 0) {
    if (!call.machines.take_volume(instance_id, volume->id))
      return refuse("InternalError", "The volume's folder cannot be taken from the instance");
    volume->detached_ms = call.now_ms;
  }
  return attachment_answer(row_of(*volume, call.now_ms));
}

Api<Xml> delete_volume(Call& call) {
  API_SET(volume, volume_named(call));
  if (!volume->instance_id.empty())
    return refuse("VolumeInUse", fmt::format("Volume {} is currently attached to {}", volume->id, volume->instance_id));
  const auto id = volume->id;
  if (!call.machines.drop_volume(id)) return refuse("InternalError", "The volume's folder cannot be removed");
  call.state.tags.erase(id);
  call.state.volumes.erase(id);
  return Xml().flag("return", true);
}

Api<Xml> describe_volumes(Call& call) {
  API_SET(filters,
          Filters::read(call.params, {"volume-id", "attachment.instance-id", "attachment.device", "attachment.status",
                                      "attachment.delete-on-termination", "availability-zone", "status", "size",
                                      "volume-type", "encrypted", "snapshot-id", "create-time"}));
  const auto all = all_volumes(call.state, call.now_ms);
  const auto wanted = call.params.list("VolumeId");
  API_TRY(check_ids(wanted, volume_ids, [&](const std::string& id) { return all.contains(id); }));
  std::vector<std::string> keys;
  for (const auto& [id, row] : all) {
    const auto& volume = row.volume;
    Facts facts;
    facts.add("volume-id", id).add("status", row.state).add("availability-zone", volume.zone);
    if (!row.attachment.empty())
      facts.add("attachment.instance-id", volume.instance_id)
          .add("attachment.device", volume.device)
          .add("attachment.status", row.attachment)
          .add("attachment.delete-on-termination", row.ends_with_instance);
    facts.add("size", std::to_string(volume.gib)).add("volume-type", volume.type).add("encrypted", volume.encrypted);
    facts.add("snapshot-id", volume.snapshot_id).add("create-time", os::iso_time(volume.created_ms, true));
    facts.add_tags(tags_of(call.state, id));
    if ((wanted.empty() || std::ranges::find(wanted, id) != wanted.end()) && filters.match(facts)) keys.push_back(id);
  }
  API_SET(page, page_of(call.params, keys));
  Xml xml;
  xml.list("volumeSet", page.keys, [&](const std::string& id) { write_volume(xml, call.state, all.at(id)); });
  return xml.some("nextToken", page.next_token);
}

}  // namespace ferry::rehearsal
