// Credentials of the machine that ferry itself runs on: a container's, or an EC2 instance's.

#include <algorithm>

#include "aws/client.h"
#include "aws/sources.h"
#include "base/text.h"

namespace ferry::aws {
namespace {

constexpr Millis container_limit{2'000};
constexpr int container_attempts = 3;
constexpr const char* container_host = "http://169.254.170.2";
constexpr const char* roles_path = "/latest/meta-data/iam/security-credentials/";

/// What AWS's agents for ECS and EKS listen at, this computer, and whatever proves itself by TLS. Anything
/// else could be made to hand the token to a stranger.
bool may_have_the_token(const std::string& url) {
  if (url.starts_with("https://")) return true;
  if (!url.starts_with("http://")) return false;
  if (is_loopback(url)) return true;
  if (url.find('@') != std::string::npos) return false;  // what is before it is a user, not the host
  const std::string host = url.substr(7, url.find_first_of("/:?#", url[7] == '[' ? url.find(']') : 7) - 7);
  constexpr std::array<std::string_view, 3> agents = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
  return std::find(agents.begin(), agents.end(), host) != agents.end();
}

Result<std::string> container_token(const Config& config) {
  std::string token = config.env("AWS_CONTAINER_AUTHORIZATION_TOKEN").value_or("");
  if (const auto file = config.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) {
    TRY_SET(text, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", os::read_file(*file, 1 << 20));
    token = std::move(text);
  }
  if (token.find_first_of("\r\n") != std::string::npos) {
    return fail(Kind::bad_input, "the container's authorization token has a line break in it", "",
                "correct AWS_CONTAINER_AUTHORIZATION_TOKEN[_FILE]");
  }
  return token;
}

std::string metadata_endpoint(const Config& config) {
  const auto setting = [&](const char* variable, const char* name) {
    return config.env(variable).value_or(config.setting(config.profile(), name).value_or(""));
  };
  std::string url = setting("AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint");
  const auto mode = lower(setting("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ec2_metadata_service_endpoint_mode"));
  if (url.empty()) url = mode == "ipv6" ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
  while (url.ends_with('/')) url.pop_back();
  return url;
}

int whole_setting(const Config& config, const char* variable, const char* name, int otherwise) {
  const auto text = config.env(variable).value_or(config.setting(config.profile(), name).value_or(""));
  return static_cast<int>(std::clamp<std::int64_t>(parse_int(text).value_or(otherwise), 1, 60));
}

}  // namespace

Found from_container(const Search& search) {
  const auto relative = search.config.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  const auto full = search.config.env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (!relative && !full) return std::nullopt;
  const std::string doing = "get the container's credentials";
  os::HttpRequest request;
  request.url = relative ? container_host + *relative : *full;
  if (!may_have_the_token(request.url)) {
    return fail(Kind::bad_input, doing + ": " + printable(request.url) + " is no place for them",
                "only https, this computer, 169.254.170.2 and 169.254.170.23 are trusted with the token",
                "correct AWS_CONTAINER_CREDENTIALS_FULL_URI");
  }
  TRY_SET(token, doing, container_token(search.config));
  request.headers = {{"Accept", "application/json"}};
  if (!token.empty()) request.headers.emplace_back("Authorization", std::move(token));
  TRY_SET(answer, doing, ask(search, request, container_attempts, container_limit));
  if (answer.status != 200) {
    return fail(Kind::denied, doing + ": " + request.url + " answered with status " + std::to_string(answer.status),
                printable(answer.body.substr(0, 300)), "check the task's (or pod's) role");
  }
  TRY_SET(keys, doing, parse_endpoint_credentials(answer.body));
  keys.source = "container (" + request.url + ")";
  return keys;
}

Found from_instance(const Search& search) {
  const Config& config = search.config;
  if (lower(config.env("AWS_EC2_METADATA_DISABLED").value_or("")) == "true") return std::nullopt;
  const std::string endpoint = metadata_endpoint(config);
  const int attempts = whole_setting(config, "AWS_METADATA_SERVICE_NUM_ATTEMPTS", "metadata_service_num_attempts", 1);
  const Millis limit{1000 * whole_setting(config, "AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout", 1)};
  os::HttpRequest login;
  login.method = "PUT";
  login.url = endpoint + "/latest/api/token";
  login.headers = {{"x-aws-ec2-metadata-token-ttl-seconds", "21600"}};
  const auto token = ask(search, login, attempts, limit);
  if (!token || token->status != 200) return std::nullopt;  // this is no EC2 instance
  os::HttpRequest request;
  request.url = endpoint + roles_path;
  request.headers = {{"x-aws-ec2-metadata-token", std::string(trim(token->body))}};
  const auto roles = ask(search, request, attempts, limit);
  if (!roles || roles->status != 200) return std::nullopt;  // an instance without a role
  const std::string role(trim(roles->body.substr(0, roles->body.find('\n'))));
  if (role.empty()) return std::nullopt;
  request.url += percent_encoded(role);
  const std::string doing = "get the credentials of the instance's role " + printable(role);
  TRY_SET(answer, doing, ask(search, request, attempts, limit));
  if (answer.status != 200) {
    return fail(Kind::denied, doing + ": the metadata service answered with status " + std::to_string(answer.status),
                printable(answer.body.substr(0, 300)), "check the instance profile's role");
  }
  TRY_SET(keys, doing, parse_endpoint_credentials(answer.body));
  keys.source = "instance role " + role;
  return keys;
}

}  // namespace ferry::aws
