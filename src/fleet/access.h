#pragma once
/// \file
/// How ssh gets into a run's machines: whose key, and which way.

#include "fleet/machine.h"

namespace ferry::fleet {

/// The key that opens a run's machines.
struct Access {
  std::string key_name;    ///< of a key pair that the account has; empty: ferry imports the public half for the run
  std::string public_key;  ///< OpenSSH's one line; empty with key_name until find_key() has met the account
  os::Path identity;       ///< the private half
  bool is_own = false;     ///< identity is a file of the user's own
};

/// Before anything is rented, and without a call: makes the run's own key, or looks at the user's. Fails as
/// ssh::public_half() does.
Result<Access> prepare_key(const RunDir& run_dir, const ledger::Run& run, const task::AwsSettings& settings);

/// With a named key pair: finds its private half on this computer. Fails denied when it is not here,
/// not_found when the region has no such pair.
Status find_key(cloud::Cloud& cloud, const task::AwsSettings& settings, const RunDir& run_dir, Access& access);

/// What the settings ask of this computer: the key's file, AWS's session plugin. Fails with the cure.
Status check_access(const task::AwsSettings& settings);

/// True when this computer has not got the private key any more that opens the machine.
bool key_is_lost(const RunDir& run_dir, const ledger::Instance& instance);
/// The same, and true as well of a key of ferry's own that ssh cannot read any more. What else of it may be damaged
/// shows when the machine refuses it.
bool key_is_unreadable(const RunDir& run_dir, const ledger::Instance& instance);

/// Puts a new key on a running machine whose private key is lost on this computer, or is refused there because it was
/// damaged here, through EC2 Instance Connect; then `instance` has it, and for good once keep_key() was called over the
/// connection (the door is open for a minute). Where that fails, the old one stays. Told in one line.
Status renew_key(Context& context, cloud::Cloud& cloud, const RunDir& run_dir, ledger::Instance& instance);
Status keep_key(Context& context, ssh::Session& session, const RunDir& run_dir, const ledger::Instance& instance);

/// Port 22 of the run's own security group, as it was opened to the caller.
struct Door {
  std::string region, vpc_id;  ///< vpc_id: empty is the default one
  std::string cidr;
};
/// Notes whom the group lets in. Not for one that is opened to a VPC, or to what ssh_from says.
Status record_door(Context& context, const ledger::Run& run, const Door& door);

/// Opens port 22 to the address that this computer has today, and closes it for the one of the launch: a
/// laptop moves. Does nothing where no door was noted. The group keeps its name, so release finds it as ever.
Status let_caller_in(Context& context, cloud::Cloud& cloud, const ledger::Instance& instance);

/// EC2's form of an instance's id: i- and 8 to 17 hexadecimal digits.
bool is_instance_id(std::string_view text);

/// Reaches a port of a machine through Systems Manager: what ssh runs as its ProxyCommand for ssh_proxy: ssm.
/// Bytes go over standard input and output; the value is the plugin's exit code.
/// Fails denied for what is no instance's id.
Result<int> ssm_connect(Context& context, const CloudLocation& location, const std::string& instance_id, int port);

}  // namespace ferry::fleet
