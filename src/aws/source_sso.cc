// Credentials by single sign-on (IAM Identity Center): the token that `aws sso login` left buys a role's
// keys.

#include <openssl/sha.h>

#include "aws/client.h"
#include "aws/errors.h"
#include "aws/services.h"
#include "aws/sources.h"
#include "base/text.h"
#include "os/file.h"

namespace ferry::aws {
namespace {

constexpr Millis sso_limit{30'000};
constexpr std::int64_t renew_token_early_ms = 5 * 60'000;

/// What a profile says about its single sign-on.
struct SignOn {
  std::string profile, session, start_url, region, account, role;
  os::Path token_file;
};

Error sign_in_again(const SignOn& sso, std::string why) {
  return {Kind::denied, "the single sign-on of profile " + sso.profile + " has ended", std::move(why),
          "aws sso login --profile " + sso.profile, ""};
}

os::Path token_file(const Search& search, const std::string& name) {
  std::string digest(SHA_DIGEST_LENGTH, '\0');
  ::SHA1(reinterpret_cast<const unsigned char*>(name.data()), name.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return search.config.folder() / "sso" / "cache" / (hex(digest) + ".json");
}

Result<std::optional<SignOn>> sign_on_of(const Search& search, const std::string& profile) {
  const Config& config = search.config;
  const auto setting = [&](const char* name) { return config.setting(profile, name).value_or(""); };
  SignOn sso{.profile = profile,
             .session = setting("sso_session"),
             .start_url = setting("sso_start_url"),
             .region = setting("sso_region"),
             .account = setting("sso_account_id"),
             .role = setting("sso_role_name"),
             .token_file = {}};
  if (sso.account.empty() && sso.role.empty()) return std::nullopt;  // a token alone serves other tools
  if (!sso.session.empty()) {
    const Settings* section = config.sso_session(sso.session);
    if (!section) {
      return fail(Kind::bad_input,
                  "profile " + profile + " uses sso_session " + printable(sso.session) + ", which " +
                      config.config_file().string() + " does not have",
                  "", "run `aws configure sso --profile " + profile + "`");
    }
    sso.start_url = setting_of(section, "sso_start_url").value_or("");
    sso.region = setting_of(section, "sso_region").value_or("");
  }
  for (const auto& [name, value] : {std::pair{"sso_start_url", sso.start_url}, std::pair{"sso_region", sso.region},
                                    std::pair{"sso_account_id", sso.account}, std::pair{"sso_role_name", sso.role}}) {
    if (!value.empty()) continue;
    return fail(Kind::bad_input, "the single sign-on of profile " + profile + " has no " + name, "",
                "run `aws configure sso --profile " + profile + "`");
  }
  TRY("sso_region", config.region(sso.region));
  sso.token_file = token_file(search, sso.session.empty() ? sso.start_url : sso.session);
  return sso;
}

std::string endpoint(const Search& search, const char* service, const std::string& region) {
  std::string url = search.config.endpoint_url(service);
  if (url.empty()) url = own_endpoint(service, region);
  while (url.ends_with('/')) url.pop_back();
  return url;
}

/// A new access token for the refresh token, also put where `aws sso login` would put it. Nothing when the
/// file has no refresh token (older logins) or it is not accepted.
std::optional<Json> renewed(const Search& search, const SignOn& sso, const Json& token) {
  const std::int64_t now = search.clock.now_ms();
  Json body = {{"grantType", "refresh_token"}};
  for (const char* name : {"clientId", "clientSecret", "refreshToken"}) {
    body[name] = text_at(token, name);
    if (text_at(token, name).empty()) return std::nullopt;
  }
  const std::string registered_until = text_at(token, "registrationExpiresAt");
  if (!registered_until.empty() && parse_expiry(registered_until) <= now) return std::nullopt;
  os::HttpRequest request;
  request.method = "POST";
  request.url = endpoint(search, "sso_oidc", sso.region) + "/token";
  request.headers = {{"Content-Type", "application/json"}};
  request.body = dump_json(body);
  const auto answer = ask(search, request, 1, sso_limit);  // a refresh token may be good only once
  const auto given = answer && answer->status == 200 ? parse_json(answer->body) : Json();
  if (!given || text_at(*given, "accessToken").empty()) return std::nullopt;
  Json fresh = token;
  fresh["accessToken"] = text_at(*given, "accessToken");
  fresh["expiresAt"] = os::iso_time(now + int_at(*given, "expiresIn") * 1000);
  if (!text_at(*given, "refreshToken").empty()) fresh["refreshToken"] = text_at(*given, "refreshToken");
  (void)os::write_file(sso.token_file, dump_json(fresh), 0600);
  return fresh;
}

Result<std::string> access_token(const Search& search, const SignOn& sso) {
  const auto text = os::read_file(sso.token_file, 1 << 20);
  if (!text) return fail("", sign_in_again(sso, "there is no token in " + sso.token_file.string()));
  auto token = parse_json(*text);
  if (!token || text_at(*token, "accessToken").empty()) {
    return fail("", sign_in_again(sso, sso.token_file.string() + " holds no token"));
  }
  const std::int64_t left = parse_expiry(text_at(*token, "expiresAt")) - search.clock.now_ms();
  if (left < renew_token_early_ms) {
    if (const auto fresh = renewed(search, sso, *token)) return text_at(*fresh, "accessToken");
  }
  if (left <= 0) {
    return fail("", sign_in_again(sso, "its token expired at " + printable(text_at(*token, "expiresAt"))));
  }
  return text_at(*token, "accessToken");
}

Result<Credentials> role_credentials(const os::HttpResponse& answer) {
  TRY_SET(json, "", parse_json(answer.body));
  const Json given = json.is_object() && json.contains("roleCredentials") ? json["roleCredentials"] : Json();
  Credentials keys{
      text_at(given, "accessKeyId"), text_at(given, "secretAccessKey"), text_at(given, "sessionToken"), {}};
  keys.expires_ms = int_at(given, "expiration");
  if (keys.access_key_id.empty() || keys.secret_access_key.empty() || keys.session_token.empty()) {
    return fail(Kind::corrupt, "the answer has no roleCredentials", "", "repeat the command");
  }
  return keys;
}

}  // namespace

Found from_sso(const Search& search, const std::string& profile) {
  TRY_SET(configured, "", sign_on_of(search, profile));
  if (!configured) return std::nullopt;
  const SignOn& sso = *configured;
  TRY_SET(token, "", access_token(search, sso));
  os::HttpRequest request;
  request.url = endpoint(search, "sso", sso.region) + "/federation/credentials?role_name=" + percent_encoded(sso.role) +
                "&account_id=" + percent_encoded(sso.account);
  request.headers = {{"x-amz-sso_bearer_token", token}};
  const std::string doing = "get the credentials of " + sso.role + " in " + sso.account + " by single sign-on";
  TRY_SET(answer, doing, ask(search, request, search.config.max_attempts(), sso_limit));
  if (answer.status == 401) return fail("", sign_in_again(sso, fault_of(answer).message));
  if (answer.status != 200) {
    return fail(doing, error_of(fault_of(answer), answer.status, "sso", "GetRoleCredentials"));
  }
  TRY_SET(keys, doing, role_credentials(answer));
  keys.source = "single sign-on (profile " + profile + ")";
  return keys;
}

}  // namespace ferry::aws
