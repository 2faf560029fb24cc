#include "base/store_place.h"

#include <gtest/gtest.h>

namespace ferry {
namespace {

TEST(StorePlace, IsABucketWithAPrefixOrAFolder) {
  const auto in_s3 = parse_store_place("s3://my-bucket/team/runs/");
  ASSERT_TRUE(in_s3) << describe(in_s3.error());
  EXPECT_EQ(in_s3->bucket, "my-bucket");
  EXPECT_EQ(in_s3->prefix, "team/runs/");
  EXPECT_EQ(uri_of(*in_s3), "s3://my-bucket/team/runs");
  EXPECT_EQ(uri_of(*parse_store_place("s3://my-bucket/")), "s3://my-bucket");
  for (const char* folder : {"/shared/runs", "~/runs", "/a b/c", "/shared/runs/"}) {
    const auto place = parse_store_place(folder);
    ASSERT_TRUE(place) << folder;
    EXPECT_TRUE(place->bucket.empty());
    EXPECT_TRUE(std::string(folder).starts_with(place->folder));
    EXPECT_FALSE(place->folder.ends_with('/'));
  }
}

TEST(StorePlace, SaysWhatIsUnderstoodForAnythingElse) {
  for (const char* bad : {"",
                          "gs://bucket/x",
                          "http://host/x",
                          "https://s3.amazonaws.com/bucket",
                          "abfs://c@a/x",
                          "r2://bucket",
                          "S3://bucket",
                          "runs",
                          "./runs",
                          "../runs",
                          "~",
                          "/",
                          "~other/runs",
                          "/a/../b",
                          "/a//b",
                          "s3:/bucket",
                          "s3://",
                          "s3://ab",
                          "s3://Bucket",
                          "s3://a_b",
                          "s3://192.168.0.1",
                          "s3://bucket//x",
                          "s3://bucket/../x",
                          "s3://bucket/a\nb",
                          "s3://bucket/a*",
                          "s3://bucket/${aws:x}"}) {
    const auto place = parse_store_place(bad);
    ASSERT_FALSE(place) << bad;
    EXPECT_EQ(place.error().kind, Kind::bad_input) << bad;
    EXPECT_FALSE(place.error().why.empty()) << bad;
    EXPECT_NE(place.error().advice.find("s3://BUCKET/PREFIX"), std::string::npos) << bad;
  }
  EXPECT_FALSE(parse_store_place("s3://bucket/" + std::string(101, 'x')));
}

}  // namespace
}  // namespace ferry
