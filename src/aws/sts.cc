#include "aws/sts.h"

namespace ferry::aws {

Result<CallerIdentity> get_caller_identity(Client& client) {
  TRY_SET(xml, "", client.query("sts", "GetCallerIdentity", Params(), Repeat::freely));
  return parse_get_caller_identity(xml);
}

Result<Credentials> assume_role(Client& client, const AssumeRole& request) {
  Params params;
  params.add("RoleArn", request.role_arn).add("RoleSessionName", request.session_name);
  params.add_given("ExternalId", request.external_id);
  params.add_given("SerialNumber", request.mfa_serial);
  params.add_given("TokenCode", request.mfa_code);
  params.add_given("DurationSeconds", request.duration_seconds);
  const Repeat repeat = request.mfa_code.empty() ? Repeat::freely : Repeat::unless_uncertain;
  TRY_SET(xml, "", client.query("sts", "AssumeRole", params, repeat));
  return parse_assume_role(xml, "AssumeRole");
}

Result<Credentials> assume_role_with_web_identity(Client& client, const AssumeRoleWithWebIdentity& request) {
  Params params;
  params.add("RoleArn", request.role_arn)
      .add("RoleSessionName", request.session_name)
      .add("WebIdentityToken", request.token);
  params.add_given("DurationSeconds", request.duration_seconds);
  TRY_SET(xml, "", client.query("sts", "AssumeRoleWithWebIdentity", params, Repeat::freely));
  return parse_assume_role(xml, "AssumeRoleWithWebIdentity");
}

}  // namespace ferry::aws
