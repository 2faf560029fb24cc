#include <sched.h>
#include <sys/mount.h>

#include <csignal>

#include "sync/manifest.h"
#include "sync/sync_testing.h"

namespace ferry::sync {
namespace {

Entry file(std::string path, std::string_view content = "content") {
  return {.path = std::move(path), .mode = 0644, .size = content.size(), .sha256 = sha256(content)};
}
Entry folder(std::string path) { return {.path = std::move(path), .type = Type::folder, .mode = 0755}; }
Entry link(std::string path, std::string target) {
  return {.path = std::move(path), .type = Type::link, .mode = 0777, .target = std::move(target)};
}

void put_list(Channel& channel, const std::vector<Entry>& entries) {
  channel.put("M");
  channel.put_number(0);
  (void)put_manifest(channel, entries);
  (void)put_sparse(channel, {});
  (void)channel.flush();
}

void begin_file(Channel& channel, std::uint64_t index, std::uint64_t size) {
  channel.put("F");
  for (const std::uint64_t value : {index, size, std::uint64_t{0644}}) channel.put_number(value);
  put_mtime(channel, 0);
}

void put_data(Channel& channel, std::string_view bytes) {
  channel.put_number(bytes.size() * 4 + static_cast<unsigned>(PieceKind::data));
  channel.put(bytes);
}

void expect_refused(const std::vector<Entry>& entries, const char* what) {
  const os::TempDir temp;
  const auto got = receive_from(temp.path() / "to", [&](Channel& channel) { put_list(channel, entries); });
  ASSERT_FALSE(got) << what;
  EXPECT_EQ(got.error().kind, Kind::corrupt) << what;
  EXPECT_EQ(listing(temp.path() / "to"), std::vector<std::string>{}) << what;
  EXPECT_EQ(listing(temp.path()), std::vector<std::string>{"to"}) << what;
}

TEST(HostileSender, ListsThatCannotBeRightAreRefusedBeforeAnythingChanges) {
  expect_refused({file("../x")}, "parent");
  expect_refused({file("..")}, "only a parent");
  expect_refused({folder("a"), file("a/../../x")}, "parent inside");
  expect_refused({file("/tmp/x")}, "absolute");
  expect_refused({file("")}, "empty");
  expect_refused({file(".")}, "dot");
  expect_refused({folder("a"), file("a//b")}, "empty component");
  expect_refused({folder("a"), file("a/")}, "ends in a slash");
  expect_refused({file(std::string("a\0b", 3))}, "zero byte");
  expect_refused({file("a"), file("a")}, "twice");
  expect_refused({file("b"), file("a")}, "unsorted");
  expect_refused({file("a"), file("a/b")}, "below a file");
  expect_refused({link("a", "/etc"), file("a/b")}, "below a link");
  expect_refused({file("a/b")}, "no folder");
  expect_refused({link("a", "")}, "link to nothing");
  expect_refused({file(std::string(256, 'n'))}, "component too long");
  expect_refused({folder(".ferry-tmp-x"), file(".ferry-tmp-x/file")}, "the receiver's own name");
  Entry cut = file("a");
  cut.sha256.clear();
  expect_refused({cut}, "hash of the wrong length");
  Entry odd = file("a");
  odd.mode = 0170000;
  expect_refused({odd}, "mode");
}

TEST(HostileSender, CountsAndBytesAreBounded) {
  const os::TempDir temp;
  const auto huge = receive_from(temp.path() / "to", [](Channel& channel) {
    channel.put("M");
    channel.put_number(0);
    channel.put_number(ReceiveOptions{}.most_entries + 1);
  });
  ASSERT_FALSE(huge);
  EXPECT_EQ(huge.error().kind, Kind::corrupt);
  const auto garbage = receive_from(temp.path() / "to", [](Channel& channel) { channel.put(random_bytes(5000)); });
  ASSERT_FALSE(garbage);
}

TEST(HostileSender, AListThatIsTooLongIsRefusedWithTheLimit) {
  const os::TempDir temp;
  ReceiveOptions options;
  options.most_entries = 3;
  options.most_list_bytes = 10;
  const auto said = [&](const std::vector<Entry>& entries) {
    const auto got = receive_from(
        temp.path() / "to", [&](Channel& channel) { put_list(channel, entries); }, options);
    return got ? "taken" : got.error().why;
  };
  EXPECT_EQ(said({file("a"), file("b"), file("c"), file("d")}), "it has 4 entries and the limit is 3");
  EXPECT_EQ(said({file("aaaaaa"), file("bbbbbb")}), "it has 12 bytes of names and the limit is 10");
  EXPECT_EQ(listing(temp.path() / "to"), std::vector<std::string>{});
}

TEST(HostileSender, MoreThanAThousandLevelsAreRefused) {
  std::vector<Entry> entries;
  std::string path;
  for (int i = 0; i < 3000; ++i) {
    path += i == 0 ? "d" : "/d";
    entries.push_back(folder(path));
  }
  const os::TempDir temp;
  const auto got = receive_from(temp.path() / "to", [&](Channel& channel) { put_list(channel, entries); });
  ASSERT_FALSE(got);
  EXPECT_NE(got.error().what.find("1000 folders"), std::string::npos) << describe(got.error());
  EXPECT_EQ(listing(temp.path() / "to"), std::vector<std::string>{});
}

/// How a receiver with little patience ends.
Result<Report> impatient(const std::function<void(Channel&)>& speak) {
  const os::TempDir temp;
  auto pair = os::make_socketpair();
  ReceiveOptions options;
  options.silence = std::chrono::milliseconds(150);
  std::thread hostile([&] {
    const os::Fd end = std::move(pair->read);
    Channel channel(end.get(), end.get());
    if (channel.greet()) speak(channel);
    while (channel.byte()) {
    }
  });
  Result<Report> got = fail(Kind::bug, "not run");
  {
    const os::Fd end = std::move(pair->write);
    got = receive_tree(end.get(), end.get(), temp.path() / "to", options);
  }
  hostile.join();
  return got;
}

TEST(HostileSender, SilenceAndATrickleAreLost) {
  const auto silent = impatient([](Channel&) {});
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().kind, Kind::lost);
  EXPECT_NE(silent.error().why.find("silent"), std::string::npos) << describe(silent.error());
  // Never silent, and never done: a file of which a byte comes now and then.
  const auto trickle = impatient([](Channel& channel) {
    put_list(channel, {file("a")});
    begin_file(channel, 0, 1'000'000);
    for (int i = 0; i < 1000 && channel.flush(); ++i) {
      put_data(channel, "x");
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
    }
  });
  ASSERT_FALSE(trickle);
  EXPECT_EQ(trickle.error().kind, Kind::lost);
}

TEST(HostileSender, WhoSaysThatItIsAtWorkIsWaitedFor) {
  const auto got = impatient([](Channel& channel) {
    for (int i = 0; i < 20; ++i) {
      channel.put("B");
      if (!channel.flush()) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(60));
    }
    put_list(channel, {});
    channel.put("Z");
    put_notes(channel, {});
    (void)channel.flush();
  });
  ASSERT_TRUE(got) << describe(got.error());
}

