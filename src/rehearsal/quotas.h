#pragma once
/// \file
/// EC2's limits on running vCPUs: what RunInstances enforces is what Service Quotas shows.

#include <cstdint>
#include <span>
#include <string_view>

#include "rehearsal/faults.h"
#include "rehearsal/model.h"

namespace ferry::rehearsal {

struct VcpuQuota {
  std::string_view bucket;  ///< "g", "spot-g": the names that the quota fault takes
  std::string_view code;    ///< "L-DB2E81BA"
  std::string_view name;
  std::string_view usage_class;        ///< of the CloudWatch metric: "G/OnDemand"
  std::int64_t default_for_newcomers;  ///< what AWS gives a new account
};
std::span<const VcpuQuota> vcpu_quotas();

/// What the rehearsal account may run of one bucket at once: the quota fault's limit, else
/// `usual_vcpu_limit`; more where a request for more was approved.
inline constexpr std::int64_t usual_vcpu_limit = 10'000;
std::int64_t vcpu_limit(const State& state, const Faults& faults, std::string_view bucket);

/// Answers open requests for more as the faults say. False where there was nothing to do.
bool answer_quota_requests(State& state, const Faults& faults, std::int64_t now_ms);

}  // namespace ferry::rehearsal
