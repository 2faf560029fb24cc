#include "aws/sts.h"

namespace ferry::aws {
namespace {

void add_unless_empty(Params& params, const char* name, const std::string& value) {
  if (!value.empty()) params.add(name, value);
}

}  // namespace

Result<CallerIdentity> get_caller_identity(Client& client) {
  TRY_SET(xml, "", client.query("sts", "GetCallerIdentity", Params(), Repeat::freely));
  return parse_get_caller_identity(xml);
}

Result<Credentials> assume_role(Client& client, const AssumeRole& request) {
  Params params;
  params.add("RoleArn", request.role_arn).add("RoleSessionName", request.session_name);
  add_unless_empty(params, "ExternalId", request.external_id);
  add_unless_empty(params, "SerialNumber", request.mfa_serial);
  add_unless_empty(params, "TokenCode", request.mfa_code);
  if (request.duration_seconds > 0) params.add("DurationSeconds", request.duration_seconds);
  const Repeat repeat = request.mfa_code.empty() ? Repeat::freely : Repeat::unless_uncertain;
  TRY_SET(xml, "", client.query("sts", "AssumeRole", params, repeat));
  return parse_assume_role(xml, "AssumeRole");
}

Result<Credentials> assume_role_with_web_identity(Client& client, const AssumeRoleWithWebIdentity& request) {
  Params params;
  params.add("RoleArn", request.role_arn)
      .add("RoleSessionName", request.session_name)
      .add("WebIdentityToken", request.token);
  if (request.duration_seconds > 0) params.add("DurationSeconds", request.duration_seconds);
  TRY_SET(xml, "", client.query("sts", "AssumeRoleWithWebIdentity", params, Repeat::freely));
  return parse_assume_role(xml, "AssumeRoleWithWebIdentity");
}

}  // namespace ferry::aws
