#pragma once
/// \file
/// What an AWS account allows: who one is there, permissions, limits, network, what was left behind. Reads
/// only; the one exception says so.

#include <string>
#include <vector>

#include "account/quota_watch.h"
#include "fleet/machine.h"

namespace ferry::account {

/// One line of `ferry check`.
struct Finding {
  enum class Level { good, note, bad };
  Level level = Level::good;
  std::string subject;  ///< "credentials", "permissions", …
  std::string text;
  std::string advice;  ///< what to do; may be empty
};

/// Everything a run will need, asked beforehand. `region` empty: the user's own. `settings`: what the
/// user's tasks have as aws:. Never fails: what cannot be asked is a finding.
std::vector<Finding> check_account(fleet::Context& context, const std::string& region,
                                   const task::AwsSettings& settings);

/// The regions that the environment's own account has, its usual one first. Fails as the calls do.
Result<std::vector<std::string>> account_regions(fleet::Context& context);

/// One of EC2's limits on vCPUs.
struct Quota {
  std::string code, families;
  bool spot = false;
  std::optional<int> limit;  ///< nothing: may not be asked
  int used = 0;              ///< by what runs in the region now
};
/// Of the region, in a fixed order. Fails as the calls do.
Result<std::vector<Quota>> vcpu_quotas(fleet::Context& context, const std::string& region);
/// Asks AWS to raise a limit. Fails exists where a request for it is open.
Result<QuotaRequest> request_quota(fleet::Context& context, const std::string& region, const std::string& code,
                                   int vcpus);

/// Removes the offers that the account's limits rule out, asking for each limit once; what was removed is
/// told in one line for each limit. Fails quota, with the next steps, when none is left; denied when the
/// account may not launch at all. Limits that may not be asked rule nothing out. `short_of`: those that ruled something
/// out, each once.
Result<std::vector<plan::Offer>> within_quotas(fleet::Context& context, const fleet::CloudLocation& location,
                                               std::vector<plan::Offer> offers, std::vector<QuotaShortage>& short_of);

/// Fails denied, with what is missing, when the account may not rent this offer with this image (and pass on
/// its role). Asked with DryRun: nothing is made. What EC2 does not decide is no error.
Status may_launch(fleet::Context& context, const plan::Offer& offer, const cloud::Image& image,
                  const task::AwsSettings& settings);

/// Whom an IAM policy is for.
struct PolicyFor {
  /// Values of the tag ferry:owner that its holder may give and that make a thing its holder's own: user@host
  /// of each of their computers. Not one of IAM's own names: those of a role's session change with every
  /// session, and a machine could not be given back once the session that rented it is over.
  std::vector<std::string> owners;
  /// Names or ARNs of roles that machines may get; empty: none.
  std::vector<std::string> roles;
  /// An s3:// place of runs that store (base/store_place.h): the holder may use what is below it, and make roles for
  /// machines that nobody's boundary (`ferry store setup`) lets do more. Empty: none. A folder needs no policy.
  std::string store;
  /// Also what only people need whose task has aws: settings (own key pairs, reservations, Systems Manager).
  bool all = false;
  /// Also `ferry interrupt`: AWS's FIS, and the roles that are made for it, bounded by AWS's own policy for FIS.
  bool interrupt = false;
  /// Also machines that AWS replaces while the computer is away: launch templates and Auto Scaling groups of one
  /// machine called ferry-…. Auto Scaling lets whoever may put machines into a group put in any of the account, and
  /// ends what is in it: with this, the holder's reach is not the owners' machines alone.
  bool recover = false;
  /// Also `ferry account`: looking at everything that costs.
  bool account = false;
  /// Also `ferry capacity buy`: what is dear and cannot be given back.
  bool buy = false;
};

/// The smallest IAM policy with which every ferry command works, as JSON text. Its holder makes things with
/// one of the owners' tags only, tags nothing that is there already, and ends and opens only what has such a
/// tag. Fails bad_input for an owner, a role
/// or a store that IAM would read as more than one.
Result<std::string> iam_policy(const PolicyFor& whom);

}  // namespace ferry::account
