#include <gtest/gtest.h>
#include <sys/stat.h>

#include "aws/loopback_server.h"
#include "aws/person.h"
#include "aws/scripted_http.h"

namespace ferry::aws {
namespace {

/// The value of a form's field.
std::string field(const os::HttpRequest& request, const std::string& name) {
  for (const auto& pair : split(request.body, '&')) {
    const auto equals = pair.find('=');
    if (pair.substr(0, equals) == name) return percent_decoded(pair.substr(equals + 1), true);
  }
  return {};
}

std::string between(const std::string& text, const std::string& before, char after) {
  const auto at = text.find(before);
  if (at == std::string::npos) return {};
  return text.substr(at + before.size(), text.find(after, at + before.size()) - at - before.size());
}

/// STS whose keys tell how they came about: "BASE+a+b" is role b assumed by role a, which the key BASE
/// assumed.
os::HttpResponse sts(const os::HttpRequest& request) {
  const std::string action = field(request, "Action");
  const std::string signer = between(header_of(request, "authorization"), "Credential=", '/');
  const std::string by = signer.empty() ? field(request, "WebIdentityToken") : signer;
  const std::string arn = field(request, "RoleArn");
  if (arn.ends_with("/forbidden")) {
    return {
        403, {}, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>"};
  }
  return {200,
          {},
          "<" + action + "Response><" + action + "Result><Credentials><AccessKeyId>" + by + "+" +
              arn.substr(arn.find('/') + 1) +
              "</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
              "<Expiration>2035-01-01T00:00:00Z</Expiration></Credentials></" +
              action + "Result></" + action + "Response>"};
}

/// Someone whose STS is here.
struct RolePerson : Person {
  LoopbackServer server{sts};
  RolePerson() {
    env["AWS_ENDPOINT_URL_STS"] = server.url();
    write("credentials", "[base]\naws_access_key_id = BASE\naws_secret_access_key = s\n");
  }
  std::string key() const {
    const auto keys = credentials();
    return keys ? keys->access_key_id : describe(keys.error());
  }
};

TEST(Role, IsAssumedByItsSourceProfile) {
  RolePerson person;
  person.write("config",
               "[default]\nrole_arn = arn:aws:iam::1:role/train\nsource_profile = base\nexternal_id = e/1\n"
               "role_session_name = me\nduration_seconds = 1800\nregion = eu-west-3\n");
  const auto keys = person.credentials();
  ASSERT_TRUE(keys) << describe(keys.error());
  EXPECT_EQ(keys->access_key_id, "BASE+train");
  EXPECT_EQ(keys->expires_ms, 2'051'222'400'000);
  const auto request = person.server.asked().at(0);
  EXPECT_EQ(field(request, "ExternalId"), "e/1");
  EXPECT_EQ(field(request, "RoleSessionName"), "me");
  EXPECT_EQ(field(request, "DurationSeconds"), "1800");
  EXPECT_NE(header_of(request, "authorization").find("/eu-west-3/sts/"), std::string::npos);
}

TEST(Role, WinsOverKeysInTheSameProfileButNotOverTheEnvironment) {
  RolePerson person;
  person.write("config", "[profile p]\nrole_arn = arn:aws:iam::1:role/train\nsource_profile = p\n");
  person.write("credentials", "[p]\naws_access_key_id = OWN\naws_secret_access_key = s\n");
  person.env["AWS_PROFILE"] = "p";
  EXPECT_EQ(person.key(), "OWN+train");
  person.env["AWS_ACCESS_KEY_ID"] = "ENV";
  person.env["AWS_SECRET_ACCESS_KEY"] = "s";
  EXPECT_EQ(person.key(), "ENV");
  person.profile = "p";
  EXPECT_EQ(person.key(), "OWN+train");
}

TEST(Role, ChainsAreFollowedToTheKeysAtTheirEnd) {
  RolePerson person;
  person.write("config",
               "[default]\nrole_arn = arn:aws:iam::1:role/c\nsource_profile = b\n"
               "[profile b]\nrole_arn = arn:aws:iam::1:role/b\nsource_profile = a\n"
               "[profile a]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = base\n");
  EXPECT_EQ(person.key(), "BASE+a+b+c");
}

TEST(Role, ASourceWithKeysAndARoleOfItsOwnUsesItsKeys) {
  RolePerson person;
  person.write("config",
               "[default]\nrole_arn = arn:aws:iam::1:role/b\nsource_profile = base\n"
               "[profile base]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = default\n");
  EXPECT_EQ(person.key(), "BASE+b");
}

TEST(Role, ASourceMayBeAProcess) {
  RolePerson person;
  person.write("config",
               "[default]\nrole_arn = arn:aws:iam::1:role/b\nsource_profile = tool\n[profile tool]\n"
               "credential_process = echo '{\"Version\":1,\"AccessKeyId\":\"TOOL\",\"SecretAccessKey\":\"s\"}'\n");
  EXPECT_EQ(person.key(), "TOOL+b");
}

TEST(Role, CirclesAndGapsAreNamed) {
  const auto failure = [](const std::string& config) {
    RolePerson person;
    person.write("config", config);
    return person.key();
  };
  const std::string circle = failure(
      "[default]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = b\n"
      "[profile b]\nrole_arn = arn:aws:iam::1:role/b\nsource_profile = c\n"
      "[profile c]\nrole_arn = arn:aws:iam::1:role/c\nsource_profile = b\n");
  EXPECT_NE(circle.find("default, b, c and b lead in a circle"), std::string::npos) << circle;
  const std::string itself = failure("[default]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = default\n");
  EXPECT_NE(itself.find("circle"), std::string::npos) << itself;
  const std::string gone = failure("[default]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = nobody\n");
  EXPECT_NE(gone.find("nobody"), std::string::npos) << gone;
  const std::string empty =
      failure("[default]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = e\n[profile e]\nregion = eu-west-1\n");
  EXPECT_NE(empty.find("profile e has no credentials"), std::string::npos) << empty;
  const std::string nothing = failure("[default]\nrole_arn = arn:aws:iam::1:role/a\n");
  EXPECT_NE(nothing.find("source_profile or credential_source"), std::string::npos) << nothing;
  const std::string both = failure(
      "[default]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = base\ncredential_source = "
      "Environment\n");
  EXPECT_NE(both.find("both"), std::string::npos) << both;
  const std::string longer =
      failure("[default]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = base\nduration_seconds = 1h\n");
  EXPECT_NE(longer.find("duration_seconds"), std::string::npos) << longer;
}

TEST(Role, ARefusalNamesTheRoleAndTheProfile) {
  RolePerson person;
  person.write("config", "[default]\nrole_arn = arn:aws:iam::1:role/forbidden\nsource_profile = base\n");
  const auto keys = person.credentials();
  ASSERT_FALSE(keys);
  EXPECT_EQ(keys.error().kind, Kind::denied);
  EXPECT_NE(keys.error().what.find("role/forbidden of profile default"), std::string::npos) << keys.error().what;
  EXPECT_EQ(keys.error().why, "not you");
}

TEST(Role, TakesItsCredentialsFromTheEnvironmentTheContainerOrTheInstance) {
  constexpr const char* json =
      R"({"AccessKeyId":"HERE","SecretAccessKey":"s","Token":"t","Expiration":"2035-01-01T00:00:00Z"})";
  LoopbackServer place([&](const auto& request) {
    if (request.method == "PUT") return os::HttpResponse{200, {}, "TOKEN"};
    return os::HttpResponse{200, {}, request.url.ends_with("credentials/") ? "role" : json};
  });
  const auto config = [](const std::string& source) {
    return "[profile p]\nrole_arn = arn:aws:iam::1:role/train\ncredential_source = " + source + "\n";
  };
  RolePerson person;
  person.profile = "p";
  person.write("config", config("Environment"));
  EXPECT_NE(person.key().find("there are none"), std::string::npos);
  person.env["AWS_ACCESS_KEY_ID"] = "ENV";
  person.env["AWS_SECRET_ACCESS_KEY"] = "s";
  EXPECT_EQ(person.key(), "ENV+train");
  person.write("config", config("EcsContainer"));
  person.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = place.url();
  EXPECT_EQ(person.key(), "HERE+train");
  person.write("config", config("Ec2InstanceMetadata"));
  EXPECT_NE(person.key().find("there are none"), std::string::npos) << "it is disabled";
  person.env.erase("AWS_EC2_METADATA_DISABLED");
  person.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = place.url();
  EXPECT_EQ(person.key(), "HERE+train");
  person.write("config", config("Elsewhere"));
  EXPECT_NE(person.key().find("Elsewhere"), std::string::npos);
}

constexpr const char* mfa_profile =
    "[default]\nrole_arn = arn:aws:iam::1:role/train\nsource_profile = base\n"
    "mfa_serial = arn:aws:iam::1:mfa/me\nduration_seconds = 3600\n";

TEST(Role, AnMfaCodeIsAskedForOnceAndItsKeysAreKeptWhereTheAwsCliKeepsThem) {
  RolePerson person;
  person.write("config", mfa_profile);
  int asked = 0;
  person.ask_mfa = [&](const std::string& prompt) -> std::optional<std::string> {
    EXPECT_NE(prompt.find("arn:aws:iam::1:mfa/me"), std::string::npos);
    ++asked;
    return " 123456 ";
  };
  EXPECT_EQ(person.key(), "BASE+train");
  EXPECT_EQ(field(person.server.asked().at(0), "TokenCode"), "123456");
  EXPECT_EQ(field(person.server.asked().at(0), "SerialNumber"), "arn:aws:iam::1:mfa/me");
  EXPECT_EQ(person.key(), "BASE+train");
  EXPECT_EQ(asked, 1);
  // botocore: sha1(json.dumps({DurationSeconds, RoleArn, SerialNumber}, sort_keys=True))
  const auto file = person.home.path() / ".aws/cli/cache/7bde4c1353b42a0bb0d3a8147e478c722859cf6e.json";
  struct stat info;
  ASSERT_EQ(::stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  ASSERT_TRUE(os::write_file(file, R"({"Credentials":{"AccessKeyId":"CLI","SecretAccessKey":"s","SessionToken":"t",)"
                                   R"("Expiration":"2035-01-01T00:00:00+00:00"}})"));
  EXPECT_EQ(person.key(), "CLI");
  ASSERT_TRUE(os::write_file(file, R"({"Credentials":{"AccessKeyId":"CLI","SecretAccessKey":"s","SessionToken":"t",)"
                                   R"("Expiration":"2020-01-01T00:00:00+00:00"}})"));
  EXPECT_EQ(person.key(), "BASE+train") << "old ones are replaced";
  ASSERT_TRUE(os::write_file(file, "[1"));
  EXPECT_EQ(person.key(), "BASE+train");
}

TEST(Role, WithoutAnyoneToAskForTheMfaCodeTheErrorSaysSo) {
  RolePerson person;
  person.write("config", mfa_profile);
  const auto keys = person.credentials();
  ASSERT_FALSE(keys);
  EXPECT_EQ(keys.error().kind, Kind::denied);
  EXPECT_NE(keys.error().what.find("MFA code"), std::string::npos);
  EXPECT_NE(keys.error().advice.find("terminal"), std::string::npos);
}

TEST(WebIdentity, BuysTheRolesKeysWithTheTokenOfTheFile) {
  RolePerson person;
  person.write("token", "JWT\n");
  const std::string file = (person.home.path() / ".aws/token").string();
  person.env["AWS_WEB_IDENTITY_TOKEN_FILE"] = file;
  EXPECT_NE(person.key().find("no role"), std::string::npos);
  person.env["AWS_ROLE_ARN"] = "arn:aws:iam::1:role/pod";
  person.env["AWS_ROLE_SESSION_NAME"] = "pod-1";
  EXPECT_EQ(person.key(), "JWT+pod");
  EXPECT_EQ(field(person.server.asked().at(0), "RoleSessionName"), "pod-1");
  EXPECT_EQ(header_of(person.server.asked().at(0), "authorization"), "") << "there is nothing to sign with";
  person.write("config", "[profile w]\nrole_arn = arn:aws:iam::1:role/w\nweb_identity_token_file = " + file + "\n");
  person.profile = "w";
  EXPECT_EQ(person.key(), "JWT+w");
  ASSERT_TRUE(os::remove_all(file));
  EXPECT_EQ(person.credentials().error().kind, Kind::not_found);
}

TEST(Shared, AProviderSeesWhatOtherToolsWriteIntoTheFiles) {
  Person person;
  person.write("credentials", "[default]\naws_access_key_id = OLD\naws_secret_access_key = s\naws_session_token = t\n");
  const auto provider = make_provider(person.surroundings(), os::system_clock());
  const auto old = provider->get();
  ASSERT_TRUE(old) << describe(old.error());
  EXPECT_EQ(old->access_key_id, "OLD");
  person.write("credentials", "[default]\naws_access_key_id = NEW\naws_secret_access_key = s\naws_session_token = t\n");
  EXPECT_EQ(provider->get()->access_key_id, "OLD");
  provider->refused(*old);
  EXPECT_EQ(provider->get()->access_key_id, "NEW");
}

}  // namespace
}  // namespace ferry::aws
