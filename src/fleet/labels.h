#pragma once
/// \file
/// How things that are made for a run are named and tagged, so that they are found again.

#include <string>

#include "cloud/cloud.h"
#include "ledger/ledger.h"
#include "os/file.h"

namespace ferry::fleet {

/// Names this run among all runs of all laptops that share an account, where run names may meet: 16 hex
/// digits.
std::string launch_id(const ledger::Run& run);

/// The tag that has launch_id() as its value.
inline constexpr const char* launch_tag = "ferry:launch";

/// The ledger in `data`, among all ledgers: 16 hex digits, made at first use in a file beside it, which
/// outlives a ledger that was lost. user@host does not tell them apart: containers are all root@localhost.
Result<std::string> ledger_id(const os::Path& data);

/// The tag that has ledger_id() as its value.
inline constexpr const char* ledger_tag = "ferry:ledger";

/// The tag that says whose a machine is, and its value for this user on this computer.
inline constexpr const char* owner_tag = "ferry:owner";
std::string owner_name();

/// The tag of a key pair or security group that says when it was made.
inline constexpr const char* made_tag = "ferry:made";

/// The tags of an instance that let another ledger go on with its run: its host key ("ssh-ed25519 AAAA…"), the task's
/// outputs (a JSON list; none where that does not fit into a tag), its max_duration in seconds, its store, and which
/// attempt of the run it is for (none: the first; Run::task "attempt").
inline constexpr const char *host_key_tag = "ferry:host-key", *outputs_tag = "ferry:outputs",
                            *max_duration_tag = "ferry:max-duration", *store_tag = "ferry:store",
                            *attempt_tag = "ferry:attempt";
/// Of a machine that is to be stopped, not ended (`ends: stop`).
inline constexpr const char *ends_tag = "ferry:ends", *ends_stop = "stop";
cloud::Tags tags_for_recovery(const ledger::Run& run, const std::string& host_key);

/// The tag of an instance that says whose ferry works on its run, where the run has no store (run/lease.h).
inline constexpr const char* lease_tag = "ferry:lease";

/// The tag of an instance that names the role which was made for it (store_role.h).
inline constexpr const char* role_tag = "ferry:role";

/// ferry's own tags, and the user's `labels`, which cannot replace them.
/// The ledger's is run.task["ledger"].
cloud::Tags tags_of(const ledger::Run& run, const cloud::Tags& labels = {});

/// Whether the run's machine is to be stopped in place of given back: Run::task "ends".
bool ends_by_stop(const ledger::Run& run);

/// Of the key pair and the security group: "ferry-digits-7k2-1f3a99c2".
std::string resource_name(const ledger::Run& run);
std::string resource_name(const std::string& run, const std::string& launch_id);

/// The same for the same run and attempt, another for everything else. At most 64 characters.
std::string client_token(const ledger::Run& run, int attempt);

}  // namespace ferry::fleet
