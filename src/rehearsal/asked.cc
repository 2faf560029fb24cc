#include "rehearsal/asked.h"

#include "base/text.h"
#include "rehearsal/fis.h"
#include "rehearsal/sigv4.h"

namespace ferry::rehearsal {
namespace {

struct JsonTarget {
  std::string_view prefix, service;
};
constexpr std::array<JsonTarget, 5> json_targets = {{{"AmazonSSM", "ssm"},
                                                     {"ServiceQuotasV20190624", "servicequotas"},
                                                     {"AWSPriceListService", "pricing"},
                                                     {"SageMaker", "sagemaker"},
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

/// What tags on something new need, by the action that makes it.
std::string_view iam_tagging(std::string_view action) {
  if (action == "CreateRole") return "iam:TagRole";
  if (action == "CreatePolicy") return "iam:TagPolicy";
  return action == "CreateInstanceProfile" ? "iam:TagInstanceProfile" : "";
}

/// The Query service that a request is for: what it is signed for or, of what is signed for none, its version.
std::string_view query_service(const HttpRequest& request, const Params& params) {
  const auto version = params.get("Version");
  if (version == "2010-05-08") return "iam";
  if (version == "2011-01-01") return "autoscaling";
  if (version == "2012-06-01" || version == "2015-12-01") return "elasticloadbalancing";
  const auto claim = parse_authorization(request.header("authorization"));
  if (claim && (claim->service == "iam" || claim->service == "autoscaling"))
    return claim->service == "iam" ? "iam" : "autoscaling";
  return version == "2011-06-15" || params.get("Action") == "GetCallerIdentity" ? "sts" : "ec2";
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
  if (const auto fis = asked_of_fis(request)) return *fis;
  const auto params = request_params(request);
  Asked asked;
  asked.action = params.get("Action", "?");
  asked.service = query_service(request, params);
  asked.needs = {asked.name()};
  if (asked.service == "iam") {
    if (const auto tagging = iam_tagging(asked.action); !tagging.empty() && params.any("Tags.member."))
      asked.needs.emplace_back(tagging);
    if (asked.action == "AddRoleToInstanceProfile") asked.needs.emplace_back("iam:PassRole");
  }
  if (asked.service == "autoscaling" &&
      params.any("LaunchTemplate.")) {  // as whoever may not launch may not let launch
    asked.needs.emplace_back("ec2:RunInstances");
    if (asked.action.starts_with("Create")) asked.needs.emplace_back("iam:CreateServiceLinkedRole");
  }
  if (asked.service != "ec2") return asked;
  asked.dry_run = params.flag("DryRun", false).value_or(false);
  if (params.any("TagSpecification.") || params.any("TagSpecifications.")) asked.needs.emplace_back("ec2:CreateTags");
  if (params.any("IamInstanceProfile.")) asked.needs.emplace_back("iam:PassRole");
  return asked;
}

}  // namespace ferry::rehearsal
