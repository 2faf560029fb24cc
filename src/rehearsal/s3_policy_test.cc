#include "rehearsal/s3_policy.h"

#include "rehearsal/s3_lifecycle.h"
#include "rehearsal/s3_testing.h"

namespace ferry::rehearsal {
namespace {

constexpr std::string_view run_policy = R"({"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
   "Resource": "arn:aws:s3:::bucket/runs/1/*"},
  {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::bucket",
   "Condition": {"StringLike": {"s3:prefix": ["runs/1/*", "runs/1/"]}}},
  {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::bucket/runs/1/secret/*"}]})";

class S3Policies : public testing::Test {
 protected:
  TestS3 s3;
  void SetUp() override {
    ASSERT_EQ(s3.put("/bucket", "").status, 200);
    s3.sessions["ASIARUN"] = {"s2", "arn:aws:sts::123456789012:federated-user/run", "token", s3.clock.now + 3'600'000,
                              *parse_policy(run_policy, "")};
  }
};

TEST_F(S3Policies, ConfineASessionToItsPrefix) {
  ASSERT_EQ(s3.put("/bucket/runs/2/out", "other").status, 200);
  const std::vector<std::pair<S3Ask, int>> table = {
      {{"PUT", "/bucket/runs/1/out", {}, "mine"}, 200},
      {{"GET", "/bucket/runs/1/out"}, 200},
      {{"PUT", "/bucket/runs/1/out", {{"x-amz-acl", "private"}}, "mine"}, 403},
      {{"GET", "/bucket/runs/2/out"}, 403},
      {{"PUT", "/bucket/runs/2/out", {}, "x"}, 403},
      {{"PUT", "/bucket/runs/1/secret/x", {}, "x"}, 403},
      {{"DELETE", "/bucket/runs/1/out"}, 403},
      {{"GET", "/bucket?list-type=2&prefix=runs%2F1%2F"}, 200},
      {{"GET", "/bucket?list-type=2&prefix=runs%2F"}, 403},
      {{"GET", "/bucket?list-type=2"}, 403},
      {{"GET", "/"}, 403},
      {{"PUT", "/another"}, 403},
      {{"POST", "/bucket/runs/1/big?uploads"}, 200},
      {{"PUT", "/bucket/runs/1/copy", {{"x-amz-copy-source", "bucket/runs/2/out"}}}, 403},
      {{"PUT", "/bucket/runs/1/copy", {{"x-amz-copy-source", "bucket/runs/1/out"}}}, 200},
      // It may not list without a prefix, so it does not learn what is not there.
      {{"GET", "/bucket/runs/1/nothing"}, 403},
      {{"HEAD", "/bucket/runs/1/nothing"}, 403},
  };
  for (const auto& [ask, status] : table)
    EXPECT_EQ(s3.ask_as("ASIARUN", ask).status, status) << ask.method << " " << ask.target;
  const std::string body = "<Delete><Object><Key>runs/1/out</Key></Object></Delete>";
  const auto answer =
      s3.ask_as("ASIARUN", {"POST", "/bucket?delete", {{"content-md5", base64(checksum(Checksum::md5, body))}}, body});
  EXPECT_EQ(answer.at("//Error/Code"), "AccessDenied");
}

TEST_F(S3Policies, OfABucketCanDenyPlainHttpAndTheLoopbackCountsAsSecure) {
  const std::string policy =
      R"({"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"],
          "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]})";
  ASSERT_EQ(s3.put("/bucket?policy", policy).status, 204);
  EXPECT_EQ(s3.get("/bucket?policy").body, policy);
  EXPECT_EQ(s3.put("/bucket/k", "v").status, 200);
  ASSERT_TRUE(s3.faults.add({{"kind", "plain-http"}}));
  EXPECT_EQ(s3.put("/bucket/k", "v").code(), "AccessDenied");
  EXPECT_EQ(s3.get("/bucket").code(), "AccessDenied");
  // The account can mend it all the same.
  EXPECT_EQ(s3.remove("/bucket?policy").status, 204);
  EXPECT_EQ(s3.put("/bucket/k", "v").status, 200);
  EXPECT_EQ(s3.get("/bucket?policy").code(), "NoSuchBucketPolicy");
}

TEST_F(S3Policies, ThatCannotBeEvaluatedAreRefused) {
  const auto statement = [](const std::string& members) {
    return R"({"Statement": [{"Effect": "Allow", "Principal": {"AWS": "123456789012"}, )" + members + "}]}";
  };
  const std::vector<std::pair<std::string, std::string>> table = {
      {"nonsense", "MalformedPolicy"},
      {"{}", "MalformedPolicy"},
      {statement(R"("Action": "s3:*")"), "MalformedPolicy"},
      {statement(R"("Action": "ec2:*", "Resource": "arn:aws:s3:::bucket/*")"), "MalformedPolicy"},
      {statement(R"("Action": "s3:*", "Resource": "arn:aws:s3:::other/*")"), "MalformedPolicy"},
      {statement(R"("Action": "s3:*", "Resource": "arn:aws:s3:::bucket/*", "Condition": {"Odd": {"a": "b"}})"),
       "MalformedPolicy"},
      {statement(R"("Action": "s3:*", "Resource": "arn:aws:s3:::bucket/*", "Colour": "red")"), "MalformedPolicy"},
      {R"({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::bucket/*"}})",
       "AccessDenied"},  // public
      {statement(R"("Action": "s3:*", "Resource": "arn:aws:s3:::bucket/*")"), ""},
  };
  for (const auto& [policy, code] : table) EXPECT_EQ(s3.put("/bucket?policy", policy).code(), code) << policy;
}

TEST(S3Policy, ComparesAsIAMDoes) {
  struct Case {
    const char* condition;
    bool holds;
  };
  const std::vector<Case> table = {
      {R"({"StringEquals": {"s3:prefix": ["a", "runs/1"]}})", true},
      {R"({"StringNotEquals": {"s3:prefix": "runs/1"}})", false},
      {R"({"StringNotLike": {"s3:prefix": "runs/2*"}})", true},
      {R"({"StringLike": {"S3:Prefix": "runs/?"}})", true},
      {R"({"StringLike": {"s3:absent": "*"}})", false},
      {R"({"StringLikeIfExists": {"s3:absent": "*"}})", true},
      {R"({"StringNotLike": {"s3:absent": "*"}})", true},
      {R"({"Null": {"s3:absent": "true"}})", true},
      {R"({"Null": {"s3:prefix": "true"}})", false},
      {R"({"Bool": {"aws:SecureTransport": true}})", true},
      {R"({"NumericLessThanEquals": {"s3:max-keys": 10}})", true},
      {R"({"NumericGreaterThan": {"s3:max-keys": "10"}})", false},
      {R"({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}})", true},
      {R"({"NotIpAddress": {"aws:SourceIp": "127.0.0.1"}})", false},
      {R"({"StringLike": {"s3:prefix": "${aws:username}*"}})", false},
      {R"({"StringLike": {"s3:prefix": "${aws:userid}/?"}})", true},
      {R"({"StringEquals": {"s3:prefix": "${aws:userid}/1"}})", true},
      {R"({"StringLike": {"s3:prefix": "${aws:PrincipalTag/star}"}})", false},
      {R"({"StringLike": {"s3:prefix": "run${*}"}})", false},
      {R"({"StringLike": {"s3:prefix": "runs/${s3:max-keys"}})", false},
      {R"({"StringEquals": {"s3:prefix": "runs/1"}, "Bool": {"aws:SecureTransport": "false"}})", false},
  };
  const PolicyQuestion question{"s3:ListBucket",
                                "arn:aws:s3:::b",
                                "arn:aws:iam::123456789012:user/u",
                                {{"s3:prefix", "runs/1"},
                                 {"aws:securetransport", "true"},
                                 {"s3:max-keys", "10"},
                                 {"aws:sourceip", "127.0.0.1"},
                                 {"aws:userid", "runs"},
                                 {"aws:principaltag/star", "*"}}};
  for (const auto& one : table) {
    const Json policy = {{"Statement",
                          {{{"Effect", "Allow"},
                            {"Action", "S3:List*"},
                            {"Resource", "arn:aws:s3:::b"},
                            {"Condition", *parse_json(one.condition)}}}}};
    EXPECT_EQ(judge(policy, question, false) == Ruling::allowed, one.holds) << one.condition;
  }
}

constexpr std::string_view rules =
    "<LifecycleConfiguration><Rule><ID>a</ID><Status>Enabled</Status><Filter><Prefix>tmp/</Prefix></"
    "Filter><Expiration><Days>1</Days></Expiration></Rule>"
    "<Rule><ID>b</ID><Status>Enabled</Status><Filter></"
    "Filter><AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation></"
    "AbortIncompleteMultipartUpload></Rule>"
    "</LifecycleConfiguration>";

TEST_F(S3Policies, LifecycleRulesAreCarriedOut) {
  const std::string body(rules);
  const os::HeaderLines sum = {{"content-md5", base64(checksum(Checksum::md5, body))}};
  ASSERT_EQ(s3.put("/bucket?lifecycle", body, sum).status, 200);
  EXPECT_EQ(s3.get("/bucket?lifecycle").at("//Days"), "1");
  ASSERT_EQ(s3.put("/bucket/tmp/x", "1").status, 200);
  ASSERT_EQ(s3.put("/bucket/kept", "1").status, 200);
  const auto upload = s3.post("/bucket/big?uploads").at("//UploadId");
  ASSERT_EQ(s3.put("/bucket/big?partNumber=1&uploadId=" + upload, "part").status, 200);
  EXPECT_EQ(s3.data_files(), 3u);
  s3.clock.advance(Millis(23 * 3'600'000));
  EXPECT_EQ(s3.get("/bucket/tmp/x").status, 200);
  s3.clock.advance(Millis(26 * 3'600'000));
  EXPECT_EQ(s3.get("/bucket/tmp/x").status, 404);
  EXPECT_EQ(s3.get("/bucket/kept").status, 200);
  EXPECT_EQ(s3.get("/bucket/big?uploadId=" + upload).status, 200);
  s3.clock.advance(Millis(24 * 3'600'000));
  EXPECT_EQ(s3.get("/bucket/big?uploadId=" + upload).code(), "NoSuchUpload");
  EXPECT_EQ(s3.data_files(), 1u);
}

TEST(S3Lifecycle, WhatIsNoRuleIsRefused) {
  const auto rule = [](const std::string& inner) {
    return "<LifecycleConfiguration><Rule>" + inner + "</Rule></LifecycleConfiguration>";
  };
  const std::vector<std::pair<std::string, std::string>> table = {
      {"<x/>", "MalformedXML"},
      {"<LifecycleConfiguration/>", "MalformedXML"},
      {rule("<Filter/><Expiration><Days>1</Days></Expiration>"), "MalformedXML"},
      {rule("<Status>Enabled</Status><Expiration><Days>1</Days></Expiration>"), "MalformedXML"},
      {rule("<Status>Enabled</Status><Filter/><Expiration><Days>0</Days></Expiration>"), "InvalidArgument"},
      {rule("<Status>Enabled</Status><Filter/>"), "InvalidRequest"},
      {rule("<Status>Enabled</Status><Filter/><Expiration><Date>2026-01-01T05:00:00Z</Date></Expiration>"),
       "InvalidArgument"},
  };
  for (const auto& [xml, code] : table) {
    const auto parsed = parse_lifecycle(xml);
    ASSERT_FALSE(parsed) << xml;
    EXPECT_EQ(parsed.error().code, code) << xml;
  }
}

}  // namespace
}  // namespace ferry::rehearsal
