#include "store/data_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/contract.h"
#include "store/folder.h"

namespace ferry::store {
namespace {

using testing::ElementsAre;

struct Sets : testing::Test {
  os::TempDir temp;
  std::unique_ptr<Store> store = *open_folder(temp.path() / "store");

  ManifestEntry put(const std::string& path, const std::string& bytes) {
    const auto content = content_of_bytes(bytes);
    EXPECT_TRUE(store->put(content_key(content.sha256), bytes));
    return {.path = path,
            .bytes = content.bytes,
            .sha256 = content.sha256,
            .mode = 0644,
            .key = content_key(content.sha256),
            .mtime_ns = 5};
  }
  std::string commit(const std::vector<ManifestEntry>& files, const std::string& name, std::int64_t made_ms = 1) {
    const auto id = set_id(files);
    EXPECT_TRUE(begin_set(*store, id, "me@here", made_ms));
    const auto done = commit_set(*store, {id, name, "me@here", files.size(), 7, made_ms}, files);
    EXPECT_TRUE(done) << describe(done.error());
    return id;
  }
};

TEST_F(Sets, AreListedAndHaveTheirFilesBackWithContentsOnce) {
  const auto one = put("a/b", "same"), two = put("c", "same"), three = put("d", "other");
  const ManifestEntry link{.path = "l", .mtime_ns = 5, .link = "a/b"};
  const auto id = commit({three, one, two, link}, "digits", 1), other = commit({one}, "small", 2);
  EXPECT_EQ(stored_contents(*store)->size(), 2u);
  const auto all = list_sets(*store);
  ASSERT_TRUE(all) << describe(all.error());
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ((*all)[0].id, other);
  EXPECT_EQ((*all)[1].name, "digits");
  const auto files = files_of_set(*store, id);
  ASSERT_TRUE(files) << describe(files.error());
  EXPECT_THAT(*files, testing::UnorderedElementsAre(one, two, three, link));
}

TEST_F(Sets, AreCalledByWhatIsInThemWhateverTheOrderAndTheTimes) {
  auto one = put("a", "1"), two = put("b", "2");
  const auto id = set_id({one, two});
  one.mtime_ns = 77;
  EXPECT_EQ(set_id({two, one}), id);
  EXPECT_TRUE(is_set_id(id));
  auto renamed = one;
  renamed.path = "aa";
  EXPECT_NE(set_id({renamed, two}), id);
  auto mode = one;
  mode.mode = 0755;
  EXPECT_NE(set_id({mode, two}), id);
}

TEST_F(Sets, ThatAreRemovedTakeOnlyWhatNoOtherNeeds) {
  const auto shared = put("a", "shared"), own = put("b", "own");
  const auto id = commit({shared, own}, "one"), other = commit({shared}, "two");
  const auto removed = remove_sets(*store, {id}, 10, false);
  ASSERT_TRUE(removed) << describe(removed.error());
  EXPECT_EQ(removed->contents, 1u);
  EXPECT_EQ(removed->bytes, 3u);
  EXPECT_THAT(*stored_contents(*store), ElementsAre(shared.sha256));
  EXPECT_EQ(kind_of_failure(look_up_set(*store, id)), Kind::not_found);
  EXPECT_TRUE(files_of_set(*store, other));
}

TEST_F(Sets, WhileOneIsPutNothingIsRemovedUnlessItsMakerIsGone) {
  const auto file = put("a", "1"), under_way = put("b", "2");
  const auto id = commit({file}, "one");
  constexpr std::int64_t day = 24 * 3'600'000;
  ASSERT_TRUE(begin_set(*store, set_id({under_way}), "ben@tower", 5));
  EXPECT_EQ(kind_of_failure(remove_sets(*store, {id}, day, false)), Kind::conflict);
  EXPECT_TRUE(look_up_set(*store, id));
  EXPECT_TRUE(remove_sets(*store, {id}, 3 * day, false));
}

TEST_F(Sets, ThatAreDamagedAreCorruptAndKeepOthersFromBeingRemoved) {
  const auto file = put("a", "1"), second = put("b", "2");
  const auto id = commit({file}, "one"), other = commit({second}, "two");
  ASSERT_TRUE(store->put("data/sets/" + other + ".files.json", "[]"));
  EXPECT_EQ(kind_of_failure(files_of_set(*store, other)), Kind::corrupt);
  EXPECT_EQ(kind_of_failure(remove_sets(*store, {id}, 10, false)), Kind::corrupt);
  ASSERT_TRUE(store->put(
      "data/sets/" + other + ".files.json",
      R"([{"path": "../x", "bytes": 1, "mode": 420, "mtime_ns": 1, "sha256": ")" + second.sha256 + R"("}])"));
  EXPECT_EQ(kind_of_failure(files_of_set(*store, other)), Kind::corrupt);
}

}  // namespace
}  // namespace ferry::store
