#include "sandbox/imds.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

namespace ferry::sandbox {

namespace {

os::ServedReply ask(const Imds& service, const std::string& method, const std::string& target,
                    os::HeaderLines headers = {}, std::int64_t now = 1000) {
  return service.answer({.method = method, .target = target, .headers = std::move(headers), .peer = ""}, now);
}

os::ServedReply get(const Imds& service, const std::string& token, std::int64_t now = 1000) {
  return ask(service, "GET", "/latest/meta-data/instance-id", {{"x-aws-ec2-metadata-token", token}}, now);
}

os::ServedReply token(const Imds& service, const std::string& ttl, os::HeaderLines more = {}) {
  more.emplace_back("x-aws-ec2-metadata-token-ttl-seconds", ttl);
  return ask(service, "PUT", "/latest/api/token", std::move(more));
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
  const auto given = token(imds, "60");
  ASSERT_EQ(given.status, 200);
  EXPECT_EQ(get(imds, given.body, 1059).body, "i-1");
  EXPECT_EQ(get(imds, given.body, 1060).status, 401);
  EXPECT_EQ(get(imds, "AAAA").status, 401);
  EXPECT_EQ(ask(imds, "GET", "/latest/meta-data/instance-id").status, 401);
  EXPECT_EQ(get(service(), given.body).status, 401) << "another instance's token";
}

TEST(Imds, AnswersWithoutATokenWhereTheInstanceAllowsIt) {
  EXPECT_EQ(ask(service(false), "GET", "/latest/meta-data/instance-id").body, "i-1");
  EXPECT_EQ(get(service(false), "bad").status, 401);
}

TEST(Imds, RefusesTokensOfAWrongLifetimeAndRequestsThroughAProxy) {
  for (const char* ttl : {"0", "21601", "-1", "x", ""}) EXPECT_EQ(token(service(), ttl).status, 400);
  EXPECT_EQ(ask(service(), "PUT", "/latest/api/token").status, 400);
  EXPECT_EQ(token(service(), "60", {{"x-forwarded-for", ""}}).status, 403);
  EXPECT_EQ(ask(service(), "DELETE", "/latest/api/token").status, 405);
}

TEST(Imds, ListsEveryFolder) {
  const Imds imds = service(false);
  const auto at = [&](const std::string& target) { return ask(imds, "GET", target); };
  EXPECT_EQ(at("/").body, "1.0\nlatest");
  EXPECT_EQ(at("/latest").body, "dynamic/\nmeta-data/");
  EXPECT_EQ(at("/latest/meta-data/").body, "instance-id\nplacement/\npublic-keys/");
  EXPECT_EQ(at("/2021-07-15/meta-data/placement/").body, "region");
  EXPECT_EQ(at("/latest/meta-data/public-keys").body, "0=mine");
  EXPECT_EQ(at("/latest/meta-data/public-keys/0/").body, "openssh-key");
  EXPECT_EQ(at("/latest/dynamic/instance-identity/document?x=1").body, "{}");
  EXPECT_EQ(at("/latest/meta-data/inst").status, 404);
  EXPECT_EQ(at("/latest/user-data").status, 404);
  EXPECT_EQ(at("/else").status, 404);
}

TEST(Imds, GivesUserDataAsItIs) {
  const std::string bytes("#!\0\xff", 4);
  EXPECT_EQ(ask(Imds(Json::object(), bytes, false), "GET", "/latest/user-data").body, bytes);
}

TEST(Imds, WhatChangesWhileTheMachineRunsComesBesideTheRest) {
  Imds imds = service(false);
  const std::string role = "/latest/meta-data/iam/security-credentials/";
  EXPECT_EQ(ask(imds, "GET", role).status, 404);
  imds.set_live({{"latest/meta-data/iam/security-credentials/trainer", "{}"}});
  EXPECT_EQ(ask(imds, "GET", role).body, "trainer");
  EXPECT_EQ(ask(imds, "GET", role + "trainer").body, "{}");
  EXPECT_EQ(ask(imds, "GET", "/latest/meta-data/").body, "iam/\ninstance-id\nplacement/\npublic-keys/");
  imds.set_live(Json::object());
  EXPECT_EQ(ask(imds, "GET", role).status, 404);
  EXPECT_EQ(ask(imds, "GET", "/latest/meta-data/instance-id").body, "i-1");
}

TEST(Imds, AnswersOneRequestAConnectionSoThatNobodyIsToldWhatWasSoBefore) {
  const auto told = [](const std::string& bytes) {
    auto ends = *os::make_socketpair();
    EXPECT_TRUE(os::write_all(ends.write.get(), bytes));
    ::shutdown(ends.write.get(), SHUT_WR);
    serve_metadata(service(false), std::move(ends.read));
    return os::read_to_end(ends.write.get()).value_or("?");
  };
  const std::string id = "GET /latest/meta-data/instance-id HTTP/1.1\r\n";
  const std::string head =
      "HTTP/1.1 200 OK\r\nServer: EC2ws\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(told(id + "\r\n" + id + "\r\n"), head + "i-1");
  EXPECT_EQ(told("HEAD /latest/meta-data/instance-id HTTP/1.1\r\n\r\n"), head);
  EXPECT_TRUE(told(id + "Content-Length: 1\r\n\r\nx" + id + "\r\n").ends_with("Connection: close\r\n\r\ni-1"));
  for (const std::string& bytes :
       {std::string("GET\r\n\r\n"), std::string("GET / HTTP/2.0\r\n\r\n"), std::string("GET x HTTP/1.1\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nno colon\r\n\r\n"), std::string("GET / HTTP/1.1\r\n: empty\r\n\r\n"),
        "GET /" + std::string(9000, 'a') + " HTTP/1.1\r\n\r\n"}) {
    const auto text = told(bytes + id + "\r\n");
    EXPECT_TRUE(text.starts_with("HTTP/1.1 4") || text.starts_with("HTTP/1.1 505")) << text;
    EXPECT_EQ(text.find("i-1"), text.npos) << "the connection is left";
  }
}

}  // namespace ferry::sandbox
