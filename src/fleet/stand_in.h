#pragma once
/// \file
/// `recover: aws`: what takes the place of a run's machine when it dies while nobody looks. A launch template and an
/// Auto Scaling group of at most one machine (cloud::StandInOrder), in which the run's machine is. When that dies, AWS
/// starts another from the template, which finds in the run's store what it is to do (agent/stand_in.h). Nothing of
/// ferry's runs in AWS meanwhile, and nothing secret is kept there: a machine is let in by the role that it has.
///
/// Why a group and no schedule that calls RunInstances: it can never have more than one machine, whoever asks it; it
/// asks again by itself when there is no room, in every zone; and what the machine must be allowed is only to lower
/// the number of its own group.

#include "fleet/machine.h"

namespace ferry::fleet {

/// In Run::task: the machine's role may use what is below (store_role.h).
inline constexpr const char* recovers_by_aws = "recovers_by_aws";

/// Of the group and the template of a run.
std::string stand_in_name(const ledger::Run& run);

/// Lets a machine say that no other is wanted: to groups of that name, which may be a pattern.
Json group_statement(const std::string& partition, const std::string& name);
/// What the policy of the machine's role needs beside that of its store.
Result<std::vector<Json>> stand_in_statements(const ledger::Run& run, const std::string& partition);

/// What a machine that takes another's place is booted with.
struct StandInBoot {
  std::string run, login_user;
  std::int64_t deadline_ms = 0;          ///< since 1970: its timer ends it then
  std::string bucket, agent_key;         ///< where the agent is
  std::string s3_region, s3_endpoint;    ///< "": asked of S3; "": AWS's own
  std::string agent_name, agent_sha256;  ///< of the file on the machine; hexadecimal
  Json store, group;                     ///< for the agent: StoreSpec, GroupSpec
};
/// cloud-config without a secret: arms the timer, and brings the agent (stand_in.py). Less than EC2's 16 KiB.
std::string stand_in_user_data(const StandInBoot& boot);

/// Makes both, or makes them as `order` says; noted in the ledger before. Fails as Cloud::make_stand_in().
Status make_stand_in(Context& context, const ledger::Run& run, const CloudLocation& location, cloud::Cloud& cloud,
                     cloud::StandInOrder order);

/// What make_stand_in() notes, as kinds of resources.
inline constexpr const char *template_kind = "launch-template", *group_kind = "auto-scaling-group";
bool is_of_stand_in(std::string_view kind);
/// The tag that Auto Scaling gives a machine in a group.
inline constexpr const char* in_group_tag = "aws:autoscaling:groupName";
/// The place of the run's group, if it may have one; of one that is deleted, too, with `also_gone`.
Result<std::optional<CloudLocation>> stand_in_location(Context& context, const std::string& run,
                                                       bool also_gone = false);

}  // namespace ferry::fleet
