#include "aws/permissions.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace ferry::aws {
namespace {

/// A public key in good form whose private half is nowhere.
constexpr std::string_view trial_key =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA ferry-trial";

using Fill = void (*)(Params&, const TrialNames&);
struct Trial {
  std::string_view action;
  Fill fill;
  /// It is about a thing that does not exist, and so has no tags: a policy that allows the action by tag
  /// refuses it like one that never allows it.
  bool is_of_nothing = false;
};

void fill_instance_id(Params& params, const TrialNames& names) { params.add("InstanceId.1", names.instance_id); }

constexpr std::array<Trial, 10> trials = {{
    {"RunInstances",
     [](Params& params, const TrialNames& names) {
       params.add("ImageId", names.image_id)
           .add("InstanceType", names.instance_type)
           .add("MinCount", 1)
           .add("MaxCount", 1)
           .tags("instance", names.tags)
           .tags("volume", names.tags);
       const bool arn = names.instance_profile.starts_with("arn:");
       params.add_given(arn ? "IamInstanceProfile.Arn" : "IamInstanceProfile.Name", names.instance_profile);
       params.add_given("SubnetId", names.subnet_id);
     }},
    {"TerminateInstances", fill_instance_id, true},
    {"StopInstances", fill_instance_id, true},
    {"StartInstances", fill_instance_id, true},
    {"DescribeInstances", [](Params& params, const TrialNames&) { params.add("MaxResults", 5); }},
    {"ImportKeyPair",
     [](Params& params, const TrialNames& names) {
       params.add("KeyName", names.name).add("PublicKeyMaterial", base64(trial_key)).tags("key-pair", names.tags);
     }},
    {"DeleteKeyPair", [](Params& params, const TrialNames& names) { params.add("KeyName", names.name); }, true},
    {"CreateSecurityGroup",
     [](Params& params, const TrialNames& names) {
       params.add("GroupName", names.name).add("GroupDescription", "ferry: a trial").tags("security-group", names.tags);
     }},
    {"AuthorizeSecurityGroupIngress",
     [](Params& params, const TrialNames& names) {
       params.add("GroupId", names.security_group_id)
           .add("IpPermissions.1.IpProtocol", "tcp")
           .add("IpPermissions.1.FromPort", 22)
           .add("IpPermissions.1.ToPort", 22)
           .add("IpPermissions.1.IpRanges.1.CidrIp", "192.0.2.1/32");
     },
     true},
    {"DeleteSecurityGroup",
     [](Params& params, const TrialNames& names) { params.add("GroupId", names.security_group_id); }, true},
}};

constexpr auto action_names = [] {
  std::array<std::string_view, trials.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = trials[i].action;
  return names;
}();

}  // namespace

std::span<const std::string_view> trial_actions() { return action_names; }

TrialAnswer dry_run(Client& client, std::string_view action, const TrialNames& names) {
  const auto trial = std::find_if(trials.begin(), trials.end(), [&](const Trial& it) { return it.action == action; });
  if (trial == trials.end()) return {Permission::unknown, Error{Kind::bug, "no trial of " + std::string(action)}};
  Params params;
  params.add("DryRun", "true");
  trial->fill(params, names);
  const auto answer = client.query("ec2", std::string(action), params, Repeat::freely);
  // A success means that the endpoint does not know DryRun: whether it may be done is not told by that.
  if (answer) {
    return {Permission::unknown,
            Error{Kind::unsupported, "this endpoint does not know DryRun of " + std::string(action)}};
  }
  if (answer.error().code == "DryRunOperation") return {Permission::allowed, std::nullopt};
  const bool refused = answer.error().code == "UnauthorizedOperation";
  return {refused && !trial->is_of_nothing ? Permission::denied : Permission::unknown, answer.error()};
}

}  // namespace ferry::aws
