#include "rehearsal/launch.h"

#include "base/text.h"
#include "rehearsal/profiles.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {
namespace {

using Checked = Api<std::monostate>;

Checked read_what(const Params& params, LaunchOrder& order) {
  API_SET(image_id, params.required("ImageId"));
  API_TRY(check_ids({image_id}, {"ami-", "InvalidAMIID", "image id"}, [](const std::string&) { return true; }));
  const auto* image = find_image(image_id);
  if (!image) return refuse("InvalidAMIID.NotFound", fmt::format("The image id '[{}]' does not exist", image_id));
  const auto type_name = params.get("InstanceType", "t3.micro");
  order.type = find_type(type_name);
  if (!order.type)
    return refuse("InvalidParameterValue", fmt::format("Invalid value '{}' for InstanceType.", type_name));
  if (image->arch != order.type->arch)
    return refuse("InvalidParameterValue",
                  fmt::format("The architecture '{}' of the specified instance type does not match the architecture "
                              "'{}' of the specified AMI. Specify an instance type and an AMI that "
                              "have matching architectures, and try again. You can use 'describe-instance-types' or "
                              "'describe-images' to discover the architecture of the instance type or AMI.",
                              order.type->arch, image->arch));
  order.instance.image_id = image_id;
  order.instance.type = type_name;
  return std::monostate{};
}

Checked read_counts(const Params& params, LaunchOrder& order) {
  if (!params.has("MinCount")) return missing_parameter("MinCount");
  if (!params.has("MaxCount")) return missing_parameter("MaxCount");
  API_SET(least, params.number("MinCount", 1));
  API_SET(most, params.number("MaxCount", 1));
  if (least < 1)
    return refuse("InvalidParameterValue", fmt::format("Invalid value '{}' for MinCount. Must be 1 or more.", least));
  if (most < least)
    return refuse("InvalidParameterCombination",
                  fmt::format("Maximum number of instances ({}) must not be less than the minimum ({})", most, least));
  if (least > 1000)
    return refuse(
        "InstanceLimitExceeded",
        fmt::format("You have requested more instances ({}) than your current instance limit of 1000 allows.", least));
  order.least = least;
  order.most = std::min<std::int64_t>(most, 1000);
  return std::monostate{};
}

Checked read_key(const Params& params, const State& state, LaunchOrder& order) {
  const auto key = params.get("KeyName");
  if (!key.empty() && !state.key_named(key))
    return refuse("InvalidKeyPair.NotFound", fmt::format("The key pair '{}' does not exist", key));
  order.instance.key_name = key;
  return std::monostate{};
}

Checked read_disk(const Params& params, const std::string& item, Disk& disk) {
  API_SET(gib, params.number(item + "Ebs.VolumeSize", disk.gib));
  if (gib < disk.gib && !disk.snapshot_id.empty())
    return refuse("InvalidBlockDeviceMapping",
                  fmt::format("Volume of size {}GB is smaller than snapshot '{}', expect size>= {}GB", gib,
                              disk.snapshot_id, disk.gib));
  if (gib < 1 || gib > 65536)
    return refuse("InvalidParameterValue", fmt::format("Volume size {} is out of range", gib));
  disk.gib = gib;
  disk.type = params.get(item + "Ebs.VolumeType", disk.type);
  constexpr std::array<std::string_view, 7> kinds = {"gp2", "gp3", "io1", "io2", "st1", "sc1", "standard"};
  if (std::find(kinds.begin(), kinds.end(), disk.type) == kinds.end())
    return refuse("InvalidParameterValue", fmt::format("Invalid value '{}' for VolumeType", disk.type));
  API_SET(iops, params.number(item + "Ebs.Iops", disk.iops));
  API_SET(throughput, params.number(item + "Ebs.Throughput", disk.throughput));
  API_SET(encrypted, params.flag(item + "Ebs.Encrypted", disk.encrypted));
  API_SET(ends, params.flag(item + "Ebs.DeleteOnTermination", disk.delete_on_termination));
  disk.iops = iops;
  disk.throughput = throughput;
  disk.encrypted = encrypted;
  disk.delete_on_termination = ends;
  return std::monostate{};
}

Checked read_disks(const Params& params, LaunchOrder& order) {
  const auto* image = find_image(order.instance.image_id);
  Disk root;
  root.device = image->root_device;
  root.snapshot_id = image->snapshot_id;
  root.gib = image->gib;
  order.instance.disks = {root};
  for (const auto& item : params.items("BlockDeviceMapping")) {
    API_SET(device, params.required(item + "DeviceName"));
    if (!params.any(item + "Ebs.")) continue;  // instance store, or none
    Disk* disk = &order.instance.disks.front();
    if (device != root.device) {
      Disk extra;
      extra.device = device;
      extra.delete_on_termination = false;
      disk = &order.instance.disks.emplace_back(extra);
    }
    API_TRY(read_disk(params, item, *disk));
  }
  return std::monostate{};
}

Checked read_metadata(const Params& params, MetadataOptions& options) {
  const auto choose = [&](const std::string& member, std::string_view yes, std::string_view no,
                          bool& target) -> Checked {
    const auto value = params.get("MetadataOptions." + member, target ? yes : no);
    if (value != yes && value != no) return invalid_value(value, member);
    target = value == yes;
    return std::monostate{};
  };
  API_TRY(choose("HttpTokens", "required", "optional", options.token_required));
  API_TRY(choose("HttpEndpoint", "enabled", "disabled", options.endpoint_enabled));
  API_TRY(choose("InstanceMetadataTags", "enabled", "disabled", options.tags));
  API_SET(hops, params.number("MetadataOptions.HttpPutResponseHopLimit", options.hop_limit));
  if (hops < 1 || hops > 64)
    return invalid_value(std::to_string(hops), "HttpPutResponseHopLimit", "Must be between 1 and 64.");
  options.hop_limit = hops;
  return std::monostate{};
}

Checked read_habits(const Params& params, LaunchOrder& order) {
  Instance& instance = order.instance;
  const auto at_end = params.get("InstanceInitiatedShutdownBehavior", "stop");
  if (at_end != "stop" && at_end != "terminate") return invalid_value(at_end, "instanceInitiatedShutdownBehavior");
  instance.on_poweroff = at_end == "terminate" || order.spot ? OnPoweroff::terminate : OnPoweroff::stop;
  API_SET(no_end, params.flag("DisableApiTermination", false));
  API_SET(no_stop, params.flag("DisableApiStop", false));
  API_SET(optimized, params.flag("EbsOptimized", false));
  API_SET(watched, params.flag("Monitoring.Enabled", false));
  instance.protect_termination = no_end;
  instance.protect_stop = no_stop;
  instance.ebs_optimized = optimized;
  instance.monitoring = watched;
  instance.credits =
      params.get("CreditSpecification.CpuCredits", order.type->family() == "t2" ? "standard" : "unlimited");
  instance.client_token = params.get("ClientToken");
  if (instance.client_token.size() > 64)
    return refuse("InvalidParameterValue", "Client token must not exceed 64 ASCII characters");
  API_SET(user_data, read_user_data(params.get("UserData")));
  instance.user_data = base64(user_data);
  return read_metadata(params, instance.metadata);
}

}  // namespace

