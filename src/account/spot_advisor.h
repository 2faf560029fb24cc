#pragma once
/// \file
/// AWS's Spot Advisor: how many of a hundred spot machines of a type were taken back in the last month, by region, for
/// Linux. It is a public file; `ferry catalog update` keeps what ferry needs of it in the cache folder.

#include <map>
#include <optional>
#include <string>

#include "base/json.h"
#include "cloud/cloud.h"
#include "plan/outlook.h"

namespace ferry::account {

struct SpotAdvisor {
  std::string date;                                              ///< the day it was fetched; empty: never
  std::map<std::string, std::map<std::string, std::string>> by;  ///< region → type → label: "<5%"
  std::optional<plan::InterruptionBand> band(const std::string& region, const std::string& type) const;
};

/// Where it is: FERRY_SPOT_ADVISOR_URL, else AWS's own address where EC2 is AWS's own; nothing where EC2 is another
/// one's (or a test's).
std::optional<std::string> spot_advisor_url(const cloud::AwsContext& aws_context);
/// Without a date. Fails as HTTP does; io for an answer other than 200, corrupt for another file.
Result<SpotAdvisor> fetch_spot_advisor(os::HttpClient& http, const std::string& url);
/// The file, read. Bounded, never throws; corrupt for what is another file or names no type.
Result<SpotAdvisor> parse_spot_advisor(const Json& file);
Status store_spot_advisor(const SpotAdvisor& advisor);
/// What was kept; without a date where nothing was, or it cannot be read.
SpotAdvisor kept_spot_advisor();

}  // namespace ferry::account
