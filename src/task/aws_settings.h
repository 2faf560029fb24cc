#pragma once
/// \file
/// How machines are set up in the user's own AWS account: network, ssh, reservations. From a task's `aws:`,
/// from the user's settings file, from flags.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace ferry::task {

/// What is empty is left to ferry: the default VPC, a public address, a key pair for each run, no more.
struct AwsSettings {
  /// By region, and under "" for whatever region. Machines stand in the first one whose zone has room.
  std::map<std::string, std::vector<std::string>> subnets;
  std::string security_group;          ///< sg-…, of the subnet's VPC; it is used as it is
  std::optional<bool> public_address;  ///< false: ssh goes to the private one. Unset: as the subnet does
  /// IPv4 range that port 22 is opened to, instead of what ferry finds out: "10.0.0.0/8". Never all of them.
  std::string ssh_from;
  /// How ssh gets to the machine: "ssm" (AWS's session plugin), a jump host (`me@bastion`, as ssh's ProxyJump
  /// has it), or a command that ends at the machine's port (`nc -X connect -x proxy:3128 %h %p`, as ssh's
  /// ProxyCommand).
  std::string ssh_proxy;
  std::string key_name;    ///< of a key pair that the account has
  std::string key_file;    ///< its private half, or with no key_name the private key to use; ~/ is the home folder
  std::string login_user;  ///< of the image; empty: as the image's name tells
  std::string placement_group;
  std::string capacity_reservation;  ///< cr-…, also of a capacity block
  std::string instance_profile;      ///< name or ARN: the role that the machine itself has

  /// The subnets for a region; empty: none are named for it.
  const std::vector<std::string>& subnets_in(const std::string& region) const;
  /// True if subnets are named, but none that could be in `region`.
  bool excludes(const std::string& region) const;
  bool operator==(const AwsSettings&) const = default;
};

/// Sets one field (`subnet_id`, `ssh_proxy`, … as the task file has them) from text; for several subnets,
/// again. Fails bad_input with what it should look like.
Status set_field(AwsSettings& settings, std::string_view field, std::string_view text, std::string_view region = {});

/// What `above` gives replaces what `settings` has.
void lay_over(AwsSettings& settings, const AwsSettings& above);

}  // namespace ferry::task
