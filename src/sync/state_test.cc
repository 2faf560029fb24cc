#include "sync/state.h"

#include "sync/sync_testing.h"

namespace ferry::sync {

namespace {

using Model = std::map<std::string, std::uint64_t>;  // path → what its record is made of

Record record_of(std::uint64_t number) {
  if (number % 7 == 0) return {.type = Type::folder};
  if (number % 11 == 0) return {.type = Type::link, .sha256 = sha256(std::to_string(number))};
  const auto some = static_cast<std::int64_t>(number * 0x9e3779b97f4a7c15ULL);
  return {.size = number % 13 == 0 ? ~std::uint64_t{0} : number,
          .inode = number % 3,
          .mtime_ns = some,
          .ctime_ns = number % 5 == 0 ? -some : some + 40,
          .sha256 = sha256(std::to_string(number))};
}

bool operator==(const Record& a, const Record& b) {
  return a.type == b.type && a.is_forgotten == b.is_forgotten && a.size == b.size && a.inode == b.inode &&
         a.mtime_ns == b.mtime_ns && a.ctime_ns == b.ctime_ns && a.sha256 == b.sha256;
}

void expect_holds(const State& state, const Model& model) {
  auto wanted = model.begin();
  ASSERT_OK(state.each([&](std::string_view path, const Record& record) -> Status {
    EXPECT_TRUE(wanted != model.end() && path == wanted->first && record == record_of(wanted->second)) << path;
    if (wanted != model.end()) ++wanted;
    return {};
  }));
  EXPECT_TRUE(wanted == model.end());
}

/// Paths that share beginnings, and lie in every order beside their folders: "a", "a-b", "a/b".
std::string path_of(std::uint64_t number) {
  std::string path = "data";
  for (; number > 0; number /= 50) path += "/-.x"[number % 4] + std::to_string(number % 50);
  return path;
}

TEST(State, HoldsWhatWasNotedInAnyOrderAndChangedAndDropped) {
  const os::TempDir temp;
  const auto file = temp.path() / "folder/state";
  Model model;
  std::uint64_t noise = 88172645463325252ULL;
  const auto random = [&] { return noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17; };
  for (int sync = 0; sync < 3; ++sync) {
    auto state = State::load(file);
    EXPECT_EQ(state.loaded(), model.size());
    for (int i = 0; i < 60'000; ++i) {
      const auto path = path_of(random() % 40'000);
      const auto value = random();
      if (value % 4 == 0) {
        state.drop(path);
        model.erase(path);
      } else {
        state.note(path, record_of(value));
        model[path] = value;
      }
    }
    expect_holds(state, model);
    ASSERT_OK(state.save(file));
    const auto again = State::load(file);
    expect_holds(again, model);
    const auto copy = again;
    for (int i = 0; i < 2'000; ++i) {
      const auto path = path_of(random() % 45'000);
      const auto found = i % 2 ? again.find(path) : copy.find(path);
      const auto known = model.find(path);
      ASSERT_EQ(found.has_value(), known != model.end()) << path;
      EXPECT_TRUE(!found || *found == record_of(known->second)) << path;
    }
  }
  EXPECT_EQ(listing(temp.path() / "folder"), std::vector<std::string>{"state"});
}

TEST(State, WithoutAFileRemembersNothing) {
  auto state = State::load({});
  state.note("a", record_of(1));
  EXPECT_TRUE(state.empty());
  ASSERT_OK(state.save({}));
}

TEST(State, WhatIsCutForeignOrOfAnEarlierVersionIsEmpty) {
  const os::TempDir temp;
  const auto file = temp.path() / "state";
  State state;
  for (std::uint64_t i = 0; i < 3'000; ++i) state.note(path_of(i), record_of(i));
  ASSERT_OK(state.save(file));
  const auto whole = read(file);
  for (std::size_t size = 0; size < whole.size(); size += size < 100 || size + 100 > whole.size() ? 1 : 997) {
    ASSERT_OK(os::write_file(file, whole.substr(0, size)));
    ASSERT_TRUE(State::load(file).empty()) << size;
  }
  for (const std::string& other : {std::string("ferry tree 1\n") + whole, std::string(100, 'x'), whole + "x"}) {
    ASSERT_OK(os::write_file(file, other));
    EXPECT_TRUE(State::load(file).empty());
  }
  EXPECT_TRUE(State::load(temp.path()).empty());
  EXPECT_TRUE(State::load(temp.path() / "absent").empty());
}

TEST(State, NoByteThatIsDamagedBecomesAWrongAnswer) {
  const os::TempDir temp;
  const auto file = temp.path() / "state";
  State state;
  Model model;
  for (std::uint64_t i = 0; i < 3'000; ++i) {
    state.note(path_of(i), record_of(i));
    model[path_of(i)] = i;
  }
  ASSERT_OK(state.save(file));
  const auto whole = read(file);
  for (std::size_t at = 0; at < whole.size(); at += 499) {
    auto damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    ASSERT_OK(os::write_file(file, damaged));
    std::size_t seen = 0;
    ASSERT_OK(State::load(file).each([&](std::string_view path, const Record& record) -> Status {
      const auto known = model.find(std::string(path));
      EXPECT_TRUE(known != model.end() && record == record_of(known->second)) << path << " at " << at;
      ++seen;
      return {};
    }));
    EXPECT_LT(seen, model.size());
  }
}

TEST(State, AFileIsTheSameOnlyIfItsMarksAre) {
  const Standing marks{.is = Standing::Is::file,
                       .mode = 0644,
                       .size = 5,
                       .inode = 77,
                       .mtime_ns = 1'000'000'000,
                       .ctime_ns = 2'000'000'000};
  const auto known = file_record(marks, sha256("x"), 9'000'000'000);
  EXPECT_TRUE(is_same_file(known, marks));
  const auto differs = [&](auto change) {
    auto now = marks;
    change(now);
    return !is_same_file(known, now);
  };
  EXPECT_TRUE(differs([](Standing& now) { now.size = 6; }));
  EXPECT_TRUE(differs([](Standing& now) { now.inode = 78; }));
  EXPECT_TRUE(differs([](Standing& now) { ++now.mtime_ns; }));
  EXPECT_TRUE(differs([](Standing& now) { ++now.ctime_ns; }));
  EXPECT_TRUE(differs([](Standing& now) { now.is = Standing::Is::link; }));
  EXPECT_FALSE(differs([](Standing& now) { now.mode = 0600; }));
  const auto fresh = file_record(marks, sha256("x"), 2'000'000'001);
  EXPECT_FALSE(is_same_file(fresh, marks)) << "it may change again within this tick of the clock";
}

}  // namespace

}  // namespace ferry::sync
