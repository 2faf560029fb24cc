#include "aws/autoscaling.h"

#include <algorithm>

#include "aws/xml.h"
#include "base/text.h"
#include "os/clock.h"

namespace ferry::aws {
namespace {

constexpr const char* end_action = "ferry-end";

Params of(const std::string& group) { return Params().add("AutoScalingGroupName", group); }

Status ask(Client& client, const std::string& action, const Params& params) {
  TRY("", client.query("auto_scaling", action, params, Repeat::freely));
  return {};
}

/// What a group is, of one to be made and of one that is there.
Params group_params(const ScalingGroupOrder& order) {
  return of(order.name)
      .add("LaunchTemplate.LaunchTemplateId", order.machine.id)
      .add("LaunchTemplate.Version", order.machine.version)
      .add("MinSize", 0)
      .add("MaxSize", 1)
      .add("VPCZoneIdentifier", join(order.subnet_ids, ","))
      .add("HealthCheckType", "EC2")
      .add("NewInstancesProtectedFromScaleIn", "false");
}

void add_tags(Params& params, const ScalingGroupOrder& order) {
  int number = 0;
  for (const auto& [key, value] : order.tags) {
    const auto tag = fmt::format("Tags.member.{}.", ++number);
    params.add(tag + "ResourceId", order.name)
        .add(tag + "ResourceType", "auto-scaling-group")
        .add(tag + "Key", key)
        .add(tag + "Value", value)
        .add(tag + "PropagateAtLaunch", "true");
  }
}

/// AWS says which role it could not make, and not what to do about it.
Error with_advice(Error error) {
  if (error.kind == Kind::denied && error.why.find("ervice-") != std::string::npos &&
      error.why.find("inked") != std::string::npos)
    error.advice =
        "the first Auto Scaling group of an account needs the service-linked role AWSServiceRoleForAutoScaling: have "
        "iam:CreateServiceLinkedRole allowed for autoscaling.amazonaws.com (`ferry policy --recover` has it), or have "
        "it made once: aws iam create-service-linked-role --aws-service-name autoscaling.amazonaws.com";
  return error;
}

ScalingGroupRecord read_group(const pugi::xml_node& item) {
  ScalingGroupRecord one;
  one.name = xml_text(item, "AutoScalingGroupName");
  one.arn = xml_text(item, "AutoScalingGroupARN");
  one.min = xml_number(item, "MinSize", 0);
  one.max = xml_number(item, "MaxSize", 0);
  one.desired = xml_number(item, "DesiredCapacity", 0);
  one.is_going = !xml_text(item, "Status").empty();  // "Delete in progress"; there is no other
  for (const auto& member : item.child("Instances").children("member")) {
    auto id = xml_text(member, "InstanceId");
    if (!id.empty())
      one.members.push_back({std::move(id), xml_text(member, "LifecycleState"), xml_text(member, "HealthStatus")});
  }
  for (const auto& tag : item.child("Tags").children("member"))
    one.tags[tag.child("Key").text().get()] = tag.child("Value").text().get();
  return one;
}

}  // namespace

bool ScalingGroupRecord::has(const std::string& instance_id) const {
  return std::any_of(members.begin(), members.end(), [&](const Member& it) { return it.id == instance_id; });
}

Status create_scaling_group(Client& client, const ScalingGroupOrder& order) {
  auto params = group_params(order);
  params.add("DesiredCapacity", 0);
  add_tags(params, order);
  auto made = ask(client, "CreateAutoScalingGroup", params);
  if (!made) return fail("", with_advice(std::move(made).error()));
  return {};
}

Status update_scaling_group(Client& client, const ScalingGroupOrder& order) {
  return ask(client, "UpdateAutoScalingGroup", group_params(order));
}

Status suspend_processes(Client& client, const std::string& group, const std::vector<std::string>& processes) {
  return ask(client, "SuspendProcesses", of(group).list("ScalingProcesses.member", processes));
}

Status attach_instance(Client& client, const std::string& group, const std::string& instance_id) {
  return ask(client, "AttachInstances", of(group).add("InstanceIds.member.1", instance_id));
}

Status set_desired_capacity(Client& client, const std::string& group, int machines) {
  return ask(client, "SetDesiredCapacity", of(group).add("DesiredCapacity", machines).add("HonorCooldown", "false"));
}

Status schedule_end(Client& client, const std::string& group, std::int64_t at_ms) {
  return ask(client, "PutScheduledUpdateGroupAction",
             of(group)
                 .add("ScheduledActionName", end_action)
                 .add("StartTime", os::iso_time(at_ms))
                 .add("MinSize", 0)
                 .add("MaxSize", 0)
                 .add("DesiredCapacity", 0));
}

Result<Page<ScalingGroupRecord>> parse_describe_scaling_groups(std::string_view xml) {
  XmlAnswer answer;
  TRY("", load_xml(answer, xml, "DescribeAutoScalingGroupsResponse"));
  const auto result = answer.root.child("DescribeAutoScalingGroupsResult");
  Page<ScalingGroupRecord> page;
  for (const auto& item : result.child("AutoScalingGroups").children("member")) {
    auto one = read_group(item);
    if (!one.name.empty()) page.items.push_back(std::move(one));
  }
  page.next_token = xml_text(result, "NextToken");
  return page;
}

Result<std::vector<ScalingGroupRecord>> describe_scaling_groups(Client& client, const std::vector<std::string>& names,
                                                                const std::vector<Filter>& filters) {
  return every_page<ScalingGroupRecord>(
      "DescribeAutoScalingGroups", [&](const std::string& token) -> Result<Page<ScalingGroupRecord>> {
        Params params;
        params.list("AutoScalingGroupNames.member", names);
        int number = 0;
        for (const auto& filter : filters) {
          const auto prefix = fmt::format("Filters.member.{}.", ++number);
          params.add(prefix + "Name", filter.name).list(prefix + "Values.member", filter.values);
        }
        params.add("MaxRecords", 100).add_given("NextToken", token);
        TRY_SET(xml, "", client.query("auto_scaling", "DescribeAutoScalingGroups", params, Repeat::freely));
        return parse_describe_scaling_groups(xml);
      });
}

Status delete_scaling_group(Client& client, const std::string& group) {
  return ask(client, "DeleteAutoScalingGroup", of(group).add("ForceDelete", "true"));
}

}  // namespace ferry::aws
