#include "store/inventory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/content.h"
#include "store/folder.h"

namespace ferry::store {
namespace {

using testing::ElementsAre;

/// A store with runs in it.
struct Shelf {
  os::TempDir temp;
  std::unique_ptr<Store> store = *open_folder(temp.path() / "store");

  /// Stores an output of the run's attempt; its entry.
  ManifestEntry output(const std::string& run, int attempt, const std::string& path, const std::string& bytes) {
    const auto content = content_of_bytes(bytes);
    const auto key = file_key(run, attempt, 0, FileKind::output, path, content.sha256);
    EXPECT_TRUE(store->put(key, bytes));
    return {.path = path, .bytes = content.bytes, .sha256 = content.sha256, .mode = 0644, .key = key};
  }
  void name_them(const std::string& run, int attempt, std::vector<ManifestEntry> entries, bool complete, int rank = 0) {
    const auto text = manifest_text({.run = run,
                                     .attempt = attempt,
                                     .rank = rank,
                                     .made_ms = 1,
                                     .complete = complete,
                                     .entries = std::move(entries)});
    EXPECT_TRUE(text);
    EXPECT_TRUE(store->put(manifest_key(run, attempt, rank), *text));
  }
  StoredRun run(const std::string& name) { return *stored_run(*store, name); }
};

TEST(Inventory, CountsWhatEachRunHasStoredByKind) {
  Shelf shelf;
  shelf.name_them("a-1", 1, {shelf.output("a-1", 1, "outputs/m", "12345")}, true);
  EXPECT_TRUE(shelf.store->put("runs/a/a2/r0/checkpoints/c", "123"));
  EXPECT_TRUE(shelf.store->put("runs/a/a2/r0/outputs-by-content/x", "1"));
  EXPECT_TRUE(shelf.store->put("runs/a/a2/r0/log/frames-000000000000", "12"));
  EXPECT_TRUE(shelf.store->put("runs/a/record.json", "{}"));
  EXPECT_TRUE(shelf.store->put("runs/nobodys", "1"));
  EXPECT_TRUE(shelf.store->put("else/a", "1"));
  const auto runs = stored_runs(*shelf.store);
  ASSERT_TRUE(runs) << describe(runs.error());
  ASSERT_EQ(runs->size(), 2u);
  const auto& a = runs->front();
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.objects, 4u);
  EXPECT_EQ(a.bytes, 8u);
  EXPECT_EQ(a.bytes_by_kind.at("outputs"), 1u);
  EXPECT_EQ(a.bytes_by_kind.at("checkpoints"), 3u);
  EXPECT_EQ(a.bytes_by_kind.at("log"), 2u);
  EXPECT_GT(a.modified_ms, 0);
  EXPECT_TRUE(a.manifests.empty());
  EXPECT_THAT(runs->back().manifests, ElementsAre("runs/a-1/a1/r0/manifest.json"));
  EXPECT_EQ(stored_run(*shelf.store, "b").error().kind, Kind::not_found);
  EXPECT_EQ(stored_run(*shelf.store, "../b").error().kind, Kind::bad_input);
}

TEST(Inventory, ARunIsCompleteByTheManifestsOfItsNewestAttempt) {
  Shelf shelf;
  shelf.name_them("a", 1, {}, true);
  EXPECT_TRUE(is_complete(*newest_manifests(*shelf.store, shelf.run("a"))));
  shelf.name_them("a", 2, {}, false, 0);
  shelf.name_them("a", 2, {}, true, 1);
  auto newest = newest_manifests(*shelf.store, shelf.run("a"));
  ASSERT_TRUE(newest) << describe(newest.error());
  ASSERT_EQ(newest->size(), 2u);
  EXPECT_EQ(newest->front().attempt, 2);
  EXPECT_FALSE(is_complete(*newest));
  shelf.name_them("a", 10, {}, true);
  EXPECT_TRUE(is_complete(*newest_manifests(*shelf.store, shelf.run("a"))));
  EXPECT_FALSE(is_complete({}));
}

TEST(Inventory, WhatAnyManifestOfTheRunNamesIsNamed) {
  Shelf shelf;
  const auto old = shelf.output("a", 1, "outputs/old", "1"), kept = shelf.output("a", 1, "outputs/kept", "2");
  shelf.name_them("a", 1, {old}, false);
  shelf.name_them("a", 2, {kept}, false);
  shelf.output("a", 2, "outputs/half", "3");
  EXPECT_TRUE(shelf.store->put(lease_key("a"), "{}"));
  EXPECT_TRUE(shelf.store->put("runs/a/record.json", "{}"));
  const auto unnamed = unnamed_objects(*shelf.store, shelf.run("a"));
  ASSERT_TRUE(unnamed) << describe(unnamed.error());
  ASSERT_EQ(unnamed->size(), 1u);
  EXPECT_EQ(unnamed->front().key, "runs/a/a2/r0/outputs/outputs/half");
}

TEST(Inventory, NothingIsUnnamedWhereAManifestCannotBeReadOrIsAnothers) {
  Shelf shelf;
  shelf.output("a", 1, "outputs/m", "1");
  EXPECT_TRUE(shelf.store->put(manifest_key("a", 1, 0), "{}"));
  EXPECT_EQ(unnamed_objects(*shelf.store, shelf.run("a")).error().kind, Kind::corrupt);
  EXPECT_EQ(newest_manifests(*shelf.store, shelf.run("a")).error().kind, Kind::corrupt);
  shelf.name_them("b", 1, {}, true);
  const auto of_b = shelf.store->get(manifest_key("b", 1, 0));
  ASSERT_TRUE(of_b);
  EXPECT_TRUE(shelf.store->put(manifest_key("a", 1, 0), of_b->bytes));
  EXPECT_EQ(unnamed_objects(*shelf.store, shelf.run("a")).error().kind, Kind::corrupt);
}

TEST(Inventory, ARunIsRemovedWithAllItHasAndNoOther) {
  Shelf shelf;
  shelf.name_them("a", 1, {shelf.output("a", 1, "outputs/m", "1")}, true);
  shelf.name_them("a-1", 1, {shelf.output("a-1", 1, "outputs/m", "1")}, true);
  ASSERT_TRUE(remove_run(*shelf.store, shelf.run("a")));
  const auto left = stored_runs(*shelf.store);
  ASSERT_TRUE(left);
  ASSERT_EQ(left->size(), 1u);
  EXPECT_EQ(left->front().name, "a-1");
  EXPECT_EQ(left->front().objects, 2u);
}

}  // namespace
}  // namespace ferry::store
