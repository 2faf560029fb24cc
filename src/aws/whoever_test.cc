// For tests/aws/credentials.py: which credentials many invented people have. It asks botocore the same.

#include <gtest/gtest.h>

#include "aws/person.h"
#include "base/json.h"
#include "os/env.h"

namespace ferry::aws {
namespace {

/// {"home", "env", "profile"} → {"key", "token"} or {"error"}.
Json found_for(const Json& person, os::HttpClient& http) {
  Surroundings surroundings;
  const auto env = person.at("env").get<std::map<std::string, std::string>>();
  surroundings.env = [&](const char* name) -> std::optional<std::string> {
    const auto at = env.find(name);
    if (at == env.end() || at->second.empty()) return std::nullopt;
    return at->second;
  };
  surroundings.home = text_at(person, "home");
  surroundings.profile = text_at(person, "profile");
  const auto config = Config::load(surroundings);
  if (!config) return {{"error", describe(config.error())}};
  const auto keys = find_credentials(*config, http, os::system_clock());
  if (!keys) return {{"error", describe(keys.error())}};
  return {{"key", keys->access_key_id}, {"token", keys->session_token}};
}

TEST(Whoever, HasTheCredentialsThatWereAskedFor) {
  const auto file = os::env("FERRY_PEOPLE");
  if (!file) GTEST_SKIP() << "FERRY_PEOPLE is not set";
  const auto people = os::read_file(*file);
  ASSERT_TRUE(people) << describe(people.error());
  const auto http = os::make_http_client();
  Json answers = Json::array();
  for (const auto& person : Json::parse(*people)) answers.push_back(found_for(person, *http));
  ASSERT_TRUE(os::write_file(*file + ".answers", dump_json(answers)));
}

}  // namespace
}  // namespace ferry::aws
