#include "aws/quotas.h"

#include <algorithm>
#include <array>
#include <functional>

namespace ferry::aws {
namespace {

constexpr std::string_view standard = "standard (A, C, D, H, I, M, R, T, Z)";

// docs.aws.amazon.com/general/latest/gr/ec2-service.html
constexpr std::array<VcpuQuota, 19> all_vcpu_quotas = {{
    {"L-1216C47A", standard, false},  {"L-34B43A08", standard, true}, {"L-DB2E81BA", "G and VT", false},
    {"L-3819A6DF", "G and VT", true}, {"L-417A185B", "P", false},     {"L-7212CCBC", "P4, P3 and P2", true},
    {"L-C4BD4855", "P5", true},       {"L-2C3B7624", "Trn", false},   {"L-6B0D517C", "Trn", true},
    {"L-1945791B", "Inf", false},     {"L-B5D1601B", "Inf", true},    {"L-6E869C2A", "DL", false},
    {"L-85EED4F7", "DL", true},       {"L-74FC7D96", "F", false},     {"L-88CF9481", "F", true},
    {"L-7295265B", "X", false},       {"L-E3A00192", "X", true},      {"L-43DA4232", "high memory (U)", false},
    {"L-F7808C92", "HPC", false},
}};

/// The limits of the types that begin with these letters, by code; empty: none that is known.
struct Family {
  std::string_view letters, on_demand, spot;
};
/// P6 has no spot limit that AWS's documents name.
constexpr std::array<Family, 26> families = {{
    {"a", "L-1216C47A", "L-34B43A08"},
    {"c", "L-1216C47A", "L-34B43A08"},
    {"d", "L-1216C47A", "L-34B43A08"},
    {"h", "L-1216C47A", "L-34B43A08"},
    {"i", "L-1216C47A", "L-34B43A08"},
    {"im", "L-1216C47A", "L-34B43A08"},
    {"is", "L-1216C47A", "L-34B43A08"},
    {"m", "L-1216C47A", "L-34B43A08"},
    {"r", "L-1216C47A", "L-34B43A08"},
    {"t", "L-1216C47A", "L-34B43A08"},
    {"z", "L-1216C47A", "L-34B43A08"},
    {"g", "L-DB2E81BA", "L-3819A6DF"},
    {"gr", "L-DB2E81BA", "L-3819A6DF"},
    {"vt", "L-DB2E81BA", "L-3819A6DF"},
    {"p2", "L-417A185B", "L-7212CCBC"},
    {"p3", "L-417A185B", "L-7212CCBC"},
    {"p4", "L-417A185B", "L-7212CCBC"},
    {"p5", "L-417A185B", "L-C4BD4855"},
    {"p6", "L-417A185B", ""},
    {"trn", "L-2C3B7624", "L-6B0D517C"},
    {"inf", "L-1945791B", "L-B5D1601B"},
    {"dl", "L-6E869C2A", "L-85EED4F7"},
    {"f", "L-74FC7D96", "L-88CF9481"},
    {"x", "L-7295265B", "L-E3A00192"},
    {"u", "L-43DA4232", ""},
    {"hpc", "L-F7808C92", ""},
}};

double number_at(const Json& object, const char* name) {
  if (!object.is_object()) return 0;
  const auto at = object.find(name);
  return at != object.end() && at->is_number() ? at->get<double>() : 0;
}

bool true_at(const Json& object, const char* name) {
  const auto at = object.find(name);
  return at != object.end() && at->is_boolean() && at->get<bool>();
}

Result<QuotaRecord> quota_of(const Json& json) {
  QuotaRecord quota;
  quota.code = text_at(json, "QuotaCode");
  if (quota.code.empty()) return fail(Kind::corrupt, "AWS's answer has no quota", "", "repeat the command");
  quota.name = text_at(json, "QuotaName");
  quota.value = number_at(json, "Value");
  quota.adjustable = true_at(json, "Adjustable");
  return quota;
}

/// Seconds since 1970, with a fraction.
std::int64_t time_at(const Json& json, const char* name) {
  constexpr double most_s = 1e11;  // the year 5138
  return static_cast<std::int64_t>(std::clamp(number_at(json, name), 0.0, most_s) * 1000);
}

QuotaRequestRecord request_of(const Json& json) {
  return {text_at(json, "Id"),         text_at(json, "CaseId"),
          text_at(json, "Status"),     number_at(json, "DesiredValue"),
          text_at(json, "QuotaCode"),  time_at(json, "Created"),
          time_at(json, "LastUpdated")};
}

Json object_at(const Json& json, const char* name) {
  return json.is_object() && json.contains(name) ? json[name] : Json();
}

Result<Json> call_quotas(Client& client, const std::string& action, const Json& request, Repeat repeat) {
  return client.json("service_quotas", "ServiceQuotasV20190624", action, request, repeat);
}

}  // namespace

std::span<const VcpuQuota> vcpu_quotas() { return all_vcpu_quotas; }

const VcpuQuota* vcpu_quota_of(std::string_view instance_type, bool spot) {
  const auto letters = instance_type.substr(0, instance_type.find_first_of("0123456789-."));
  const auto generation = instance_type.substr(0, letters.size() + 1);
  const auto family = std::find_if(families.begin(), families.end(),
                                   [&](const Family& it) { return it.letters == letters || it.letters == generation; });
  if (family == families.end()) return nullptr;
  const auto code = spot ? family->spot : family->on_demand;
  const auto quota = std::find_if(all_vcpu_quotas.begin(), all_vcpu_quotas.end(),
                                  [&](const VcpuQuota& it) { return it.code == code; });
  return quota == all_vcpu_quotas.end() ? nullptr : &*quota;
}

Result<QuotaRecord> parse_get_service_quota(const Json& answer) { return quota_of(object_at(answer, "Quota")); }

Result<Page<QuotaRecord>> parse_list_service_quotas(const Json& answer) {
  const Json list = object_at(answer, "Quotas");
  if (!list.is_array()) return fail(Kind::corrupt, "AWS's answer has no quotas", "", "repeat the command");
  Page<QuotaRecord> page;
  for (const auto& item : list) {
    if (auto quota = quota_of(item)) page.items.push_back(std::move(*quota));
  }
  page.next_token = text_at(answer, "NextToken");
  return page;
}

Result<QuotaRequestRecord> parse_request_service_quota_increase(const Json& answer) {
  auto request = request_of(object_at(answer, "RequestedQuota"));
  if (request.id.empty()) {
    return fail(Kind::corrupt, "AWS's answer names no request", "",
                "look into the Service Quotas console before asking again");
  }
  return request;
}

Result<Page<QuotaRequestRecord>> parse_list_quota_requests(const Json& answer) {
  const Json list = object_at(answer, "RequestedQuotas");
  if (!list.is_array()) return fail(Kind::corrupt, "AWS's answer has no requests", "", "repeat the command");
  Page<QuotaRequestRecord> page;
  for (const auto& item : list) {
    if (auto request = request_of(item); !request.id.empty()) page.items.push_back(std::move(request));
  }
  page.next_token = text_at(answer, "NextToken");
  return page;
}

QuotaRequestState state_of(const QuotaRequestRecord& request) {
  // docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_RequestedServiceQuotaChange.html
  if (request.status == "APPROVED") return QuotaRequestState::granted;
  for (const std::string_view refused : {"DENIED", "NOT_APPROVED", "CASE_CLOSED", "INVALID_REQUEST"})
    if (request.status == refused) return QuotaRequestState::refused;
  return QuotaRequestState::open;
}

Result<std::vector<QuotaRequestRecord>> list_quota_requests(Client& client, const std::string& service) {
  constexpr const char* action = "ListRequestedServiceQuotaChangeHistory";
  TRY_SET(all, "",
          every_page<QuotaRequestRecord>(action, [&](const std::string& token) -> Result<Page<QuotaRequestRecord>> {
            Json request = {{"ServiceCode", service}, {"MaxResults", 100}};
            if (!token.empty()) request["NextToken"] = token;
            TRY_SET(answer, "", call_quotas(client, action, request, Repeat::freely));
            return parse_list_quota_requests(answer);
          }));
  std::ranges::stable_sort(all, std::greater(), &QuotaRequestRecord::created_ms);
  return all;
}

Result<QuotaRecord> get_service_quota(Client& client, const std::string& service, const std::string& code) {
  const Json request = {{"ServiceCode", service}, {"QuotaCode", code}};
  auto applied = call_quotas(client, "GetServiceQuota", request, Repeat::freely);
  if (!applied && applied.error().kind == Kind::not_found) {
    applied = call_quotas(client, "GetAWSDefaultServiceQuota", request, Repeat::freely);
  }
  TRY_SET(answer, "", std::move(applied));
  return parse_get_service_quota(answer);
}

Result<std::vector<QuotaRecord>> list_service_quotas(Client& client, const std::string& service) {
  return every_page<QuotaRecord>("ListServiceQuotas", [&](const std::string& token) -> Result<Page<QuotaRecord>> {
    Json request = {{"ServiceCode", service}, {"MaxResults", 100}};
    if (!token.empty()) request["NextToken"] = token;
    TRY_SET(answer, "", call_quotas(client, "ListServiceQuotas", request, Repeat::freely));
    return parse_list_service_quotas(answer);
  });
}

Result<QuotaRequestRecord> request_service_quota_increase(Client& client, const std::string& service,
                                                          const std::string& code, double desired) {
  const Json request = {{"ServiceCode", service}, {"QuotaCode", code}, {"DesiredValue", desired}};
  TRY_SET(answer, "", call_quotas(client, "RequestServiceQuotaIncrease", request, Repeat::unless_uncertain));
  return parse_request_service_quota_increase(answer);
}

}  // namespace ferry::aws
