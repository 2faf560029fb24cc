// Credentials for a role: from other credentials (AssumeRole), or from another identity provider's token.

#include <openssl/sha.h>

#include <algorithm>

#include "aws/sources.h"
#include "aws/sts.h"
#include "base/text.h"
#include "os/file.h"

namespace ferry::aws {
namespace {

/// What a profile says about its role.
struct Role {
  AssumeRole request;
  bool names_session = false;  ///< by role_session_name
};

std::string own_session_name(os::Clock& clock) { return "ferry-" + std::to_string(clock.now_ms() / 1000); }

/// STS of the region in force. Who has no region yet may still assume a role.
Client sts_client(const Search& search, std::shared_ptr<Provider> credentials) {
  return Client({.credentials = std::move(credentials),
                 .region = search.config.region("").value_or("us-east-1"),
                 .endpoint_url = {},
                 .service_endpoints = configured_endpoints(search.config),
                 .max_attempts = search.config.max_attempts(),
                 .ca_bundle = search.config.ca_bundle()},
                search.http, search.clock);
}

Result<Role> role_of(const Search& search, const std::string& profile) {
  const auto setting = [&](const char* name) { return search.config.setting(profile, name).value_or(""); };
  Role role;
  role.request.role_arn = setting("role_arn");
  role.request.external_id = setting("external_id");
  role.request.mfa_serial = setting("mfa_serial");
  role.request.session_name = setting("role_session_name");
  role.names_session = !role.request.session_name.empty();
  if (!role.names_session) role.request.session_name = own_session_name(search.clock);
  if (const std::string text = setting("duration_seconds"); !text.empty()) {
    const auto seconds = parse_int(text);
    if (!seconds || *seconds < 900 || *seconds > 43'200) {
      return fail(Kind::bad_input, "duration_seconds of profile " + profile + " is no number from 900 to 43200",
                  printable(text), "correct it in " + search.config.config_file().string());
    }
    role.request.duration_seconds = static_cast<int>(*seconds);
  }
  return role;
}

/// The AWS CLI keeps a role's credentials under this name, so that a code is asked for once by both. The name
/// is the SHA-1 of the request as Python's json.dumps writes it.
std::string cache_name(const Role& role) {
  std::map<std::string, std::string> members = {{"RoleArn", Json(role.request.role_arn).dump(-1, ' ', true)}};
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) members[name] = Json(value).dump(-1, ' ', true, Json::error_handler_t::replace);
  };
  add("ExternalId", role.request.external_id);
  add("SerialNumber", role.request.mfa_serial);
  if (role.names_session) add("RoleSessionName", role.request.session_name);
  if (role.request.duration_seconds) members["DurationSeconds"] = std::to_string(role.request.duration_seconds);
  std::string text;
  for (const auto& [name, value] : members) text += (text.empty() ? "{\"" : ", \"") + name + "\": " + value;
  text += "}";
  std::string digest(SHA_DIGEST_LENGTH, '\0');
  ::SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return hex(digest) + ".json";
}

os::Path cache_file(const Search& search, const Role& role) {
  return search.config.folder() / "cli" / "cache" / cache_name(role);
}

std::optional<Credentials> kept_credentials(const Search& search, const Role& role) {
  const auto text = os::read_file(cache_file(search, role), 1 << 20);
  const auto json = text ? parse_json(*text) : Json();
  if (!json || !json->is_object() || !json->contains("Credentials")) return std::nullopt;
  const Json& keys = (*json)["Credentials"];
  Credentials found{text_at(keys, "AccessKeyId"), text_at(keys, "SecretAccessKey"), text_at(keys, "SessionToken"), {}};
  found.expires_ms = parse_expiry(text_at(keys, "Expiration"));
  constexpr std::int64_t worth_using_ms = 60'000;
  const bool good = !found.access_key_id.empty() && found.expires_ms > search.clock.now_ms() + worth_using_ms;
  return good ? std::optional(std::move(found)) : std::nullopt;
}

