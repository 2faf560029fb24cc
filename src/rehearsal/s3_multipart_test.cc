#include "rehearsal/s3_testing.h"

namespace ferry::rehearsal {
namespace {

class S3Multipart : public testing::Test {
 protected:
  TestS3 s3;
  const std::string large = std::string(5 << 20, 'l') + "!";
  void SetUp() override { ASSERT_EQ(s3.put("/bucket", "").status, 200); }

  std::string begin(os::HeaderLines headers = {}) {
    return s3.post("/bucket/big?uploads", "", std::move(headers)).at("//UploadId");
  }
  static std::string of(const std::string& upload, int part) {
    return fmt::format("/bucket/big?partNumber={}&uploadId={}", part, upload);
  }
  std::string put_part(const std::string& upload, int part, const std::string& body, os::HeaderLines headers = {}) {
    const auto answer = s3.put(of(upload, part), body, std::move(headers));
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.header("ETag");
  }
  static std::string document(const std::vector<std::pair<int, std::string>>& parts, const std::string& more = "") {
    std::string out = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
    for (const auto& [part, etag] : parts)
      out += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag>{}</Part>", part, etag, more);
    return out + "</CompleteMultipartUpload>";
  }
};

TEST_F(S3Multipart, PartsInAnyOrderBecomeOneObject) {
  const auto upload = begin({{"content-type", "text/x"}, {"x-amz-meta-a", "b"}});
  const auto last = put_part(upload, 3, "end");
  put_part(upload, 1, "replaced");
  const auto first = put_part(upload, 1, large);
  const auto second = put_part(upload, 2, large);
  EXPECT_EQ(s3.get("/bucket/big").status, 404);
  EXPECT_EQ(s3.get("/bucket?uploads").at("//Upload/UploadId"), upload);
  const auto listed = s3.get("/bucket/big?uploadId=" + upload + "&max-parts=2");
  EXPECT_EQ(listed.all("//Part/PartNumber"), (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(listed.at("//IsTruncated"), "true");
  EXPECT_EQ(s3.get("/bucket/big?uploadId=" + upload + "&part-number-marker=2").all("//Part/Size"),
            std::vector<std::string>{"3"});
  s3.restart();
  const auto done = s3.post("/bucket/big?uploadId=" + upload, document({{1, first}, {2, second}, {3, last}}));
  ASSERT_EQ(done.status, 200) << done.body;
  const auto raw_md5 = [](const std::string& bytes) { return checksum(Checksum::md5, bytes); };
  EXPECT_EQ(done.at("//ETag"), "\"" + hex(raw_md5(raw_md5(large) + raw_md5(large) + raw_md5("end"))) + "-3\"");
  EXPECT_EQ(done.at("//ChecksumCRC64NVME"), base64(checksum(Checksum::crc64nvme, large + large + "end")));
  const auto got = s3.get("/bucket/big", {{"x-amz-checksum-mode", "ENABLED"}});
  EXPECT_EQ(got.body, large + large + "end");
  EXPECT_EQ(got.header("content-type"), "text/x");
  EXPECT_EQ(got.header("x-amz-meta-a"), "b");
  EXPECT_EQ(got.header("x-amz-checksum-type"), "FULL_OBJECT");
  const auto part = s3.get("/bucket/big?partNumber=3");
  EXPECT_EQ(part.body, "end");
  EXPECT_EQ(part.header("x-amz-mp-parts-count"), "3");
  const auto told = s3.get("/bucket/big?attributes", {{"x-amz-object-attributes", "ObjectParts,Checksum,ObjectSize"}});
  EXPECT_EQ(told.at("//PartsCount"), "3");
  EXPECT_EQ(told.all("//Part/Size").back(), "3");
  EXPECT_EQ(told.at("//ObjectSize"), std::to_string(2 * large.size() + 3));
  EXPECT_EQ(told.at("//ETag"), "");
  EXPECT_EQ(s3.get("/bucket/big?attributes").code(), "InvalidRequest");
  EXPECT_EQ(s3.data_files(), 1u);
  EXPECT_EQ(s3.post("/bucket/big?uploadId=" + upload, document({{1, first}})).code(), "NoSuchUpload");
}

TEST_F(S3Multipart, WhatIsWrongWithTheListOfPartsIsTold) {
  const auto upload = begin();
  const auto first = put_part(upload, 1, "small"), second = put_part(upload, 2, "small too");
  const std::vector<std::pair<std::string, std::string>> table = {
      {document({}), "MalformedXML"},
      {"nonsense", "MalformedXML"},
      {document({{2, second}, {1, first}}), "InvalidPartOrder"},
      {document({{1, first}, {1, first}}), "InvalidPartOrder"},
      {document({{1, second}}), "InvalidPart"},
      {document({{3, first}}), "InvalidPart"},
      {document({{1, first}, {2, second}}), "EntityTooSmall"},
      {document({{1, first}}, "<ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME>"), "InvalidPart"},
  };
  for (const auto& [body, code] : table)
    EXPECT_EQ(s3.post("/bucket/big?uploadId=" + upload, body).code(), code) << body;
  EXPECT_EQ(s3.post("/bucket/big?uploadId=" + upload, document({{1, first}}), {{"x-amz-mp-object-size", "7"}}).code(),
            "InvalidRequest");
  EXPECT_EQ(
      s3.post("/bucket/big?uploadId=" + upload, document({{1, first}}), {{"x-amz-checksum-crc64nvme", "AAAAAAAAAAA="}})
          .code(),
      "BadDigest");
  EXPECT_EQ(s3.put(of(upload, 0), "x").code(), "InvalidArgument");
  EXPECT_EQ(s3.put(of(upload, 10'001), "x").code(), "InvalidArgument");
  EXPECT_EQ(s3.put(of("none", 1), "x").code(), "NoSuchUpload");
  // The unquoted ETag, and the part alone: fine.
  EXPECT_EQ(
      s3.post("/bucket/big?uploadId=" + upload, document({{1, unquoted_etag(first)}}), {{"x-amz-mp-object-size", "5"}})
          .status,
      200);
  EXPECT_EQ(s3.get("/bucket/big").body, "small");
}

TEST_F(S3Multipart, IsGivenUpWithAllItsParts) {
  const auto upload = begin();
  put_part(upload, 1, "x");
  MemoryBody body("under way", 9);
  body.before_end = [&] { EXPECT_EQ(s3.remove("/bucket/big?uploadId=" + upload).status, 204); };
  EXPECT_EQ(s3.send(signed_s3({"PUT", of(upload, 2), {}, "under way"}, s3.key_id, s3.key, s3.clock.now), body).code(),
            "NoSuchUpload");
  EXPECT_EQ(s3.remove("/bucket/big?uploadId=" + upload).code(), "NoSuchUpload");
  EXPECT_EQ(s3.data_files(), 0u);
}

TEST_F(S3Multipart, ChecksumsAreCompositeOrOfTheWhole) {
  const auto sum = [](Checksum kind, const std::string& bytes) { return base64(checksum(kind, bytes)); };
  const auto upload = begin({{"x-amz-checksum-algorithm", "SHA256"}});
  EXPECT_EQ(s3.put(of(upload, 1), "x").code(), "InvalidRequest");  // none sent
  EXPECT_EQ(s3.put(of(upload, 1), "x", {{"x-amz-checksum-crc32", sum(Checksum::crc32, "x")}}).code(), "InvalidRequest");
  const auto etag = put_part(upload, 1, "x", {{"x-amz-checksum-sha256", sum(Checksum::sha256, "x")}});
  EXPECT_EQ(s3.post("/bucket/big?uploadId=" + upload, document({{1, etag}})).code(), "InvalidRequest");
  const auto part = "<ChecksumSHA256>" + sum(Checksum::sha256, "x") + "</ChecksumSHA256>";
  const auto done = s3.post("/bucket/big?uploadId=" + upload, document({{1, etag}}, part));
  EXPECT_EQ(done.at("//ChecksumSHA256"), sum(Checksum::sha256, checksum(Checksum::sha256, "x")) + "-1");
  EXPECT_EQ(done.at("//ChecksumType"), "COMPOSITE");

  const auto whole = begin({{"x-amz-checksum-algorithm", "CRC32C"}, {"x-amz-checksum-type", "FULL_OBJECT"}});
  const auto first = put_part(whole, 1, large), second = put_part(whole, 2, "end");
  const auto full = sum(Checksum::crc32c, large + "end");
  EXPECT_EQ(s3.post("/bucket/big?uploadId=" + whole, document({{1, first}, {2, second}}),
                    {{"x-amz-checksum-crc32c", full}, {"x-amz-checksum-type", "FULL_OBJECT"}})
                .at("//ChecksumCRC32C"),
            full);
  for (const auto& [algorithm, type] :
       {std::pair("SHA1", "FULL_OBJECT"), std::pair("CRC64NVME", "COMPOSITE"), std::pair("MD5", "COMPOSITE")})
    EXPECT_EQ(
        s3.post("/bucket/big?uploads", "", {{"x-amz-checksum-algorithm", algorithm}, {"x-amz-checksum-type", type}})
            .code(),
        "InvalidRequest")
        << algorithm;
}

TEST_F(S3Multipart, CompletionObeysConditionsAndRaces) {
  const auto upload = begin();
  const auto etag = put_part(upload, 1, "x");
  ASSERT_EQ(s3.put("/bucket/big", "there").status, 200);
  const os::HeaderLines if_free = {{"if-none-match", "*"}};
  EXPECT_EQ(s3.post("/bucket/big?uploadId=" + upload, document({{1, etag}}), if_free).code(), "PreconditionFailed");
  ASSERT_EQ(s3.remove("/bucket/big").status, 204);
  const auto xml = document({{1, etag}});
  MemoryBody body(xml, xml.size());
  body.before_end = [&] { EXPECT_EQ(s3.put("/bucket/big", "quicker").status, 200); };
  EXPECT_EQ(
      s3.send(signed_s3({"POST", "/bucket/big?uploadId=" + upload, if_free, xml}, s3.key_id, s3.key, s3.clock.now),
              body)
          .code(),
      "ConditionalRequestConflict");
  EXPECT_EQ(s3.get("/bucket/big").body, "quicker");
  EXPECT_EQ(s3.post("/bucket/big?uploadId=" + upload, xml).status, 200);
  EXPECT_EQ(s3.get("/bucket/big").body, "x");
}

TEST_F(S3Multipart, PartsMayBeCopiedFromOtherObjects) {
  ASSERT_EQ(s3.put("/bucket/src", large).status, 200);
  const auto upload = begin();
  const auto copied = s3.put(of(upload, 1), "", {{"x-amz-copy-source", "bucket/src"}});
  const auto range = s3.put(
      of(upload, 2), "", {{"x-amz-copy-source", "bucket/src"}, {"x-amz-copy-source-range", "bytes=5242880-5242880"}});
  ASSERT_EQ(range.status, 200) << range.body;
  for (const char* wrong : {"bytes=0-99999999", "bytes=5-", "0-5", "bytes=5-2"})
    EXPECT_EQ(
        s3.put(of(upload, 3), "", {{"x-amz-copy-source", "bucket/src"}, {"x-amz-copy-source-range", wrong}}).code(),
        "InvalidArgument")
        << wrong;
  ASSERT_EQ(
      s3.post("/bucket/big?uploadId=" + upload, document({{1, copied.at("//ETag")}, {2, range.at("//ETag")}})).status,
      200);
  EXPECT_EQ(s3.get("/bucket/big").body, large + "!");
}

}  // namespace
}  // namespace ferry::rehearsal
