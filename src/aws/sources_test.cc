#include "aws/sources.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "aws/loopback_server.h"
#include "aws/person.h"
#include "aws/scripted_http.h"
#include "base/json.h"
#include "os/socket.h"

namespace ferry::aws {
namespace {

constexpr const char* endpoint_keys =
    R"({"Code":"Success","AccessKeyId":"ASIAE","SecretAccessKey":"s","Token":"t","Expiration":"2035-01-01T00:00:00Z"})";
constexpr std::int64_t year_2035_ms = 2'051'222'400'000;

std::string why(const Result<Credentials>& keys) { return keys ? "(there are some)" : describe(keys.error()); }

// ---- programs

TEST(CredentialProcess, PrintsKeysAndTheirEnd) {
  Person person;
  person.write("config",
               "[default]\ncredential_process = /bin/sh -c 'printf \"%s\" \"$1\"' sh "
               "\"{\\\"Version\\\":1,\\\"AccessKeyId\\\":\\\"ASIAP\\\",\\\"SecretAccessKey\\\":\\\"a b\\\","
               "\\\"SessionToken\\\":\\\"t\\\",\\\"Expiration\\\":\\\"2035-01-01T02:00:00+02:00\\\"}\"\n");
  const auto keys = person.credentials();
  ASSERT_TRUE(keys) << why(keys);
  EXPECT_EQ(keys->access_key_id, "ASIAP");
  EXPECT_EQ(keys->secret_access_key, "a b");
  EXPECT_EQ(keys->expires_ms, year_2035_ms);
}

TEST(CredentialProcess, ComesAfterTheSharedFileAndBeforeTheConfigFilesKeys) {
  Person person;
  person.write("config",
               "[default]\ncredential_process = echo "
               "'{\"Version\":1,\"AccessKeyId\":\"PROC\",\"SecretAccessKey\":\"s\"}'\n"
               "aws_access_key_id = CONFIG\naws_secret_access_key = s\n");
  EXPECT_EQ(person.credentials().value().access_key_id, "PROC");
  person.write("credentials", "[default]\naws_access_key_id = SHARED\naws_secret_access_key = s\n");
  EXPECT_EQ(person.credentials().value().access_key_id, "SHARED");
}

TEST(CredentialProcess, ItsFailureIsShown) {
  Person person;
  person.write("config", "[default]\ncredential_process = sh -c 'echo the vault is locked >&2; exit 3'\n");
  const auto keys = person.credentials();
  EXPECT_NE(why(keys).find("the vault is locked"), std::string::npos) << why(keys);
  EXPECT_NE(why(keys).find("exit code 3"), std::string::npos);
  for (const char* bad :
       {"echo hello", "echo '{\"Version\":2}'", "echo '{\"Version\":1}'", "sh 'open", "/no/such/x",
        "echo '{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Expiration\":\"soon\"}'"}) {
    person.write("config", std::string("[default]\ncredential_process = ") + bad + "\n");
    EXPECT_FALSE(person.credentials()) << bad;
  }
}

TEST(CredentialProcess, IsSplitAsShlexDoesAndRunWithoutAShell) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(split_words(R"(a  'b c' "d\"e\x" f\ g '' h"i"j)").value(),
            (Words{"a", "b c", "d\"e\\x", "f g", "", "hij"}));
  EXPECT_EQ(split_words("a $HOME * ; | `b`").value(), (Words{"a", "$HOME", "*", ";", "|", "`b`"}));
  for (const char* bad : {"'a", "\"a", "a\\", "\"a\\\""}) EXPECT_FALSE(split_words(bad)) << bad;
}

TEST(Expiries, AreReadWithAnyOffset) {
  for (const char* same : {"2035-01-01T00:00:00Z", "2035-01-01T00:00:00+00:00", "2035-01-01T00:00:00UTC",
                           "2035-01-01T01:30:00+0130", "2034-12-31T19:00:00-05:00", "2035-01-01T00:00:00.000Z"}) {
    EXPECT_EQ(parse_expiry(same), year_2035_ms) << same;
  }
  EXPECT_EQ(parse_expiry("tomorrow"), 0);
}

// ---- containers

TEST(Container, GivesItsKeysForItsToken) {
  LoopbackServer server([](const auto&) { return os::HttpResponse{200, {}, endpoint_keys}; });
  Person person;
  person.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.url() + "/creds?x=1";
  person.env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "Basic old";
  person.write("token", "Bearer new");
  person.env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = (person.home.path() / ".aws/token").string();
  const auto keys = person.credentials();
  ASSERT_TRUE(keys) << why(keys);
  EXPECT_EQ(keys->access_key_id, "ASIAE");
  EXPECT_EQ(keys->session_token, "t");
  EXPECT_EQ(keys->expires_ms, year_2035_ms);
  EXPECT_EQ(server.asked().at(0).url, "/creds?x=1");
  EXPECT_EQ(server.asked().at(0).method, "GET");
  EXPECT_EQ(header_of(server.asked().at(0), "authorization"), "Bearer new");
}

TEST(Container, ARelativePlaceIsTheTasksAgent) {
  Person person;
  auto scripted = std::make_unique<ScriptedHttp>();
  auto& http = *scripted;
  person.http = std::move(scripted);
  person.env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/credentials/1";
  http.reply(200, endpoint_keys);
  EXPECT_EQ(person.credentials().value().access_key_id, "ASIAE");
  EXPECT_EQ(http.asked.at(0).url, "http://169.254.170.2/v2/credentials/1");
}

TEST(Container, TheTokenIsNeverSentToAStranger) {
  for (const char* url :
       {"http://example.com/", "http://169.254.170.2.example.com/", "http://10.0.0.1/", "ftp://127.0.0.1/", "",
        "http://169.254.170.23@example.com/", "http://127.0.0.1.example.com/x", "http://127.0.0.1@example.com/",
        "http://127.0.0.1:80@example.com/", "http://169.254.170.2:80@example.com/"}) {
    Person person;
    auto scripted = std::make_unique<ScriptedHttp>();
    auto& http = *scripted;
    person.http = std::move(scripted);
    person.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url;
    EXPECT_FALSE(person.credentials()) << url;
    EXPECT_TRUE(http.asked.empty()) << url;
  }
  for (const char* url : {"https://example.com/", "http://169.254.170.23/v1", "http://169.254.170.2:80/v1",
                          "http://[fd00:ec2::23]/v1", "http://localhost:1/", "http://[::1]:1/"}) {
    Person person;
    auto scripted = std::make_unique<ScriptedHttp>();
    scripted->reply(200, endpoint_keys);
    person.http = std::move(scripted);
    person.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url;
    EXPECT_TRUE(person.credentials()) << url;
  }
}

TEST(Container, ARefusalOrABrokenTokenIsAnError) {
  LoopbackServer server([](const auto&) { return os::HttpResponse{403, {}, "no role for you"}; });
  Person person;
  person.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.url();
  EXPECT_NE(why(person.credentials()).find("no role for you"), std::string::npos);
  person.env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "a\r\nHost: b";
  EXPECT_EQ(person.credentials().error().kind, Kind::denied);
}

// ---- instances

os::HttpResponse metadata(const os::HttpRequest& request) {
  const bool has_token = header_of(request, "x-aws-ec2-metadata-token") == "TOKEN";
  if (request.method == "PUT" && request.url == "/latest/api/token") {
    const bool asks_well = header_of(request, "x-aws-ec2-metadata-token-ttl-seconds") == "21600";
    return {asks_well ? 200 : 400, {}, "TOKEN"};
  }
  if (!has_token) return {401, {}, ""};
  if (request.url == "/latest/meta-data/iam/security-credentials/") return {200, {}, "my-role\n"};
  if (request.url == "/latest/meta-data/iam/security-credentials/my-role") return {200, {}, endpoint_keys};
  return {404, {}, ""};
}

TEST(Instance, ItsRoleIsAskedForWithATokenFirst) {
  LoopbackServer server(metadata);
  Person person;
  person.env = {{"AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url() + "/"}};
  const auto keys = person.credentials();
  ASSERT_TRUE(keys) << why(keys);
  EXPECT_EQ(keys->access_key_id, "ASIAE");
  EXPECT_EQ(keys->source, "instance role my-role");
}

TEST(Instance, IsNotAskedWhenThatIsDisabled) {
  LoopbackServer server(metadata);
  Person person;
  person.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server.url();
  person.env["AWS_EC2_METADATA_DISABLED"] = "TRUE";
  EXPECT_EQ(person.credentials().error().kind, Kind::denied);
  EXPECT_TRUE(server.asked().empty());
}

TEST(Instance, WhereThereIsNoneOrItHasNoRoleTheUsualErrorIsShown) {
  LoopbackServer without_role([](const auto& request) {
    return request.method == "PUT" ? metadata(request) : os::HttpResponse{404, {}, ""};
  });
  Person person;
  person.env = {{"AWS_EC2_METADATA_SERVICE_ENDPOINT", without_role.url()}};
  EXPECT_EQ(person.credentials().error().what, "no AWS credentials found");
  auto nobody = os::listen_tcp("127.0.0.1", 0);
  const int port = os::local_port(nobody->get());
  nobody->reset();
  person.env = {{"AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:" + std::to_string(port)}};
  EXPECT_EQ(person.credentials().error().what, "no AWS credentials found");
}

TEST(Instance, ASilentOneIsGivenUpAfterASecond) {
  const auto silent = os::listen_tcp("127.0.0.1", 0);
  Person person;
  person.env = {
      {"AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:" + std::to_string(os::local_port(silent->get()))}};
  const auto began = os::system_clock().steady_ms();
  EXPECT_FALSE(person.credentials());
  EXPECT_LT(os::system_clock().steady_ms() - began, 3'000);
}

TEST(Instance, AnyOtherSourceComesFirst) {
  LoopbackServer server(metadata);
  Person person;
  person.env = {{"AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url()}};
  person.write("credentials", "[default]\naws_access_key_id = SHARED\naws_secret_access_key = s\n");
  EXPECT_EQ(person.credentials().value().access_key_id, "SHARED");
  EXPECT_TRUE(server.asked().empty());
}

// ---- single sign-on

/// portal.sso and oidc in one; `refresh` tells whether the refresh token is accepted.
struct SignOnService {
  bool refresh = true, role_denied = false;
  std::string wanted_token = "ACCESS";
  LoopbackServer server{[this](const auto& request) { return answer(request); }};

  os::HttpResponse answer(const os::HttpRequest& request) const {
    if (request.url == "/token") {
      if (!refresh) return {400, {}, R"({"error":"invalid_grant"})"};
      return {200, {}, R"({"accessToken":"RENEWED","expiresIn":3600,"refreshToken":"R2","tokenType":"Bearer"})"};
    }
    if (header_of(request, "x-amz-sso_bearer_token") != wanted_token) {
      return {401, {{"x-amzn-errortype", "UnauthorizedException"}}, R"({"message":"Session token not found"})"};
    }
    if (role_denied) return {403, {{"x-amzn-errortype", "ForbiddenException"}}, R"({"message":"No access"})"};
    return {200,
            {},
            R"({"roleCredentials":{"accessKeyId":"ASIAS","secretAccessKey":"s","sessionToken":"t",
          "expiration":2051222400000}})"};
  }
};

/// Someone who did `aws configure sso` with a session named corp.
struct SignedOn : Person {
  SignOnService service;
  /// Named by the SHA-1 of "corp" and of the old kind's start URL.
  static constexpr const char* session_token = "sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";
  static constexpr const char* old_token = "sso/cache/33d5ca4bf3b1a62edb96b47f7c203034a43ac435.json";
  SignedOn() {
    env["AWS_ENDPOINT_URL"] = service.server.url();
    write("config",
          "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Train er\n"
          "[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = eu-west-1\n");
  }
  /// As `aws sso login` leaves it.
  void token(const std::string& expires, const std::string& more = "", const char* file = session_token) {
    write(file,
          R"({"startUrl":"https://corp.awsapps.com/start","region":"eu-west-1","accessToken":"ACCESS","expiresAt":")" +
              expires + "\"" + more + "}");
  }
};

constexpr const char* renewable =
    R"(,"clientId":"C","clientSecret":"S","refreshToken":"R1","registrationExpiresAt":"2035-01-01T00:00:00Z")";

TEST(SingleSignOn, TheTokenBuysTheRolesKeys) {
  SignedOn person;
  person.token("2035-01-01T00:00:00Z");
  const auto keys = person.credentials();
  ASSERT_TRUE(keys) << why(keys);
  EXPECT_EQ(keys->access_key_id, "ASIAS");
  EXPECT_EQ(keys->expires_ms, year_2035_ms);
  const auto asked = person.service.server.asked();
  EXPECT_EQ(asked.at(0).url, "/federation/credentials?role_name=Train%20er&account_id=123456789012");
  EXPECT_EQ(header_of(asked.at(0), "authorization"), "") << "the call is not signed";
}

TEST(SingleSignOn, OfTheOldKindHasItsTokenUnderTheStartUrl) {
  SignedOn person;
  person.write("config",
               "[default]\nsso_start_url = https://old.awsapps.com/start\nsso_region = eu-west-1\n"
               "sso_account_id = 1\nsso_role_name = r\n");
  EXPECT_NE(why(person.credentials()).find("aws sso login --profile default"), std::string::npos);
  person.token("2035-01-01T00:00:00Z", "", SignedOn::old_token);
  EXPECT_EQ(person.credentials().value().access_key_id, "ASIAS");
}

TEST(SingleSignOn, ATokenThatEndsSoonIsRenewedAndKept) {
  SignedOn person;
  person.service.wanted_token = "RENEWED";
  person.token("2020-01-01T00:00:00UTC", renewable);
  const auto keys = person.credentials();
  ASSERT_TRUE(keys) << why(keys);
  const auto asked = person.service.server.asked();
  EXPECT_EQ(asked.at(0).method, "POST");
  const Json body = Json::parse(asked.at(0).body);
  EXPECT_EQ(body,
            (Json{{"grantType", "refresh_token"}, {"clientId", "C"}, {"clientSecret", "S"}, {"refreshToken", "R1"}}));
  const auto file = person.home.path() / ".aws" / SignedOn::session_token;
  const Json kept = Json::parse(*os::read_file(file));
  EXPECT_EQ(kept["accessToken"], "RENEWED");
  EXPECT_EQ(kept["refreshToken"], "R2");
  EXPECT_EQ(kept["clientSecret"], "S");
  EXPECT_GT(parse_expiry(text_at(kept, "expiresAt")), os::system_clock().now_ms() + 3'500'000);
  struct stat info;
  ASSERT_EQ(::stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST(SingleSignOn, AnEndedOneSaysHowToSignInAgain) {
  const auto advice = [](SignedOn& person) {
    const auto keys = person.credentials();
    return keys ? "(there are some)" : std::string(name(keys.error().kind)) + ": " + keys.error().advice;
  };
  constexpr const char* sign_in = "denied: aws sso login --profile default";
  SignedOn never;
  EXPECT_EQ(advice(never), sign_in);
  SignedOn expired;
  expired.token("2020-01-01T00:00:00Z");
  EXPECT_EQ(advice(expired), sign_in);
  SignedOn refused;
  refused.service.refresh = false;
  refused.token("2020-01-01T00:00:00Z", renewable);
  EXPECT_EQ(advice(refused), sign_in);
  SignedOn revoked;
  revoked.service.wanted_token = "another";
  revoked.token("2035-01-01T00:00:00Z");
  EXPECT_EQ(advice(revoked), sign_in);
  SignedOn broken;
  broken.write(SignedOn::session_token, "[]");
  EXPECT_EQ(advice(broken), sign_in);
}

TEST(SingleSignOn, ARoleThatMayNotBeTakenIsDenied) {
  SignedOn person;
  person.service.role_denied = true;
  person.token("2035-01-01T00:00:00Z");
  EXPECT_NE(why(person.credentials()).find("No access"), std::string::npos) << why(person.credentials());
}

TEST(SingleSignOn, AHalfConfiguredOneIsNamed) {
  Person person;
  person.write("config", "[default]\nsso_session = gone\nsso_account_id = 1\nsso_role_name = r\n");
  EXPECT_NE(why(person.credentials()).find("gone"), std::string::npos);
  person.write("config", "[default]\nsso_start_url = https://x\nsso_account_id = 1\nsso_role_name = r\n");
  EXPECT_NE(why(person.credentials()).find("sso_region"), std::string::npos);
  person.write("config",
               "[default]\nsso_start_url = https://x\nsso_region = evil.example/\nsso_account_id = "
               "1\nsso_role_name = r\n");
  EXPECT_EQ(person.credentials().error().kind, Kind::denied);
}

}  // namespace
}  // namespace ferry::aws
