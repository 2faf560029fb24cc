#include "fleet/store_access.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "fleet/test_context.h"
#include "store/folder.h"

namespace ferry::fleet {
namespace {

TEST(StoreAccess, AFolderIsAStore) {
  TestContext test;
  const auto folder = test.dir.path() / "shared" / "runs";
  const auto store = open_store(test.context, folder.string(), "", "");
  ASSERT_TRUE(store) << describe(store.error());
  ASSERT_TRUE((*store)->put("runs/a/x", "1"));
  EXPECT_EQ((*store)->uri(), folder.string());
  EXPECT_EQ((*(*store::open_folder(folder))->get("runs/a/x")).bytes, "1");
}

TEST(StoreAccess, TheRehearsalHasAnS3OfItsOwn) {
  TestContext test;
  const auto session = open_s3(test.context, "s3://my-bucket/team", "", "", "rehearsal");
  ASSERT_TRUE(session) << describe(session.error());
  const auto place = (*session)->place();
  EXPECT_EQ(place.bucket, "my-bucket");
  EXPECT_EQ(place.prefix, "team/");
  EXPECT_EQ(place.endpoint, "http://127.0.0.1:10");
  EXPECT_EQ(place.region, "us-east-1");
  EXPECT_TRUE(os::is_directory((*session)->limits().state_folder)) << "an upload that broke off is gone on with";
  EXPECT_EQ((*open_store(test.context, "s3://my-bucket/team", "", "", "rehearsal"))->uri(), "s3://my-bucket/team");
}

TEST(StoreAccess, ABucketOfFerrysOwnIsUsedOnlyWhereItIsStillOfItsAccount) {
  ::setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
  ::setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
  ::setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:11", 1);
  TestContext test;
  const auto place = [&](const std::string& uri) {
    const auto session = open_s3(test.context, uri, "eu-west-1", "");
    EXPECT_TRUE(session) << describe(session.error());
    return session ? (*session)->place() : s3::Place();
  };
  const auto own = place("s3://" + own_bucket("123456789012", "eu-west-1"));
  EXPECT_EQ(own.account, "123456789012");
  EXPECT_EQ(own.region, "eu-west-1");
  EXPECT_EQ(own.endpoint, "http://127.0.0.1:11");
  for (const char* other :
       {"s3://team-bucket", "s3://ferry-12345678901x-a", "s3://ferry-1234", "s3://ferry-1234567890123-a"})
    EXPECT_EQ(place(other).account, "") << other;
  for (const char* name : {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3"}) ::unsetenv(name);
}

TEST(StoreAccess, WhatIsNoPlaceOfAStoreIsRefused) {
  TestContext test;
  EXPECT_EQ(open_store(test.context, "gs://bucket", "", "").error().kind, Kind::bad_input);
  EXPECT_EQ(open_s3(test.context, "/shared/runs", "", "").error().kind, Kind::bad_input);
}

}  // namespace
}  // namespace ferry::fleet