Api<std::string> read_user_data(const std::string& encoded) {
  auto bytes = from_base64(encoded);
  if (!bytes) return refuse("InvalidParameterValue", "Invalid BASE64 encoding of user data.");
  if (bytes->size() > 16384) return refuse("InvalidParameterValue", "User data is limited to 16384 bytes");
  return *std::move(bytes);
}

Api<LaunchOrder> read_launch(Call& call) {
  LaunchOrder order;
  const Params& params = call.params;
  if (params.any("LaunchTemplate.")) return refuse("UnsupportedOperation", "Launch templates are not offered here");
  API_TRY(read_what(params, order));
  API_TRY(read_counts(params, order));
  API_TRY(read_network(call, order));
  API_TRY(read_placement_group(call, order));
  order.instance.tenancy = params.get("Placement.Tenancy", "default");
  API_TRY(read_key(params, call.state, order));
  API_TRY(read_disks(params, order));
  API_TRY(read_market(params, order));
  API_TRY(read_reservation(call, order));
  API_TRY(read_habits(params, order));
  API_SET(tags, read_tag_specifications(
                    params, {"instance", "volume", "network-interface", "spot-instances-request", "elastic-gpu"}));
  order.tags = tags;
  API_TRY(read_profile(call, order.tags["instance"], order.instance));
  return order;
}

}  // namespace ferry::rehearsal
