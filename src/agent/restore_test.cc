#include "agent/restore.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "base/text.h"
#include "store/folder.h"
#include "store/manifest.h"
#include "store/store.h"
#include "sync/outputs.h"

namespace ferry::agent {
namespace {

/// A store, a folder, in which another run has stored outputs/model and a link to it.
class RestoringAnother : public testing::Test {
 protected:
  RestoringAnother() {
    auto opened = store::open_folder(root);
    EXPECT_TRUE(opened);
    there = std::move(*opened);
    const std::string text = "a model";
    const auto key = store::file_key("before", 2, 0, store::FileKind::output, "outputs/model", hex(sha256(text)));
    EXPECT_TRUE(there->put(key, text));
    manifest = {.run = "before", .attempt = 2, .made_ms = 5, .complete = true};
    manifest.entries = {{.path = "outputs/model",
                         .bytes = text.size(),
                         .sha256 = hex(sha256(text)),
                         .mode = 0644,
                         .key = key,
                         .mtime_ns = 1'000'000'000},
                        {.path = "outputs/newest", .mtime_ns = 1, .link = "model"}};
    put_manifest();
    order.manifest = hex(sha256(*store::manifest_text(manifest)));
  }
  void put_manifest() { EXPECT_TRUE(there->put(store::manifest_key("before", 2, 0), *store::manifest_text(manifest))); }
  Result<RestoreReport> go() {
    return restore(order, dir.path() / "now", [](const RestoreReport&) { return true; });
  }
  os::TempDir dir;
  os::Path root = dir.path() / "store", work = dir.path() / "work";
  std::unique_ptr<store::Store> there;
  store::Manifest manifest;
  RestoreOrder order{.run = "before", .attempt = 2, .workdir = work.string(), .store = {.uri = root.string()}};
};

TEST_F(RestoringAnother, ItsFilesComeAsIfTheyHadBeenSentAndAreNoOutputsOfTheRunThatTakesThem) {
  const auto restored = go();
  ASSERT_TRUE(restored) << describe(restored.error());
  EXPECT_EQ(restored->files, 1u);
  EXPECT_EQ(os::read_file(work / "outputs/model").value_or(""), "a model");
  EXPECT_FALSE(os::exists(work / "outputs/newest")) << "links are sent";
  ASSERT_TRUE(os::write_file(work / "outputs/own", "x"));
  const sync::OutputsQuery query{.globs = {}, .sent = dir.path() / "now-sync.state"};
  auto outputs = sync::collect_outputs(work, query);
  ASSERT_TRUE(outputs) << describe(outputs.error());
  std::string files;
  for (const auto& entry : outputs->entries) files += entry.type == sync::Type::file ? entry.path + " " : "";
  EXPECT_EQ(files, "outputs/own ");
  ASSERT_TRUE(go()) << "again does nothing";
}

TEST_F(RestoringAnother, WhatIsNotThereAnyMoreOrIsNotWhatItWasEndsIt) {
  manifest.made_ms = 6;
  put_manifest();
  const auto other = go();
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().kind, Kind::conflict) << describe(other.error());
  ASSERT_TRUE(there->remove(store::manifest_key("before", 2, 0)));
  const auto gone = go();
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().kind, Kind::not_found) << describe(gone.error());
  EXPECT_FALSE(os::exists(work / "outputs/model"));
}

TEST_F(RestoringAnother, TheOrderComesBackFromItsJsonAndADigestThatIsNoneIsRefused) {
  const auto back = restore_order_from(to_json(order));
  ASSERT_TRUE(back) << describe(back.error());
  EXPECT_EQ(back->manifest, order.manifest);
  order.manifest = "abc";
  EXPECT_FALSE(restore_order_from(to_json(order)));
}

}  // namespace
}  // namespace ferry::agent
