#include "rehearsal/s3_testing.h"

namespace ferry::rehearsal {
namespace {

std::string in_region(const std::string& region) {
  return "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>" + region +
         "</LocationConstraint></CreateBucketConfiguration>";
}

TEST(S3Buckets, AreMadeWhereTheEndpointLetsThem) {
  TestS3 s3;
  struct Case {
    std::string name, endpoint, body;
    int status;
    std::string code;
  };
  const std::vector<Case> table = {
      {"first", "us-east-1", "", 200, ""},
      {"first", "us-east-1", "", 200, ""},  // again, by its owner
      {"second", "us-east-1", in_region("us-east-1"), 400, "InvalidLocationConstraint"},
      {"second", "us-east-1", in_region("nowhere"), 400, "InvalidLocationConstraint"},
      {"second", "eu-west-1", "", 400, "IllegalLocationConstraintException"},
      {"second", "eu-west-1", in_region("us-west-2"), 400, "IllegalLocationConstraintException"},
      {"second", "eu-west-1", in_region("eu-west-1"), 200, ""},
      {"second", "eu-west-1", in_region("eu-west-1"), 409, "BucketAlreadyOwnedByYou"},
      {"third", "us-east-1", in_region("eu-west-1"), 200, ""},
      {"No", "us-east-1", "", 400, "InvalidBucketName"},
      {"a..b", "us-east-1", "", 400, "InvalidBucketName"},
      {"10.0.0.1", "us-east-1", "", 400, "InvalidBucketName"},
      {"fourth", "us-east-1", "<odd/>", 400, "MalformedXML"},
  };
  for (const auto& one : table) {
    const auto answer = s3.ask({"PUT", "/" + one.name, {}, one.body, one.endpoint});
    EXPECT_EQ(answer.status, one.status) << one.name << " " << one.endpoint << " " << one.body;
    EXPECT_EQ(answer.code(), one.code) << one.name << " " << one.endpoint;
  }
  EXPECT_EQ(s3.get("/").all("//Bucket/Name"), (std::vector<std::string>{"first", "second", "third"}));
  EXPECT_EQ(s3.get("/first?location").at("/LocationConstraint"), "");
  EXPECT_EQ(s3.get("/third?location").at("/LocationConstraint"), "eu-west-1");
}

TEST(S3Buckets, OfAnotherRegionAnswerWithARedirect) {
  TestS3 s3;
  ASSERT_EQ(s3.ask({"PUT", "/west", {}, in_region("eu-west-1"), "eu-west-1"}).status, 200);
  for (const char* method : {"GET", "HEAD"}) {
    const auto answer = s3.ask({method, "/west/k"});
    EXPECT_EQ(answer.status, 301);
    EXPECT_EQ(answer.header("x-amz-bucket-region"), "eu-west-1");
    EXPECT_EQ(answer.code(), std::string_view(method) == "GET" ? "PermanentRedirect" : "");
  }
  const auto right = s3.ask({"HEAD", "/west", {}, "", "eu-west-1"});
  EXPECT_EQ(right.status, 200);
  EXPECT_EQ(right.header("x-amz-bucket-region"), "eu-west-1");
}

TEST(S3Buckets, AreNamedByThePathOrByTheHost) {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"127.0.0.1:4566", ""},
      {"localhost:4566", ""},
      {"my-bucket.localhost", "my-bucket"},
      {"my.bucket.127.0.0.1:80", "my.bucket"},
      {"s3.us-east-1.amazonaws.com", ""},
      {"b-1.s3.us-east-1.amazonaws.com", "b-1"},
      {"b.s3-eu-west-1.amazonaws.com:443", "b"},
      {"[::1]:4566", ""},
      {"a.b.s3.amazonaws.com", "a.b"},
      {"", ""},
  };
  for (const auto& [host, bucket] : table) EXPECT_EQ(bucket_of_host(host), bucket) << host;
  TestS3 s3;
  ASSERT_EQ(s3.put("/bucket/", "").status, 200);  // with a slash, as some clients have it
  const os::HeaderLines host = {{"host", "bucket.localhost:4566"}};
  EXPECT_EQ(s3.put("/deep/key", "v", host).status, 200);
  EXPECT_EQ(s3.get("/bucket/deep/key").body, "v");
  EXPECT_EQ(s3.get("/?list-type=2", host).all("//Key"), std::vector<std::string>{"deep/key"});
}

