#include "aws/ec2.h"

#include "aws/ec2_catalog.h"
#include "aws/machine_params.h"
#include "base/text.h"

namespace ferry::aws {
namespace {

constexpr int page_size = 1000;

void add_filters(Params& params, const std::vector<Filter>& filters) {
  for (const auto& filter : filters) params.filter(filter.name, filter.values);
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
