#pragma once
/// \file
/// As whom, where and to which endpoint to call: AWS's usual environment variables and files.
///
/// Credentials are looked for in a fixed order of sources (see credentials.cc: `sources`); the first that has
/// some wins, and a source that is configured but cannot be used is an error, never skipped silently.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "os/env.h"
#include "os/file.h"

namespace ferry::aws {

struct Credentials {
  std::string access_key_id, secret_access_key;
  std::string session_token;  ///< empty for long-term keys
  std::string source;         ///< for people: "environment", "profile default (/home/a/.aws/credentials)"
};

/// Where settings come from. The default is this process's own; tests pass their own.
struct Surroundings {
  std::function<std::optional<std::string>(const char*)> env = os::env;
  os::Path home = os::home_dir();
  std::string profile = {};  ///< from a flag: wins over AWS_PROFILE and over keys in the environment
};

/// The sections of an AWS config or credentials file. Nested settings ("s3 =" and indented lines below it)
/// become "s3.name". Names of settings are lower case; names of sections are as written, with single spaces.
using Sections = std::map<std::string, std::map<std::string, std::string>>;
/// Fails bad_input naming `file` and the line.
Result<Sections> parse_sections(std::string_view text, std::string_view file);

/// Both files, read once, and the profile in force.
class Config {
 public:
  /// Absent files are fine; unreadable or broken ones are not. AWS_CONFIG_FILE and
  /// AWS_SHARED_CREDENTIALS_FILE are honoured. Fails not_found when a profile is named (by flag or
  /// AWS_PROFILE) that neither file has.
  static Result<Config> load(Surroundings surroundings = {});

  /// Fails denied, with what to do, when no source has any; unsupported when the profile uses a source that
  /// this version cannot read (single sign-on, roles, credential_process).
  Result<Credentials> credentials() const;
  /// `wanted`, else AWS_REGION, AWS_DEFAULT_REGION, the profile's. Fails bad_input when there is none or when
  /// it does not look like a region.
  Result<std::string> region(const std::string& wanted) const;
  /// The endpoint configured for a service ("ec2"): AWS_ENDPOINT_URL_EC2, AWS_ENDPOINT_URL, the profile's
  /// services section, the profile's endpoint_url. Empty: AWS's own.
  std::string endpoint_url(const std::string& service) const;
  /// AWS_MAX_ATTEMPTS, else the profile's max_attempts, else 3.
  int max_attempts() const;
  const std::string& profile() const { return profile_; }

 private:
  friend struct CredentialSources;
  std::optional<std::string> setting(const char* name) const;  ///< of the profile, in the config file

  Surroundings surroundings_;
  os::Path config_file_, credentials_file_;
  Sections config_, shared_;
  std::string profile_ = "default";
};

}  // namespace ferry::aws
