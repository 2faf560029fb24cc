#pragma once
/// \file
/// AWS's usual environment variables and files: which profile is in force, and what it and they say. Who the
/// caller is, is found by sources.h from what is read here.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "os/env.h"
#include "os/file.h"

namespace ferry::aws {

struct Credentials {
  std::string access_key_id, secret_access_key;
  std::string session_token;    ///< empty for long-term keys
  std::string source;           ///< for people: "environment", "profile default (/home/a/.aws/credentials)"
  std::int64_t expires_ms = 0;  ///< milliseconds since 1970; 0: never
  bool operator==(const Credentials&) const = default;
};

/// Where settings come from. The default is this process's own; tests pass their own.
struct Surroundings {
  std::function<std::optional<std::string>(const char*)> env = os::env;
  os::Path home = os::home_dir();
  std::string profile = {};  ///< from a flag: wins over AWS_PROFILE and over keys in the environment
  /// Asks the user for an MFA code; nothing when nobody can answer. Empty: nobody can.
  std::function<std::optional<std::string>(const std::string& prompt)> ask_mfa = {};
};

/// The sections of an AWS config or credentials file. Nested settings ("s3 =" and indented lines below it)
/// become "s3.name". Names of settings are lower case; names of sections are as written, with single spaces.
using Settings = std::map<std::string, std::string>;
using Sections = std::map<std::string, Settings>;
/// Fails corrupt naming `file` and the line.
Result<Sections> parse_sections(std::string_view text, std::string_view file);

/// The words of a command line as Python's shlex reads them (which is what credential_process is defined by):
/// quotes and backslashes, no variables, no patterns. Fails bad_input when a quote is open at the end.
Result<std::vector<std::string>> split_words(std::string_view line);

/// Both files, read once, and the profile in force.
class Config {
 public:
  /// Absent files are fine; unreadable or broken ones are not. AWS_CONFIG_FILE and
  /// AWS_SHARED_CREDENTIALS_FILE are honoured. Fails not_found when a profile is named (by flag or
  /// AWS_PROFILE) that neither file has.
  static Result<Config> load(Surroundings surroundings = {});

  /// `wanted`, else AWS_REGION, AWS_DEFAULT_REGION, the profile's. Fails not_found when there is none,
  /// bad_input when it does not look like a region (a zone does not).
  Result<std::string> region(const std::string& wanted) const;
  /// The endpoint configured for a service ("ec2"): AWS_ENDPOINT_URL_EC2, AWS_ENDPOINT_URL, the profile's
  /// services section, the profile's endpoint_url. Empty: AWS's own.
  std::string endpoint_url(const std::string& service) const;
  /// AWS_MAX_ATTEMPTS, else the profile's max_attempts, else 3.
  int max_attempts() const;
  /// AWS_CA_BUNDLE, else the profile's ca_bundle: a file (or folder) of certificates to trust instead of the
  /// system's. Empty when neither is set.
  std::string ca_bundle() const;

  const std::string& profile() const { return profile_; }
  /// True when the profile was named by a flag: then keys in the environment do not count.
  bool profile_is_from_flag() const { return !surroundings_.profile.empty(); }
  bool has_profile(const std::string& profile) const;
  /// The names of all that either file has, sorted.
  std::vector<std::string> profiles() const;
  /// A setting of a profile. As in every AWS tool the credentials file wins over the config file.
  std::optional<std::string> setting(const std::string& profile, const std::string& name) const;
  /// A profile's section in one file; null if it has none there.
  const Settings* shared_section(const std::string& profile) const;
  const Settings* config_section(const std::string& profile) const;
  /// The section [sso-session NAME]; null if there is none.
  const Settings* sso_session(const std::string& name) const;
  const os::Path& config_file() const { return config_file_; }
  const os::Path& credentials_file() const { return credentials_file_; }
  const Surroundings& surroundings() const { return surroundings_; }
  std::optional<std::string> env(const char* name) const { return surroundings_.env(name); }
  /// The folder ~/.aws.
  os::Path folder() const { return surroundings_.home / ".aws"; }

 private:
  Surroundings surroundings_;
  os::Path config_file_, credentials_file_;
  Sections config_, shared_;
  std::string profile_ = "default";
};

/// The setting, unless it is absent or empty. `settings` may be null.
std::optional<std::string> setting_of(const Settings* settings, const std::string& name);

}  // namespace ferry::aws
