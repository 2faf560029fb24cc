// A sender that does not wait until it is asked.
#include <random>

#include "sync/manifest.h"
#include "sync/sync_testing.h"

namespace ferry::sync {
namespace {

const Options hopeful{.unasked_bytes = 0, .expects_nothing = true};

/// A receiver written by hand.
Result<Report> send_to(const os::Path& from, const std::function<void(int fd)>& answer) {
  auto tree = scan(from, {});
  EXPECT_TRUE(tree && hash_tree(from, *tree, {}));
  auto pair = os::make_socketpair();
  std::thread receiver([&] {
    const os::Fd end = std::move(pair->write);
    answer(end.get());
  });
  Result<Report> sent = fail(Kind::bug, "not run");
  {
    const os::Fd end = std::move(pair->read);
    sent = send_tree(end.get(), end.get(), from, *std::move(tree), hopeful);
  }
  receiver.join();
  return sent;
}

TEST(Ahead, FilesFollowTheListBeforeTheReceiverHasSaidAnything) {
  const os::TempDir temp;
  write(temp.path() / "a", noise(300'000, 1));
  write(temp.path() / "b", noise(300'000, 1));
  write(temp.path() / "empty", "");
  std::string letters;
  const auto sent = send_to(temp.path(), [&](int fd) {
    Channel channel(fd, fd);
    letters += *channel.letter();
    EXPECT_EQ(*channel.number(1), 0U);
    for (std::uint64_t left = *read_count(channel, 10); left > 0; --left) ASSERT_OK(read_entry(channel));
    ASSERT_OK(read_sparse(channel, 3));
    letters += *channel.letter();
    EXPECT_EQ(*channel.number(10), 0U);
  });
  EXPECT_FALSE(sent);
  EXPECT_EQ(letters, "SF");
}

TEST(Ahead, AReceiverThatHasNothingGetsEachContentOnce) {
  const os::TempDir temp;
  const os::Path from = temp.path() / "from", to = temp.path() / "to";
  for (int i = 0; i < 300; ++i)
    write(from / std::to_string(i % 7) / std::to_string(i), noise(static_cast<std::size_t>(i) * 97, unsigned(i % 150)));
  write(from / "large", noise(5'000'000, 1000));
  write(from / "large again", noise(5'000'000, 1000));
  const auto both = move_tree(from, to, {}, {}, hopeful);
  ASSERT_OK(both.sent);
  ASSERT_OK(both.received);
  EXPECT_EQ(picture(from), picture(to));
  EXPECT_LT(both.sent->wire_bytes, 10'000'000U);
  EXPECT_EQ(both.sent->files_moved, both.received->files_moved);
  EXPECT_EQ(both.sent->bytes_moved, both.received->bytes_moved);
}

TEST(Ahead, OfALargeFileThatIsThereAlreadyOnlySomeGoesInVain) {
  const os::TempDir temp;
  const os::Path from = temp.path() / "from", to = temp.path() / "to";
  write(from / "large", noise(96'000'000, 1));
  write(from / "small", "1");
  ASSERT_OK(move_tree(from, to).received);
  write(from / "small", "2");
  auto tree = scan(from, {});
  ASSERT_OK(hash_tree(from, *tree, {}));
  tree->is_new = true;
  const auto both = move_listed(*std::move(tree), from, to);
  ASSERT_OK(both.sent);
  ASSERT_OK(both.received);
  EXPECT_EQ(picture(from), picture(to));
  EXPECT_EQ(both.sent->files_moved, 1U);
  EXPECT_EQ(both.sent->bytes_moved, 1U);
  EXPECT_LT(both.sent->wire_bytes, 40'000'000U);
}

TEST(Ahead, WhateverTheReceiverHasItEndsWithWhatTheSenderHas) {
  std::mt19937 random(7);
  for (unsigned round = 0; round < 8; ++round) {
    const os::TempDir temp;
    const os::Path from = temp.path() / "from", to = temp.path() / "to";
    const ReceiveOptions receiving = [&] {
      ReceiveOptions options;
      options.mirror = true;
      options.state_file = temp.path() / "state";
      return options;
    }();
    const auto any = [&](unsigned below) { return static_cast<unsigned>(random() % below); };
    const auto change = [&] {
      for (unsigned i = 0; i < 40; ++i) {
        const auto path = from / std::to_string(any(4)) / std::to_string(any(30));
        const std::size_t size = any(5) == 0 ? any(3'000'000) : any(5000);
        if (any(4) > 0) write(path, noise(size, any(20)));
        if (any(6) == 0) std::filesystem::remove(path);
        if (any(4) == 0) write(path, read(path) + "more");
      }
    };
    change();
    if (any(3) > 0) ASSERT_OK(move_tree(from, to, receiving).received);
    change();
    const auto both = move_tree(from, to, receiving, {}, hopeful);
    ASSERT_OK(both.sent);
    ASSERT_OK(both.received);
    EXPECT_EQ(picture(from), picture(to));
    EXPECT_EQ(both.sent->files_moved, both.received->files_moved);
  }
}

TEST(Ahead, AFileThatChangesWhileItIsReadComesAsItIsInTheEnd) {
  const os::TempDir temp;
  const os::Path from = temp.path() / "from", to = temp.path() / "to";
  write(from / "a", noise(2'000'000, 1));
  write(from / "b", noise(2'000'000, 2));
  std::atomic<bool> is_changed{false};
  const auto both = move_tree(from, to, {}, {}, hopeful, [&](Sender& sender) {
    sender.while_reading = [&](std::string_view path) {
      if (path == "b" && !is_changed.exchange(true)) write(from / "b", noise(3'000'000, 3));
    };
  });
  ASSERT_OK(both.sent);
  ASSERT_OK(both.received);
  EXPECT_EQ(picture(from), picture(to));
}

TEST(Ahead, AReceiverThatTalksBeforeItListensDoesNotHoldUp) {
  const os::TempDir temp;
  write(temp.path() / "a", noise(20'000'000, 1));
  const auto sent = send_to(temp.path(), [&](int fd) {
    std::string block("\x82\x80\x10", 3);  // 64 KiB as they are: length * 4 + 2
    block += std::string(std::size_t{64} << 10, 'B');
    ASSERT_OK(os::write_all(fd, std::string(greeting) + protocol_version));
    for (int i = 0; i < 64; ++i) ASSERT_OK(os::write_all(fd, block));
    std::string buffer(1 << 20, 0);
    for (std::size_t taken = 0; taken < 10'000'000;) {
      const ssize_t got = ::read(fd, buffer.data(), buffer.size());
      ASSERT_GT(got, 0);
      taken += static_cast<std::size_t>(got);
    }
  });
  EXPECT_EQ(sent.error().kind, Kind::lost);
}

TEST(Ahead, AReceiverThatFailsIsHeardWhileFilesFlow) {
  const os::TempDir temp;
  const os::Path from = temp.path() / "from", to = temp.path() / "to";
  write(from / "a", noise(30'000'000, 1));
  write(to / "a/theirs", "it was not ours");
  const auto both = move_tree(from, to, {}, {}, hopeful);
  ASSERT_FALSE(both.sent);
  EXPECT_EQ(both.sent.error().kind, Kind::conflict) << describe(both.sent.error());
  EXPECT_EQ(both.received.error().kind, Kind::conflict);
}

TEST(Ahead, AReceiverThatAsksTwiceIsRefused) {
  const os::TempDir temp;
  write(temp.path() / "a", noise(64'000'000, 1));  // more than is held, if nobody takes it
  const auto sent = send_to(temp.path(), [&](int fd) {
    Channel channel(fd, fd);
    ASSERT_OK(channel.greet());
    ASSERT_OK(channel.letter());
    for (int i = 0; i < 2; ++i) {
      channel.put("W");
      channel.put_number(1);
      channel.put_number(0);
    }
    ASSERT_OK(channel.flush());
    while (channel.byte()) {
    }
  });
  EXPECT_EQ(sent.error().kind, Kind::corrupt) << describe(sent.error());
}

Result<Report> receive_list(const os::Path& to, const char* letter, const std::function<void(Channel&)>& more) {
  return receive_from(to, [&](Channel& channel) {
    Entry file{.path = "sub/a", .mode = 0644, .size = 3, .sha256 = sha256("abc")};
    channel.put(letter);
    channel.put_number(0);
    (void)put_manifest(channel, {Entry{.path = "sub", .type = Type::folder, .mode = 0755}, file});
    (void)put_sparse(channel, {});
    more(channel);
  });
}

void put_file(Channel& channel, std::uint64_t index, std::string_view end) {
  channel.put("F");
  for (const std::uint64_t value : {index, std::uint64_t{3}, std::uint64_t{0644}}) channel.put_number(value);
  put_mtime(channel, 0);
  channel.put_number(3 * 4 + static_cast<unsigned>(PieceKind::data));
  channel.put("abc");
  channel.put_number(0);
  channel.put(end);
  if (end == "k") channel.put_text(sha256("abc"));
}

TEST(Ahead, WhatHostileSendersSendUnaskedHarmsNothing) {
  const os::TempDir temp;
  const auto end = [](Channel& channel) {
    channel.put("Z");
    put_notes(channel, {});
  };
  // Twice, and first taken back.
  auto got = receive_list(temp.path() / "one", "S", [&](Channel& channel) {
    put_file(channel, 1, "u");
    for (int i = 0; i < 2; ++i) put_file(channel, 1, "k");
    end(channel);
  });
  ASSERT_OK(got);
  EXPECT_EQ(read(temp.path() / "one/sub/a"), "abc");
  EXPECT_EQ(got->files_moved, 1U);
  // A folder, a place outside of the list; taken back where nothing comes unasked; nothing at all.
  EXPECT_EQ(receive_list(temp.path() / "two", "S", [&](Channel& c) { put_file(c, 0, "k"); }).error().kind,
            Kind::corrupt);
  EXPECT_EQ(receive_list(temp.path() / "two", "S", [&](Channel& c) { put_file(c, 2, "k"); }).error().kind,
            Kind::corrupt);
  EXPECT_EQ(receive_list(temp.path() / "two", "M", [&](Channel& c) { put_file(c, 1, "u"); }).error().kind,
            Kind::corrupt);
  EXPECT_EQ(receive_list(temp.path() / "two", "S", end).error().kind, Kind::lost);  // it was asked again
}

}  // namespace
}  // namespace ferry::sync
