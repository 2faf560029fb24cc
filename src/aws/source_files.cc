// Credentials from the environment, from AWS's two files, and from a program that one of them names.

#include "aws/sources.h"
#include "base/text.h"
#include "os/process.h"

namespace ferry::aws {
namespace {

/// Such programs open browsers and wait for security keys to be touched.
constexpr Millis process_limit{300'000};

/// Both keys of a section, if it has either. Half a pair is an error.
Found key_pair(const Settings* settings, std::string source) {
  const auto id = setting_of(settings, "aws_access_key_id");
  const auto secret = setting_of(settings, "aws_secret_access_key");
  if (!id && !secret) return std::nullopt;
  if (!id || !secret) {
    return fail(
        Kind::bad_input,
        source + " has " +
            (id ? "aws_access_key_id but no aws_secret_access_key" : "aws_secret_access_key but no aws_access_key_id"),
        "a key has two halves", "add the missing half (`aws configure` writes both)");
  }
  // aws_security_token is the token's old name.
  const auto token = setting_of(settings, "aws_session_token");
  return Credentials{*id, *secret, token.value_or(setting_of(settings, "aws_security_token").value_or("")),
                     std::move(source)};
}

std::string profile_source(const std::string& profile, const os::Path& file) {
  return "profile " + profile + " (" + file.string() + ")";
}

}  // namespace

Found from_environment(const Search& search) {
  if (search.config.profile_is_from_flag()) return std::nullopt;
  Settings settings;
  for (const auto& [name, variable] :
       {std::pair{"aws_access_key_id", "AWS_ACCESS_KEY_ID"},
        std::pair{"aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"},
        std::pair{"aws_session_token", "AWS_SESSION_TOKEN"}, std::pair{"aws_security_token", "AWS_SECURITY_TOKEN"}}) {
    settings[name] = search.config.env(variable).value_or("");
  }
  TRY_SET(keys, "", key_pair(&settings, "environment"));
  if (keys) keys->expires_ms = parse_expiry(search.config.env("AWS_CREDENTIAL_EXPIRATION").value_or(""));
  return keys;
}

Found from_shared_file(const Search& search, const std::string& profile) {
  return key_pair(search.config.shared_section(profile), profile_source(profile, search.config.credentials_file()));
}

Found from_config_file(const Search& search, const std::string& profile) {
  return key_pair(search.config.config_section(profile), profile_source(profile, search.config.config_file()));
}

Found from_process(const Search& search, const std::string& profile) {
  const auto line = search.config.setting(profile, "credential_process");
  if (!line) return std::nullopt;
  const std::string doing = "credential_process of profile " + profile;
  TRY_SET(words, doing, split_words(*line));
  if (words.empty()) return fail(Kind::bad_input, doing + " names no program");
  auto ran = os::run_command({.argv = words}, {}, process_limit);
  if (!ran) {
    auto error = std::move(ran).error();
    error.advice = "install " + printable(words.front()) + ", or correct credential_process in " +
                   search.config.config_file().string();
    return fail(doing, std::move(error));
  }
  if (ran->exit.code != 0) {
    return fail(Kind::denied, doing + " failed with exit code " + std::to_string(ran->exit.code),
                printable(trim(std::string_view(ran->err).substr(0, 2000))), "run it yourself: " + printable(*line));
  }
  auto keys = parse_process_credentials(ran->out);
  if (!keys) {
    auto error = std::move(keys).error();
    error.advice = "run it yourself and look at what it prints: " + printable(*line);
    return fail(doing, std::move(error));
  }
  keys->source = doing;
  return *std::move(keys);
}

}  // namespace ferry::aws