TEST(HostileSender, MoreBytesThanAnnouncedAreCorruptAndLeaveNothing) {
  const os::TempDir temp;
  const auto got = receive_from(temp.path() / "to", [](Channel& channel) {
    put_list(channel, {file("a")});
    begin_file(channel, 0, 7);
    put_data(channel, "content and more");
  });
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().kind, Kind::corrupt);
  EXPECT_EQ(listing(temp.path() / "to"), std::vector<std::string>{});
}

TEST(HostileSender, AHashThatIsWrongTwiceIsCorruptAndTheOldFileStays) {
  const os::TempDir temp;
  write(temp.path() / "to" / "a", "old");
  const auto got = receive_from(temp.path() / "to", [](Channel& channel) {
    put_list(channel, {file("a")});
    for (int round = 0; round < 2; ++round) {
      ASSERT_EQ(channel.letter(), 'W');
      ASSERT_EQ(channel.number(10), 1U);
      ASSERT_EQ(channel.number(10), 0U);
      begin_file(channel, 0, 7);
      put_data(channel, "c0ntent");
      channel.put_number(0);
      channel.put("k");
      channel.put_text(sha256("content"));
      channel.put("Z");
      put_notes(channel, {});
      ASSERT_OK(channel.flush());
    }
  });
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().kind, Kind::corrupt) << describe(got.error());
  EXPECT_EQ(read(temp.path() / "to" / "a"), "old");
  EXPECT_EQ(listing(temp.path() / "to"), std::vector<std::string>{"a"});
}

