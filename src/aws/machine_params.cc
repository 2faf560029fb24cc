#include "aws/machine_params.h"

#include "base/text.h"

namespace ferry::aws {
namespace {

/// "1.25": dollars as EC2 reads them, to the millionth.
std::string dollars(Usd money) {
  std::string digits = std::to_string(money.micros);
  if (digits.size() < 7) digits.insert(0, 7 - digits.size(), '0');
  return digits.insert(digits.size() - 6, ".");
}

/// EC2 takes the wish for a public address only with a network interface, which then has subnet and group.
void add_network(Params& params, const RunInstances& request) {
  const bool interface = request.public_address.has_value();
  const std::string prefix = interface ? "NetworkInterface.1." : "";
  if (interface) {
    params.add(prefix + "DeviceIndex", 0)
        .add(prefix + "AssociatePublicIpAddress", *request.public_address ? "true" : "false")
        .add(prefix + "DeleteOnTermination", "true");
  }
  params.add_given(prefix + "SubnetId", request.subnet_id);
  params.add_given(prefix + "SecurityGroupId.1", request.security_group_id);
}

void add_root_disk(Params& params, const RunInstances& request) {
  const std::string disk = "BlockDeviceMapping.1.";
  params.add(disk + "DeviceName", request.root_device)
      .add(disk + "Ebs.Encrypted", "true")
      .add(disk + "Ebs.DeleteOnTermination", "true")
      .add(disk + "Ebs.VolumeType", request.volume_type);
  params.add_given(disk + "Ebs.VolumeSize", request.root_size_gib);
  params.add_given(disk + "Ebs.Iops", request.volume_iops);
  params.add_given(disk + "Ebs.Throughput", request.volume_mib_per_s);
}

void add_spot(Params& params, const RunInstances& request) {
  const std::string options = "InstanceMarketOptions.SpotOptions.";
  params.add("InstanceMarketOptions.MarketType", "spot")
      .add(options + "SpotInstanceType", "one-time")
      .add(options + "InstanceInterruptionBehavior", "terminate");
  if (request.spot_max_price) params.add(options + "MaxPrice", dollars(*request.spot_max_price));
}

}  // namespace

Params machine_params(const RunInstances& request) {
  Params params;
  params.add("ImageId", request.image_id)
      .add("InstanceType", request.instance_type)
      .add("InstanceInitiatedShutdownBehavior", request.stops_itself ? "stop" : "terminate")
      .add("MetadataOptions.HttpTokens", "required")
      .add("MetadataOptions.HttpEndpoint", "enabled");
  params.add_given("KeyName", request.key_name);
  add_network(params, request);
  params.add_given("Placement.AvailabilityZone", request.zone);
  params.add_given("Placement.GroupName", request.placement_group);
  params.add_given("CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId",
                   request.capacity_reservation_id);
  const bool arn = request.instance_profile.starts_with("arn:");
  params.add_given(arn ? "IamInstanceProfile.Arn" : "IamInstanceProfile.Name", request.instance_profile);
  if (!request.user_data.empty()) params.add("UserData", base64(request.user_data));
  add_root_disk(params, request);
  if (request.spot) add_spot(params, request);
  if (request.capacity_block) params.add("InstanceMarketOptions.MarketType", "capacity-block");
  params.tags("instance", request.tags).tags("volume", request.tags);
  return params;
}

Params run_instances_params(const RunInstances& request) {
  Params params;
  params.add("ClientToken", request.client_token).add("MinCount", 1).add("MaxCount", 1);
  const Params machine = machine_params(request);
  for (const auto& [name, value] : machine.all()) params.add(name, value);
  return params;
}

Params template_params(const RunInstances& request) {
  auto placeless = request;
  placeless.zone.clear();
  placeless.subnet_id.clear();
  const Params machine = machine_params(placeless);
  Params params;
  for (const auto& [name, value] : machine.all()) params.add("LaunchTemplateData." + name, value);
  return params;
}

}  // namespace ferry::aws
