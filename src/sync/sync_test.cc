#include <set>

#include "os/clock.h"
#include "sync/state.h"
#include "sync/sync_testing.h"

namespace ferry::sync {
namespace {

/// Files of many sizes with awkward names, links of every kind, modes and empty folders.
void make_awkward_tree(const os::Path& root, int files) {
  std::uint64_t noise = 88172645463325252ULL;
  const auto random = [&] { return noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17; };
  const std::vector<std::string> odd = {
      " lead", "trail ", "new\nline", "\xff\xfe\x80",        "-rf",  "--",   "quo'te\"",
      "$HOME", "a\\b",   "*",         std::string(255, 'n'), "\x01", ".dot", "tab\t"};
  for (int i = 0; i < files; ++i) {
    const os::Path folder = root / ("d" + std::to_string(i % 37)) / odd[static_cast<std::size_t>(i) % odd.size()];
    std::string content;
    for (std::uint64_t size = random() % (i % 50 == 0 ? 300'000 : 3'000), at = 0; at < size; at += 8)
      content += std::to_string(random() % 1000);
    const os::Path path =
        folder / (odd[static_cast<std::size_t>(i / 7) % odd.size()].substr(0, 200) + std::to_string(i));
    write(path, content, i % 5 == 0 ? 0755 : i % 7 == 0 ? 0600 : i % 11 == 0 ? 0444 : 0644);
    set_time(path, 1'600'000'000 + i, i * 1000 + 7);
  }
  std::filesystem::create_directories(root / "empty" / "deeper");
  std::filesystem::create_symlink("d0", root / "to-folder");
  std::filesystem::create_symlink("nowhere/at/all", root / "dangling");
  std::filesystem::create_symlink("/etc/passwd", root / "absolute");
  std::filesystem::create_symlink("../../../outside", root / "empty" / "up");
  set_time(root / "dangling", 1'500'000'000, 5);
  write(root / "locked" / "inside" / "file", "kept", 0400);
  ::chmod((root / "locked" / "inside").c_str(), 0555);
  ::chmod((root / "locked").c_str(), 0500);
  ::chmod((root / "empty").c_str(), 01777);
  set_time(root / "empty", 1'400'000'000, 123);
}

TEST(Sync, AnAwkwardTreeOfFiveThousandFilesArrivesByteForByteAndIsNotMovedTwice) {
  const os::TempDir temp;
  const os::Path from = temp.path() / "from", to = temp.path() / "to";
  make_awkward_tree(from, 5000);
  ReceiveOptions options;
  options.state_file = temp.path() / "state" / "tree";
  const Both first = move_tree(from, to, options);
  ASSERT_OK(first.sent);
  ASSERT_OK(first.received);
  EXPECT_EQ(picture(from), picture(to));
  std::set<std::string_view> contents;  // each moves once, and nothing needs not move
  for (const Entry& entry : first.sent->entries) {
    if (entry.size > 0 && entry.type == Type::file) contents.insert(entry.sha256);
  }
  EXPECT_GT(contents.size(), 4990U);
  EXPECT_EQ(first.sent->files_moved, contents.size());
  EXPECT_EQ(first.received->files_moved, contents.size());
  EXPECT_LE(first.sent->bytes_moved, first.received->bytes);
  EXPECT_LT(first.sent->wire_bytes, first.sent->bytes);
  EXPECT_EQ(first.sent->entries.size(), first.received->entries.size());
  EXPECT_EQ(first.received->notes, std::vector<std::string>{});

  const Both second = move_tree(from, to, options);
  ASSERT_OK(second.sent);
  EXPECT_EQ(second.sent->files_moved, 0U);
  EXPECT_EQ(second.received->bytes_moved, 0U);
  EXPECT_EQ(second.received->files, 5001U);

  write(from / "d1" / "fresh", "one");
  write(from / "empty" / "deeper" / "file", "two");
  write(from / "locked" / "inside" / "file", "three", 0400);
  ::chmod((from / "d2").c_str(), 0700);
  const Both third = move_tree(from, to, options);
  ASSERT_OK(third.sent);
  EXPECT_EQ(third.received->files_moved,
            os::is_root() ? 3U : 2U);  // an ordinary user cannot have written the locked one
  EXPECT_EQ(picture(from), picture(to));
}

TEST(Sync, PathsLongerThanTheSystemsLimitArrive) {
  const os::TempDir temp;
  const os::Path from = temp.path() / "from", to = temp.path() / "to";
  std::filesystem::create_directories(from);
  const std::string name(200, 'p');
  std::string path;
  int at = ::open(from.c_str(), O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < 60; ++i) {
    ASSERT_EQ(::mkdirat(at, name.c_str(), 0755), 0);
    const int next = ::openat(at, name.c_str(), O_RDONLY | O_DIRECTORY);
    ::close(at);
    at = next;
    path += name + "/";
  }
  const os::Fd file(::openat(at, "deep", O_WRONLY | O_CREAT, 0644));
  ASSERT_OK(os::write_all(file.get(), "far down"));
  ::close(at);
  const Both both = move_tree(from, to);
  ASSERT_OK(both.sent);
  auto root = Root::open(to);
  const auto arrived = root->open_file(path + "deep");
  ASSERT_OK(arrived);
  EXPECT_EQ(os::read_to_end(arrived->get()), "far down");
}

TEST(Sync, MirrorRemovesWhatTheSenderLostButNotWhatWasMadeHere) {
  const os::TempDir temp;
  const os::Path from = temp.path() / "from", to = temp.path() / "to";
  for (const char* path : {"keep", "old", "dir/old", "dir2/old", "edited"}) write(from / path, path);
  std::filesystem::create_symlink("keep", from / "link");
  ReceiveOptions options;
  options.mirror = true;
  options.state_file = temp.path() / "state";
  ASSERT_OK(move_tree(from, to, options).sent);
  write(to / "dir" / "made here", "x");
  write(to / "edited", "by the program");
  for (const char* path : {"old", "dir", "dir2", "edited", "link"}) std::filesystem::remove_all(from / path);
  const Both both = move_tree(from, to, options);
  ASSERT_OK(both.sent);
  EXPECT_EQ(listing(to), (std::vector<std::string>{"dir", "edited", "keep"}));
  EXPECT_EQ(listing(to / "dir"), std::vector<std::string>{"made here"});
  EXPECT_EQ(read(to / "edited"), "by the program");
  ASSERT_EQ(both.sent->notes.size(), 1U);
}

TEST(Sync, AFolderThatIsALinkAtTheReceiverIsReplacedNotFollowed) {
  const os::TempDir temp;
  const os::Path from = temp.path() / "from", to = temp.path() / "to", outside = temp.path() / "outside";
  write(from / "dir" / "file", "new");
  write(outside / "file", "precious");
  std::filesystem::create_directories(to);
  std::filesystem::create_symlink(outside, to / "dir");
  ASSERT_OK(move_tree(from, to).sent);
  EXPECT_EQ(read(outside / "file"), "precious");
  EXPECT_EQ(picture(from), picture(to));
}

TEST(Sync, WhatWasMadeAtTheReceiverIsNotReplacedByAnotherTypeButWhatWasReceivedIs) {
  const os::TempDir temp;
  const os::Path from = temp.path() / "from", to = temp.path() / "to";
  ReceiveOptions options;
  options.state_file = temp.path() / "state";
  write(from / "x" / "inside", "1");
  write(from / "y", "2");
  ASSERT_OK(move_tree(from, to, options).sent);
  std::filesystem::remove_all(from / "x");
  std::filesystem::remove(from / "y");
  write(from / "x", "now a file");
  write(from / "y" / "inside", "now a folder");
  ASSERT_OK(move_tree(from, to, options).sent);
  EXPECT_EQ(picture(from), picture(to));

  write(to / "y" / "made here", "results");
  std::filesystem::remove_all(from / "y");
  write(from / "y", "a file again");
  const Both both = move_tree(from, to, options);
  for (const auto* end : {&both.sent, &both.received}) {
    ASSERT_FALSE(*end);
    EXPECT_EQ(end->error().kind, Kind::conflict);
    EXPECT_FALSE(end->error().advice.empty());
    EXPECT_EQ(end->error().what, both.sent.error().what);
  }
  EXPECT_EQ(read(to / "y" / "made here"), "results");
}

TEST(Sync, AFileThatChangesWhileItIsReadIsSentAgain) {
  const os::TempDir temp;
  const os::Path from = temp.path() / "from", to = temp.path() / "to";
  write(from / "log", std::string(700'000, 'a'));
  write(from / "still", "same");
  int writes = 0;
  const Both both = move_tree(from, to, {}, {}, Options{}, [&](Sender& sender) {
    sender.while_reading = [&](std::string_view path) {
      if (path == "log" && writes++ == 0) (void)os::append_file(from / "log", "more");
    };
  });
  ASSERT_OK(both.sent);
  EXPECT_EQ(picture(from), picture(to));
  ASSERT_EQ(both.received->notes.size(), 1U);
  EXPECT_EQ(both.sent->bytes, 700'008U);
}

TEST(Sync, AFileThatNeverRestsIsLeftAsLastReadWithANote) {
  const os::TempDir temp;
  const os::Path from = temp.path() / "from", to = temp.path() / "to";
  write(from / "log", "begin");
  int writes = 0;
  const Both both = move_tree(from, to, {}, {}, Options{}, [&](Sender& sender) {
    sender.while_reading = [&](std::string_view) { (void)os::append_file(from / "log", std::to_string(writes++)); };
  });
  ASSERT_OK(both.sent);
  EXPECT_EQ(writes, 5);
  EXPECT_EQ(read(to / "log"), "begin0123");
  EXPECT_EQ(both.sent->notes.size(), 2U);
  EXPECT_EQ(both.sent->entries.at(0).sha256, sha256("begin0123"));
}

TEST(Sync, AFileThatChangedUnderTheMarksItWasListedWithArrivesAsItIsNow) {
  const os::TempDir temp;
  const os::Path from = temp.path() / "from", to = temp.path() / "to";
  const std::string before = random_bytes(6'000'000), now = random_bytes(6'000'000);
  write(from / "small", "before");
  write(from / "large", before);
  write(from / "other", "as it was");
  for (const char* name : {"small", "large"}) set_time(from / name, 1'600'000'000);
  auto tree = scan(from, {});
  ASSERT_OK(hash_tree(from, *tree, {}));
  write(from / "small", "after!");
  write(from / "large", now);
  for (const char* name : {"small", "large"}) set_time(from / name, 1'600'000'000);
  ReceiveOptions receiving;
  receiving.state_file = temp.path() / "state";
  const Both both = move_listed(*tree, from, to, receiving);
  ASSERT_OK(both.sent);
  ASSERT_OK(both.received);
  EXPECT_EQ(read(to / "small"), "after!");
  EXPECT_TRUE(read(to / "large") == now);
  EXPECT_EQ(picture(from), picture(to));
  EXPECT_EQ(both.received->entries.at(0).sha256, sha256(now));
}

TEST(Sync, LargeFilesThatNeverRestDoNotHoldEachOtherUp) {
  const os::TempDir temp;
  const os::Path from = temp.path() / "from", to = temp.path() / "to";
  for (const char* name : {"a", "b", "c"}) write(from / name, random_bytes(10'000'000));
  write(from / "z", "still");
  const auto end = os::system_clock().steady_ms() + 60'000;
  Options sending;
  sending.cancelled = [&] {
    os::system_clock().sleep(Millis(1));  // reading is faster than sending: as much as may be is read ahead
    return os::system_clock().steady_ms() > end;
  };
  const Both both = move_tree(from, to, {}, {}, sending, [&](Sender& sender) {
    sender.readers = 3;
    sender.while_reading = [&](std::string_view path) {
      if (path != "z") (void)os::append_file(from / path, "more");
    };
  });
  ASSERT_OK(both.sent);
  ASSERT_OK(both.received);
  EXPECT_EQ(both.sent->notes.size(), 6U) << "each was sent again, and left as last read";
  EXPECT_EQ(listing(to), (std::vector<std::string>{"a", "b", "c", "z"}));
}

TEST(Sync, AFileThatVanishedIsLeftOutWithANote) {
  const os::TempDir temp;
  const os::Path from = temp.path() / "from", to = temp.path() / "to";
  write(from / "a", "1");
  write(from / "b", "2");
  const Both both = move_tree(from, to, {}, {}, Options{}, [&](Sender& sender) {
    sender.readers = 1;
    sender.while_reading = [&](std::string_view path) {
      if (path == "a") std::filesystem::remove(from / "b");
    };
  });
  ASSERT_OK(both.sent);
  EXPECT_EQ(listing(to), std::vector<std::string>{"a"});
  EXPECT_EQ(both.sent->notes, std::vector<std::string>{"vanished, left out: b"});
  EXPECT_EQ(both.received->files, 1U);
}

TEST(Sync, SetuidBitsAreDroppedAtTheReceiver) {
  const os::TempDir temp;
  const os::Path from = temp.path() / "from", to = temp.path() / "to";
  write(from / "tool", "x", 06755);
  ASSERT_OK(move_tree(from, to).sent);
  EXPECT_EQ(Root::open(to)->look("tool")->mode, 0755U);
}

TEST(Sync, CancellingEndsBothSides) {
  const os::TempDir temp;
  const os::Path from = temp.path() / "from", to = temp.path() / "to";
  write(from / "big", std::string(3'000'000, 'x') + random_bytes(3'000'000));
  std::atomic<bool> stop{false};
  Options sending;
  sending.cancelled = [&] { return stop.load(); };
  const Both both = move_tree(from, to, {}, {}, sending,
                              [&](Sender& sender) { sender.while_reading = [&](std::string_view) { stop = true; }; });
  ASSERT_FALSE(both.sent);
  ASSERT_FALSE(both.received);
  EXPECT_EQ(both.sent.error().kind, Kind::cancelled);
  EXPECT_EQ(both.received.error().kind, Kind::cancelled);
  EXPECT_EQ(listing(to), std::vector<std::string>{});
}

TEST(Sync, ProgressEndsAtItsTotals) {
  const os::TempDir temp;
  write(temp.path() / "from" / "a", std::string(100'000, 'x'));
  write(temp.path() / "from" / "b", "y");
  Progress last;
  Options sending;
  sending.progress = [&](const Progress& now) { last = now; };
  ASSERT_OK(move_tree(temp.path() / "from", temp.path() / "to", {}, {}, sending).sent);
  EXPECT_EQ(last.files_done, 2U);
  EXPECT_EQ(last.files_total, 2U);
  EXPECT_EQ(last.bytes_done, 100'001U);
  EXPECT_EQ(last.bytes_total, 100'001U);
}

TEST(Sync, WhatIsPackedAlreadyIsSentByTurnsWithTheRest) {
  std::vector<Entry> entries;
  std::vector<Wanted> wanted;
  for (std::size_t i = 0; i < 100; ++i) {
    const char* ending = i % 5 == 0 ? ".png" : i % 2 == 0 ? ".py" : ".cc";
    entries.push_back({.path = std::to_string(100 + i) + ending, .size = 300'000});
    wanted.push_back({.index = i, .known = nullptr});
  }
  sort_by_likeness(entries, wanted);
  std::set<std::size_t> all;
  std::size_t packed_in_first_half = 0;
  std::string last;
  for (const Wanted& one : wanted) {
    const std::string& path = entries[one.index].path;
    if (path.ends_with(".png")) {
      packed_in_first_half += all.size() < 50 ? 1 : 0;
    } else {
      const auto ending = path.substr(3) + path;
      EXPECT_LT(last, ending);  // those in their order
      last = ending;
    }
    all.insert(one.index);
  }
  EXPECT_EQ(all.size(), 100U);
  EXPECT_GE(packed_in_first_half, 6U);
  EXPECT_LE(packed_in_first_half, 14U);
}

TEST(Sync, WhatALoginShellPrintsFirstIsSkippedWithinReason) {
  const os::TempDir temp;
  write(temp.path() / "from" / "a", "1");
  for (const std::size_t noise : {std::size_t{1000}, std::size_t{100'000}}) {
    auto pair = os::make_socketpair();
    std::thread receiver([&] {
      const os::Fd end = std::move(pair->write);
      (void)os::write_all(end.get(), std::string(noise, '#') + "\n");
      (void)receive_tree(end.get(), end.get(), temp.path() / "to", {});
    });
    Result<Report> sent = fail(Kind::bug, "");
    {
      const os::Fd end = std::move(pair->read);
      sent = send_tree(end.get(), end.get(), temp.path() / "from", *scan(temp.path() / "from", {}));
    }
    receiver.join();
    EXPECT_EQ(sent.has_value(), noise == 1000);
    EXPECT_TRUE(sent || sent.error().kind == Kind::corrupt);
  }
}

TEST(Sync, AnErrorOfTheReceiverReachesTheSenderEvenInTheMiddleOfMuchData) {
  const os::TempDir temp;
  const os::Path from = temp.path() / "from", to = temp.path() / "to";
  for (int i = 0; i < 20; ++i) write(from / std::to_string(i), random_bytes(1'000'000));
  ReceiveOptions receiving;
  receiving.cancelled = [&] { return os::exists(to / "0"); };
  const Both both = move_tree(from, to, receiving);
  ASSERT_FALSE(both.sent);
  EXPECT_EQ(both.sent.error().kind, Kind::cancelled);
  EXPECT_EQ(both.received.error().kind, Kind::cancelled);
}

TEST(HashTree, UnchangedFilesAreNotReadAgain) {
  const os::TempDir temp;
  const os::Path root = temp.path() / "root", cache = temp.path() / "cache";
  write(root / "a", "one");
  set_time(root / "a", 1'600'000'000);
  std::this_thread::sleep_for(std::chrono::milliseconds(40));  // older than a tick of the file clock
  auto tree = scan(root, {});
  ASSERT_OK(hash_tree(root, *tree, cache));
  EXPECT_EQ(tree->entries.at(0).sha256, sha256("one"));
  // Only someone who reads the cache can answer this wrongly.
  auto state = State::load(cache);
  auto record = state.find("a");
  ASSERT_TRUE(record);
  record->sha256 = sha256("two");
  state.note("a", *record);
  ASSERT_OK(state.save(cache));
  ASSERT_OK(hash_tree(root, *tree, cache));
  EXPECT_EQ(tree->entries.at(0).sha256, sha256("two"));
  ASSERT_OK(os::write_file(cache, "cut off"));
  ASSERT_OK(hash_tree(root, *tree, cache));
  EXPECT_EQ(tree->entries.at(0).sha256, sha256("one"));
}

TEST(HashTree, UnreadableFilesAreSkippedWithTheReason) {
  if (os::is_root()) GTEST_SKIP() << "root can read everything";
  const os::TempDir temp;
  write(temp.path() / "a", "x", 0000);
  write(temp.path() / "b", "y");
  auto tree = scan(temp.path(), {});
  ASSERT_OK(hash_tree(temp.path(), *tree, {}));
  EXPECT_EQ(tree->files, 1U);
  EXPECT_EQ(tree->skipped.size(), 1U);
}

}  // namespace
}  // namespace ferry::sync
