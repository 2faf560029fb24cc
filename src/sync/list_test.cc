#include "sync/list.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/hash.h"

namespace ferry::sync {
namespace {

std::vector<Entry> deep_and_wide() {
  std::vector<Entry> entries;
  std::string folder;
  for (int level = 0; level < 30; ++level) {
    folder += (level == 0 ? "" : "/") + ("folder" + std::to_string(level % 7));
    for (const char* beside : {"", "-before", " after"})
      entries.push_back({.path = folder + beside, .type = Type::folder, .mode = 01755, .mtime_ns = level});
    for (int i = 0; i < 3000; ++i) {
      const std::string path = folder + "/" + std::string(static_cast<std::size_t>(i % 255) + 1, 'n');
      entries.push_back({.path = path.substr(0, path.size() - 4) + std::to_string(1000 + i),
                         .as_sent = i % 2 == 0,
                         .mode = 0644,
                         .size = static_cast<std::uint64_t>(i) << 30,
                         .mtime_ns = -i,
                         .sha256 = sha256(path)});
    }
    entries.push_back({.path = folder + " after/link", .type = Type::link, .mode = 0777, .target = "../" + folder});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.path < b.path; });
  const auto twice =
      std::unique(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.path == b.path; });
  entries.erase(twice, entries.end());
  return entries;
}

void expect_same(const Entry& a, const Entry& b) {
  EXPECT_EQ(a.path, b.path);
  EXPECT_EQ(a.type, b.type);
  EXPECT_EQ(a.as_sent, b.as_sent);
  EXPECT_EQ(a.unsettled, b.unsettled);
  EXPECT_EQ(a.mode, b.mode);
  EXPECT_EQ(a.size, b.size);
  EXPECT_EQ(a.mtime_ns, b.mtime_ns);
  EXPECT_EQ(a.sha256, b.sha256);
  EXPECT_EQ(a.target, b.target.str());
}

TEST(List, GivesBackWhatWasAdded) {
  const auto entries = deep_and_wide();
  ASSERT_GT(entries.size(), 40'000U);
  List list;
  for (const Entry& entry : entries) list.add(entry);
  ASSERT_EQ(list.size(), entries.size());
  Entry one;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    list.get(i, one);
    expect_same(one, entries[i]);
    if (i % 97 != 0) continue;
    EXPECT_EQ(list.find(entries[i].path), i);
  }
  EXPECT_EQ(list.find("folder0/nowhere"), list.size());
  EXPECT_EQ(list.find(""), list.size());
}

TEST(List, WhatIsSetChangesAllButThePath) {
  List list;
  list.add({.path = "a", .type = Type::folder});
  list.add({.path = "a/b", .size = 1, .sha256 = sha256("x")});
  list.add({.path = "a/c", .size = 2, .sha256 = sha256("y")});
  Entry changed = list[1];
  changed.sha256.clear();
  changed.size = 7;
  list.set(1, changed);
  expect_same(list[1], changed);
  const auto left = list.take();
  ASSERT_EQ(left.size(), 2U);
  EXPECT_EQ(left[0].path, "a");
  EXPECT_EQ(left[1].path, "a/c");
  EXPECT_EQ(list.size(), 0U);
}

}  // namespace
}  // namespace ferry::sync