/// Keeping them is a kindness to the next command; without it the code is asked for again.
void keep_credentials(const Search& search, const Role& role, const Credentials& keys) {
  const auto file = cache_file(search, role);
  if (!os::make_dirs(file.parent_path(), 0700)) return;
  const Json json = {{"Credentials",
                      {{"AccessKeyId", keys.access_key_id},
                       {"SecretAccessKey", keys.secret_access_key},
                       {"SessionToken", keys.session_token},
                       {"Expiration", os::iso_time(keys.expires_ms)}}}};
  (void)os::write_file(file, dump_json(json), 0600);
}

Result<std::string> mfa_code(const Search& search, const std::string& profile, const std::string& serial) {
  const auto& ask_person = search.config.surroundings().ask_mfa;
  const auto code =
      ask_person ? ask_person("MFA code for " + printable(serial) + " (an empty line gives up): ") : std::nullopt;
  if (!code || trim(*code).empty()) {
    return fail(Kind::denied, "profile " + profile + " needs an MFA code for " + printable(serial),
                "there is nobody here to ask for it",
                "run the command in a terminal; or run `aws sts get-caller-identity --profile " + profile +
                    "` in one first: its answer is used here too");
  }
  return std::string(trim(*code));
}

Result<Credentials> credential_source(const Search& search, const std::string& profile, const std::string& name) {
  Found found = std::nullopt;
  if (name == "Environment") {
    // As everywhere, a profile flag hides the environment's keys from the chain but not from a profile that
    // asks for them by name.
    Surroundings surroundings = search.config.surroundings();
    surroundings.profile.clear();
    TRY_SET(config, "", Config::load(surroundings));
    found = from_environment({config, search.http, search.clock});
  } else if (name == "Ec2InstanceMetadata") {
    found = from_instance(search);
  } else if (name == "EcsContainer") {
    found = from_container(search);
  } else {
    return fail(Kind::bad_input, "credential_source \"" + printable(name) + "\" of profile " + profile + " is unknown",
                "", "it is Environment, Ec2InstanceMetadata or EcsContainer");
  }
  TRY_SET(keys, "", std::move(found));
  if (keys) return *std::move(keys);
  return fail(Kind::denied, "profile " + profile + " takes its credentials from " + name + ", and there are none", "",
              "run ferry where they are, or use source_profile instead");
}

Result<Credentials> assume(const Search& search, const std::string& profile, std::vector<std::string> visited);

bool has_static_keys(const Config& config, const std::string& profile) {
  return config.setting(profile, "aws_access_key_id") && config.setting(profile, "aws_secret_access_key");
}

bool has_role(const Config& config, const std::string& profile) {
  return config.setting(profile, "role_arn") && !config.setting(profile, "web_identity_token_file");
}

/// `visited` are the profiles that led here. A profile may name itself if it has keys of its own.
Result<Credentials> source_profile(const Search& search, const std::string& source, std::vector<std::string> visited) {
  const std::string& parent = visited.back();
  if (!search.config.has_profile(source)) {
    return fail(Kind::not_found, "there is no AWS profile \"" + printable(source) + "\"",
                "it is the source_profile of " + parent, "correct it in " + search.config.config_file().string());
  }
  const bool keys = has_static_keys(search.config, source);
  const bool again = std::find(visited.begin(), visited.end(), source) != visited.end();
  if (again && !(source == parent && keys)) {
    return fail(Kind::bad_input, "the profiles " + join(visited, ", ") + " and " + source + " lead in a circle",
                "each is the source_profile of the one before", "let the last one have credentials of its own");
  }
  if (!keys && has_role(search.config, source)) return assume(search, source, std::move(visited));
  TRY_SET(found, "", from_profile(search, source));
  if (found) return *std::move(found);
  return fail(Kind::denied, "profile " + source + " has no credentials", "it is the source_profile of " + parent,
              "run `aws configure --profile " + source + "`");
}