TEST(HostileSender, PiecesThatCannotBeAreCorruptAndLeaveNothing) {
  const auto expect_corrupt = [](std::uint64_t length, PieceKind kind, const char* what) {
    const os::TempDir temp;
    const auto got = receive_from(temp.path() / "to", [&](Channel& channel) {
      put_list(channel, {file("a", std::string(3'000'000, 'x'))});
      begin_file(channel, 0, 3'000'000);
      channel.put_number(length * 4 + static_cast<unsigned>(kind));
      channel.put_number(0);
      channel.put(std::string(length < 10'000'000 ? length : 0, 'x'));
    });
    ASSERT_FALSE(got) << what;
    EXPECT_EQ(got.error().kind, Kind::corrupt) << what;
    EXPECT_EQ(listing(temp.path() / "to"), std::vector<std::string>{}) << what;
  };
  expect_corrupt(5, PieceKind::same, "like something that is not here");
  expect_corrupt(2'000'000, PieceKind::data, "more at once than ever goes");
  expect_corrupt(3'000'001, PieceKind::hole, "a hole that is larger than the file");
  expect_corrupt(std::uint64_t{1} << 55, PieceKind::hole, "a hole without an end");
  expect_corrupt(5, static_cast<PieceKind>(0), "of no kind");
}

TEST(HostileSender, ALieAboutWhatIsTheSameIsFoundOutAndTheWholeIsAskedFor) {
  const os::TempDir temp;
  const std::string old = random_bytes(2'000'000), fresh = random_bytes(2'000'000);
  write(temp.path() / "to" / "a", old);
  const auto got = receive_from(temp.path() / "to", [&](Channel& channel) {
    put_list(channel, {file("a", fresh)});
    ASSERT_OK(channel.flush());
    ASSERT_EQ(channel.letter(), 'W');
    ASSERT_EQ(channel.number(10), 1U);
    ASSERT_EQ(channel.number(10), static_cast<unsigned>(WantKind::by_chunks));
    const auto chunks = channel.number(1000);
    for (std::uint64_t i = 0; i < *chunks; ++i) {
      ASSERT_OK(channel.number(largest_chunk));
      for (int byte = 0; byte < 16; ++byte) ASSERT_OK(channel.byte());
    }
    begin_file(channel, 0, 2'000'000);
    channel.put_number(2'000'000 * 4 + static_cast<unsigned>(PieceKind::same));
    channel.put_number(0);
    channel.put_number(0);
    channel.put("k");
    channel.put_text(sha256(fresh));
    channel.put("Z");
    put_notes(channel, {});
    ASSERT_OK(channel.flush());
    ASSERT_EQ(channel.letter(), 'W');
    ASSERT_EQ(channel.number(10), 1U);
    ASSERT_EQ(channel.number(10), 0U);  // whole
    begin_file(channel, 0, 2'000'000);
    put_data(channel, std::string_view(fresh).substr(0, 1'000'000));
    put_data(channel, std::string_view(fresh).substr(1'000'000));
    channel.put_number(0);
    channel.put("k");
    channel.put_text(sha256(fresh));
    channel.put("Z");
    put_notes(channel, {});
  });
  ASSERT_OK(got);
  EXPECT_EQ(read(temp.path() / "to" / "a"), fresh);
}

TEST(HostileSender, FilesThatWereNotAskedForAreCorrupt) {
  const os::TempDir temp;
  write(temp.path() / "to" / "a", "content");
  for (const std::uint64_t index : {0U, 1U, 7U}) {
    const auto got = receive_from(temp.path() / "to", [&](Channel& channel) {
      put_list(channel, {file("a"), folder("b")});
      begin_file(channel, index, 1);
    });
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind, Kind::corrupt);
  }
}

TEST(HostileSender, EndingEarlyIsLostAndLeavesNoPartialFile) {
  const os::TempDir temp;
  const auto got = receive_from(temp.path() / "to", [](Channel& channel) {
    put_list(channel, {file("a")});
    begin_file(channel, 0, 7);
    put_data(channel, "cont");
  });
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().kind, Kind::lost);
  EXPECT_EQ(listing(temp.path() / "to"), std::vector<std::string>{});
}

