#include "rehearsal/asked.h"

#include "base/text.h"

namespace ferry::rehearsal {
namespace {

struct JsonTarget {
  std::string_view prefix, service;
};
constexpr std::array<JsonTarget, 4> json_targets = {{{"AmazonSSM", "ssm"},
                                                     {"ServiceQuotasV20190624", "servicequotas"},
                                                     {"AWSPriceListService", "pricing"},
                                                     {"AWSEC2InstanceConnectService", "ec2-instance-connect"}}};

Asked asked_as_json(std::string_view target) {
  Asked asked;
  const auto dot = target.find('.');
  const auto known = std::find_if(json_targets.begin(), json_targets.end(), [&](const JsonTarget& it) {
    return dot != target.npos && it.prefix == target.substr(0, dot);
  });
  if (known == json_targets.end()) {
    asked.action = target;
    return asked;
  }
  asked.service = known->service;
  asked.action = target.substr(dot + 1);
  asked.needs = {asked.name()};
  return asked;
}

}  // namespace

Params request_params(const HttpRequest& request) {
  auto params = request.method == "POST" ? Params::parse(request.body) : Params();
  const auto query = Params::parse(request.query);
  for (const auto& [name, value] : query.all())
    if (!name.starts_with("X-Amz-") && !params.has(name)) params.set(name, value);
  return params;
}

std::string_view target_prefix(std::string_view service) {
  for (const auto& it : json_targets)
    if (it.service == service) return it.prefix;
  return {};
}

Asked read_asked(const HttpRequest& request) {
  if (const auto target = request.header("x-amz-target"); !target.empty()) return asked_as_json(target);
  const auto params = request_params(request);
  Asked asked;
  asked.action = params.get("Action", "?");
  asked.service = params.get("Version") == "2011-06-15" || asked.action == "GetCallerIdentity" ? "sts" : "ec2";
  asked.needs = {asked.name()};
  if (asked.service != "ec2") return asked;
  asked.dry_run = params.flag("DryRun", false).value_or(false);
  if (params.any("TagSpecification.") || params.any("TagSpecifications.")) asked.needs.emplace_back("ec2:CreateTags");
  if (params.any("IamInstanceProfile.")) asked.needs.emplace_back("iam:PassRole");
  return asked;
}

}  // namespace ferry::rehearsal
