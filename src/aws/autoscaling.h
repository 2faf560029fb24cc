#pragma once
/// \file
/// EC2 Auto Scaling, as far as one machine that is replaced when it dies: groups of at most one. The query protocol,
/// version 2011-01-01. Names are Auto Scaling's own. Every call can be repeated.
///
/// set_desired_capacity() is also what a machine calls itself, with its own role: it needs nothing but a Client.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "aws/client.h"
#include "aws/ec2.h"
#include "aws/launch_templates.h"

namespace ferry::aws {

struct ScalingGroupOrder {
  std::string name;
  LaunchTemplateVersion machine;        ///< what it launches
  std::vector<std::string> subnet_ids;  ///< at least one, of one VPC
  Tags tags;                            ///< on the group, and on every machine that it launches
};

struct ScalingGroupRecord {
  struct Member {
    std::string id;
    std::string lifecycle_state;  ///< "InService", "Pending", "Terminating", …
    std::string health;           ///< "Healthy" or "Unhealthy"
  };
  std::string name, arn;
  int min = 0, max = 0, desired = 0;
  bool is_going = false;  ///< it is being deleted
  std::vector<Member> members;
  Tags tags;
  bool has(const std::string& instance_id) const;
};

/// At least none and at most one machine, none as yet; replaced when EC2 says that it is not running or not well.
/// Fails `exists` for one of that name; `denied` where the account's service-linked role for Auto Scaling is to be made
/// first and may not be.
Status create_scaling_group(Client& client, const ScalingGroupOrder& order);
/// Gives one that is there this template and these subnets, and room for one machine. Machines that it has stay.
Status update_scaling_group(Client& client, const ScalingGroupOrder& order);
/// "AZRebalance" and kin: no longer done by themselves.
Status suspend_processes(Client& client, const std::string& group, const std::vector<std::string>& processes);
/// Puts a running machine in, and raises the desired capacity by it.
Status attach_instance(Client& client, const std::string& group, const std::string& instance_id);
/// How many machines there are to be. Fewer than there are: it terminates the rest.
Status set_desired_capacity(Client& client, const std::string& group, int machines);
/// From that time on (since 1970; in the future, whole seconds) there is to be none. Said again, the last word counts.
Status schedule_end(Client& client, const std::string& group, std::int64_t at_ms);
/// All pages.
Result<std::vector<ScalingGroupRecord>> describe_scaling_groups(Client& client, const std::vector<std::string>& names,
                                                                const std::vector<Filter>& filters = {});
/// With its machines, which it terminates; it is seen going until they are gone. Fails `not_found` where there is none.
Status delete_scaling_group(Client& client, const std::string& group);

/// What DescribeAutoScalingGroups answers.
Result<Page<ScalingGroupRecord>> parse_describe_scaling_groups(std::string_view xml);

}  // namespace ferry::aws
