#include "sandbox/imds.h"

#include <gtest/gtest.h>

namespace ferry::sandbox {

namespace {

constexpr const char* put_token = "PUT /latest/api/token HTTP/1.1\r\nX-aws-ec2-metadata-token-ttl-seconds: ";

ImdsReply ask(const Imds& service, const std::string& head, std::int64_t now = 1000) {
  const auto request = parse_imds_request(head);
  EXPECT_TRUE(request) << head;
  return service.answer(*request, now);
}

Imds service(bool token_required = true) {
  return Imds({{"latest/meta-data/instance-id", "i-1"},
               {"latest/meta-data/placement/region", "us-east-1"},
               {"latest/meta-data/public-keys/", "0=mine"},
               {"latest/meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAA"},
               {"latest/dynamic/instance-identity/document", "{}"}},
              "", token_required);
}

}  // namespace

TEST(Imds, AnswersOnlyWithAGoodTokenAndUntilItExpires) {
  const Imds imds = service();
  const auto token = ask(imds, std::string(put_token) + "60");
  ASSERT_EQ(token.status, 200);
  const std::string get = "GET /latest/meta-data/instance-id HTTP/1.1\r\nX-aws-ec2-metadata-token: ";
  EXPECT_EQ(ask(imds, get + token.body, 1059).body, "i-1");
  EXPECT_EQ(ask(imds, get + token.body, 1060).status, 401);
  EXPECT_EQ(ask(imds, get + "AAAA").status, 401);
  EXPECT_EQ(ask(imds, "GET /latest/meta-data/instance-id HTTP/1.1").status, 401);
  EXPECT_EQ(ask(service(), get + token.body).status, 401) << "another instance's token";
}

TEST(Imds, AnswersWithoutATokenWhereTheInstanceAllowsIt) {
  EXPECT_EQ(ask(service(false), "GET /latest/meta-data/instance-id HTTP/1.0").body, "i-1");
  EXPECT_EQ(
      ask(service(false), "GET /latest/meta-data/instance-id HTTP/1.1\nX-aws-ec2-metadata-token: bad").status,
      401);
}

TEST(Imds, RefusesTokensOfAWrongLifetimeAndRequestsThroughAProxy) {
  for (const char* ttl : {"0", "21601", "-1", "x", ""})
    EXPECT_EQ(ask(service(), std::string(put_token) + ttl).status, 400);
  EXPECT_EQ(ask(service(), "PUT /latest/api/token HTTP/1.1").status, 400);
  EXPECT_EQ(ask(service(), std::string(put_token) + "60\r\nX-Forwarded-For: 1.2.3.4").status, 403);
  EXPECT_EQ(ask(service(), "DELETE /latest/api/token HTTP/1.1").status, 405);
}

TEST(Imds, ListsEveryFolder) {
  const Imds imds = service(false);
  const auto get = [&](const std::string& path) { return ask(imds, "GET " + path + " HTTP/1.1"); };
  EXPECT_EQ(get("/").body, "1.0\nlatest");
  EXPECT_EQ(get("/latest").body, "dynamic/\nmeta-data/");
  EXPECT_EQ(get("/latest/meta-data/").body, "instance-id\nplacement/\npublic-keys/");
  EXPECT_EQ(get("/2021-07-15/meta-data/placement/").body, "region");
  EXPECT_EQ(get("/latest/meta-data/public-keys").body, "0=mine");
  EXPECT_EQ(get("/latest/meta-data/public-keys/0/").body, "openssh-key");
  EXPECT_EQ(get("/latest/dynamic/instance-identity/document?x=1").body, "{}");
  EXPECT_EQ(get("/latest/meta-data/inst").status, 404);
  EXPECT_EQ(get("/latest/user-data").status, 404);
  EXPECT_EQ(get("/else").status, 404);
}

TEST(Imds, GivesUserDataAsItIs) {
  const std::string bytes("#!\0\xff", 4);
  EXPECT_EQ(ask(Imds(Json::object(), bytes, false), "GET /latest/user-data HTTP/1.1").body, bytes);
}

TEST(Imds, RefusesWhatIsNoRequest) {
  for (const std::string& head :
       {std::string(), std::string("GET"), std::string("GET / HTTP/2.0"), std::string("GET x HTTP/1.1"),
        std::string("GET / HTTP/1.1\r\nno colon"), std::string("GET / HTTP/1.1\r\n: empty"),
        "GET /" + std::string(9000, 'a') + " HTTP/1.1"}) {
    EXPECT_FALSE(parse_imds_request(head)) << head.substr(0, 40);
  }
}

}  // namespace ferry::sandbox
