#include "sync/outputs.h"

#include "sync/state.h"
#include "sync/sync_testing.h"

namespace ferry::sync {
namespace {

/// A machine after a run: `work` holds the workdir, `disk` everything else.
struct Machine {
  os::TempDir temp;
  os::Path work = temp.path() / "work", disk = temp.path() / "disk", home = temp.path() / "home";
  OutputsQuery query;
  ReceiveOptions receiving;

  Machine() {
    std::filesystem::create_directories(work);
    std::filesystem::create_directories(disk);
  }
  /// What is written from now on is the run's.
  void begin() {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    query.since_ns = query.elsewhere_since_ns = file_clock_ns();
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  }
  /// The workdir, as it is, is what went over.
  void send_code() {
    const os::Path laptop = temp.path() / "laptop";
    std::filesystem::rename(work, laptop);
    ReceiveOptions options;
    options.state_file = temp.path() / "sent";
    ASSERT_OK(move_tree(laptop, work, options).received);
    query.sent = options.state_file;
  }
  void link(const os::Path& target, const os::Path& at) { std::filesystem::create_symlink(target, at); }

  /// Path → content, or "-> target", of what came home.
  std::map<std::string, std::string> bring(std::vector<std::string> globs) {
    std::map<std::string, std::string> seen;
    query.globs = std::move(globs);
    auto tree = collect_outputs(work, query);
    EXPECT_TRUE(tree.has_value()) << describe(tree.error());
    if (!tree) return seen;
    skipped = tree->skipped;
    left_out = tree->left_out;
    entries = tree->entries;
    auto pair = os::make_socketpair();
    std::thread receiver([&] {
      const os::Fd end = std::move(pair->write);
      EXPECT_TRUE(receive_tree(end.get(), end.get(), home, receiving).has_value());
    });
    {
      const os::Fd end = std::move(pair->read);
      EXPECT_TRUE(send_tree(end.get(), end.get(), work, *std::move(tree)).has_value());
    }
    receiver.join();
    const auto there = scan(home, {});
    for (const Entry& entry : there->entries) {
      if (entry.type == Type::file) seen[entry.path] = read(home / entry.path);
      if (entry.type == Type::link) seen[entry.path] = "-> " + entry.target.str();
    }
    (void)os::remove_all(home);
    return seen;
  }
  std::vector<std::string> skipped, left_out;
  std::vector<Entry> entries;
};

using Brought = std::map<std::string, std::string>;

TEST(Outputs, InABucketThatFerryMountedStayThere) {
  Machine it;
  const auto bucket = it.temp.path() / ".ferry/runs/r-1/buckets/0";
  std::filesystem::create_directories(bucket);
  it.begin();
  write(bucket / "model", "in the bucket");
  write(it.disk / "cache/epoch", "not yet");
  it.link(bucket, it.work / "data");
  std::filesystem::create_directories(it.work / "mounts/data");
  it.link(it.disk / "cache/epoch", it.work / "mounts/data/epoch");
  EXPECT_EQ(it.bring({"data/", "mounts/data/"}), (Brought{{"mounts/data/epoch", "not yet"}}));
  EXPECT_TRUE(it.skipped.empty() && it.left_out.empty());
  EXPECT_EQ(it.bring({}), (Brought{{"mounts/data/epoch", "not yet"}}));
  it.link(bucket / "model", it.work / "best");
  EXPECT_EQ(it.bring({"best"}), (Brought{{"best", "in the bucket"}})) << "a file of it that is asked for comes";
}

TEST(Outputs, OnAVolumeOfTheTasksStayThereUnlessALinkAsksForOne) {
  Machine it;
  const auto volume = it.temp.path() / "srv/rehearsal-volumes/vol-1/data";
  std::filesystem::create_directories(volume);
  it.begin();
  write(volume / "model", "on the volume");
  write(it.work / "log", "1");
  it.link(volume, it.work / "data");
  EXPECT_EQ(it.bring({}), (Brought{{"log", "1"}}));
  EXPECT_TRUE(it.skipped.empty() && it.left_out.empty());
  it.link(volume / "model", it.work / "best");
  EXPECT_EQ(it.bring({}), (Brought{{"log", "1"}, {"best", "on the volume"}}));
}

TEST(Outputs, OfTheTreeStayLinksAndOthersBringWhatTheRunWrote) {
  Machine it;
  write(it.disk / "before", "old");
  write(it.disk / "mixed" / "before", "old");
  write(it.disk / "only-before" / "x", "old");
  it.begin();
  write(it.disk / "model", "new");
  write(it.disk / "mixed" / "after", "new");
  write(it.work / "outputs" / "a", "1");
  it.link("a", it.work / "outputs" / "in");
  it.link(it.work / "outputs" / "a", it.work / "outputs" / "absolute");
  it.link(it.disk / "model", it.work / "outputs" / "model");
  it.link("model", it.work / "outputs" / "to-a-link");
  it.link(it.disk / "before", it.work / "outputs" / "before");
  it.link(it.disk / "mixed", it.work / "outputs" / "mixed");
  it.link(it.disk / "only-before", it.work / "outputs" / "only-before");
  EXPECT_EQ(it.bring({"outputs/"}), (Brought{{"outputs/a", "1"},
                                             {"outputs/in", "-> a"},
                                             {"outputs/absolute", "-> a"},
                                             {"outputs/model", "new"},
                                             {"outputs/to-a-link", "-> model"},
                                             {"outputs/before", "-> " + (it.disk / "before").string()},
                                             {"outputs/mixed/after", "new"},
                                             {"outputs/only-before", "-> " + (it.disk / "only-before").string()}}));
  EXPECT_EQ(it.skipped.size(), 3U) << join(it.skipped, "\n");
  EXPECT_EQ(it.left_out, std::vector<std::string>{});
}

TEST(Outputs, LinksThatAreFollowedTwiceOrInACircleComeOnce) {
  Machine it;
  write(it.disk / "ring" / "x", "1");
  it.link(it.disk / "ring", it.disk / "ring" / "again");
  it.link("../ring2", it.disk / "ring" / "next");
  write(it.disk / "ring2" / "y", "2");
  it.link("../ring", it.disk / "ring2" / "back");
  it.link(it.disk / "ring", it.work / "outputs");
  it.link(it.disk / "ring" / "x", it.work / "same");
  EXPECT_EQ(it.bring({"outputs", "same"}), (Brought{{"outputs/x", "1"},
                                                    {"outputs/again", "-> ."},
                                                    {"outputs/next/y", "2"},
                                                    {"outputs/next/back", "-> .."},
                                                    {"same", "-> outputs/x"}}));
}

TEST(Outputs, TheSystemDevicesAndWhatHoldsTheLinkAreNotFollowed) {
  Machine it;
  write(it.work / "outputs" / "a", "1");
  const std::vector<std::string> targets = {"/",         "/etc",     "/etc/passwd", "/proc/self",
                                            "/dev/null", "/usr/bin", "..",          it.temp.path().string()};
  Brought wanted{{"outputs/a", "1"}};
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const auto name = "outputs/link" + std::to_string(i);
    it.link(targets[i], it.work / name);
    wanted[name] = "-> " + targets[i];
  }
  EXPECT_EQ(it.bring({"outputs/"}), wanted);
  EXPECT_EQ(it.skipped.size(), targets.size());
}

TEST(Outputs, AGlobReachesThroughALink) {
  Machine it;
  write(it.disk / "ck" / "a.pt", "1");
  write(it.disk / "ck" / "b.txt", "2");
  it.link(it.disk / "ck", it.work / "ckpt");
  EXPECT_EQ(it.bring({"ckpt/*.pt"}), (Brought{{"ckpt/a.pt", "1"}}));
  EXPECT_EQ(it.bring({"ckpt/"}), (Brought{{"ckpt/a.pt", "1"}, {"ckpt/b.txt", "2"}}));
  EXPECT_EQ(it.bring({"*"}), (Brought{{"ckpt/a.pt", "1"}, {"ckpt/b.txt", "2"}}));
}

TEST(Outputs, WhatTheRunMadeIsWhatNeverWentOverOrIsAnotherFileNow) {
  Machine it;
  for (const char* name : {"same", "touched", "edited", "sneaky", "replaced", "dir/same"})
    write(it.work / name, "1234");
  it.link("same", it.work / "link");
  it.send_code();
  it.begin();
  set_time(it.work / "touched", 1'000'000'000);
  write(it.work / "edited", "12345");
  struct stat before;
  ::stat((it.work / "sneaky").c_str(), &before);
  write(it.work / "sneaky", "4321");
  set_time(it.work / "sneaky", before.st_mtim.tv_sec, before.st_mtim.tv_nsec);
  write(it.work / "new", "1234");
  std::filesystem::rename(it.work / "new", it.work / "replaced");
  write(it.work / "dir" / "made" / "old-date", "x");
  set_time(it.work / "dir" / "made" / "old-date", 1'000'000'000);
  write(it.work / "__pycache__" / "x", "x");
  it.link("dir/same", it.work / "made-link");
  EXPECT_EQ(it.bring({}), (Brought{{"touched", "1234"},
                                   {"edited", "12345"},
                                   {"sneaky", "4321"},
                                   {"replaced", "1234"},
                                   {"dir/made/old-date", "x"},
                                   {"made-link", "-> dir/same"}}));
  EXPECT_EQ(it.bring({"same", "edited", "link"}),
            (Brought{{"same", "1234"}, {"edited", "12345"}, {"link", "-> same"}}));
  for (const Entry& entry : it.entries) EXPECT_EQ(entry.as_sent, entry.path != "edited") << entry.path;
  // Without a note of what went over, everything may be the run's.
  it.query.sent = it.temp.path() / "none";
  EXPECT_EQ(it.bring({}).size(), 9U);
}

TEST(Outputs, FilesElsewhereComeOnlyWhereTheTreeHasNothing) {
  Machine it;
  write(it.disk / "before", "old");
  it.begin();
  write(it.disk / "sub" / "model", "new");
  write(it.disk / ".cache" / "x", "new");
  write(it.disk / "empty", "");
  it.query.elsewhere = {it.disk.string(), it.work.string(), (it.disk / "absent").string(), (it.disk / "sub").string()};
  EXPECT_EQ(it.bring({}), (Brought{{"outputs-elsewhere" + (it.disk / "sub" / "model").string(), "new"}}));
  write(it.work / "made", "1");
  EXPECT_EQ(it.bring({}), (Brought{{"made", "1"}}));
  std::filesystem::remove(it.work / "made");
  for (std::size_t i = 0; i <= elsewhere_most_files; ++i) write(it.disk / "many" / std::to_string(i), "x");
  EXPECT_EQ(it.bring({}), Brought{});
  EXPECT_EQ(it.left_out.size(), 11U);
}

TEST(Outputs, OnAMachineOfOnesOwnWhatLiesElsewhereIsSomebodyElses) {
  EXPECT_EQ(usual_elsewhere("/home/me", "/home/me/.ferry/runs/r", true),
            std::vector<std::string>{"/home/me/.ferry/runs/r/scratch"});
  const auto rented = usual_elsewhere("/home/me", "/home/me/.ferry/runs/r", false);
  EXPECT_TRUE(std::ranges::count(rented, "/home/me") == 1 && std::ranges::count(rented, "/tmp") == 1);
}

TEST(Outputs, WhatIsForbiddenIsToldAndOursIsOpenedUp) {
  if (os::is_root()) GTEST_SKIP() << "root can read everything";
  Machine it;
  write(it.work / "outputs" / "a", "1");
  write(it.work / "outputs" / "closed", "2", 0000);
  write(it.work / "outputs" / "folder" / "b", "3");
  ::chmod((it.work / "outputs" / "folder").c_str(), 0000);
  EXPECT_EQ(it.bring({"outputs/"}), (Brought{{"outputs/a", "1"}}));
  EXPECT_EQ(it.left_out.size(), 2U);
  it.query.open_up = true;
  it.receiving.without_mode = 022;
  EXPECT_EQ(it.bring({"outputs/"}), (Brought{{"outputs/a", "1"}, {"outputs/closed", "2"}, {"outputs/folder/b", "3"}}));
  EXPECT_EQ(it.left_out.size(), 0U);
}

TEST(Outputs, WhatIsBeingWrittenIsNamedAndDoesNotCome) {
  Machine m;
  constexpr std::int64_t second = 1'000'000'000;
  write(m.work / "outputs/old", "old");
  write(m.work / "outputs/open", "half");
  write(m.work / "outputs/new", "new");
  const auto handle = os::open_file(m.work / "outputs/open", O_WRONLY | O_APPEND).value();
  m.query.settle_ns = 20 * second;
  const auto came = [&](std::vector<std::string> unsettled) {
    const auto seen = m.bring({"outputs/"});
    std::vector<std::string> named;
    for (const auto& entry : m.entries) {
      if (entry.unsettled) named.push_back(entry.path);
    }
    EXPECT_EQ(named, unsettled);
    std::string all;
    for (const auto& [path, content] : seen) all += path + "=" + content + " ";
    return all;
  };
  // ctime cannot be set: all of them are new by it.
  EXPECT_EQ(came({"outputs/new", "outputs/old", "outputs/open"}), "");
  m.query.settle_ns = 1;
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  EXPECT_EQ(came({"outputs/open"}), "outputs/new=new outputs/old=old ");
  // Read only, it is nobody's that writes.
  const auto reader = os::open_file(m.work / "outputs/old", O_RDONLY).value();
  EXPECT_EQ(came({"outputs/open"}), "outputs/new=new outputs/old=old ");
  m.query.settle_ns = 0;
  EXPECT_EQ(came({}), "outputs/new=new outputs/old=old outputs/open=half ");
}

TEST(Outputs, WhatIsHereOfAFileThatIsBeingWrittenStays) {
  const os::TempDir dir;
  const os::Path from = dir.path() / "from", to = dir.path() / "to";
  write(from / "a", "first");
  write(from / "b", "gone soon");
  ReceiveOptions options;
  options.mirror = true;
  options.state_file = dir.path() / "state";
  ASSERT_OK(move_tree(from, to, options).received);
  write(from / "a", "second, half");
  std::filesystem::remove(from / "b");
  auto tree = scan(from, {}).value();
  ASSERT_OK(hash_tree(from, tree, {}));
  ASSERT_EQ(tree.entries.size(), 1U);
  tree.entries[0].unsettled = true;
  const auto moved = move_listed(std::move(tree), from, to, options);
  ASSERT_OK(moved.received);
  EXPECT_EQ(moved.received->unsettled, std::vector<std::string>{"a"});
  EXPECT_EQ(moved.received->files, 0U);
  EXPECT_EQ(read(to / "a"), "first");
  EXPECT_FALSE(os::exists(to / "b"));
  ASSERT_OK(move_tree(from, to, options).received);
  EXPECT_EQ(read(to / "a"), "second, half");
}

TEST(Outputs, AThousandLevelsAreTheMost) {
  Machine it;
  int at = ::open(it.work.c_str(), O_RDONLY | O_DIRECTORY);
  for (std::size_t i = 0; i < max_levels + 5; ++i) {
    ASSERT_EQ(::mkdirat(at, "d", 0755), 0);
    const int next = ::openat(at, "d", O_RDONLY | O_DIRECTORY);
    ::close(at);
    at = next;
  }
  ::close(at);
  for (const auto& tree : {scan(it.work, {}), collect_outputs(it.work, {})}) {
    ASSERT_FALSE(tree);
    EXPECT_EQ(tree.error().kind, Kind::bad_input);
    EXPECT_NE(tree.error().what.find("1000 folders"), std::string::npos);
  }
  (void)os::remove_all(it.work);
}

}  // namespace
}  // namespace ferry::sync
