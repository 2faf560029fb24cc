#pragma once
/// \file
/// An account's limits (Service Quotas), of which EC2's are counted in vCPUs: one for each group of instance
/// families and market.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "aws/client.h"
#include "aws/paging.h"

namespace ferry::aws {

/// One of EC2's limits on running vCPUs.
struct VcpuQuota {
  std::string_view code;      ///< "L-DB2E81BA"
  std::string_view families;  ///< for people: "G and VT"
  bool spot = false;
};
std::span<const VcpuQuota> vcpu_quotas();
/// The limit that an instance type counts against; null where there is none that is known (Mac, P6 spot).
const VcpuQuota* vcpu_quota_of(std::string_view instance_type, bool spot);

struct QuotaRecord {
  std::string code, name;
  double value = 0;
  bool adjustable = false;
};
/// `service` is Service Quotas' own code: "ec2". Where no value was ever applied to the account, AWS's
/// default. Fails not_found for an unknown code.
Result<QuotaRecord> get_service_quota(Client& client, const std::string& service, const std::string& code);
/// All of a service that have been applied to the account.
Result<std::vector<QuotaRecord>> list_service_quotas(Client& client, const std::string& service);

struct QuotaRequestRecord {
  std::string id, case_id;
  std::string status;  ///< "PENDING", "CASE_OPENED", "APPROVED", …
  double desired = 0;
  std::string code;                             ///< of the quota
  std::int64_t created_ms = 0, updated_ms = 0;  ///< 0: AWS does not say
};
/// What has become of it, by its status.
enum class QuotaRequestState { open, granted, refused };
QuotaRequestState state_of(const QuotaRequestRecord& request);
/// Of the last 90 days, newest first.
Result<std::vector<QuotaRequestRecord>> list_quota_requests(Client& client, const std::string& service);
/// Asks AWS for more; people may look at it for days. Fails exists when a request is open already. Not
/// repeated when its answer is lost.
Result<QuotaRequestRecord> request_service_quota_increase(Client& client, const std::string& service,
                                                          const std::string& code, double desired);

// The answers, read. Never throw; corrupt for what is not the answer.
Result<QuotaRecord> parse_get_service_quota(const Json& answer);
Result<Page<QuotaRecord>> parse_list_service_quotas(const Json& answer);
Result<QuotaRequestRecord> parse_request_service_quota_increase(const Json& answer);
Result<Page<QuotaRequestRecord>> parse_list_quota_requests(const Json& answer);

}  // namespace ferry::aws
