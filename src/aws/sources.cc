#include "aws/sources.h"

#include "aws/ec2_xml.h"
#include "aws/errors.h"
#include "aws/retry.h"
#include "base/text.h"
#include "base/version.h"

namespace ferry::aws {
namespace {

/// One set of keys as JSON: the names differ only in the token's.
Result<Credentials> keys_of(const Json& json, const char* token_name) {
  Credentials keys;
  keys.access_key_id = text_at(json, "AccessKeyId");
  keys.secret_access_key = text_at(json, "SecretAccessKey");
  keys.session_token = text_at(json, token_name);
  const std::string expires = text_at(json, "Expiration");
  keys.expires_ms = parse_expiry(expires);
  if (keys.access_key_id.empty() || keys.secret_access_key.empty()) {
    return fail(Kind::corrupt, "the answer has no AccessKeyId and SecretAccessKey",
                printable(text_at(json, "Message", text_at(json, "message")).substr(0, 300)));
  }
  if (!expires.empty() && keys.expires_ms == 0) {
    return fail(Kind::corrupt, "the answer's Expiration is no time", printable(expires.substr(0, 60)));
  }
  return keys;
}

/// "+02:00" or "-0530" in milliseconds; 0 for "Z", "UTC" and whatever else.
std::int64_t offset_ms(std::string_view text) {
  if (text.size() < 5 || (text[0] != '+' && text[0] != '-')) return 0;
  const auto hours = parse_int(text.substr(1, 2));
  const auto minutes = parse_int(text.substr(text[3] == ':' ? 4 : 3, 2));
  const std::int64_t size = (hours.value_or(0) * 60 + minutes.value_or(0)) * 60'000;
  return text[0] == '-' ? -size : size;
}

/// By what `aws login` writes; its keys are bound to a browser's session.
Found from_login(const Search& search, const std::string& profile) {
  if (!search.config.setting(profile, "login_session")) return std::nullopt;
  return fail(
      Kind::unsupported,
      "profile " + profile + " gets its credentials by login_session, which this version cannot do itself",
      search.config.config_file().string(),
      "eval \"$(aws configure export-credentials --profile " + profile + " --format env)\" and run the command again");
}

/// What the user may do who has no credentials where they were looked for.
std::string ways_in(const Config& config) {
  auto others = config.profiles();
  std::erase(others, config.profile());
  const std::string named = others.empty()
                                ? "set AWS_PROFILE"
                                : "name a profile that you have with --profile (" + printable(join(others, ", ")) + ")";
  return "run `aws configure` or `aws sso login`, or " + named + "; without an AWS account use --infra rehearsal";
}

Error nowhere(const Config& config) {
  return {Kind::denied, "no AWS credentials found",
          "looked in the environment (AWS_ACCESS_KEY_ID), " + config.credentials_file().string() + " and " +
              config.config_file().string() + " (profile " + config.profile() +
              "), and asked for a container's or an instance's role",
          ways_in(config), ""};
}

}  // namespace

std::int64_t parse_expiry(std::string_view text) {
  const std::int64_t time = parse_iso_time(text);
  constexpr std::size_t seconds_end = std::string_view("2026-01-31T12:00:00").size();
  if (time == 0) return 0;
  const auto zone = text.find_first_not_of(".0123456789", seconds_end);
  return zone == std::string_view::npos ? time : time - offset_ms(text.substr(zone));
}

Result<Credentials> parse_process_credentials(std::string_view text) {
  TRY_SET(json, "", parse_json(text));
  if (const auto version = int_at(json, "Version"); version != 1) {
    return fail(Kind::corrupt, "its output has Version " + std::to_string(version) + ", not 1");
  }
  return keys_of(json, "SessionToken");
}

Result<Credentials> parse_endpoint_credentials(std::string_view text) {
  TRY_SET(json, "", parse_json(text));
  return keys_of(json, "Token");
}

Result<os::HttpResponse> ask(const Search& search, os::HttpRequest request, int attempts, Millis limit) {
  request.timeout = limit;
  request.connect_timeout = std::min(request.connect_timeout, limit);
  request.ca_bundle = search.config.ca_bundle();
  request.headers.emplace_back("User-Agent", "ferry/" + ferry_version());
  return Retry(search.clock, attempts)
      .send(
          search.http, Repeat::freely, [&](std::int64_t) { return request; },
          [](const os::HttpResponse& response) { return fault_of(response).code; });
}

Found from_profile(const Search& search, const std::string& profile) {
  constexpr std::array in_order = {from_web_identity, from_sso,   from_shared_file,
                                   from_process,      from_login, from_config_file};
  for (const auto source : in_order) {
    TRY_SET(found, "", source(search, profile));
    if (found) return found;
  }
  return std::nullopt;
}

Result<Credentials> find_credentials(const Config& config, os::HttpClient& http, os::Clock& clock) {
  const Search search{config, http, clock};
  const auto& profile = config.profile();
  const std::array<std::function<Found()>, 6> in_order = {
      [&] { return from_environment(search); },
      [&] { return from_role(search, profile); },
      [&] { return from_web_identity_of_environment(search); },
      [&] { return from_profile(search, profile); },
      [&] { return from_container(search); },
      [&] { return from_instance(search); },
  };
  for (const auto& source : in_order) {
    auto found = source();
    if (!found && found.error().kind == Kind::bad_input) found.error().kind = Kind::denied;
    if (!found) return fail("", std::move(found).error());
    if (*found) return **std::move(found);
  }
  return fail("", nowhere(config));
}

std::shared_ptr<Provider> make_provider(Surroundings surroundings, os::Clock& clock, os::HttpClient* http) {
  const std::shared_ptr<os::HttpClient> own = http ? nullptr : os::make_http_client();
  const auto find = [surroundings = std::move(surroundings), &clock, own, http]() -> Result<Credentials> {
    TRY_SET(config, "", Config::load(surroundings));
    return find_credentials(config, http ? *http : *own, clock);
  };
  return std::make_shared<Provider>(find, clock);
}

}  // namespace ferry::aws