TEST(S3Buckets, KeepWhatTheyAreSetTo) {
  TestS3 s3;
  ASSERT_EQ(s3.put("/bucket", "").status, 200);
  EXPECT_EQ(s3.get("/bucket?encryption").at("//SSEAlgorithm"), "AES256");
  EXPECT_EQ(s3.get("/bucket?publicAccessBlock").at("//BlockPublicPolicy"), "true");
  EXPECT_EQ(s3.get("/bucket?versioning").at("//Status"), "");
  EXPECT_EQ(s3.get("/bucket?lifecycle").code(), "NoSuchLifecycleConfiguration");
  EXPECT_EQ(s3.get("/bucket?tagging").code(), "NoSuchTagSet");
  EXPECT_EQ(s3.get("/bucket?cors").code(), "NoSuchCORSConfiguration");
  EXPECT_EQ(s3.get("/bucket?acl").at("//Permission"), "FULL_CONTROL");
  EXPECT_EQ(s3.put("/bucket?versioning", "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
                .code(),
            "NotImplemented");
  EXPECT_EQ(s3.get("/bucket?analytics").code(), "NotImplemented");
  EXPECT_EQ(s3.put("/bucket?publicAccessBlock",
                   "<PublicAccessBlockConfiguration><BlockPublicAcls>false</BlockPublicAcls></"
                   "PublicAccessBlockConfiguration>")
                .status,
            200);
  s3.restart();
  EXPECT_EQ(s3.get("/bucket?publicAccessBlock").at("//BlockPublicAcls"), "false");
  EXPECT_EQ(s3.remove("/bucket?publicAccessBlock").status, 204);
  EXPECT_EQ(s3.get("/bucket?publicAccessBlock").code(), "NoSuchPublicAccessBlockConfiguration");
  EXPECT_EQ(s3.put("/bucket?encryption", "<ServerSideEncryptionConfiguration/>").code(), "MalformedXML");
  EXPECT_EQ(s3.put("/bucket?encryption", "not xml").code(), "MalformedXML");
}

TEST(S3Listing, GoesPageByPageInTheOrderOfBytes) {
  TestS3 s3;
  ASSERT_EQ(s3.put("/bucket", "").status, 200);
  const std::vector<std::string> keys = {"a", "b/1", "b/2", "b/c/3", "b0", "c%2Bd", "e%20f", "\xc3\xbc"};
  for (const auto& key : keys)
    ASSERT_EQ(s3.put("/bucket/" + percent_encoded(percent_decoded(key), "/"), "x").status, 200);
  const auto all = s3.get("/bucket?list-type=2");
  EXPECT_EQ(all.all("//Contents/Key"),
            (std::vector<std::string>{"a", "b/1", "b/2", "b/c/3", "b0", "c+d", "e f", "\xc3\xbc"}));
  EXPECT_EQ(all.at("//KeyCount"), "8");
  EXPECT_EQ(s3.get("/bucket?list-type=2&encoding-type=url").all("//Contents/Key").back(), "%C3%BC");
  const auto folders = s3.get("/bucket?delimiter=/&prefix=b");
  EXPECT_EQ(folders.all("//Contents/Key"), std::vector<std::string>{"b0"});
  EXPECT_EQ(folders.all("//CommonPrefixes/Prefix"), std::vector<std::string>{"b/"});
  EXPECT_EQ(s3.get("/bucket?delimiter=/&prefix=b/").all("//CommonPrefixes/Prefix"), std::vector<std::string>{"b/c/"});
  std::vector<std::string> seen;
  std::string token;
  for (int pages = 0; pages < 20; ++pages) {
    const auto page = s3.get("/bucket?list-type=2&delimiter=%2F&max-keys=1" +
                             (token.empty() ? "" : "&continuation-token=" + percent_encoded(token)));
    for (const auto& key : page.all("//Contents/Key | //CommonPrefixes/Prefix")) seen.push_back(key);
    token = page.at("//NextContinuationToken");
    if (page.at("//IsTruncated") == "false") break;
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"a", "b/", "b0", "c+d", "e f", "\xc3\xbc"}));
  const auto marked = s3.get("/bucket?delimiter=/&max-keys=2");
  EXPECT_EQ(marked.at("//NextMarker"), "b/");
  EXPECT_EQ(s3.get("/bucket?delimiter=/&marker=b/").all("//Contents/Key").front(), "b0");
  EXPECT_EQ(s3.get("/bucket?list-type=2&start-after=b0").all("//Contents/Key").front(), "c+d");
  EXPECT_EQ(s3.get("/bucket?max-keys=0").at("//IsTruncated"), "false");
  EXPECT_EQ(s3.get("/bucket?max-keys=x").code(), "InvalidArgument");
  EXPECT_EQ(s3.get("/bucket?list-type=2&continuation-token=x").code(), "InvalidArgument");
  EXPECT_EQ(s3.get("/bucket?list-type=2").at("//Owner/ID"), "");
  EXPECT_NE(s3.get("/bucket?list-type=2&fetch-owner=true").at("//Owner/ID"), "");
}

