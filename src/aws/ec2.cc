#include "aws/ec2.h"

#include "aws/ec2_catalog.h"
#include "base/text.h"

namespace ferry::aws {
namespace {

constexpr int page_size = 1000;

void add_filters(Params& params, const std::vector<Filter>& filters) {
  for (const auto& filter : filters) params.filter(filter.name, filter.values);
}

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

Params run_instances_params(const RunInstances& request) {
  Params params;
  params.add("ClientToken", request.client_token)
      .add("ImageId", request.image_id)
      .add("InstanceType", request.instance_type)
      .add("MinCount", 1)
      .add("MaxCount", 1)
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

/// IpPermissions.N of Authorize- and RevokeSecurityGroupIngress.
void add_rule(Params& params, int position, const IngressRule& rule) {
  const std::string prefix = "IpPermissions." + std::to_string(position);
  params.add(prefix + ".IpProtocol", rule.protocol);
  if (rule.protocol != "-1") {
    params.add(prefix + ".FromPort", rule.from_port).add(prefix + ".ToPort", rule.to_port);
  }
  switch (rule.source) {
    case IngressRule::Source::ipv4:
      params.add(prefix + ".IpRanges.1.CidrIp", rule.value);
      break;
    case IngressRule::Source::ipv6:
      params.add(prefix + ".Ipv6Ranges.1.CidrIpv6", rule.value);
      break;
    case IngressRule::Source::group:
      params.add(prefix + ".Groups.1.GroupId", rule.value);
      break;
    case IngressRule::Source::prefix_list:
      params.add(prefix + ".PrefixListIds.1.PrefixListId", rule.value);
      break;
  }
}

Status plain(Result<std::string> answer) {
  TRY("", answer);
  return {};
}

}  // namespace

Result<InstanceRecord> Ec2::run_instances(const RunInstances& request) {
  TRY_SET(xml, "", client_.query("ec2", "RunInstances", run_instances_params(request), Repeat::freely));
  return parse_run_instances(xml);
}

Result<std::vector<InstanceRecord>> Ec2::describe_instances(const std::vector<std::string>& ids,
                                                            const std::vector<Filter>& filters) {
  const auto ask = [&](const std::string& token) -> Result<Page<InstanceRecord>> {
    Params params;
    params.list("InstanceId", ids);
    add_filters(params, filters);
    if (ids.empty()) params.add("MaxResults", page_size);  // EC2 refuses both together
    if (!token.empty()) params.add("NextToken", token);
    TRY_SET(xml, "", client_.query("ec2", "DescribeInstances", params, Repeat::freely));
    return parse_describe_instances(xml);
  };
  return every_page<InstanceRecord>("DescribeInstances", ask);
}

Status Ec2::terminate_instance(const std::string& id) {
  return plain(client_.query("ec2", "TerminateInstances", Params().add("InstanceId.1", id), Repeat::freely));
}

Status Ec2::create_tags(const std::string& id, const Tags& tags) {
  Params params;
  params.add("ResourceId.1", id);
  int n = 0;
  for (const auto& [key, value] : tags) {
    const auto prefix = fmt::format("Tag.{}.", ++n);
    params.add(prefix + "Key", key).add(prefix + "Value", value);
  }
  return plain(client_.query("ec2", "CreateTags", params, Repeat::freely));
}

Status Ec2::stop_instance(const std::string& id) {
  return plain(client_.query("ec2", "StopInstances", Params().add("InstanceId.1", id), Repeat::freely));
}

Status Ec2::start_instance(const std::string& id) {
  return plain(client_.query("ec2", "StartInstances", Params().add("InstanceId.1", id), Repeat::freely));
}

Result<std::vector<ImageRecord>> Ec2::describe_images(const std::vector<std::string>& owners,
                                                      const std::vector<Filter>& filters, bool with_deprecated) {
  Params params;
  params.list("Owner", owners);
  add_filters(params, filters);
  if (with_deprecated) params.add("IncludeDeprecated", "true");
  TRY_SET(xml, "", client_.query("ec2", "DescribeImages", params, Repeat::freely));
  return parse_describe_images(xml);
}

Result<ImageRecord> Ec2::describe_image(const std::string& id) {
  const auto params = Params().add("ImageId.1", id).add("IncludeDeprecated", "true");
  TRY_SET(xml, "", client_.query("ec2", "DescribeImages", params, Repeat::freely));
  TRY_SET(images, "", parse_describe_images(xml));
  for (auto& image : images) {
    if (image.id == id) return std::move(image);
  }
  return fail(Kind::not_found, "there is no image " + id + " in " + client_.config().region, "",
              "images differ from region to region: check the region");
}

Status Ec2::import_key_pair(const std::string& name, const std::string& public_key, const Tags& tags) {
  Params params;
  params.add("KeyName", name).add("PublicKeyMaterial", base64(public_key)).tags("key-pair", tags);
  return plain(client_.query("ec2", "ImportKeyPair", params, Repeat::freely));
}

Status Ec2::delete_key_pair(const std::string& name) {
  return plain(client_.query("ec2", "DeleteKeyPair", Params().add("KeyName", name), Repeat::freely));
}

Result<std::vector<SecurityGroupRecord>> Ec2::describe_security_groups(const std::vector<Filter>& filters) {
  const auto ask = [&](const std::string& token) -> Result<Page<SecurityGroupRecord>> {
    Params params;
    add_filters(params, filters);
    if (!token.empty()) params.add("NextToken", token);
    TRY_SET(xml, "", client_.query("ec2", "DescribeSecurityGroups", params, Repeat::freely));
    return parse_describe_security_groups(xml);
  };
  return every_page<SecurityGroupRecord>("DescribeSecurityGroups", ask);
}

Result<std::string> Ec2::create_security_group(const std::string& name, const std::string& description,
                                               const std::string& vpc_id, const Tags& tags) {
  Params params;
  params.add("GroupName", name).add("GroupDescription", description);
  if (!vpc_id.empty()) params.add("VpcId", vpc_id);
  params.tags("security-group", tags);
  TRY_SET(xml, "", client_.query("ec2", "CreateSecurityGroup", params, Repeat::freely));
  return parse_create_security_group(xml);
}

Status Ec2::delete_security_group_named(const std::string& name) {
  return plain(client_.query("ec2", "DeleteSecurityGroup", Params().add("GroupName", name), Repeat::freely));
}

Status Ec2::delete_security_group(const std::string& id) {
  return plain(client_.query("ec2", "DeleteSecurityGroup", Params().add("GroupId", id), Repeat::freely));
}

Status Ec2::authorize_ingress(const std::string& group_id, const IngressRule& rule) {
  Params params;
  params.add("GroupId", group_id);
  add_rule(params, 1, rule);
  return plain(client_.query("ec2", "AuthorizeSecurityGroupIngress", params, Repeat::freely));
}

Status Ec2::revoke_ingress(const std::string& group_id, const std::vector<IngressRule>& rules) {
  Params params;
  params.add("GroupId", group_id);
  for (std::size_t i = 0; i < rules.size(); ++i) add_rule(params, static_cast<int>(i + 1), rules[i]);
  return plain(client_.query("ec2", "RevokeSecurityGroupIngress", params, Repeat::freely));
}

Result<std::optional<std::string>> Ec2::default_vpc() {
  TRY_SET(vpcs, "", describe_vpcs(client_, {{"is-default", {"true"}}}));
  if (vpcs.empty()) return std::nullopt;
  return std::move(vpcs.front().id);
}

}  // namespace ferry::aws
