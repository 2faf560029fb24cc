#pragma once
/// \file
/// Who a rented machine is to its run's store and data sets: a role of IAM that is made for the run, may touch what is
/// the run's in the store, read the data sets that the task names (and put into those that it writes), and nothing
/// else, and goes with the machine. Roles cost nothing.

#include <string>

#include "aws/client.h"
#include "fleet/buckets.h"
#include "fleet/machine.h"

namespace ferry::fleet {

/// Where all of it is in IAM, and the policy that bounds what any such role may, whoever made it: the account's
/// administrator makes it once (`ferry store setup`).
inline constexpr const char *iam_path = "/ferry/", *boundary_name = "ferry-store";

/// In Run::task: the name of another run, what whose attempts stored in the run's store its machine reads, too.
inline constexpr const char* reads_run = "reads_run";

/// The role and its instance profile: resource_name(), cut to the 64 characters that IAM takes.
std::string store_role_name(const std::string& run, const std::string& launch_id);
/// A policy that allows what stores need below "PREFIX/runs/RUN/" of the bucket of an s3:// uri; with run "" below
/// "PREFIX/runs/", and that reads what is below "PREFIX/data/". `partition`: aws::partition_of(). JSON.
Result<Json> store_policy(const std::string& uri, const std::string& run, const std::string& partition);

/// What the role of a run may: with its store ("": none), the run that it reads there, and its data sets.
Result<Json> role_policy(const ledger::Run& run, const std::string& partition);

/// Makes the role and its instance profile; the profile's name, for RunInstances, which may not know it for the first
/// seconds (is_young_profile()). What was made already, by a ferry that was killed, is taken. Each is noted as the
/// run's, at `location`, before it is made.
///
/// The role is bounded by the account's boundary where there is one. Fails denied, with the ways out, where these
/// credentials may not make roles, or where the boundary would not let the role store or read the data.
Result<std::string> ensure_store_role(Context& context, const ledger::Run& run, const CloudLocation& location);
/// Whether a policy lets somebody put and get what `wanted`, a policy of role_policy(), allows them to, as far as its
/// Allow statements say. Pure.
bool lets(const Json& policy, const Json& wanted);
/// The error of a launch with a profile that EC2 does not know yet.
bool is_young_profile(const Error& error);

/// Removes the role (that of an interruption, too: interrupt.h), what it may, and its instance profile. Does nothing
/// about what is gone already.
Status remove_store_role(Context& context, const CloudLocation& location, const std::string& name);
/// True for a note of ensure_store_role(): kind "role" or "instance-profile".
bool is_of_store_role(const ledger::Resource& resource);
/// Removes those of `resources` that are roles and not released yet, and notes that. What cannot be removed, or is
/// another account's than today's credentials, is told, stays noted, and is for remove_noted_store_roles(). Fails as
/// the ledger does.
Status release_store_roles(Context& context, std::vector<ledger::Resource>& resources);
/// Tries again for all runs that are over. What was removed, for people.
Result<std::vector<std::string>> remove_noted_store_roles(Context& context);

/// The roles with that owner in their tags that are in IAM; none where these credentials may not look.
Result<std::vector<cloud::Made>> find_store_roles(Context& context, const CloudLocation& location,
                                                  const std::string& owner);

}  // namespace ferry::fleet