TEST(HostileSender, ItsOwnErrorIsPassedOn) {
  const os::TempDir temp;
  const auto got = receive_from(temp.path() / "to", [](Channel& channel) {
    channel.tell({.kind = Kind::denied, .what = "no \x1b[31mway", .advice = "ask"});
  });
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().kind, Kind::denied);
  EXPECT_EQ(got.error().advice, "ask");
  EXPECT_EQ(got.error().what.find('\x1b'), std::string::npos);
}

TEST(Receiver, KilledInTheMiddleItLeavesNoPartialFileAndTheNextOneCleansUp) {
  const os::TempDir temp;
  const os::Path to = temp.path() / "to";
  auto pair = os::make_socketpair();
  const pid_t child = ::fork();
  if (child == 0) {
    pair->read.reset();
    (void)receive_tree(pair->write.get(), pair->write.get(), to, {});
    ::_exit(0);
  }
  pair->write.reset();
  Channel channel(pair->read.get(), pair->read.get(), nullptr);
  ASSERT_OK(channel.greet());
  put_list(channel, {file("a"), file("b", std::string(1'000'000, 'x'))});
  ASSERT_EQ(channel.byte(), 'W');
  for (int i = 0; i < 3; ++i) ASSERT_OK(channel.number(10));
  begin_file(channel, 0, 7);
  put_data(channel, "content");
  channel.put_number(0);
  channel.put("k");
  channel.put_text(sha256("content"));
  begin_file(channel, 1, 1'000'000);
  put_data(channel, std::string(500'000, 'x'));
  ASSERT_OK(channel.flush());
  const auto half_there = [&] {
    for (const std::string& name : listing(to)) {
      if (!is_temp(name)) continue;
      std::error_code ignored;
      for (const auto& file : listing(to / name))
        if (std::filesystem::file_size(to / name / file, ignored) == 500'000) return true;
    }
    return false;
  };
  while (!half_there()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  const auto left = listing(to);
  ASSERT_EQ(left.size(), 2U);
  EXPECT_TRUE(is_temp(left[0]));
  EXPECT_EQ(left[1], "a");

  write(temp.path() / "from" / "c", "3");
  ASSERT_OK(move_tree(temp.path() / "from", to).sent);
  EXPECT_EQ(listing(to), (std::vector<std::string>{"a", "c"}));
}

/// Gives this process its own mounts, as root or as the root of its own user namespace.
bool mounts_apart() {
  if (os::is_root()) return ::unshare(CLONE_NEWNS) == 0;
  const std::string user = "0 " + std::to_string(::getuid()) + " 1", group = "0 " + std::to_string(::getgid()) + " 1";
  return ::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && os::append_file("/proc/self/uid_map", user) &&
         os::append_file("/proc/self/setgroups", "deny") && os::append_file("/proc/self/gid_map", group);
}

/// Runs `body` in a process that sees a file system of one megabyte at `mount_point`; 77 where such cannot be
/// made.
int on_tiny_disk(const os::Path& mount_point, const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    const bool mounted = mounts_apart() && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                         ::mount("tiny", mount_point.c_str(), "tmpfs", 0, "size=1m") == 0;
    ::_exit(mounted ? body() : 77);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

TEST(Receiver, AFullDiskIsNamedBeforeAnythingMovesAndAlsoWhenItComesAsASurprise) {
  const os::TempDir temp;
  const os::Path disk = temp.path() / "disk";
  std::filesystem::create_directories(disk);
  write(temp.path() / "from" / "big", std::string(3'000'000, 'x'));
  const int result = on_tiny_disk(disk, [&] {
    const Both both = move_tree(temp.path() / "from", disk / "to");
    if (both.sent || both.sent.error().kind != Kind::disk_full || both.received.error().kind != Kind::disk_full)
      return 1;
    if (both.sent.error().advice.empty() || both.sent.error().what != both.received.error().what) return 2;
    const auto lied_to = receive_from(disk / "to", [](Channel& channel) {
      put_list(channel, {file("small")});
      begin_file(channel, 0, 3'000'000);
      for (int i = 0; i < 30; ++i) put_data(channel, std::string(100'000, 'y'));
    });
    if (lied_to || lied_to.error().kind != Kind::disk_full || lied_to.error().advice.empty()) return 3;
    return listing(disk / "to").empty() ? 0 : 4;
  });
  if (result == 77) GTEST_SKIP() << "no file system can be mounted here";
  EXPECT_EQ(result, 0);
}

}  // namespace
}  // namespace ferry::sync
