#include "rehearsal/iam_state.h"

#include <algorithm>

#include "base/text.h"
#include "rehearsal/catalog.h"

namespace ferry::rehearsal {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(IamRole, name, path, id, description, trust, boundary, inlined,
                                                attached, tags, created_ms, longest_session_s)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(IamProfile, name, path, id, role, tags, created_ms, changed_ms)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(IamPolicyVersion, number, created_ms, document)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(IamPolicy, name, path, id, description, versions, in_force, last_number,
                                                tags, created_ms, updated_ms)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(RoleSession, secret, token, role, role_id, instance, made_ms,
                                                expires_ms)

namespace {

std::string arn_of(std::string_view kind, const std::string& path, const std::string& name) {
  return fmt::format("arn:aws:iam::{}:{}{}{}", account_id, kind, path, name);
}

IamPolicy policy_of_aws(std::string name, std::string id, const char* document) {
  IamPolicy policy;
  policy.name = std::move(name);
  policy.path = "/";
  policy.id = std::move(id);
  policy.of_aws = true;
  policy.versions.push_back({1, 0, document});
  return policy;
}

}  // namespace

std::string IamRole::arn() const { return arn_of("role", path, name); }
std::string IamProfile::arn() const { return arn_of("instance-profile", path, name); }
std::string IamPolicy::arn() const {
  return of_aws ? fmt::format("arn:aws:iam::aws:policy{}{}", path, name) : arn_of("policy", path, name);
}

const IamPolicyVersion* IamPolicy::version(std::string_view version_name) const {
  const auto found = std::find_if(versions.begin(), versions.end(),
                                  [&](const IamPolicyVersion& it) { return it.name() == version_name; });
  return found == versions.end() ? nullptr : &*found;
}

const std::string& IamPolicy::document() const {
  const auto* found = version("v" + std::to_string(in_force));
  return found ? found->document : versions.back().document;
}

const IamRole* Iam::role(std::string_view name) const {
  const auto found = roles.find(std::string(name));
  return found == roles.end() ? nullptr : &found->second;
}

const IamProfile* Iam::profile_with_arn(std::string_view arn) const {
  const auto found = profiles.find(std::string(arn.substr(arn.rfind('/') + 1)));
  return found != profiles.end() && found->second.arn() == arn ? &found->second : nullptr;
}

const IamPolicy* Iam::policy(std::string_view arn) const {
  const std::string key(arn);
  if (const auto own = policies.find(key); own != policies.end()) return &own->second;
  const auto found = policies_of_aws().find(key);
  return found == policies_of_aws().end() ? nullptr : &found->second;
}

const std::map<std::string, IamPolicy>& policies_of_aws() {
  static const auto all = [] {
    std::map<std::string, IamPolicy> made;
    auto of_fis = policy_of_aws(
        "AWSFaultInjectionSimulatorEC2Access", "ANPA5FJVAZ6PQ4JYMNT2K",
        R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ec2:RebootInstances",)"
        R"("ec2:SendSpotInstanceInterruptions","ec2:StartInstances","ec2:StopInstances","ec2:TerminateInstances"],)"
        R"("Resource":"arn:aws:ec2:*:*:instance/*"}]})");
    of_fis.path = "/service-role/";
    for (auto& policy :
         {of_fis,
          policy_of_aws("AdministratorAccess", "ANPAIWMBCKSKIEE64ZLYK",
                        R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]})"),
          policy_of_aws("AmazonS3FullAccess", "ANPAIFIR6V6BVTRAHWINE",
                        R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow",)"
                        R"("Action":["s3:*","s3-object-lambda:*"],"Resource":"*"}]})"),
          policy_of_aws("AmazonS3ReadOnlyAccess", "ANPAIZTJ4DXE7G6AGAE6M",
                        R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:Get*","s3:List*",)"
                        R"("s3:Describe*","s3-object-lambda:Get*","s3-object-lambda:List*"],"Resource":"*"}]})"),
          policy_of_aws("AmazonSSMManagedInstanceCore", "ANPAIXSHM2BNB2D3AXXRU",
                        R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow",)"
                        R"("Action":["ssm:UpdateInstanceInformation","ssmmessages:CreateControlChannel",)"
                        R"("ssmmessages:CreateDataChannel","ssmmessages:OpenControlChannel",)"
                        R"("ssmmessages:OpenDataChannel"],"Resource":"*"}]})")})
      made[policy.arn()] = policy;
    return made;
  }();
  return all;
}

void to_json(Json& json, const Iam& iam) {
  json = Json{{"roles", iam.roles}, {"profiles", iam.profiles}, {"policies", iam.policies}, {"sessions", iam.sessions}};
}

void from_json(const Json& json, Iam& iam) {
  iam.roles = json.value("roles", iam.roles);
  iam.profiles = json.value("profiles", iam.profiles);
  iam.policies = json.value("policies", iam.policies);
  iam.sessions = json.value("sessions", iam.sessions);
  std::erase_if(iam.policies, [](const auto& entry) { return entry.second.versions.empty(); });
}

}  // namespace ferry::rehearsal
