#include "rehearsal/s3_payload.h"

#include "rehearsal/s3_testing.h"

namespace ferry::rehearsal {
namespace {

S3Signature example_seed(PayloadForm form) {
  SignatureClaim claim;
  claim.day = "20130524";
  claim.region = "us-east-1";
  claim.service = "s3";
  S3Signature seed;
  seed.form = form;
  seed.signing_key = s3_signing_key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", claim);
  seed.time = "20130524T000000Z";
  seed.scope = "20130524/us-east-1/s3/aws4_request";
  seed.signature = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
  return seed;
}

struct Taken {
  std::string code, bytes;
  std::map<std::string, std::string> trailers;
};

/// What becomes of a body.
Taken take_payload(const S3Signature& seed, const std::string& body, const std::string& decoded,
                   const std::string& trailer = "", std::size_t piece = 4096) {
  S3Request request;
  request.headers = {{"x-amz-decoded-content-length", decoded}};
  if (!trailer.empty()) request.headers.emplace_back("x-amz-trailer", trailer);
  MemoryBody reader(body, std::nullopt, piece);
  Taken out;
  auto payload = open_payload(request, seed, reader);
  if (!payload) {
    out.code = payload.error().code;
    return out;
  }
  auto all = (*payload)->read_all(1 << 20, {});
  if (all)
    out.bytes = *all;
  else
    out.code = all.error().code;
  out.trailers = (*payload)->trailers();
  return out;
}

std::string example_body() {
  return "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" +
         std::string(65536, 'a') +
         "\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" +
         std::string(1024, 'a') +
         "\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n";
}

TEST(S3Payload, TheChunksOfAWSsExampleAreGoodInWhateverPieces) {
  const auto seed = example_seed(PayloadForm::signed_chunks);
  for (const std::size_t piece : {1u, 7u, 1000u, 100'000u}) {
    const auto taken = take_payload(seed, example_body(), "66560", "", piece);
    EXPECT_EQ(taken.code, "") << piece;
    EXPECT_EQ(taken.bytes, std::string(66560, 'a')) << piece;
  }
}

TEST(S3Payload, AChangedByteOfASignedChunkIsRefused) {
  const auto seed = example_seed(PayloadForm::signed_chunks);
  const auto good = example_body();
  for (std::size_t i = 0; i < good.size();
       i += i < 100 || i + 300 > good.size() || (i > 65600 && i < 65800) ? 1 : 4001) {
    auto bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_NE(take_payload(seed, bad, "66560").code, "") << "byte " << i;
  }
  EXPECT_EQ(take_payload(seed, good, "66559").code, "IncompleteBody");
  EXPECT_EQ(take_payload(seed, good, "66561").code, "IncompleteBody");
  EXPECT_EQ(take_payload(seed, good.substr(0, good.size() - 2), "66560").code, "IncompleteBody");
  EXPECT_EQ(take_payload(seed, good + "x", "66560").code, "InvalidRequest");
}

TEST(S3Payload, OfSignedChunksOnlyTheLastMayBeSmall) {
  const auto seed = example_seed(PayloadForm::signed_chunks);
  auto before = seed.signature;
  std::string body;
  for (const std::string bytes : {"small", "small", ""}) {
    before = chunk_signature(seed, before, hex(sha256(bytes)));
    body += fmt::format("{:x};chunk-signature={}\r\n{}\r\n", bytes.size(), before, bytes);
  }
  EXPECT_EQ(take_payload(seed, body, "10").code, "InvalidChunkSizeError");
}

TEST(S3Payload, ATrailerComesBehindTheBody) {
  S3Signature seed;
  seed.form = PayloadForm::unsigned_trailer;
  const std::string body = "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n",
                    announced = "x-amz-checksum-crc32";
  const auto taken = take_payload(seed, body, "5", announced);
  EXPECT_EQ(taken.code, "");
  EXPECT_EQ(taken.bytes, "hello");
  EXPECT_EQ(taken.trailers.at(announced), "NhCmhg==");
  const std::vector<std::array<std::string, 4>> table = {
      {body, "5", "", "MalformedTrailerError"},
      {body, "5", "x-amz-checksum-crc32,x-amz-checksum-sha1", "MalformedTrailerError"},
      {body, "", announced, "MissingContentLength"},
      {body, "4", announced, "IncompleteBody"},
      {"5\r\nhello\r\n0\r\n\r\n", "5", announced, "MalformedTrailerError"},
      {"5\r\nhello\r\n0\r\nnonsense\r\n\r\n", "5", announced, "MalformedTrailerError"},
      {"5\r\nhelloo\r\n0\r\n\r\n", "5", "", "InvalidRequest"},
      {"5\nhello\r\n0\r\n\r\n", "5", "", "InvalidRequest"},
      {"fffffffff\r\nhello", "5", "", "InvalidChunkSizeError"},
      {"1" + std::string(5000, '0') + "\r\n", "5", "", "InvalidRequest"},
      {"\r\n", "5", "", "InvalidRequest"},
      {"-5\r\nhello\r\n0\r\n\r\n", "5", "", "InvalidRequest"},
  };
  for (const auto& [bytes, decoded, trailer, code] : table)
    EXPECT_EQ(take_payload(seed, bytes, decoded, trailer).code, code) << bytes.substr(0, 40);
}

TEST(S3Payload, ASignedTrailerMustBeSigned) {
  const auto seed = example_seed(PayloadForm::signed_trailer);
  const std::string announced = "x-amz-checksum-crc32";
  auto before = seed.signature;
  std::string body;
  for (const std::string bytes : {"hello", ""}) {
    before = chunk_signature(seed, before, hex(sha256(bytes)));
    body += fmt::format("{:x};chunk-signature={}\r\n{}{}", bytes.size(), before, bytes, bytes.empty() ? "" : "\r\n");
  }
  body += announced + ":NhCmhg==\r\n";
  const auto signature = trailer_signature(seed, before, hex(sha256(announced + ":NhCmhg==\n")));
  EXPECT_EQ(take_payload(seed, body + "x-amz-trailer-signature:" + signature + "\r\n\r\n", "5", announced).code, "");
  EXPECT_EQ(take_payload(seed, body + "\r\n", "5", announced).code, "SignatureDoesNotMatch");
  auto wrong = signature;
  wrong[5] = wrong[5] == '0' ? '1' : '0';
  EXPECT_EQ(take_payload(seed, body + "x-amz-trailer-signature:" + wrong + "\r\n\r\n", "5", announced).code,
            "SignatureDoesNotMatch");
}

}  // namespace
}  // namespace ferry::rehearsal