Result<Credentials> source_of_role(const Search& search, const std::string& profile, std::vector<std::string> visited) {
  const auto source = search.config.setting(profile, "source_profile");
  const auto place = search.config.setting(profile, "credential_source");
  if (!source == !place) {
    return fail(Kind::bad_input,
                "profile " + profile + " has a role_arn and " +
                    (source ? "both source_profile and credential_source" : "nothing to assume it with"),
                "", "give it either source_profile or credential_source");
  }
  visited.push_back(profile);
  if (source) return source_profile(search, *source, std::move(visited));
  return credential_source(search, profile, *place);
}

Result<Credentials> assume(const Search& search, const std::string& profile, std::vector<std::string> visited) {
  TRY_SET(role, "", role_of(search, profile));
  const std::string source = "role " + role.request.role_arn + " (profile " + profile + ")";
  const bool with_mfa = !role.request.mfa_serial.empty();
  if (with_mfa) {
    if (auto kept = kept_credentials(search, role)) {
      kept->source = source;
      return *std::move(kept);
    }
  }
  TRY_SET(base, "", source_of_role(search, profile, std::move(visited)));
  if (with_mfa) {
    TRY_SET(code, "", mfa_code(search, profile, role.request.mfa_serial));
    role.request.mfa_code = std::move(code);
  }
  auto sts = sts_client(search, fixed_provider(std::move(base)));
  TRY_SET(keys, "assume " + role.request.role_arn + " of profile " + profile, assume_role(sts, role.request));
  if (with_mfa) keep_credentials(search, role, keys);
  keys.source = source;
  return keys;
}

Found web_identity(const Search& search, const std::string& role_arn, const std::string& token_file,
                   std::string session_name) {
  if (session_name.empty()) session_name = own_session_name(search.clock);
  const std::string doing = "assume " + role_arn + " by web identity";
  TRY_SET(token, doing, os::read_file(token_file, 1 << 20));
  auto sts = sts_client(search, nullptr);
  TRY_SET(keys, doing,
          assume_role_with_web_identity(
              sts, {.role_arn = role_arn, .session_name = session_name, .token = std::string(trim(token))}));
  keys.source = "web identity " + role_arn;
  return keys;
}

Error no_role(const std::string& where) {
  return {Kind::bad_input, where + " names a web identity's token but no role", "", "set the role's ARN too", ""};
}

}  // namespace

Found from_role(const Search& search, const std::string& profile) {
  if (!has_role(search.config, profile)) return std::nullopt;
  TRY_SET(keys, "", assume(search, profile, {}));
  return keys;
}

Found from_web_identity_of_environment(const Search& search) {
  const Config& config = search.config;
  if (config.profile_is_from_flag()) return std::nullopt;
  // As in every AWS tool, each variable stands in for the profile's setting on its own.
  const auto either = [&](const char* variable, const char* name) {
    const auto value = config.env(variable);
    return value ? value : config.setting(config.profile(), name);
  };
  const auto file = either("AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file");
  const auto role = either("AWS_ROLE_ARN", "role_arn");
  if (!file) return std::nullopt;
  if (!role) return fail("", no_role("AWS_WEB_IDENTITY_TOKEN_FILE"));
  return web_identity(search, *role, *file, either("AWS_ROLE_SESSION_NAME", "role_session_name").value_or(""));
}

Found from_web_identity(const Search& search, const std::string& profile) {
  const auto file = search.config.setting(profile, "web_identity_token_file");
  if (!file) return std::nullopt;
  const auto role = search.config.setting(profile, "role_arn");
  if (!role) return fail("", no_role("profile " + profile));
  return web_identity(search, *role, *file, search.config.setting(profile, "role_session_name").value_or(""));
}

}  // namespace ferry::aws
