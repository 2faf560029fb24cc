#include "rehearsal/s3_signature.h"

#include "rehearsal/s3_testing.h"

namespace ferry::rehearsal {
namespace {

class S3Signatures : public testing::Test {
 protected:
  TestS3 s3;
  void SetUp() override { ASSERT_EQ(s3.put("/bucket", "").status, 200); }
};

/// The request of AWS's own description ("Example: GET Object", IAM User Guide).
TEST(S3Signature, IsTheOneOfAWSsExample) {
  os::ServedRequest served;
  served.method = "GET";
  served.target = "/test.txt";
  served.headers = {{"host", "examplebucket.s3.amazonaws.com"},
                    {"range", "bytes=0-9"},
                    {"x-amz-content-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
                    {"x-amz-date", "20130524T000000Z"},
                    {"authorization",
                     "AWS4-HMAC-SHA256 "
                     "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
                     "aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
                     "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"}};
  const auto request = read_s3_request(served);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->bucket, "examplebucket");
  EXPECT_EQ(request->key, "test.txt");
  S3Key key;
  key.secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
  const auto find_key = [&](const std::string&) { return std::optional(key); };
  const std::int64_t then = 1'369'353'600'000;
  EXPECT_TRUE(check_s3_signature(*request, find_key, then));
  key.secret += "x";
  const auto refused = check_s3_signature(*request, find_key, then);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "SignatureDoesNotMatch");
}

TEST_F(S3Signatures, AChangedByteAnywhereInWhatIsSignedIsRefused) {
  const S3Ask ask{"PUT",
                  "/bucket/some/key?x-id=PutObject",
                  {{"content-type", "text/plain"}, {"x-amz-meta-a", "b"}},
                  "the body of it"};
  const auto plain = signed_s3(ask, s3.key_id, s3.key, s3.clock.now);
  ASSERT_EQ(s3.send(plain, ask.body).status, 200);
  int tried = 0;
  const auto refused = [&](const os::ServedRequest& request, const std::string& body, const std::string& what) {
    ++tried;
    const auto answer = s3.send(request, body);
    EXPECT_GE(answer.status, 400) << what << "\n" << answer.body;
  };
  for (std::size_t i = 1; i < plain.target.size(); ++i) {
    auto bad = plain;
    bad.target[i] = static_cast<char>(bad.target[i] ^ 1);
    refused(bad, ask.body, bad.target);
  }
  for (std::size_t line = 0; line < plain.headers.size(); ++line)
    // (content-length is HTTP's own: it is not signed.)
    for (std::size_t i = 0; i < plain.headers[line].second.size(); ++i) {
      if (plain.headers[line].first == "content-length") break;
      auto bad = plain;
      auto& value = bad.headers[line].second;
      // A comma's neighbour may become a space, which changes nothing.
      if (value[i] == ' ') continue;
      value[i] = static_cast<char>(value[i] ^ 1);
      if (trim(value) != value) continue;
      refused(bad, ask.body, plain.headers[line].first + ": " + value);
    }
  for (std::size_t i = 0; i < ask.body.size(); ++i) {
    auto body = ask.body;
    body[i] = static_cast<char>(body[i] ^ 1);
    refused(plain, body, body);
  }
  EXPECT_GT(tried, 300);
}

TEST_F(S3Signatures, WhatIsWrongHasS3sOwnCode) {
  const auto good = signed_s3({"GET", "/bucket"}, s3.key_id, s3.key, s3.clock.now);
  const auto with = [&](std::string_view header, const std::string& value) {
    auto out = good;
    std::erase_if(out.headers, [&](const auto& line) { return line.first == header; });
    if (!value.empty()) out.headers.emplace_back(header, value);
    return out;
  };
  const auto authorization = good.headers.back().second;
  const auto replaced = [&](const std::string& from, const std::string& to) {
    auto text = authorization;
    return with("authorization", text.replace(text.find(from), from.size(), to));
  };
  EXPECT_EQ(s3.send(good, "").status, 200);
  const std::vector<std::pair<os::ServedRequest, std::string>> table = {
      {with("authorization", ""), "AccessDenied"},
      {with("authorization", "AWS AKIATEST:abc="), "InvalidRequest"},
      {with("authorization", "AWS4-HMAC-SHA256 nonsense"), "AuthorizationHeaderMalformed"},
      {replaced("AKIATEST", "AKIAOTHER"), "InvalidAccessKeyId"},
      {replaced("/s3/", "/ec2/"), "AuthorizationHeaderMalformed"},
      {replaced("us-east-1", "eu-west-1"), "SignatureDoesNotMatch"},
      {with("x-amz-content-sha256", ""), "InvalidRequest"},
      {with("x-amz-content-sha256", "ABC"), "InvalidArgument"},
      {with("x-amz-date", ""), "AccessDenied"},
      {with("x-amz-security-token", "tok"), "AccessDenied"},  // not signed
      {with("x-amz-meta-sneaked", "in"), "AccessDenied"},
  };
  for (const auto& [request, code] : table) EXPECT_EQ(s3.send(request, "").code(), code) << code;
}

TEST_F(S3Signatures, ARequestIsGoodForAQuarterOfAnHour) {
  const auto request = signed_s3({"GET", "/bucket"}, s3.key_id, s3.key, s3.clock.now);
  s3.clock.advance(Millis(15 * 60'000));
  EXPECT_EQ(s3.send(request, "").status, 200);
  s3.clock.advance(Millis(1000));
  EXPECT_EQ(s3.send(request, "").code(), "RequestTimeTooSkewed");
}

std::string presigned_target(const TestS3& s3, const std::string& path, const std::string& expires) {
  os::ServedRequest served;
  served.method = "GET";
  auto time = os::iso_time(s3.clock.now);
  std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
  served.headers = {{"host", "127.0.0.1:4566"}};
  served.target = fmt::format(
      "{}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F{}%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-"
      "Date={}&X-Amz-Expires={}&X-Amz-SignedHeaders=host",
      path, s3.key_id, time.substr(0, 8), time, expires);
  SignatureClaim claim;
  claim.day = time.substr(0, 8);
  claim.region = "us-east-1";
  claim.service = "s3";
  claim.time = time;
  claim.signed_headers = {"host"};
  const auto canonical = s3_canonical_request(*read_s3_request(served), claim, "UNSIGNED-PAYLOAD");
  return served.target +
         "&X-Amz-Signature=" + hex(hmac_sha256(s3_signing_key(s3.key.secret, claim), string_to_sign(claim, canonical)));
}

TEST_F(S3Signatures, APresignedAddressIsGoodUntilItExpires) {
  ASSERT_EQ(s3.put("/bucket/k", "hello").status, 200);
  os::ServedRequest served{"GET", presigned_target(s3, "/bucket/k", "3600"), {{"host", "127.0.0.1:4566"}}, "127.0.0.1"};
  EXPECT_EQ(s3.send(served, "").body, "hello");
  s3.clock.advance(Millis(3'601'000));
  EXPECT_EQ(s3.send(served, "").code(), "AccessDenied");
  served.target = presigned_target(s3, "/bucket/k", "604801");
  EXPECT_EQ(s3.send(served, "").code(), "AuthorizationQueryParametersError");
  served.target = "/bucket/k?AWSAccessKeyId=AKIATEST&Signature=abc&Expires=99999999999";  // version 2
  EXPECT_EQ(s3.send(served, "").code(), "InvalidRequest");
}

TEST_F(S3Signatures, ASessionNeedsItsTokenAndEnds) {
  s3.sessions["ASIATEST"] = {"s2", "arn:aws:sts::123456789012:federated-user/x", "token", s3.clock.now + 1000,
                             Json{{"Statement", {{"Effect", "Allow"}, {"Action", "s3:*"}, {"Resource", "*"}}}}};
  EXPECT_EQ(s3.ask_as("ASIATEST", {"GET", "/bucket"}).status, 200);
  auto without = s3.sessions["ASIATEST"];
  without.token.clear();
  EXPECT_EQ(s3.send(signed_s3({"GET", "/bucket"}, "ASIATEST", without, s3.clock.now), "").code(), "InvalidToken");
  s3.clock.advance(Millis(1000));
  EXPECT_EQ(s3.ask_as("ASIATEST", {"GET", "/bucket"}).code(), "ExpiredToken");
}

}  // namespace
}  // namespace ferry::rehearsal
