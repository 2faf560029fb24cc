#include <atomic>
#include <thread>

#include "rehearsal/s3_testing.h"

namespace ferry::rehearsal {
namespace {

class S3Objects : public testing::Test {
 protected:
  TestS3 s3;
  void SetUp() override { ASSERT_EQ(s3.put("/bucket", "").status, 200); }
};

const std::string hello_etag = "\"5d41402abc4b2a76b9719d911017c592\"";

TEST_F(S3Objects, WhatIsPutIsGotBackWithAllThatWasSaidOfIt) {
  const auto put = s3.put("/bucket/a%20b%2Bc/%C3%BC", "hello",
                          {{"content-type", "text/plain"},
                           {"cache-control", "no-cache"},
                           {"x-amz-meta-sha256", "2cf2"},
                           {"x-amz-tagging", "k=v"},
                           {"content-encoding", "gzip,aws-chunked"}});
  EXPECT_EQ(put.status, 200);
  EXPECT_EQ(put.header("ETag"), hello_etag);
  EXPECT_EQ(put.header("x-amz-checksum-type"), "FULL_OBJECT");
  EXPECT_EQ(put.header("x-amz-checksum-crc64nvme"), base64(checksum(Checksum::crc64nvme, "hello")));
  EXPECT_FALSE(put.header("x-amz-request-id").empty());
  for (const char* method : {"GET", "HEAD"}) {
    const auto got = s3.ask({method, "/bucket/a%20b%2Bc/%C3%BC"});
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.header("content-type"), "text/plain");
    EXPECT_EQ(got.header("cache-control"), "no-cache");
    EXPECT_EQ(got.header("content-encoding"), "gzip");
    EXPECT_EQ(got.header("x-amz-meta-sha256"), "2cf2");
    EXPECT_EQ(got.header("x-amz-tagging-count"), "1");
    EXPECT_EQ(got.header("x-amz-server-side-encryption"), "AES256");
    EXPECT_EQ(got.header("x-amz-checksum-crc64nvme"), "");
    EXPECT_EQ(got.header("x-amz-version-id"), "");
    EXPECT_EQ(got.body, "hello");  // the server sends none to HEAD
  }
  EXPECT_EQ(s3.get("/bucket/a%20b%2Bc/%C3%BC", {{"x-amz-checksum-mode", "ENABLED"}}).header("x-amz-checksum-type"),
            "FULL_OBJECT");
  s3.restart();
  EXPECT_EQ(s3.get("/bucket/a%20b%2Bc/%C3%BC").body, "hello");
}

TEST_F(S3Objects, OverwrittenAndDeletedBytesLeaveNoFile) {
  EXPECT_EQ(s3.put("/bucket/k", "one").status, 200);
  EXPECT_EQ(s3.put("/bucket/k", "two").status, 200);
  EXPECT_EQ(s3.data_files(), 1u);
  EXPECT_EQ(s3.get("/bucket/k").body, "two");
  EXPECT_EQ(s3.remove("/bucket").code(), "BucketNotEmpty");
  EXPECT_EQ(s3.remove("/bucket/k").status, 204);
  EXPECT_EQ(s3.remove("/bucket/k").status, 204);
  EXPECT_EQ(s3.data_files(), 0u);
  EXPECT_EQ(s3.get("/bucket/k").code(), "NoSuchKey");
  EXPECT_EQ(s3.remove("/bucket").status, 204);
  EXPECT_EQ(s3.get("/bucket").code(), "NoSuchBucket");
}

TEST_F(S3Objects, ABodyThatIsNotWhatWasSaidNeverShows) {
  const std::string wrong_md5 = base64(checksum(Checksum::md5, "other")),
                    wrong_crc = base64(checksum(Checksum::crc32, "other"));
  const std::vector<std::tuple<os::HeaderLines, std::string>> table = {
      {{{"content-md5", wrong_md5}}, "BadDigest"},
      {{{"content-md5", "short"}}, "InvalidDigest"},
      {{{"x-amz-checksum-crc32", wrong_crc}}, "BadDigest"},
      {{{"x-amz-checksum-crc32", "xx=="}}, "InvalidRequest"},
      {{{"x-amz-checksum-xxhash64", wrong_crc}}, "InvalidRequest"},
      {{{"x-amz-checksum-crc32", wrong_crc}, {"x-amz-checksum-sha1", wrong_crc}}, "InvalidRequest"},
      {{{"x-amz-sdk-checksum-algorithm", "CRC32"}}, "InvalidRequest"},
      {{{"x-amz-server-side-encryption", "aws:kms"}}, "NotImplemented"},
      {{{"x-amz-acl", "public-read"}}, "AccessControlListNotSupported"},
      {{{"x-amz-storage-class", "COLD"}}, "InvalidStorageClass"},
      {{{"x-amz-meta-a", std::string(2100, 'x')}}, "MetadataTooLarge"},
      {{{"x-amz-expected-bucket-owner", "999999999999"}}, "AccessDenied"},
      {{{"if-none-match", "\"x\""}}, "NotImplemented"},
  };
  for (const auto& [headers, code] : table)
    EXPECT_EQ(s3.put("/bucket/k", "hello", headers).code(), code) << headers.front().first;
  const S3Ask wrong_hash{"PUT", "/bucket/k", {}, "hello", "us-east-1", hex(sha256("other"))};
  EXPECT_EQ(s3.ask(wrong_hash).code(), "XAmzContentSHA256Mismatch");
  MemoryBody cut("hel", 5);
  EXPECT_EQ(s3.send(signed_s3({"PUT", "/bucket/k", {}, "hello"}, s3.key_id, s3.key, s3.clock.now), cut).code(),
            "IncompleteBody");
  auto without = signed_s3({"PUT", "/bucket/k"}, s3.key_id, s3.key, s3.clock.now);
  std::erase_if(without.headers, [](const auto& line) { return line.first == "content-length"; });
  EXPECT_EQ(s3.send(without, "").code(), "MissingContentLength");
  MemoryBody vast("", std::uint64_t{6} << 30);
  EXPECT_EQ(s3.send(signed_s3({"PUT", "/bucket/k"}, s3.key_id, s3.key, s3.clock.now), vast).code(), "EntityTooLarge");
  MemoryBody endless("hello");
  EXPECT_EQ(s3.send(signed_s3({"PUT", "/bucket/k", {}, "hello"}, s3.key_id, s3.key, s3.clock.now), endless).code(),
            "MissingContentLength");
  EXPECT_EQ(s3.get("/bucket/k").code(), "NoSuchKey");
  EXPECT_EQ(s3.data_files(), 0u);
  EXPECT_TRUE(os::list_dir(s3.dir.path() / "s3" / "incoming")->empty());
  for (const auto kind : checksum_kinds) {
    const auto sum = base64(checksum(kind, "hello"));
    EXPECT_EQ(s3.put("/bucket/k", "hello", {{header_of(kind), sum}}).header(header_of(kind)), sum);
    EXPECT_EQ(s3.get("/bucket/k", {{"x-amz-checksum-mode", "ENABLED"}}).header(header_of(kind)), sum);
  }
}

TEST_F(S3Objects, ATrailersChecksumIsHeldAgainstTheBody) {
  const auto send = [&](const std::string& sum) {
    const std::string body = "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:" + sum + "\r\n\r\n";
    const S3Ask ask{"PUT",
                    "/bucket/k",
                    {{"x-amz-trailer", "x-amz-checksum-crc32"},
                     {"x-amz-decoded-content-length", "5"},
                     {"content-encoding", "aws-chunked"}},
                    body,
                    "us-east-1",
                    "STREAMING-UNSIGNED-PAYLOAD-TRAILER"};
    return s3.ask(ask);
  };
  EXPECT_EQ(send("AAAAAA==").code(), "BadDigest");
  EXPECT_EQ(s3.get("/bucket/k").status, 404);
  EXPECT_EQ(send("NhCmhg==").status, 200);
  EXPECT_EQ(s3.get("/bucket/k").header("content-encoding"), "");
}

TEST_F(S3Objects, ConditionsOfWritesHoldOrStopThem) {
  EXPECT_EQ(s3.put("/bucket/k", "hello", {{"if-match", hello_etag}}).code(), "NoSuchKey");
  EXPECT_EQ(s3.put("/bucket/k", "hello", {{"if-none-match", "*"}}).status, 200);
  EXPECT_EQ(s3.put("/bucket/k", "other", {{"if-none-match", "*"}}).code(), "PreconditionFailed");
  EXPECT_EQ(s3.put("/bucket/k", "other", {{"if-match", "\"wrong\""}}).code(), "PreconditionFailed");
  EXPECT_EQ(s3.put("/bucket/copy", "", {{"x-amz-copy-source", "/bucket/k"}, {"if-none-match", "*"}}).status, 200);
  EXPECT_EQ(s3.put("/bucket/copy", "", {{"x-amz-copy-source", "/bucket/k"}, {"if-none-match", "*"}}).code(),
            "PreconditionFailed");
  EXPECT_EQ(s3.remove("/bucket/k", {{"if-match", "\"wrong\""}}).code(), "PreconditionFailed");
  EXPECT_EQ(s3.put("/bucket/k", "again", {{"if-match", hello_etag}}).status, 200);
  EXPECT_EQ(s3.remove("/bucket/k", {{"if-match", "*"}}).status, 204);
  EXPECT_EQ(s3.remove("/bucket/k", {{"if-match", "*"}}).code(), "NoSuchKey");
}

TEST_F(S3Objects, OfTwoConditionalWritesAtOnceTheSecondToEndMeetsAConflict) {
  const os::HeaderLines if_free = {{"if-none-match", "*"}};
  MemoryBody body("first", 5);
  body.before_end = [&] { EXPECT_EQ(s3.put("/bucket/k", "second", if_free).status, 200); };
  EXPECT_EQ(s3.send(signed_s3({"PUT", "/bucket/k", if_free, "first"}, s3.key_id, s3.key, s3.clock.now), body).code(),
            "ConditionalRequestConflict");
  EXPECT_EQ(s3.get("/bucket/k").body, "second");
  const os::HeaderLines if_same = {{"if-match", s3.get("/bucket/k").header("ETag")}};
  MemoryBody third("third", 5);
  third.before_end = [&] { EXPECT_EQ(s3.remove("/bucket/k").status, 204); };
  EXPECT_EQ(s3.send(signed_s3({"PUT", "/bucket/k", if_same, "third"}, s3.key_id, s3.key, s3.clock.now), third).code(),
            "ConditionalRequestConflict");
  EXPECT_EQ(s3.data_files(), 0u);
  // Without a condition the last to end wins.
  MemoryBody fourth("fourth", 6);
  fourth.before_end = [&] { EXPECT_EQ(s3.put("/bucket/k", "fifth").status, 200); };
  EXPECT_EQ(s3.send(signed_s3({"PUT", "/bucket/k", {}, "fourth"}, s3.key_id, s3.key, s3.clock.now), fourth).status,
            200);
  EXPECT_EQ(s3.get("/bucket/k").body, "fourth");
}

TEST_F(S3Objects, OfManyConditionalWritesAtOnceOneWinsAndNoBytesAreLeft) {
  std::atomic<int> won{0}, lost{0};
  const auto ask = [&](const std::string& body) {
    const auto answer = s3.put("/bucket/k", body, {{"if-none-match", "*"}});
    (answer.status == 200 ? won : lost) += 1;
    EXPECT_TRUE(answer.status == 200 || answer.code() == "PreconditionFailed" ||
                answer.code() == "ConditionalRequestConflict")
        << answer.body;
  };
  std::vector<std::thread> writers;
  for (int i = 0; i < 8; ++i)
    writers.emplace_back([&ask, i] { ask(std::string(100'000, static_cast<char>('a' + i))); });
  for (auto& writer : writers) writer.join();
  EXPECT_EQ(won, 1);
  EXPECT_EQ(lost, 7);
  EXPECT_EQ(s3.data_files(), 1u);
  const auto got = s3.get("/bucket/k").body;
  EXPECT_EQ(got, std::string(100'000, got.front()));
}

TEST_F(S3Objects, WhatIsReadStaysWholeWhileItIsOverwritten) {
  ASSERT_EQ(s3.put("/bucket/k", std::string(300'000, 'a')).status, 200);
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int i = 0; i < 50; ++i)
      EXPECT_EQ(s3.put("/bucket/k", std::string(300'000, static_cast<char>('a' + i % 26))).status, 200);
    done = true;
  });
  while (!done) {
    const auto got = s3.get("/bucket/k");
    ASSERT_EQ(got.status, 200);
    ASSERT_EQ(got.header("ETag"), "\"" + hex(checksum(Checksum::md5, got.body)) + "\"");
  }
  writer.join();
}

TEST_F(S3Objects, ReadsObeyRangesAndConditions) {
  ASSERT_EQ(s3.put("/bucket/k", "0123456789").status, 200);
  const auto etag = s3.get("/bucket/k").header("ETag"), date = s3.get("/bucket/k").header("Last-Modified");
  struct Case {
    os::HeaderLines headers;
    int status;
    std::string body;  // or the code
  };
  const std::vector<Case> table = {
      {{{"range", "bytes=2-4"}}, 206, "234"},
      {{{"range", "bytes=8-"}}, 206, "89"},
      {{{"range", "bytes=8-100"}}, 206, "89"},
      {{{"range", "bytes=-3"}}, 206, "789"},
      {{{"range", "bytes=-30"}}, 206, "0123456789"},
      {{{"range", "bytes=10-"}}, 416, "InvalidRange"},
      {{{"range", "bytes=-0"}}, 416, "InvalidRange"},
      {{{"range", "bytes=4-2"}}, 200, "0123456789"},
      {{{"range", "bytes=0-1,3-4"}}, 200, "0123456789"},
      {{{"range", "lines=1-2"}}, 200, "0123456789"},
      {{{"if-match", etag}, {"range", "bytes=0-0"}}, 206, "0"},
      {{{"if-match", "\"x\""}}, 412, "PreconditionFailed"},
      {{{"if-none-match", etag}}, 304, ""},
      {{{"if-none-match", "\"x\", " + etag}}, 304, ""},
      {{{"if-none-match", "\"x\""}}, 200, "0123456789"},
      {{{"if-modified-since", date}}, 304, ""},
      {{{"if-unmodified-since", date}}, 200, "0123456789"},
      {{{"if-unmodified-since", "Tue, 14 Nov 2000 22:13:20 GMT"}}, 412, "PreconditionFailed"},
      {{{"if-match", etag}, {"if-unmodified-since", "Tue, 14 Nov 2000 22:13:20 GMT"}}, 200, "0123456789"},
  };
  for (const auto& one : table) {
    const auto got = s3.get("/bucket/k", one.headers);
    EXPECT_EQ(got.status, one.status) << one.headers.front().second;
    EXPECT_EQ(got.status >= 400 ? got.code() : got.body, one.body) << one.headers.front().second;
  }
  EXPECT_EQ(s3.get("/bucket/k", {{"range", "bytes=2-4"}}).header("Content-Range"), "bytes 2-4/10");
  EXPECT_EQ(s3.get("/bucket/k?response-content-type=text%2Fcsv").header("Content-Type"), "text/csv");
  EXPECT_EQ(s3.get("/bucket/k?versionId=null").status, 200);
  EXPECT_EQ(s3.get("/bucket/k?versionId=abc").code(), "InvalidArgument");
}

TEST_F(S3Objects, CopiesTakeOrReplaceWhatWasSaidOfTheSource) {
  ASSERT_EQ(
      s3.put("/bucket/a%2Bb", "hello", {{"content-type", "text/x"}, {"x-amz-meta-m", "1"}, {"x-amz-tagging", "t=1"}})
          .status,
      200);
  const auto copied = s3.put("/bucket/b", "", {{"x-amz-copy-source", "bucket/a%2Bb"}});
  EXPECT_EQ(copied.at("/CopyObjectResult/ETag"), hello_etag);
  EXPECT_EQ(s3.get("/bucket/b").header("x-amz-meta-m"), "1");
  EXPECT_EQ(s3.get("/bucket/b?tagging").at("//Tag/Value"), "1");
  EXPECT_EQ(s3.put("/bucket/b", "", {{"x-amz-copy-source", "bucket/b"}}).code(), "InvalidRequest");
  EXPECT_EQ(s3.put("/bucket/b", "",
                   {{"x-amz-copy-source", "bucket/b"}, {"x-amz-metadata-directive", "REPLACE"}, {"x-amz-meta-n", "2"}})
                .status,
            200);
  EXPECT_EQ(s3.get("/bucket/b").header("x-amz-meta-m"), "");
  EXPECT_EQ(s3.get("/bucket/b").header("x-amz-meta-n"), "2");
  EXPECT_EQ(s3.get("/bucket/b").body, "hello");
  const std::vector<std::pair<os::HeaderLines, std::string>> table = {
      {{{"x-amz-copy-source", "bucket/none"}}, "NoSuchKey"},
      {{{"x-amz-copy-source", "nobucket/b"}}, "NoSuchBucket"},
      {{{"x-amz-copy-source", "bucket"}}, "InvalidArgument"},
      {{{"x-amz-copy-source", "bucket/b"}, {"x-amz-copy-source-if-match", "\"x\""}}, "PreconditionFailed"},
      {{{"x-amz-copy-source", "bucket/b"}, {"x-amz-copy-source-if-none-match", hello_etag}}, "PreconditionFailed"},
  };
  for (const auto& [headers, code] : table)
    EXPECT_EQ(s3.put("/bucket/c", "", headers).code(), code) << headers.front().second;
}

TEST_F(S3Objects, ManyAreDeletedAtOnce) {
  for (const char* key : {"a", "b", "c"}) ASSERT_EQ(s3.put(std::string("/bucket/") + key, "x").status, 200);
  const std::string body =
      "<Delete "
      "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Object><Key>a</Key></Object><Object><Key>none</"
      "Key></Object>"
      "<Object><Key>b</Key><ETag>wrong</ETag></Object></Delete>";
  EXPECT_EQ(s3.post("/bucket?delete", body).code(), "InvalidRequest");  // no checksum
  EXPECT_EQ(s3.post("/bucket?delete", body, {{"x-amz-checksum-crc32", "AAAAAA=="}}).code(), "BadDigest");
  const auto answer = s3.post("/bucket?delete=", body, {{"content-md5", base64(checksum(Checksum::md5, body))}});
  EXPECT_EQ(answer.all("//Deleted/Key"), (std::vector<std::string>{"a", "none"}));
  EXPECT_EQ(answer.at("//Error/Code"), "PreconditionFailed");
  EXPECT_EQ(s3.get("/bucket").all("//Contents/Key"), (std::vector<std::string>{"b", "c"}));
}

TEST_F(S3Objects, ARestartRemovesWhatNobodyRefersToAndRowsWithoutTheirBytes) {
  ASSERT_EQ(s3.put("/bucket/kept", "1").status, 200);
  ASSERT_EQ(s3.put("/bucket/short", "12345").status, 200);
  const auto data = s3.dir.path() / "s3" / "data";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data))
    if (entry.is_regular_file() && entry.file_size() == 5)
      std::filesystem::resize_file(entry.path(), 3);  // power was lost
  ASSERT_TRUE(os::make_dirs(data / "00"));
  ASSERT_TRUE(os::write_file(data / "00" / "00ff", "renamed, and killed before the row"));
  ASSERT_TRUE(os::write_file(s3.dir.path() / "s3" / "incoming" / "half", "killed while it came"));
  s3.restart();
  EXPECT_EQ(s3.get("/bucket").all("//Contents/Key"), std::vector<std::string>{"kept"});
  EXPECT_EQ(s3.data_files(), 1u);
  EXPECT_TRUE(os::list_dir(s3.dir.path() / "s3" / "incoming")->empty());
}

}  // namespace
}  // namespace ferry::rehearsal
