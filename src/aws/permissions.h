#pragma once
/// \file
/// May these credentials do it? Asked with EC2's DryRun, which decides and does nothing.

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "aws/client.h"

namespace ferry::aws {

/// What the trial calls name. EC2 may look for a thing before it looks at the permission, so with names that
/// do not exist some answers are `unknown`; RunInstances needs an image of the region to be decided.
struct TrialNames {
  std::string image_id = "ami-0123456789abcdef0";
  std::string instance_type = "t3.micro";
  std::string instance_id = "i-0123456789abcdef0";
  std::string security_group_id = "sg-0123456789abcdef0";
  std::string name = "ferry-trial";  ///< of a key pair and a security group
  std::string instance_profile;      ///< that RunInstances passes on; empty: none
  std::string subnet_id;             ///< of RunInstances; empty: a default one
  /// On what would be made; a policy may allow some values only.
  std::map<std::string, std::string> tags = {{"ferry:run", "trial"}};
};

/// The actions that can be tried: all that a run needs of EC2.
std::span<const std::string_view> trial_actions();

enum class Permission { allowed, denied, unknown };
struct TrialAnswer {
  Permission permission = Permission::unknown;
  std::optional<Error> error;  ///< what EC2 said, unless it allows
};
/// `action` is one of trial_actions. Tags go with every action that can carry them, as in a real run: they
/// need a permission of their own (CreateTags), which ferry uses in no other way. Only for endpoints that
/// know DryRun, as AWS and the rehearsal cloud do: any other would do what is asked.
TrialAnswer dry_run(Client& client, std::string_view action, const TrialNames& names = {});

}  // namespace ferry::aws