TEST(S3Faults, MeetTheRequestsTheyAreAbout) {
  TestS3 s3;
  ASSERT_EQ(s3.put("/bucket", "").status, 200);
  ASSERT_EQ(s3.put("/bucket/k", "hello").status, 200);
  const auto with = [&](const Json& fault) {
    ASSERT_TRUE(s3.faults.add({{"kind", "clear"}}));
    ASSERT_TRUE(s3.faults.add(fault));
  };
  with({{"kind", "slow-down"}, {"percent", 25}});
  int slow = 0;
  for (int i = 0; i < 40; ++i) slow += s3.get("/bucket/k").code() == "SlowDown" ? 1 : 0;
  EXPECT_EQ(slow, 10);
  with({{"kind", "error"}, {"action", "s3:PutObject"}, {"code", "InternalError"}, {"status", 500}, {"count", 1}});
  EXPECT_EQ(s3.get("/bucket/k").status, 200);
  EXPECT_EQ(s3.put("/bucket/k", "x").code(), "InternalError");
  EXPECT_EQ(s3.put("/bucket/k", "hello").status, 200);
  with({{"kind", "cut-upload"}, {"bytes", 2}, {"count", 1}, {"action", "PutObject"}});
  EXPECT_TRUE(s3.put("/bucket/k", "other").dropped);
  EXPECT_EQ(s3.get("/bucket/k").body, "hello");
  with({{"kind", "cut-answer"}, {"bytes", 2}, {"action", "GetObject"}});
  const auto cut = s3.get("/bucket/k");
  EXPECT_EQ(cut.body, "he");
  EXPECT_EQ(cut.promised, 5u);
  with({{"kind", "drop"}, {"action", "PutObject"}, {"count", 1}});
  EXPECT_TRUE(s3.put("/bucket/done", "x").dropped);
  EXPECT_EQ(s3.get("/bucket/done").body, "x");
  with({{"kind", "conflict"}, {"count", 1}});
  EXPECT_EQ(s3.put("/bucket/k", "hello").status, 200);
  EXPECT_EQ(s3.put("/bucket/new", "hello", {{"if-none-match", "*"}}).code(), "ConditionalRequestConflict");
  EXPECT_EQ(s3.put("/bucket/new", "hello", {{"if-none-match", "*"}}).status, 200);
  with({{"kind", "late-error"}, {"code", "SlowDown"}, {"count", 1}});
  const auto late = s3.put("/bucket/copy", "", {{"x-amz-copy-source", "bucket/k"}});
  EXPECT_EQ(late.status, 200);
  EXPECT_EQ(late.code(), "SlowDown");
  EXPECT_EQ(s3.get("/bucket/copy").status, 404);
  with({{"kind", "latency"}, {"ms", 500}});
  const auto before = s3.clock.now;
  EXPECT_EQ(s3.get("/bucket/k").status, 200);
  EXPECT_EQ(s3.clock.now - before, 500);
  with({{"kind", "permission"}, {"action", "s3:GetObject"}});
  EXPECT_EQ(s3.get("/bucket/k").code(), "AccessDenied");
  with({{"kind", "expired-token"}, {"count", 1}});
  EXPECT_EQ(s3.get("/bucket/k").code(), "ExpiredToken");
}

}  // namespace
}  // namespace ferry::rehearsal
