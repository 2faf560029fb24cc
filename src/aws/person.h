#pragma once
/// \file
/// For tests: someone with a home folder and an environment of their own.

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "aws/credentials.h"
#include "aws/sources.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/http.h"

namespace ferry::aws {

struct Person {
  os::TempDir home;
  std::map<std::string, std::string> env = {{"AWS_EC2_METADATA_DISABLED", "true"}};
  std::string profile;
  std::function<std::optional<std::string>(const std::string&)> ask_mfa;
  std::unique_ptr<os::HttpClient> http = os::make_http_client();
  os::Clock& clock = os::system_clock();

  /// A file in ~/.aws.
  void write(const std::string& name, const std::string& text) {
    const auto file = home.path() / ".aws" / name;
    ASSERT_TRUE(os::make_dirs(file.parent_path(), 0700));
    ASSERT_TRUE(os::write_file(file, text, 0600));
  }
  Surroundings surroundings() const {
    Surroundings out;
    out.env = [this](const char* name) -> std::optional<std::string> {
      const auto at = env.find(name);
      if (at == env.end() || at->second.empty()) return std::nullopt;
      return at->second;
    };
    out.home = home.path();
    out.profile = profile;
    out.ask_mfa = ask_mfa;
    return out;
  }
  Result<Config> load() const { return Config::load(surroundings()); }
  Result<Credentials> credentials() const {
    TRY_SET(config, "", load());
    return find_credentials(config, *http, clock);
  }
};

}  // namespace ferry::aws
