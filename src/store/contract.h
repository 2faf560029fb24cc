#pragma once
/// \file
/// For tests: what every store promises (store.h), asked of one. `fresh` keys begin with a prefix of the
/// caller's own.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "os/file.h"
#include "store/content.h"
#include "store/store.h"

namespace ferry::store {

inline std::vector<std::string> keys_below(Store& store, const std::string& prefix) {
  std::vector<std::string> keys;
  const auto listed = store.list(prefix, [&](const Object& object) -> Status {
    keys.push_back(object.key);
    return {};
  });
  EXPECT_TRUE(listed) << describe(listed.error());
  return keys;
}

inline Kind kind_of_failure(const Status& status) { return status ? Kind::bug : status.error().kind; }
template <class T>
Kind kind_of_failure(const Result<T>& result) {
  return result ? Kind::bug : result.error().kind;
}

inline void keeps_bytes_and_files(Store& store, const std::string& at) {
  os::TempDir temp;
  const auto put = store.put(at + "small", "hello");
  ASSERT_TRUE(put) << describe(put.error());
  const auto got = store.get(at + "small");
  ASSERT_TRUE(got) << describe(got.error());
  EXPECT_EQ(got->bytes, "hello");
  EXPECT_EQ(got->object.version, *put);
  EXPECT_EQ(got->object.bytes, 5u);
  EXPECT_EQ(kind_of_failure(store.get(at + "small", 4)), Kind::bad_input);
  EXPECT_EQ(kind_of_failure(store.get(at + "none")), Kind::not_found);
  EXPECT_EQ(kind_of_failure(store.look(at + "none")), Kind::not_found);
  EXPECT_EQ(kind_of_failure(store.get_file(at + "none", temp.path() / "none")), Kind::not_found);
  EXPECT_FALSE(os::exists(temp.path() / "none"));

  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{300'000}}) {
    std::string bytes(size, 'x');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
    const os::Path from = temp.path() / "from", to = temp.path() / "to";
    ASSERT_TRUE(os::write_file(from, bytes));
    const Content content = content_of_bytes(bytes);
    const auto stored = store.put_file(at + "file", from, content);
    ASSERT_TRUE(stored) << describe(stored.error());
    const auto there = store.look(at + "file");
    ASSERT_TRUE(there) << describe(there.error());
    EXPECT_EQ(there->bytes, size);
    EXPECT_EQ(there->version, *stored);
    EXPECT_EQ(there->sha256, content.sha256);
    const auto object = store.get_file(at + "file", to, content);
    ASSERT_TRUE(object) << describe(object.error());
    EXPECT_EQ(*content_of(to), content);
    EXPECT_EQ(kind_of_failure(store.get_file(at + "file", temp.path() / "other", Content{std::string(64, '0'), size})),
              Kind::corrupt);
    EXPECT_FALSE(os::exists(temp.path() / "other"));
    EXPECT_EQ(kind_of_failure(store.put_file(at + "changed", from, Content{std::string(64, '0'), size})),
              Kind::corrupt);
    EXPECT_EQ(kind_of_failure(store.put_file(at + "changed", from, Content{content.sha256, size + 1})), Kind::corrupt);
    EXPECT_EQ(kind_of_failure(store.look(at + "changed")), Kind::not_found);
  }
  EXPECT_EQ(os::list_dir(temp.path())->size(), 2u) << "something half-written was left";
}

inline void keeps_conditions(Store& store, const std::string& at) {
  const std::string key = at + "lease";
  const auto first = store.put(key, "one", if_absent());
  ASSERT_TRUE(first) << describe(first.error());
  EXPECT_EQ(kind_of_failure(store.put(key, "two", if_absent())), Kind::conflict);
  EXPECT_EQ(store.get(key)->bytes, "one");
  const auto second = store.put(key, "two", if_still(*first));
  ASSERT_TRUE(second) << describe(second.error());
  EXPECT_EQ(kind_of_failure(store.put(key, "three", if_still(*first))), Kind::conflict);
  EXPECT_EQ(kind_of_failure(store.remove(key, if_still(*first))), Kind::conflict);
  EXPECT_EQ(kind_of_failure(store.remove(key, if_absent())), Kind::bad_input);
  EXPECT_EQ(store.get(key)->bytes, "two");
  const auto removed = store.remove(key, if_still(*second));
  ASSERT_TRUE(removed) << describe(removed.error());
  EXPECT_EQ(kind_of_failure(store.put(key, "four", if_still(*second))), Kind::conflict);
  EXPECT_EQ(kind_of_failure(store.remove(key, if_still(*second))), Kind::conflict);
  EXPECT_TRUE(store.remove(key));
  EXPECT_EQ(kind_of_failure(store.get(key)), Kind::not_found);
}

inline void keeps_listings(Store& store, const std::string& at) {
  for (const char* name : {"b/x", "b-", "b0", "a b+c\xc3\xbc&<", "b/y/z", "c"}) ASSERT_TRUE(store.put(at + name, name));
  // By bytes: '-' comes before '/', '/' before '0'.
  const std::vector<std::string> all = {at + "a b+c\xc3\xbc&<", at + "b-", at + "b/x",
                                        at + "b/y/z",           at + "b0", at + "c"};
  EXPECT_EQ(keys_below(store, at), all);
  EXPECT_EQ(keys_below(store, at + "b/"), (std::vector<std::string>{at + "b/x", at + "b/y/z"}));
  EXPECT_EQ(keys_below(store, at + "b").size(), 4u);
  EXPECT_EQ(keys_below(store, at + "none/"), std::vector<std::string>());
  int seen = 0;
  const auto ended = store.list(at, [&](const Object& object) -> Status {
    EXPECT_GT(object.bytes, 0u);
    EXPECT_GT(object.modified_ms, 1'600'000'000'000);
    ++seen;
    return fail(Kind::cancelled, "enough");
  });
  EXPECT_EQ(kind_of_failure(ended), Kind::cancelled);
  EXPECT_EQ(seen, 1);
  EXPECT_EQ(kind_of_failure(store.remove_all(at + "b")), Kind::bad_input);
  const auto removed = store.remove_all(at + "b/");
  ASSERT_TRUE(removed) << describe(removed.error());
  EXPECT_EQ(keys_below(store, at).size(), 4u);
  EXPECT_TRUE(store.remove_all(at));
  EXPECT_EQ(keys_below(store, at), std::vector<std::string>());
}

inline void refuses_keys_that_are_none(Store& store) {
  os::TempDir temp;
  ASSERT_TRUE(os::write_file(temp.path() / "f", "x"));
  for (const std::string key :
       {"", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "a\nb", "a\\b", "a\xff", ".ferry-store/x"}) {
    EXPECT_EQ(kind_of_failure(store.put(key, "x")), Kind::bad_input) << key;
    EXPECT_EQ(kind_of_failure(store.put_file(key, temp.path() / "f", content_of_bytes("x"))), Kind::bad_input) << key;
    EXPECT_EQ(kind_of_failure(store.get(key)), Kind::bad_input) << key;
    EXPECT_EQ(kind_of_failure(store.get_file(key, temp.path() / "g")), Kind::bad_input) << key;
    EXPECT_EQ(kind_of_failure(store.remove(key)), Kind::bad_input) << key;
  }
  EXPECT_EQ(kind_of_failure(store.list("../", [](const Object&) -> Status { return {}; })), Kind::bad_input);
}

inline void keeps_store_contract(Store& store, const std::string& at) {
  keeps_bytes_and_files(store, at + "files/");
  keeps_conditions(store, at + "conditions/");
  keeps_listings(store, at + "listings/");
  refuses_keys_that_are_none(store);
}

}  // namespace ferry::store
