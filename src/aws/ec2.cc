#include "aws/ec2.h"

#include "base/text.h"

namespace ferry::aws {
namespace {

constexpr int page_size = 1000;
/// More pages than any account has instances for: an endpoint that never ends is an error, not a hang.
constexpr int most_pages = 1000;

Error endless(const std::string& action) {
  return {Kind::corrupt, "AWS's " + action + " never comes to an end",
          "too many pages, or the same one again", "check AWS_ENDPOINT_URL, and repeat", ""};
}

void add_filters(Params& params, const std::vector<Filter>& filters) {
  for (const auto& filter : filters) params.filter(filter.name, filter.values);
}

Params run_instances_params(const RunInstances& request) {
  Params params;
  params.add("ClientToken", request.client_token)
      .add("ImageId", request.image_id)
      .add("InstanceType", request.instance_type)
      .add("MinCount", 1)
      .add("MaxCount", 1)
      .add("InstanceInitiatedShutdownBehavior", "terminate")
      .add("MetadataOptions.HttpTokens", "required")
      .add("MetadataOptions.HttpEndpoint", "enabled");
  if (!request.key_name.empty()) params.add("KeyName", request.key_name);
  if (!request.security_group_id.empty()) params.add("SecurityGroupId.1", request.security_group_id);
  if (!request.zone.empty()) params.add("Placement.AvailabilityZone", request.zone);
  if (!request.user_data.empty()) params.add("UserData", base64(request.user_data));
  params.add("BlockDeviceMapping.1.DeviceName", request.root_device)
      .add("BlockDeviceMapping.1.Ebs.Encrypted", "true")
      .add("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true")
      .add("BlockDeviceMapping.1.Ebs.VolumeType", "gp3");
  if (request.root_size_gib > 0) params.add("BlockDeviceMapping.1.Ebs.VolumeSize", request.root_size_gib);
  if (request.spot) {
    params.add("InstanceMarketOptions.MarketType", "spot")
        .add("InstanceMarketOptions.SpotOptions.SpotInstanceType", "one-time")
        .add("InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior", "terminate");
  }
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
  std::vector<InstanceRecord> all;
  std::string next;
  for (int pages = 0; pages < most_pages; ++pages) {
    Params params;
    params.list("InstanceId", ids);
    add_filters(params, filters);
    if (ids.empty()) params.add("MaxResults", page_size);  // EC2 refuses both together
    if (!next.empty()) params.add("NextToken", next);
    TRY_SET(xml, "", client_.query("ec2", "DescribeInstances", params, Repeat::freely));
    TRY_SET(page, "", parse_describe_instances(xml));
    std::move(page.instances.begin(), page.instances.end(), std::back_inserter(all));
    if (page.next_token.empty()) return all;
    if (page.next_token == next) break;
    next = page.next_token;
  }
  return fail("", endless("DescribeInstances"));
}

Status Ec2::terminate_instance(const std::string& id) {
  return plain(client_.query("ec2", "TerminateInstances", Params().add("InstanceId.1", id), Repeat::freely));
}

Status Ec2::stop_instance(const std::string& id) {
  return plain(client_.query("ec2", "StopInstances", Params().add("InstanceId.1", id), Repeat::freely));
}

Status Ec2::start_instance(const std::string& id) {
  return plain(client_.query("ec2", "StartInstances", Params().add("InstanceId.1", id), Repeat::freely));
}

Result<std::vector<ImageRecord>> Ec2::describe_images(const std::vector<std::string>& owners,
                                                      const std::vector<Filter>& filters) {
  Params params;
  params.list("Owner", owners);
  add_filters(params, filters);
  TRY_SET(xml, "", client_.query("ec2", "DescribeImages", params, Repeat::freely));
  return parse_describe_images(xml);
}

Result<ImageRecord> Ec2::describe_image(const std::string& id) {
  TRY_SET(xml, "", client_.query("ec2", "DescribeImages", Params().add("ImageId.1", id), Repeat::freely));
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
  std::vector<SecurityGroupRecord> all;
  std::string next;
  for (int pages = 0; pages < most_pages; ++pages) {
    Params params;
    add_filters(params, filters);
    if (!next.empty()) params.add("NextToken", next);
    TRY_SET(xml, "", client_.query("ec2", "DescribeSecurityGroups", params, Repeat::freely));
    TRY_SET(page, "", parse_describe_security_groups(xml));
    std::move(page.groups.begin(), page.groups.end(), std::back_inserter(all));
    if (page.next_token.empty()) return all;
    if (page.next_token == next) break;
    next = page.next_token;
  }
  return fail("", endless("DescribeSecurityGroups"));
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

Status Ec2::delete_security_group(const std::string& name) {
  return plain(client_.query("ec2", "DeleteSecurityGroup", Params().add("GroupName", name), Repeat::freely));
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
  Params params;
  params.filter("is-default", {"true"});
  TRY_SET(xml, "", client_.query("ec2", "DescribeVpcs", params, Repeat::freely));
  TRY_SET(ids, "", parse_describe_vpcs(xml));
  if (ids.empty()) return std::nullopt;
  return std::move(ids.front());
}

}  // namespace ferry::aws
