// Of a list that both ends know, only what is different goes.
#include <random>

#include "sync/known_list.h"
#include "sync/manifest.h"
#include "sync/sync_testing.h"

namespace ferry::sync {
namespace {

class Changes : public testing::Test {
 protected:
  Changes() {
    receiving_.mirror = true;
    receiving_.state_file = temp_.path() / "state";
    sending_.list_file = temp_.path() / "list";
    for (int i = 0; i < 1000; ++i) write(path(i), std::to_string(i));
  }
  os::Path path(int i) const { return from_ / std::to_string(i % 9) / ("file" + std::to_string(i)); }
  void move() {
    both_ = move_tree(from_, to_, receiving_, {}, sending_);
    ASSERT_OK(both_.sent);
    ASSERT_OK(both_.received);
    EXPECT_EQ(picture(from_), picture(to_));
    EXPECT_EQ(both_.sent->files_moved, both_.received->files_moved);
  }
  std::uint64_t wire() const { return both_.sent->wire_bytes; }

  const os::TempDir temp_;
  const os::Path from_ = temp_.path() / "from", to_ = temp_.path() / "to";
  ReceiveOptions receiving_;
  sync::Options sending_;
  Both both_;
};

TEST_F(Changes, OfALongListGoesOnlyWhatIsDifferentInIt) {
  move();
  EXPECT_GT(wire(), 30'000U);
  move();
  EXPECT_LT(wire(), 200U);
  EXPECT_EQ(both_.sent->files_moved, 0U);
  write(path(7), "other");
  write(from_ / "0/new", "new");
  std::filesystem::remove(path(500));
  std::filesystem::remove(path(999));
  move();
  EXPECT_LT(wire(), 1000U);
  EXPECT_EQ(both_.sent->files_moved, 2U);
  move();
  EXPECT_LT(wire(), 200U);
}

TEST_F(Changes, AReceiverThatDoesNotKnowTheListBeforeIsSentTheWholeOne) {
  move();
  write(path(3), "other");
  ASSERT_OK(os::remove_all(to_));
  std::filesystem::remove(receiving_.state_file.string() + ".list");
  move();
  EXPECT_EQ(both_.sent->files_moved, 1000U);
  move();
  EXPECT_LT(wire(), 200U);
}

TEST_F(Changes, WhatTheReceiverLostMeanwhileComesAgain) {
  move();
  write(path(3), "other");
  std::filesystem::remove(to_ / "4/file4");
  write(to_ / "5/file5", "spoiled");
  move();
  EXPECT_EQ(both_.sent->files_moved, 3U);
}

TEST_F(Changes, AListThatIsDamagedOnEitherSideIsNotBelieved) {
  move();
  const auto damage = [](const os::Path& file, std::size_t at) {
    std::string bytes = read(file);
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    write(file, bytes);
  };
  for (const os::Path& file : {os::Path(receiving_.state_file.string() + ".list"), sending_.list_file}) {
    const auto size = static_cast<std::size_t>(std::filesystem::file_size(file));
    for (const std::size_t at : {std::size_t{0}, std::size_t{20}, size / 2, size - 1}) {
      write(path(3), std::to_string(at) + file.string());
      damage(file, at);
      move();
      write(path(4), std::to_string(at) + file.string());
      std::filesystem::resize_file(file, size / 2 + at / 3);
      move();
    }
  }
}

TEST_F(Changes, ManyAreAskedForAndLargeFilesGoByTheirDifference) {
  write(from_ / "large", noise(8'000'000, 1));
  move();
  write(from_ / "large", noise(8'000'000, 1) + "and more");
  for (int i = 0; i < 300; ++i) write(path(i), noise(3000, static_cast<unsigned>(i)));
  move();
  EXPECT_EQ(both_.sent->files_moved, 301U);
  EXPECT_LT(wire(), 1'200'000U);
}

TEST_F(Changes, WhatIsListedUnderAnotherNameDoesNotGoAgain) {
  write(from_ / "large", noise(8'000'000, 1));
  for (int i = 0; i < 300; ++i) write(path(i), noise(3000, static_cast<unsigned>(i)));
  move();
  write(from_ / "copy/large", noise(8'000'000, 1));
  for (int i = 0; i < 300; ++i) write(from_ / "copy" / std::to_string(i), noise(3000, static_cast<unsigned>(i)));
  write(from_ / "copy/new", "new");
  move();
  EXPECT_EQ(both_.sent->files_moved, 1U);
  EXPECT_LT(wire(), 30'000U);
  // Where it is no longer what it was, it comes.
  write(path(5), "other");
  write(to_ / path(6).lexically_relative(from_), "spoilt");
  write(from_ / "copy/again", noise(3000, 6));
  std::filesystem::remove(to_ / "copy/6");
  move();
  EXPECT_LE(both_.sent->files_moved, 4U);
}

TEST_F(Changes, OtherRunsOnTheSameMachineKnowTheListToo) {
  receiving_.content_store = temp_.path() / "contents";
  move();
  write(path(3), "other");
  std::filesystem::remove(receiving_.state_file);
  const os::Path second = temp_.path() / "second";
  both_ = move_tree(from_, second, receiving_, {}, sending_);
  ASSERT_OK(both_.received);
  EXPECT_EQ(picture(from_), picture(second));
  for (int i = 0; i < 10; ++i) {
    write(path(3), std::to_string(i));
    move();
  }
  EXPECT_LT(wire(), 1000U);
  EXPECT_EQ(listing(temp_.path() / "contents.lists").size(), 4U);
  EXPECT_FALSE(os::exists(receiving_.state_file.string() + ".list"));
}

TEST_F(Changes, WhateverChangesTheReceiverHasItInTheEnd) {
  std::mt19937 random(11);
  const auto any = [&](unsigned below) { return static_cast<unsigned>(random() % below); };
  for (unsigned round = 0; round < 15; ++round) {
    move();
    for (unsigned i = any(4) * any(60); i > 0; --i) {
      const auto one = path(static_cast<int>(any(1200)));
      if (any(3) == 0) std::filesystem::remove(one);
      if (any(3) == 0) write(one, noise(any(2000), any(50)));
      if (any(9) == 0) write(one.string() + ".d/below", "x");
      if (any(5) == 0) set_time(one, 1'000'000 + any(100));
    }
    if (any(5) == 0)
      std::filesystem::remove(any(2) == 0 ? sending_.list_file : os::Path(receiving_.state_file.string() + ".list"));
  }
}

/// A sender that speaks of changes.
Result<Report> receive_changes(const os::Path& temp, const std::string& base,
                               const std::function<void(Channel&)>& more) {
  ReceiveOptions receiving;
  receiving.state_file = temp / "state";
  return receive_from(
      temp / "to",
      [&](Channel& channel) {
        channel.put("S");
        channel.put_number(1);
        channel.put_text(base);
        channel.put_text(sha256("x"));
        more(channel);
      },
      receiving);
}

TEST(HostileChanges, AreRefusedOrLeadToTheWholeList) {
  const os::TempDir temp;
  const auto numbers = [](std::initializer_list<std::uint64_t> all) {
    return [all = std::vector<std::uint64_t>(all)](Channel& channel) {
      for (const std::uint64_t one : all) channel.put_number(one);
    };
  };
  const auto kind_of = [&](const std::function<void(Channel&)>& more) {
    return receive_changes(temp.path(), sha256("base"), more).error().kind;
  };
  EXPECT_EQ(kind_of(numbers({5, 0, 7, 0})), Kind::corrupt);  // no end
  EXPECT_EQ(kind_of(numbers({5, 6, 0, 0})), Kind::corrupt);  // more than there are
  EXPECT_EQ(kind_of(numbers({5, 2, 0, 4})), Kind::corrupt);  // the same
  EXPECT_EQ(kind_of(numbers({std::uint64_t{1} << 40, 1, 0, 0})), Kind::corrupt);
  EXPECT_EQ(kind_of(numbers({5, 5, 0, 0, 0})), Kind::lost);  // it was asked for the whole list
  // Then it speaks of changes again.
  EXPECT_EQ(kind_of([&](Channel& channel) {
              numbers({5, 5, 0, 0, 0})(channel);
              channel.put("M");
              channel.put_number(1);
            }),
            Kind::corrupt);
  // Before the whole list, files of the other one are skipped.
  const auto got = receive_changes(temp.path(), sha256("base"), [&](Channel& channel) {
    numbers({5, 5, 0, 0, 0})(channel);
    channel.put("F");
    numbers({4, 3, 0644, 0, 3 * 4 + 1})(channel);
    channel.put("abc");
    channel.put_number(0);
    channel.put("k");
    channel.put_text(sha256("abc"));
    channel.put("V");
    channel.put_number(2);
    channel.put("Z");
    put_notes(channel, {});
    channel.put("M");
    numbers({0, 0, 0})(channel);
    channel.put("Z");
    put_notes(channel, {});
  });
  ASSERT_OK(got);
  EXPECT_EQ(got->files, 0U);
  EXPECT_EQ(listing(temp.path() / "to"), std::vector<std::string>{});
}

}  // namespace
}  // namespace ferry::sync
