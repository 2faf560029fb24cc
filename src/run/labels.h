#pragma once
/// \file
/// How things that are made for a run are named and tagged, so that they are found again. Internal to this
/// room.

#include <string>

#include "cloud/cloud.h"
#include "ledger/ledger.h"

namespace ferry::run {

/// Names this run among all runs of all laptops that share an account, where run names may meet: 16 hex
/// digits.
std::string launch_id(const ledger::Run& run);

/// The tag that has launch_id() as its value.
inline constexpr const char* launch_tag = "ferry:launch";

/// ferry's own tags, and the person's `labels`, which cannot replace them.
cloud::Tags tags_of(const ledger::Run& run, const cloud::Tags& labels = {});

/// Of the key pair and the security group: "ferry-digits-7k2-1f3a99c2".
std::string resource_name(const ledger::Run& run);
std::string resource_name(const std::string& run, const std::string& launch_id);

/// The same for the same run and attempt, another for everything else. At most 64 characters.
std::string client_token(const ledger::Run& run, int attempt);

}  // namespace ferry::run
