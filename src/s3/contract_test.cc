// Against the S3 that FERRY_S3_ENDPOINT names (tests/aws/s3.py starts one and judges every request).
#include "store/contract.h"

#include <gtest/gtest.h>

#include "os/env.h"
#include "s3/bucket.h"
#include "s3/s3_store.h"

namespace ferry::s3 {
namespace {

std::shared_ptr<Session> live_session(const std::string& uri, const std::string& region) {
  Place place = *parse_place(uri);
  place.region = region;
  place.endpoint = os::env("FERRY_S3_ENDPOINT").value_or("");
  place.account = "123456789012";
  Limits limits;
  limits.part = std::uint64_t{5} << 20;
  return std::make_shared<Session>(
      place, aws::fixed_provider({.access_key_id = "A", .secret_access_key = "secret", .session_token = "token"}),
      os::system_clock(), limits);
}

TEST(S3Store, KeepsWhatEveryStorePromises) {
  if (!os::env("FERRY_S3_ENDPOINT")) GTEST_SKIP() << "tests/aws/s3.py sets FERRY_S3_ENDPOINT";
  const auto session = live_session("s3://contract-bucket/some prefix", "us-east-1");
  const auto made = ensure_bucket(session);
  ASSERT_TRUE(made) << describe(made.error());
  const auto store = make_store(session);
  store::keeps_store_contract(*store, "runs/x/");
}

TEST(S3Store, SendsAndFetchesFilesOfManyParts) {
  if (!os::env("FERRY_S3_ENDPOINT")) GTEST_SKIP() << "tests/aws/s3.py sets FERRY_S3_ENDPOINT";
  const auto store = make_store(live_session("s3://contract-bucket/large", "us-east-1"));
  os::TempDir temp;
  std::string bytes(12'000'001, 'x');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31 + i / 7919);
  ASSERT_TRUE(os::write_file(temp.path() / "f", bytes));
  const auto content = store::content_of_bytes(bytes);
  const auto version = store->put_file("f", temp.path() / "f", content, store::if_absent());
  ASSERT_TRUE(version) << describe(version.error());
  const auto again = store->put_file("f", temp.path() / "f", content, store::if_absent());
  EXPECT_EQ(store::kind_of_failure(again), Kind::conflict);
  const auto object = store->get_file("f", temp.path() / "g", content);
  ASSERT_TRUE(object) << describe(object.error());
  EXPECT_EQ(object->version, *version);
  EXPECT_EQ(*store::content_of(temp.path() / "g"), content);
}

}  // namespace
}  // namespace ferry::s3
