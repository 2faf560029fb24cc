// Service Quotas: the vCPU limits of EC2, and requests for more.
#include "rehearsal/quotas.h"

#include "base/hash.h"
#include "base/text.h"
#include "rehearsal/actions.h"
#include "rehearsal/json_page.h"

namespace ferry::rehearsal {
namespace {

constexpr std::array<VcpuQuota, 19> all_vcpu_quotas = {{
    {"standard", "L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", "Standard/OnDemand",
     5},
    {"inf", "L-1945791B", "Running On-Demand Inf instances", "Inf/OnDemand", 0},
    {"trn", "L-2C3B7624", "Running On-Demand Trn instances", "Trn/OnDemand", 0},
    {"spot-standard", "L-34B43A08", "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", "Standard/Spot",
     5},
    {"spot-g", "L-3819A6DF", "All G and VT Spot Instance Requests", "G/Spot", 0},
    {"p", "L-417A185B", "Running On-Demand P instances", "P/OnDemand", 0},
    {"u", "L-43DA4232", "Running On-Demand High Memory instances", "HighMem/OnDemand", 0},
    {"spot-trn", "L-6B0D517C", "All Trn Spot Instance Requests", "Trn/Spot", 0},
    {"dl", "L-6E869C2A", "Running On-Demand DL instances", "DL/OnDemand", 0},
    {"spot-p", "L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests", "P/Spot", 0},
    {"x", "L-7295265B", "Running On-Demand X instances", "X/OnDemand", 0},
    {"f", "L-74FC7D96", "Running On-Demand F instances", "F/OnDemand", 0},
    {"spot-dl", "L-85EED4F7", "All DL Spot Instance Requests", "DL/Spot", 0},
    {"spot-f", "L-88CF9481", "All F Spot Instance Requests", "F/Spot", 0},
    {"spot-inf", "L-B5D1601B", "All Inf Spot Instance Requests", "Inf/Spot", 0},
    {"spot-p5", "L-C4BD4855", "All P5 Spot Instance Requests", "P5/Spot", 0},
    {"g", "L-DB2E81BA", "Running On-Demand G and VT instances", "G/OnDemand", 0},
    {"spot-x", "L-E3A00192", "All X Spot Instance Requests", "X/Spot", 0},
    {"hpc", "L-F7808C92", "Running On-Demand HPC instances", "HPC/OnDemand", 0},
}};
constexpr std::string_view ec2_full_name = "Amazon Elastic Compute Cloud (Amazon EC2)";

std::string quota_arn(const VcpuQuota& quota, std::string_view account) {
  return fmt::format("arn:aws:servicequotas:{}:{}:ec2/{}", region_name, account, quota.code);
}

Json described_quota(const VcpuQuota& quota, std::int64_t value, std::string_view account) {
  return {{"ServiceCode", "ec2"},
          {"ServiceName", ec2_full_name},
          {"QuotaArn", quota_arn(quota, account)},
          {"QuotaCode", quota.code},
          {"QuotaName", quota.name},
          {"Value", static_cast<double>(value)},
          {"Unit", "None"},
          {"Adjustable", true},
          {"GlobalQuota", false},
          {"UsageMetric",
           {{"MetricNamespace", "AWS/Usage"},
            {"MetricName", "ResourceCount"},
            {"MetricDimensions",
             {{"Class", quota.usage_class}, {"Resource", "vCPU"}, {"Service", "EC2"}, {"Type", "Resource"}}},
            {"MetricStatisticRecommendation", "Maximum"}}},
          {"QuotaAppliedAtLevel", "ACCOUNT"}};
}

Api<std::monostate> check_service(const Json& request) {
  const auto service = text_at(request, "ServiceCode");
  if (service.empty()) return refuse("IllegalArgumentException", "The request is missing the ServiceCode.");
  if (service != "ec2")
    return refuse("NoSuchResourceException", "The request failed because the specified service does not exist.");
  return std::monostate{};
}

Api<const VcpuQuota*> asked_quota(const Json& request) {
  API_TRY(check_service(request));
  const auto code = text_at(request, "QuotaCode");
  if (code.empty()) return refuse("IllegalArgumentException", "The request is missing the QuotaCode.");
  const auto found = std::find_if(all_vcpu_quotas.begin(), all_vcpu_quotas.end(),
                                  [&](const VcpuQuota& quota) { return quota.code == code; });
  if (found == all_vcpu_quotas.end())
    return refuse("NoSuchResourceException", "The request failed because the specified quota does not exist.");
  return &*found;
}

/// A request counts as granted once the limit is as high as it asked.
bool is_granted(const QuotaRequest& request, std::int64_t limit) {
  return request.desired <= static_cast<double>(limit);
}

std::string status_of(const QuotaRequest& request, std::int64_t limit) {
  if (!request.answer.empty()) return request.answer;
  return is_granted(request, limit) ? "APPROVED" : "PENDING";
}

bool is_open(const QuotaRequest& request, std::int64_t limit) {
  const auto status = status_of(request, limit);
  return status == "PENDING" || status == "CASE_OPENED";
}

const VcpuQuota& quota_of(const QuotaRequest& request) {
  return *std::find_if(all_vcpu_quotas.begin(), all_vcpu_quotas.end(),
                       [&](const VcpuQuota& quota) { return quota.code == request.code; });
}

Json described_request(const QuotaRequest& request, const VcpuQuota& quota, std::int64_t limit) {
  const auto created = static_cast<double>(request.created_ms) / 1000;
  const auto caller = fmt::format("arn:aws:iam::{}:user/rehearsal", account_id);
  return {{"Id", request.id},
          {"ServiceCode", "ec2"},
          {"ServiceName", ec2_full_name},
          {"QuotaCode", quota.code},
          {"QuotaName", quota.name},
          {"QuotaArn", quota_arn(quota, account_id)},
          {"DesiredValue", request.desired},
          {"Status", status_of(request, limit)},
          {"Created", created},
          {"LastUpdated", request.answer.empty() ? created : static_cast<double>(request.answered_ms) / 1000},
          {"Requester", dump_json({{"accountId", account_id}, {"callerArn", caller}})},
          {"GlobalQuota", false},
          {"Unit", "None"},
          {"QuotaRequestedAtLevel", "ACCOUNT"}};
}

Api<Json> list_quotas(JsonCall& call) {
  API_TRY(check_service(call.request));
  const auto code = text_at(call.request, "QuotaCode");
  const bool wanted_here = text_at(call.request, "QuotaAppliedAtLevel", "ACCOUNT") != "RESOURCE";
  std::vector<const VcpuQuota*> found;
  for (const auto& quota : all_vcpu_quotas)
    if (wanted_here && (code.empty() || quota.code == code)) found.push_back(&quota);
  API_SET(page, json_page(call.request, found.size(), {"IllegalArgumentException", "InvalidPaginationTokenException"}));
  Json answer = {{"Quotas", Json::array()}};
  for (auto at = page.first; at < page.last; ++at)
    answer["Quotas"].push_back(
        described_quota(*found[at], vcpu_limit(call.state, call.faults, found[at]->bucket), account_id));
  if (!page.next_token.empty()) answer["NextToken"] = page.next_token;
  return answer;
}

Api<Json> ask_for_more(JsonCall& call) {
  API_SET(quota, asked_quota(call.request));
  const auto desired = call.request.find("DesiredValue");
  if (desired == call.request.end() || !desired->is_number() || desired->get<double>() < 0 ||
      desired->get<double>() > 1e10)
    return refuse("IllegalArgumentException", "The DesiredValue must be between 0 and 10000000000.");
  const auto limit = vcpu_limit(call.state, call.faults, quota->bucket);
  for (const auto& old : call.state.quota_requests)
    if (old.code == quota->code && is_open(old, limit))
      return refuse("ResourceAlreadyExistsException",
                    "Only one open service quota increase request is allowed per quota.");
  QuotaRequest request{hex(random_bytes(20)), std::string(quota->code), desired->get<double>(), call.now_ms, "", 0};
  if (is_granted(request, limit))
    return refuse("IllegalArgumentException",
                  "You must provide a quota value that is greater than the current quota value.");
  call.state.quota_requests.push_back(request);
  return Json{{"RequestedQuota", described_request(request, *quota, limit)}};
}

/// Of one quota, or of all.
Api<Json> list_requests(JsonCall& call, bool of_one) {
  std::string code;
  if (of_one) {
    API_SET(quota, asked_quota(call.request));
    code = quota->code;
  } else if (call.request.contains("ServiceCode")) {
    API_TRY(check_service(call.request));
  }
  const auto status = text_at(call.request, "Status");
  Json found = Json::array();
  for (auto at = call.state.quota_requests.rbegin(); at != call.state.quota_requests.rend(); ++at) {
    if (of_one && at->code != code) continue;
    const auto& quota = quota_of(*at);
    auto one = described_request(*at, quota, vcpu_limit(call.state, call.faults, quota.bucket));
    if (status.empty() || text_at(one, "Status") == status) found.push_back(std::move(one));
  }
  API_SET(page, json_page(call.request, found.size(), {"IllegalArgumentException", "InvalidPaginationTokenException"}));
  Json answer = {{"RequestedQuotas", Json::array()}};
  for (auto at = page.first; at < page.last; ++at) answer["RequestedQuotas"].push_back(found[at]);
  if (!page.next_token.empty()) answer["NextToken"] = page.next_token;
  return answer;
}

}  // namespace

std::span<const VcpuQuota> vcpu_quotas() { return all_vcpu_quotas; }

std::int64_t vcpu_limit(const State& state, const Faults& faults, std::string_view bucket) {
  auto limit = faults.quota(std::string(bucket)).value_or(usual_vcpu_limit);
  for (const auto& request : state.quota_requests)
    if (request.answer == "APPROVED" && quota_of(request).bucket == bucket)
      limit = std::max(limit, static_cast<std::int64_t>(request.desired));
  return limit;
}

bool answer_quota_requests(State& state, const Faults& faults, std::int64_t now_ms) {
  const auto answer = faults.quota_answer();
  bool changed = false;
  if (!answer) return changed;
  for (auto& request : state.quota_requests) {
    const auto limit = vcpu_limit(state, faults, quota_of(request).bucket);
    const bool is_due = now_ms >= request.created_ms + answer->after_ms;
    if (!is_due || !is_open(request, limit) || request.answer == answer->status) continue;
    request.answer = answer->status;
    request.answered_ms = now_ms;
    changed = true;
  }
  return changed;
}

Api<Json> run_service_quotas(JsonCall& call) {
  if (call.operation == "ListServiceQuotas") return list_quotas(call);
  if (call.operation == "RequestServiceQuotaIncrease") return ask_for_more(call);
  if (call.operation == "ListRequestedServiceQuotaChangeHistoryByQuota") return list_requests(call, true);
  if (call.operation == "ListRequestedServiceQuotaChangeHistory") return list_requests(call, false);
  const bool applied = call.operation == "GetServiceQuota";
  if (!applied && call.operation != "GetAWSDefaultServiceQuota") return refuse("UnknownOperationException", "");
  API_SET(quota, asked_quota(call.request));
  return Json{{"Quota", applied
                            ? described_quota(*quota, vcpu_limit(call.state, call.faults, quota->bucket), account_id)
                            : described_quota(*quota, quota->default_for_newcomers, "")}};
}

}  // namespace ferry::rehearsal
