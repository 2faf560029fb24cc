#include "rehearsal/s3_checksum.h"

#include "base/text.h"

namespace ferry::rehearsal {
namespace {

TEST(S3Checksum, TheKnownValuesOfTheDigits) {
  // The check values of the CRC catalogue; SHA-1 and SHA-256 from FIPS 180's own tools.
  const std::map<Checksum, std::string> known = {
      {Checksum::crc32, "cbf43926"},
      {Checksum::crc32c, "e3069283"},
      {Checksum::crc64nvme, "ae8b14860a799888"},
      {Checksum::sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"},
      {Checksum::sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"},
      {Checksum::md5, "25f9e794323b453885f5181f1b624d0b"}};
  for (const auto& [kind, value] : known) EXPECT_EQ(hex(checksum(kind, "123456789")), value) << name(kind);
}

TEST(S3Checksum, IsTheSameInWhateverPiecesTheBytesCome) {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += static_cast<char>(i * 7 + i / 3);
  for (const auto kind : checksum_kinds)
    for (const std::size_t piece : {1u, 3u, 8u, 13u, 999u}) {
      Summing sum(kind);
      for (std::size_t at = 0; at < bytes.size(); at += piece) sum.add(std::string_view(bytes).substr(at, piece));
      EXPECT_EQ(sum.finish(), checksum(kind, bytes)) << name(kind) << " by " << piece;
    }
}

TEST(S3Checksum, OfAWholeFollowsFromThoseOfItsParts) {
  const std::string all = "The quick brown fox jumps over the lazy dog" + std::string(5000, 'x');
  for (const auto kind : {Checksum::crc32, Checksum::crc32c, Checksum::crc64nvme})
    for (const std::size_t cut : {std::size_t{0}, std::size_t{1}, std::size_t{43}, all.size()}) {
      const auto first = std::string_view(all).substr(0, cut), second = std::string_view(all).substr(cut);
      EXPECT_EQ(combined(kind, checksum(kind, first), checksum(kind, second), second.size()), checksum(kind, all))
          << name(kind) << " at " << cut;
    }
}

TEST(S3Checksum, IsFoundByItsNameInAnyCase) {
  EXPECT_EQ(checksum_named("crc64nvme"), Checksum::crc64nvme);
  EXPECT_EQ(checksum_named("SHA256"), Checksum::sha256);
  EXPECT_EQ(checksum_named("MD5"), std::nullopt);
  EXPECT_EQ(checksum_named(""), std::nullopt);
}

}  // namespace
}  // namespace ferry::rehearsal
