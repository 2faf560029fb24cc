#include "aws/credentials.h"

#include <gtest/gtest.h>

#include "aws/client.h"
#include "aws/person.h"
#include "os/file.h"

namespace ferry::aws {
namespace {

constexpr const char* two_profiles =
    "[default]\naws_access_key_id = AKIDEFAULT\naws_secret_access_key = s1\n\n"
    "[ml]\r\naws_access_key_id=AKIML\r\naws_secret_access_key=s2 # comment\r\naws_session_token = t2\r\n";

TEST(Credentials, ComeFromTheEnvironmentBeforeAnyFile) {
  Person person;
  person.write("credentials", two_profiles);
  person.env["AWS_ACCESS_KEY_ID"] = "AKIENV";
  person.env["AWS_SECRET_ACCESS_KEY"] = "s";
  person.env["AWS_PROFILE"] = "ml";
  const auto keys = person.credentials();
  ASSERT_TRUE(keys) << describe(keys.error());
  EXPECT_EQ(keys->access_key_id, "AKIENV");
  EXPECT_EQ(keys->session_token, "");
  EXPECT_EQ(keys->source, "environment");
}

TEST(Credentials, OfAProfileNamedByAFlagWinOverTheEnvironment) {
  Person person;
  person.write("credentials", two_profiles);
  person.env["AWS_ACCESS_KEY_ID"] = "AKIENV";
  person.env["AWS_SECRET_ACCESS_KEY"] = "s";
  person.profile = "ml";
  EXPECT_EQ(person.credentials().value().access_key_id, "AKIML");
}

TEST(Credentials, OfTheDefaultProfileComeFromTheSharedFile) {
  Person person;
  person.write("credentials", two_profiles);
  person.write("config", "[default]\naws_access_key_id = AKICONFIG\naws_secret_access_key = s\n");
  EXPECT_EQ(person.credentials().value().access_key_id, "AKIDEFAULT");
}

TEST(Credentials, OfTheProfileInAwsProfileCarryItsSessionToken) {
  Person person;
  person.write("credentials", two_profiles);
  person.env["AWS_PROFILE"] = "ml";
  const auto keys = person.credentials().value();
  EXPECT_EQ(keys.access_key_id, "AKIML");
  EXPECT_EQ(keys.secret_access_key, "s2");
  EXPECT_EQ(keys.session_token, "t2");
}

TEST(Credentials, MayStandInTheConfigFileToo) {
  Person person;
  person.write("config", "[profile  \"lab\"]\naws_access_key_id = AKILAB\naws_secret_access_key = s\n");
  person.env["AWS_PROFILE"] = "lab";
  EXPECT_EQ(person.credentials().value().access_key_id, "AKILAB");
}

TEST(Credentials, FilesMayBeElsewhere) {
  Person person;
  person.write("elsewhere", two_profiles);
  person.env["AWS_SHARED_CREDENTIALS_FILE"] = (person.home.path() / ".aws/elsewhere").string();
  EXPECT_EQ(person.credentials().value().access_key_id, "AKIDEFAULT");
}

TEST(Credentials, WhenThereAreNoneSayWhereWasLookedAndWhatToDo) {
  Person person;
  const auto keys = person.credentials();
  ASSERT_FALSE(keys);
  EXPECT_EQ(keys.error().kind, Kind::denied);
  EXPECT_NE(keys.error().why.find(".aws/credentials"), std::string::npos);
  EXPECT_NE(keys.error().advice.find("--infra rehearsal"), std::string::npos);
}

TEST(Credentials, HalfAKeyIsAnErrorNotASkippedSource) {
  Person person;
  person.write("credentials", two_profiles);
  person.env["AWS_ACCESS_KEY_ID"] = "AKIENV";
  const auto keys = person.credentials();
  ASSERT_FALSE(keys);
  EXPECT_EQ(keys.error().kind, Kind::denied);
  EXPECT_NE(keys.error().what.find("aws_secret_access_key"), std::string::npos);
}

TEST(Credentials, AnUnknownProfileIsNamed) {
  Person person;
  person.write("credentials", two_profiles);
  person.env["AWS_PROFILE"] = "nobody";
  const auto keys = person.credentials();
  ASSERT_FALSE(keys);
  EXPECT_EQ(keys.error().kind, Kind::not_found);
  EXPECT_NE(keys.error().what.find("nobody"), std::string::npos);
}

TEST(Credentials, TheNearestProfileIsNamed) {
  Person person;
  person.write("config", "[profile ml]\nregion = eu-west-1\n[profile web]\n");
  person.env["AWS_PROFILE"] = "mll";
  EXPECT_EQ(person.credentials().error().advice, "did you mean \"ml\"? There are ml, web");
  person.env.erase("AWS_PROFILE");
  EXPECT_NE(person.credentials().error().advice.find("--profile (ml, web)"), std::string::npos);
}

TEST(Credentials, AProgramThatIsNotThereIsToldWithTheCure) {
  Person person;
  person.write("config", "[default]\ncredential_process = /nowhere/keys\n");
  EXPECT_NE(person.credentials().error().advice.find("install /nowhere/keys, or correct"), std::string::npos)
      << describe(person.credentials().error());
}

TEST(Credentials, AProfileThisVersionCannotReadSaysHowToGoOn) {
  Person person;
  person.write("config", "[profile corp]\nlogin_session = arn:aws:iam::1:user/x\n");
  person.env["AWS_PROFILE"] = "corp";
  const auto keys = person.credentials();
  ASSERT_FALSE(keys);
  EXPECT_EQ(keys.error().kind, Kind::unsupported);
  EXPECT_NE(keys.error().advice.find("export-credentials --profile corp"), std::string::npos);
}

TEST(Config, RegionComesFromTheTaskThenTheEnvironmentThenTheProfile) {
  Person person;
  person.write("config", "[default]\nregion = eu-west-3\n");
  EXPECT_EQ(person.load().value().region("").value(), "eu-west-3");
  person.env["AWS_DEFAULT_REGION"] = "eu-west-2";
  EXPECT_EQ(person.load().value().region("").value(), "eu-west-2");
  person.env["AWS_REGION"] = "eu-west-1";
  EXPECT_EQ(person.load().value().region("").value(), "eu-west-1");
  EXPECT_EQ(person.load().value().region("us-west-2").value(), "us-west-2");
}

TEST(Config, ARegionThatCouldNotBePartOfAHostNameIsRefused) {
  Person person;
  for (const char* bad : {"evil.example/", "mars-1", "us-east", "US-EAST-1", "us-east-1-atl-1a"})
    EXPECT_EQ(person.load().value().region(bad).error().kind, Kind::bad_input) << bad;
  for (const char* good : {"us-gov-west-1", "ap-southeast-7", "eusc-de-east-1"})
    EXPECT_EQ(person.load().value().region(good).value_or(""), good);
  EXPECT_EQ(person.load().value().region("us-east-1a").error().what, "\"us-east-1a\" is a zone, not an AWS region");
  EXPECT_EQ(person.load().value().region("").error().kind, Kind::not_found);
}

TEST(Config, EndpointsOfOneServiceWinOverThoseOfAll) {
  Person person;
  person.write("config",
               "[default]\nservices = local\nendpoint_url = http://profile\n"
               "[services local]\nec2 =\n  endpoint_url = http://ec2-section\n");
  EXPECT_EQ(person.load().value().endpoint_url("ec2"), "http://ec2-section");
  EXPECT_EQ(person.load().value().endpoint_url("ssm"), "http://profile");
  person.env["AWS_ENDPOINT_URL"] = "http://all";
  EXPECT_EQ(person.load().value().endpoint_url("ec2"), "http://all");
  person.env["AWS_ENDPOINT_URL_EC2"] = "http://ec2";
  EXPECT_EQ(person.load().value().endpoint_url("ec2"), "http://ec2");
  EXPECT_EQ(person.load().value().endpoint_url("sts"), "http://all");
  person.env["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "true";
  EXPECT_EQ(person.load().value().endpoint_url("ec2"), "");
}

TEST(Config, EveryServiceHasAnEndpointVariableAndSettingOfItsOwn) {
  for (const auto& [id, variable] :
       std::map<std::string, std::string>{{"ec2", "AWS_ENDPOINT_URL_EC2"},
                                          {"sts", "AWS_ENDPOINT_URL_STS"},
                                          {"ssm", "AWS_ENDPOINT_URL_SSM"},
                                          {"iam", "AWS_ENDPOINT_URL_IAM"},
                                          {"pricing", "AWS_ENDPOINT_URL_PRICING"},
                                          {"service_quotas", "AWS_ENDPOINT_URL_SERVICE_QUOTAS"},
                                          {"sso", "AWS_ENDPOINT_URL_SSO"},
                                          {"sso_oidc", "AWS_ENDPOINT_URL_SSO_OIDC"}}) {
    Person person;
    person.write("config", "[default]\nservices = s\n[services s]\n" + id + " =\n  endpoint_url = http://section\n");
    EXPECT_EQ(configured_endpoints(*person.load()), (std::map<std::string, std::string>{{id, "http://section"}}));
    person.env[variable] = "http://variable";
    EXPECT_EQ(configured_endpoints(*person.load()), (std::map<std::string, std::string>{{id, "http://variable"}}));
  }
}

TEST(Config, AttemptsAreThreeUnlessSaidOtherwise) {
  Person person;
  EXPECT_EQ(person.load().value().max_attempts(), 3);
  person.env["AWS_MAX_ATTEMPTS"] = "7";
  EXPECT_EQ(person.load().value().max_attempts(), 7);
  person.env["AWS_MAX_ATTEMPTS"] = "0";
  EXPECT_EQ(person.load().value().max_attempts(), 1);
}

TEST(Config, ABrokenFileIsNamedWithItsLine) {
  Person person;
  person.write("config", "[default]\nregion eu-west-1\n");
  const auto config = person.load();
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().kind, Kind::corrupt);
  EXPECT_NE(config.error().what.find("config:2"), std::string::npos) << config.error().what;
}

}  // namespace
}  // namespace ferry::aws
