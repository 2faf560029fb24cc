#include "sync/deposit.h"

#include "sync/sync_testing.h"

namespace ferry::sync {
namespace {

class Deposits : public ::testing::Test {
 protected:
  Entry file(const std::string& path, const std::string& content) {
    contents_[sha256(content)] = content;
    return {.path = path,
            .mode = 0644,
            .size = content.size(),
            .mtime_ns = 1'600'000'000'000'000'005,
            .sha256 = sha256(content)};
  }
  Result<Deposit> open(std::vector<Entry> entries) { return Deposit::open(home_, std::move(entries), options_); }
  /// What had to be brought, or the error.
  Result<std::vector<std::string>> put(std::vector<Entry> entries) {
    TRY_SET(deposit, "", open(std::move(entries)));
    TRY_SET(wanted, "", deposit.compare());
    std::vector<std::string> brought;
    for (const auto index : wanted) {
      TRY("", os::write_file(deposit.incoming(index), contents_[std::string(deposit.entries()[index].sha256)]));
      TRY("", deposit.place(index));
      brought.push_back(deposit.entries()[index].path);
    }
    TRY_SET(notes, "", deposit.finish());
    EXPECT_EQ(notes, std::vector<std::string>());
    return brought;
  }
  std::vector<std::string> listing() const {
    std::vector<std::string> names;
    for (const auto& one : std::filesystem::directory_iterator(home_)) names.push_back(one.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  os::TempDir temp_;
  os::Path home_ = temp_.path() / "home";
  ReceiveOptions options_ = [&] {
    ReceiveOptions options;
    options.state_file = temp_.path() / "state";
    options.without_mode = 027;
    return options;
  }();
  std::map<std::string, std::string> contents_;
  using Paths = std::vector<std::string>;
};

TEST_F(Deposits, PutFilesAndLinksInPlaceWithTheirFoldersModesAndTimes) {
  const Entry latest{.path = "outputs/latest", .type = Type::link, .mtime_ns = 5, .target = "deep/a"};
  const auto done = put({file("outputs/deep/a", "one"), latest, file("b", "two")});
  ASSERT_OK(done);
  EXPECT_EQ(*done, (Paths{"b", "outputs/deep/a"}));
  EXPECT_EQ(read(home_ / "outputs/latest"), "one");
  EXPECT_EQ(read(home_ / "b"), "two");
  struct stat info;
  ASSERT_EQ(::stat((home_ / "b").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640U);
  EXPECT_EQ(info.st_mtim.tv_nsec, 5);
  ASSERT_EQ(::stat((home_ / "outputs").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0750U);
  EXPECT_EQ(listing(), (Paths{"b", "outputs"})) << "nothing of ours stays";
}

TEST_F(Deposits, BringWhatIsNotHereYetAndNothingTwice) {
  ASSERT_OK(put({file("a", "one"), file("b", "two")}));
  EXPECT_EQ(put({file("a", "one"), file("b", "two and a half")}).value(), Paths{"b"});
  write(home_ / "a", "changed at home");
  EXPECT_EQ(put({file("a", "one"), file("b", "two and a half")}).value(), Paths{"a"});
  std::filesystem::remove(temp_.path() / "state");
  EXPECT_EQ(put({file("a", "one"), file("b", "two and a half")}).value(), Paths{}) << "read again, not brought";
}

TEST_F(Deposits, HaveAPlaceOfItsOwnForEachOfTwoFilesWithOneContent) {
  auto deposit = open({file("a", "same"), file("b", "same")});
  ASSERT_OK(deposit);
  ASSERT_EQ(deposit->compare().value().size(), 2U);
  EXPECT_NE(deposit->incoming(0), deposit->incoming(1));
}

TEST_F(Deposits, GoOnWithWhatABrokenOneLeft) {
  {
    auto deposit = open({file("a", "one"), file("b", "two")});
    ASSERT_OK(deposit);
    const auto wanted = deposit->compare();
    ASSERT_OK(wanted);
    ASSERT_OK(os::write_file(deposit->incoming((*wanted)[0]), "one"));
    ASSERT_OK(deposit->place((*wanted)[0]));
    ASSERT_OK(os::write_file(deposit->incoming((*wanted)[1]), "tw"));
  }
  auto again = open({file("a", "one"), file("b", "two")});
  ASSERT_OK(again);
  const auto wanted = again->compare();
  ASSERT_OK(wanted);
  ASSERT_EQ(wanted->size(), 1U);
  EXPECT_EQ(read(again->incoming((*wanted)[0])), "tw");
}

TEST_F(Deposits, RefuseListsThatNoSenderCouldSend) {
  const std::vector<std::vector<Entry>> lists = {{file("../x", "")},
                                                 {file("/x", "")},
                                                 {file("", "")},
                                                 {file("a//b", "")},
                                                 {file("a", ""), file("a", "")},
                                                 {file("a", ""), file("a/b", "")},
                                                 {{.path = "a", .type = Type::link, .target = "/etc"}, file("a/b", "")},
                                                 {file(".ferry-tmp-incoming/x", "")},
                                                 {{.path = "a", .type = Type::link}}};
  for (const auto& list : lists) {
    const auto got = open(list);
    ASSERT_FALSE(got) << list[0].path;
    EXPECT_EQ(got.error().kind, Kind::corrupt) << list[0].path;
  }
}

TEST_F(Deposits, LoseNothingOfOtherOriginAndWriteThroughNoLink) {
  std::filesystem::create_directories(home_ / "mine");
  write(home_ / "mine/notes", "kept");
  EXPECT_EQ(put({file("mine", "x")}).error().kind, Kind::conflict);
  EXPECT_EQ(read(home_ / "mine/notes"), "kept");
  std::filesystem::create_directories(temp_.path() / "elsewhere");
  std::filesystem::create_symlink(temp_.path() / "elsewhere", home_ / "way");
  ASSERT_OK(put({file("way/model", "x")}));
  EXPECT_TRUE(std::filesystem::is_empty(temp_.path() / "elsewhere"));
  EXPECT_FALSE(std::filesystem::is_symlink(home_ / "way"));
  std::filesystem::create_symlink(temp_.path() / "elsewhere", home_ / ".ferry-tmp-incoming");
  EXPECT_FALSE(put({file("other", "x")}));
  EXPECT_TRUE(std::filesystem::is_empty(temp_.path() / "elsewhere"));
}

}  // namespace
}  // namespace ferry::sync
