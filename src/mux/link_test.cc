// More than one link: what their engines do with them, over socket pairs, in one thread; how a link joins; and when
// another one is opened.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "base/hash.h"
#include "base/text.h"
#include "mux/engine.h"
#include "mux/gather.h"
#include "mux/join.h"
#include "mux/widening.h"
#include "os/clock.h"

namespace ferry::mux {
namespace {

constexpr std::uint32_t stream = 1;

std::string striped(std::uint64_t at, std::string_view bytes) {
  return encode({stream, Type::striped, Lane::work, encode_offset(at) + std::string(bytes)});
}

os::Fd file_of(std::string_view content) {
  os::Fd file(::memfd_create("content", MFD_CLOEXEC));
  EXPECT_TRUE(os::write_all(file.get(), content));
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

os::Fd again(const os::Fd& fd) { return os::Fd(::dup(fd.get())); }

std::string content_of(const os::Fd& file) {
  std::string out(static_cast<std::size_t>(::lseek(file.get(), 0, SEEK_END)), '\0');
  EXPECT_EQ(::pread(file.get(), out.data(), out.size(), 0), static_cast<ssize_t>(out.size()));
  return out;
}

std::string said(const Status& status) { return status ? "" : status.error().what; }

/// Moves what is there from one socket to another: bytes.
std::size_t relay(const os::Fd& from, const os::Fd& to, std::size_t most = 65536) {
  std::string part(most, '\0');
  const ssize_t got = ::recv(from.get(), part.data(), part.size(), MSG_DONTWAIT);
  if (got <= 0) return 0;
  EXPECT_TRUE(os::write_all(to.get(), std::string_view(part).substr(0, static_cast<std::size_t>(got))));
  return static_cast<std::size_t>(got);
}

/// A sender with a large file, and a receiver; whoever tests is in the middle of each link, and the first is slow.
class Links : public testing::Test {
 protected:
  struct Way {
    os::Fd near, far;  // our ends
    bool is_open = true;
  };

  static Engine::Handler heard(std::vector<Type>& types) {
    return [&types](const Frame& frame) {
      types.push_back(frame.type);
      return Status();
    };
  }
  void SetUp() override {
    os::ignore_sigpipe();
    for (auto* engine : {&sender_, &receiver_}) engine->join(stream, Lane::work);
    sender_.read_from(stream, Type::data, file_of(sent_));
    receiver_.write_to(stream, Type::data, again(received_));
  }
  /// The receiver is told by the first word of the sender's.
  void add_link() {
    auto near = *os::make_socketpair(), far = *os::make_socketpair();
    ASSERT_TRUE(sender_.add_link({again(near.write), std::move(near.write), os::Fd()}, {}, true));
    ASSERT_TRUE(receiver_.add_link({again(far.write), std::move(far.write), os::Fd()}, {}, false));
    ways_.push_back({std::move(near.read), std::move(far.read)});
  }
  Status turn() {
    TRY("", sender_.turn(Millis(0), {}));
    relay(near_.write, far_.write, 8192);
    relay(far_.write, near_.write);
    for (auto& way : ways_) {
      if (!way.is_open) continue;
      through_ += relay(way.near, way.far);
      relay(way.far, way.near);
    }
    return receiver_.turn(Millis(0), {});
  }
  std::size_t arrived() const { return static_cast<std::size_t>(::lseek(received_.get(), 0, SEEK_END)); }
  /// Until nothing moves any more.
  Status settle() {
    int quiet = 0;
    for (std::uint64_t before = 0; quiet < 20; before = sender_.sent() + receiver_.received()) {
      TRY("", turn());
      quiet = before == sender_.sent() + receiver_.received() ? quiet + 1 : 0;
    }
    return {};
  }

  const std::string sent_ = random_bytes(30'000'000);
  os::Fd received_ = file_of("");
  os::Pipe near_ = *os::make_socketpair(), far_ = *os::make_socketpair();
  std::vector<Type> told_sender_, told_receiver_;
  Engine sender_{near_.read.get(), near_.read.get(), heard(told_sender_)};
  Engine receiver_{far_.read.get(), far_.read.get(), heard(told_receiver_)};
  std::vector<Way> ways_;
  std::size_t through_ = 0;  // all but the first link, towards the receiver
};

TEST_F(Links, CarryOneStreamTogetherAndItsBytesComeInTheirOrder) {
  add_link();
  add_link();
  ASSERT_EQ(said(settle()), "");
  EXPECT_GT(through_, sent_.size() / 10) << "the others have their part";
  EXPECT_TRUE(content_of(received_) == sent_);
  EXPECT_TRUE(sender_.has_sent_all(stream));
}

TEST_F(Links, AreNotUsedBeforeTheOtherEndHasThemNorForWhatIsSmall) {
  add_link();
  ways_[0].is_open = false;
  while (arrived() < window(Lane::work) / 8) ASSERT_EQ(said(turn()), "");
  EXPECT_FALSE(receiver_.is_held_up()) << "nothing went by the second link before any credit came back";
  auto small = file_of(std::string(100'000, 'x')), there = file_of("");
  for (auto* engine : {&sender_, &receiver_}) engine->join(stream + 1, Lane::work);
  sender_.read_from(stream + 1, Type::data, std::move(small));
  receiver_.write_to(stream + 1, Type::data, again(there));
  ASSERT_EQ(said(settle()), "");
  EXPECT_EQ(content_of(there).size(), 100'000U) << "without the second link, which is closed";
}

TEST_F(Links, OneThatStallsHoldsUpItsStreamInBoundedMemoryAndNoOther) {
  add_link();
  while (arrived() < 2'000'000) ASSERT_EQ(said(turn()), "");
  ways_[0].is_open = false;
  ASSERT_EQ(said(settle()), "");
  EXPECT_LT(arrived(), sent_.size());
  EXPECT_LT(receiver_.received(), arrived() + 2 * window(Lane::work) + 1'000'000);
  EXPECT_TRUE(receiver_.is_held_up());
  EXPECT_TRUE(sender_.is_held_up());
  sender_.send(0, Type::ping, {});
  ASSERT_EQ(said(settle()), "");
  EXPECT_THAT(told_receiver_, testing::Contains(Type::ping));
  ways_[0].is_open = true;
  ASSERT_EQ(said(settle()), "");
  EXPECT_TRUE(content_of(received_) == sent_);
}

TEST_F(Links, TheEndOfOneIsTheConnectionsUnlessNobodyKnewOfIt) {
  auto half = *os::make_socketpair();
  ASSERT_TRUE(receiver_.add_link({again(half.write), std::move(half.write), os::Fd()}, {}, false));
  half.read.reset();
  EXPECT_TRUE(turn());
  EXPECT_TRUE(turn());
  EXPECT_EQ(receiver_.links(), 1U);
  add_link();
  while (through_ < 100'000) ASSERT_EQ(said(turn()), "");
  ways_.clear();
  Status turned;
  while ((turned = turn())) continue;
  EXPECT_EQ(turned.error().kind, Kind::lost);
}

TEST_F(Links, OneThatIsLeftTakesNothingWithIt) {
  add_link();
  while (through_ < 1'000'000) ASSERT_EQ(said(turn()), "");
  sender_.leave_link();
  ASSERT_EQ(said(settle()), "");
  EXPECT_EQ(sender_.links(), 1U);
  EXPECT_EQ(receiver_.links(), 1U);
  EXPECT_TRUE(content_of(received_) == sent_);
}

TEST_F(Links, WhatTheyStillBringOfAStreamThatHasEndedIsNotLost) {
  add_link();
  while (arrived() < 25'000'000) ASSERT_EQ(said(turn()), "");
  ways_[0].is_open = false;
  ASSERT_EQ(said(settle()), "");
  ASSERT_TRUE(sender_.has_sent_all(stream));
  const auto before = arrived();
  EXPECT_LT(before, sent_.size());
  sender_.close(stream);
  receiver_.close(stream);  // its exit has come by the first link
  ASSERT_EQ(said(settle()), "");
  EXPECT_EQ(arrived(), before);
  ways_[0].is_open = true;
  ASSERT_EQ(said(settle()), "");
  EXPECT_TRUE(content_of(received_) == sent_);
  EXPECT_EQ(receiver_.size(), 0U) << "and it is forgotten";
}

/// The receiver alone, and a sender that is the test.
class Hostile : public testing::Test {
 protected:
  Hostile() {
    engine_.join(stream, Lane::work);
    engine_.write_to(stream, Type::data, again(received_));
  }
  Kind kind_of(const std::string& frames) {
    const auto said = engine_.feed(frames);
    return said ? Kind::bug : said.error().kind;
  }
  os::Fd received_ = file_of("");
  os::Pipe first_ = *os::make_socketpair();
  Engine engine_{first_.read.get(), first_.read.get(), [](const Frame&) { return Status(); }};
};

TEST_F(Hostile, BytesThatComeTwiceOrOutOfAllOrderAreCorrupt) {
  ASSERT_TRUE(engine_.feed(striped(4, "4567") + striped(0, "0123") + striped(12, "cdef")));
  EXPECT_EQ(content_of(received_), "01234567");
  for (const auto& frames :
       {striped(0, "0123"), striped(7, "78"), striped(11, "bc"), striped(12, "c"), striped(15, "fg"), striped(8, ""),
        striped(window(Lane::work), "x"), striped(~std::uint64_t{0}, "x"), striped(~std::uint64_t{0} - 1, "xx"),
        encode({stream, Type::striped, Lane::work, "short"}), encode({stream, Type::data, Lane::work, "89ab"}),
        encode({stream, Type::end_data, Lane::work, "short"}),
        encode({stream, Type::end_data, Lane::work, encode_offset(7)}), encode({0, Type::leave, {}, {}}),
        encode({stream + 1, Type::striped, Lane::work, encode_offset(0) + "x"})})
    EXPECT_EQ(kind_of(frames), Kind::corrupt) << printable(frames);
}

TEST_F(Hostile, ASkippedByteHoldsNoMoreThanTheCredit) {
  const std::string part(most_body - 8, 'x');
  std::uint64_t at = 1;
  while (at + part.size() <= window(Lane::work)) {
    ASSERT_TRUE(engine_.feed(striped(at, part)));
    at += part.size();
  }
  EXPECT_EQ(kind_of(striped(at, part)), Kind::corrupt);
  EXPECT_EQ(content_of(received_), "");
}

TEST_F(Hostile, APeerThatSendsEverySecondByteIsCorruptSoon) {
  Status fed;
  std::size_t pieces = 0;
  for (; fed && pieces < 2 * Gather::most_pieces; ++pieces) fed = engine_.feed(striped(2 * pieces + 1, "x"));
  EXPECT_EQ(fed.error().kind, Kind::corrupt);
  EXPECT_LE(pieces, Gather::most_pieces + 1);
}

TEST_F(Hostile, MoreThanTheToldEndIsCorrupt) {
  const auto end = encode({stream, Type::end_data, Lane::work, encode_offset(6)});
  ASSERT_TRUE(engine_.feed(striped(0, "01") + striped(4, "45") + end));
  EXPECT_EQ(kind_of(end), Kind::corrupt);
  EXPECT_EQ(kind_of(striped(2, "23")), Kind::bug) << "it is whole";
  EXPECT_EQ(kind_of(striped(6, "6")), Kind::corrupt);
}

TEST_F(Hostile, ALinkThatJoinedHasDataAndItsEndAlone) {
  const auto kind_of_link = [&](const std::string& frames, bool is_sure) {
    auto link = *os::make_socketpair();
    const auto added = engine_.add_link({again(link.write), std::move(link.write), os::Fd()}, frames, is_sure);
    (void)engine_.take_links();
    return added ? Kind::bug : added.error().kind;
  };
  const auto sure = encode({0, Type::join, {}, {}}), leave = encode({0, Type::leave, {}, {}});
  EXPECT_EQ(kind_of_link(sure + striped(0, "0"), false), Kind::bug);
  EXPECT_EQ(kind_of_link(striped(1, "1"), true), Kind::bug);
  for (const auto& frames :
       {striped(2, "2"), leave, sure + sure, sure + leave + leave, sure + leave + striped(2, "2"),
        sure + encode({stream, Type::data, Lane::work, "2"}), sure + encode({0, Type::ping, {}, {}}),
        sure + encode({9, Type::open, {}, std::string("ctrue\0", 6)})})
    EXPECT_EQ(kind_of_link(frames, false), Kind::corrupt) << printable(frames);
}

TEST(Gather, PutsPiecesInOrderHoweverTheyCome) {
  const auto whole = random_bytes(50'000);
  std::minstd_rand random(7);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::pair<std::size_t, std::size_t>> pieces;
    for (std::size_t at = 0; at < whole.size(); at += pieces.back().second)
      pieces.emplace_back(at, std::min<std::size_t>(1 + random() % 1000, whole.size() - at));
    std::shuffle(pieces.begin(), pieces.end(), random);
    Gather gather;
    std::string out;
    auto room = whole.size();
    for (const auto& [at, size] : pieces) {
      ASSERT_TRUE(gather.add(at, std::string_view(whole).substr(at, size), room, out));
      room -= size;
      ASSERT_EQ(gather.next(), out.size());
    }
    EXPECT_TRUE(out == whole);
    EXPECT_FALSE(gather.has_early());
  }
}

TEST(Joining, TakesWhoeverSaysTheSecretAndHandsOverALink) {
  auto joining = *Joining::listen();
  ASSERT_TRUE(is_token(joining.token()));
  auto another = joining.token();
  another.back() = another.back() == '0' ? '1' : '0';
  for (const auto& token : {another, joining.token()}) {
    auto link = *os::make_socketpair();
    std::optional<Joined> joined;
    const auto child = ::fork();
    if (child == 0) ::_exit(join(token, ::dup(link.write.get()), ::dup(link.write.get())) ? 0 : 1);
    link.write.reset();
    for (bool is_over = false; !is_over && !joined;) {
      (void)os::wait_readable(joining.fd(), Millis(10));
      joined = joining.take();
      is_over = ::waitpid(child, nullptr, WNOHANG) == child;
    }
    ASSERT_EQ(joined.has_value(), token == joining.token());
    if (!joined) continue;
    EXPECT_EQ(*os::read_exactly(link.read.get(), joined_line(token).size()), joined_line(token));
    EXPECT_TRUE(os::write_all(joined->out.get(), "to the laptop"));
    EXPECT_EQ(*os::read_exactly(link.read.get(), 13), "to the laptop");
    EXPECT_EQ(::waitpid(child, nullptr, WNOHANG), 0) << "it waits";
    joined->keeper.reset();
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);
  }
}

TEST(Joining, EndsWithItsOwnerAndTakesNoNonsense) {
  const auto token = Joining::listen()->token();
  EXPECT_EQ(join(token, -1, -1).error().kind, Kind::lost);
  for (const auto& bad : {std::string(), token.substr(1), token + "0", std::string(48, '/')})
    EXPECT_EQ(join(bad, -1, -1).error().kind, Kind::bad_input);
}

/// A line over which so much goes in a second.
class Judge {
 public:
  explicit Judge(std::int64_t trip_ms) {
    widening.answered(trip_ms);
    (void)widening.look(now, 0, 0, false);
  }
  /// The last thing that was asked for in these seconds, each with so many MB up and down.
  Widening::Do seconds(int count, double up, double down = 0, bool is_held_up = false) {
    auto last = Widening::Do::nothing;
    for (int i = 0; i < count; ++i) {
      now += 1000;
      sent += static_cast<std::uint64_t>(up * 1e6);
      received += static_cast<std::uint64_t>(down * 1e6);
      if (const auto asked = widening.look(now, sent, received, is_held_up); asked != Widening::Do::nothing)
        last = asked;
    }
    return last;
  }
  Widening widening;
  std::int64_t now = 1'000'000;
  std::uint64_t sent = 0, received = 0;
};

using Do = Widening::Do;

TEST(Widening, NeverBeginsWhereOneLinkIsNotFullForSeconds) {
  EXPECT_EQ(Judge(60).seconds(60, 25), Do::nothing) << "the line is slower than ssh";
  EXPECT_EQ(Judge(10).seconds(60, 190), Do::nothing) << "the way is short";
  Judge small(60);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(small.seconds(2, 30), Do::nothing);
    EXPECT_EQ(small.seconds(5, 0.1), Do::nothing);
  }
  Widening unknown;
  EXPECT_EQ(unknown.look(1'000, 1 << 30, 0, true), Do::nothing) << "nobody knows how long the way is";
}

TEST(Widening, GoesOnAsLongAsItHelpsAndNoFurther) {
  for (const double down : {0.0, 1.0}) {
    Judge judge(60);
    EXPECT_EQ(judge.seconds(3, 28 * (1 - down), 28 * down), Do::open);
    EXPECT_EQ(judge.seconds(60, 28), Do::nothing) << "it is not there yet";
    judge.widening.opened();
    EXPECT_EQ(judge.seconds(5, 56 * (1 - down), 56 * down), Do::nothing) << "it stays";
    EXPECT_EQ(judge.seconds(3, 56 * (1 - down), 56 * down), Do::open);
    judge.widening.opened();
    EXPECT_EQ(judge.seconds(5, 66 * (1 - down), 66 * down), Do::nothing);
    EXPECT_TRUE(judge.widening.is_over()) << "three are enough";
    EXPECT_EQ(judge.seconds(60, 100, 100), Do::nothing);
  }
}

TEST(Widening, ALinkThatDoesNotHelpIsLeftForGood) {
  for (const bool is_held_up : {false, true}) {
    Judge judge(60);
    EXPECT_EQ(judge.seconds(3, 28), Do::open);
    judge.widening.opened();
    EXPECT_EQ(judge.seconds(5, is_held_up ? 0 : 29, 0, is_held_up), Do::leave);
    EXPECT_TRUE(judge.widening.is_over());
    EXPECT_EQ(judge.seconds(60, 30), Do::nothing);
  }
  Judge third(60);
  EXPECT_EQ(third.seconds(3, 28), Do::open);
  third.widening.opened();
  EXPECT_EQ(third.seconds(8, 56), Do::open);
  third.widening.opened();
  EXPECT_EQ(third.seconds(5, 56), Do::leave);
}

TEST(Widening, ATransferThatEndsInATrialIsNoVerdict) {
  Judge judge(60);
  EXPECT_EQ(judge.seconds(3, 28), Do::open);
  judge.widening.opened();
  EXPECT_EQ(judge.seconds(4, 56), Do::nothing);
  EXPECT_EQ(judge.seconds(60, 0.1), Do::nothing);
  EXPECT_FALSE(judge.widening.is_over());
  EXPECT_EQ(judge.seconds(1, 56), Do::nothing);
  EXPECT_EQ(judge.seconds(3, 56), Do::open);
}

TEST(Widening, WhatCouldNotBeOpenedIsNotAskedForAgain) {
  Judge judge(60);
  EXPECT_EQ(judge.seconds(3, 28), Do::open);
  judge.widening.failed();
  EXPECT_EQ(judge.seconds(60, 28), Do::nothing);
}

TEST(Widening, WhatWaitsAtTheEndsIsNoPartOfTheWay) {
  Judge judge(10);
  judge.widening.answered(200);
  EXPECT_EQ(judge.seconds(60, 30), Do::nothing);
}

}  // namespace
}  // namespace ferry::mux
