#pragma once
/// \file
/// The load balancers of an account's region, of both generations of the API. All calls only read.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "aws/client.h"
#include "aws/paging.h"

namespace ferry::aws {

struct LoadBalancerRecord {
  std::string name;
  std::string arn;   ///< empty for a classic one, which has none
  std::string type;  ///< "application", "network", "gateway"; "classic"
  std::int64_t created_ms = 0;
};

/// All of both generations.
Result<std::vector<LoadBalancerRecord>> describe_load_balancers(Client& client);

// The answers, parsed. Bounded, never throw; corrupt for what is not the answer.
Result<Page<LoadBalancerRecord>> parse_load_balancers(std::string_view xml);
Result<Page<LoadBalancerRecord>> parse_classic_load_balancers(std::string_view xml);

}  // namespace ferry::aws
