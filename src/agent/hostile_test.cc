// A machine that is not what it says: what its words may cost the laptop, in bytes and in time.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "agent/client.h"
#include "agent/pipes.h"
#include "os/clock.h"

namespace ferry::agent {
namespace {

/// Sends a beginning, and then the same for ever, as fast as it is taken.
class Flood {
 public:
  Flood(std::string begin, std::string again) {
    auto pair = os::make_socketpair();
    ours_ = std::move(pair->read);
    theirs_ = std::move(pair->write);
    thread_ = std::thread([this, begin = std::move(begin), again = std::move(again)] {
      if (!put(begin)) return;
      while (!again.empty() && put(again)) continue;
    });
  }
  ~Flood() {
    ::shutdown(theirs_.get(), SHUT_RDWR);
    thread_.join();
  }
  Result<Client> connect(Millis limit = Millis(1000)) {
    os::Fd out(::dup(ours_.get()));
    return Client::connect(std::move(ours_), std::move(out), limit);
  }
  std::uint64_t sent() const { return sent_; }

 private:
  bool put(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(theirs_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      sent_ += static_cast<std::uint64_t>(count);
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }
  os::Fd ours_, theirs_;
  std::atomic<std::uint64_t> sent_ = 0;
  std::thread thread_;
};

std::string good_hello() {
  return std::string(greeting) +
         encode(FrameType::hello, R"({"protocol":)" + std::to_string(protocol_version) + R"(,"version":"9"})");
}

std::string answer_to(int id) { return encode(FrameType::answer, R"({"id":)" + std::to_string(id) + "}"); }

std::string state_frame(std::string_view state, std::uint64_t log_size, std::size_t padding = 0) {
  return encode(FrameType::state,
                dump_json({{"state", state}, {"log_size", log_size}, {"x", std::string(padding, 'x')}}));
}

JobSpec some_job() { return {.workdir = "/w", .command = "true"}; }

TEST(HostileMachine, WhatNobodyAskedForIsRefusedAtOnce) {
  for (const auto& frame :
       {state_frame("running", 0), encode_log({.offset = 0, .bytes = "log"}), good_hello().substr(greeting.size())}) {
    Flood machine(good_hello(), frame);
    auto client = machine.connect();
    ASSERT_TRUE(client);
    EXPECT_EQ(client->start(some_job()).error().kind, Kind::corrupt);
    EXPECT_LT(client->held(), Client::most_held);
  }
}

TEST(HostileMachine, AStateOfHundredsOfKilobytesIsNoState) {
  auto frame = state_frame("running", 0, 60'000);
  std::string large(900'000, 'x');
  Flood machine(good_hello() + answer_to(1), std::string("\xa0\xbb\x0d\x00S", 5) + large);
  auto client = machine.connect();
  ASSERT_TRUE(client && client->attach(0));
  EXPECT_EQ(client->next(Millis(5000)).error().kind, Kind::corrupt);
  EXPECT_LT(client->held(), Client::most_held);
}

TEST(HostileMachine, StatesWithoutEndInPlaceOfAnAnswerAreGivenUpAndTakeNoMemory) {
  Flood machine(good_hello() + answer_to(1), state_frame("running", 0, 60'000));
  auto client = machine.connect();
  ASSERT_TRUE(client && client->attach(0));
  client->silence_limit = Millis(1'000);  // in which it sends more than it may make us hold, on a slow computer, too
  const auto begin = os::system_clock().steady_ms();
  EXPECT_EQ(client->status().error().kind, Kind::lost);
  EXPECT_LT(os::system_clock().steady_ms() - begin, 20'000);
  EXPECT_LT(client->held(), 2'000'000u);
  EXPECT_GT(machine.sent(), 2'000'000u);
}

TEST(HostileMachine, ALogAtFullSpeedInPlaceOfAnAnswerIsGivenUp) {
  std::string log;
  for (std::uint64_t at = 0; at < 1000; ++at)
    log += encode_log({.offset = at * 60'000, .bytes = std::string(60'000, 'x')});
  Flood machine(good_hello() + answer_to(1) + log, "");
  auto client = machine.connect();
  ASSERT_TRUE(client && client->attach(0));
  EXPECT_EQ(client->cancel(Seconds(30)).error().kind, Kind::lost);
  EXPECT_LT(client->held(), Client::most_held);
}

TEST(HostileMachine, ManyTinyPartsOfALogWeighWhatTheyTake) {
  std::string log;
  for (std::uint64_t at = 0; at < 300'000; ++at) log += encode_log({.offset = at, .bytes = "x"});
  Flood machine(good_hello() + answer_to(1) + log, "");
  auto client = machine.connect();
  ASSERT_TRUE(client && client->attach(0));
  client->silence_limit = Millis(3000);
  EXPECT_EQ(client->cancel(Seconds(30)).error().kind, Kind::lost);
  EXPECT_LT(client->held(), Client::most_held);
}

TEST(HostileMachine, ALogThatIsNotTakenIsNotReadEither) {
  std::string log;
  for (std::uint64_t at = 0; at < 1000; ++at)
    log += encode_log({.offset = at * 60'000, .bytes = std::string(60'000, 'x')});
  Flood machine(good_hello() + answer_to(1) + log, "");
  auto client = machine.connect();
  ASSERT_TRUE(client && client->attach(0));
  for (int taken = 0; taken < 10; ++taken) ASSERT_TRUE(client->next(Millis(5000)));
  os::system_clock().sleep(Millis(300));
  EXPECT_LT(machine.sent(), 5'000'000u) << "it was taken in though nobody asked";
}

TEST(HostileMachine, ALargeRequestThatIsNotTakenWhileItTalksEnds) {
  Flood machine(good_hello() + answer_to(1), encode(FrameType::state, R"({"state":"running","log_size":0})"));
  auto client = machine.connect();
  ASSERT_TRUE(client && client->attach(0));
  client->silence_limit = Millis(500);
  JobSpec large = some_job();
  large.command = "# " + std::string(3'000'000, 'x');
  EXPECT_EQ(client->start(large).error().kind, Kind::lost);
  EXPECT_LT(client->held(), Client::most_held);
}

TEST(HostileMachine, DoneBeforeTheLogIsThereIsALie) {
  Flood machine(good_hello() + answer_to(1) + state_frame("done", ~std::uint64_t{0}), "");
  auto client = machine.connect();
  ASSERT_TRUE(client && client->attach(0));
  EXPECT_EQ(client->next(Millis(5000)).error().kind, Kind::corrupt);
}

TEST(HostileMachine, ALogThatRepeatsOrSkipsIsRefused) {
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{7}}) {
    Flood machine(good_hello() + answer_to(1) + encode_log({.offset = 0, .bytes = "abc"}),
                  encode_log({.offset = offset, .bytes = "abc"}));
    auto client = machine.connect();
    ASSERT_TRUE(client && client->attach(0));
    ASSERT_TRUE(client->next(Millis(5000)));
    EXPECT_EQ(client->next(Millis(5000)).error().kind, Kind::corrupt);
  }
}

TEST(HostileMachine, AFrameThatTricklesIsSilence) {
  auto pair = os::make_socketpair();
  os::Fd theirs = std::move(pair->write), out(::dup(pair->read.get()));
  ASSERT_TRUE(os::write_all(theirs.get(), good_hello() + answer_to(1)));
  auto client = Client::connect(std::move(pair->read), std::move(out), Millis(1000));
  ASSERT_TRUE(client && client->attach(0));
  client->silence_limit = Millis(100);
  const std::string frame = state_frame("running", 0, 1000);
  Result<std::optional<Client::Event>> got = std::optional<Client::Event>();
  for (std::size_t at = 0; at < 100 && got; ++at) {
    ASSERT_TRUE(os::write_all(theirs.get(), frame.substr(at, 1)));
    got = client->next(Millis(20));
  }
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().kind, Kind::lost);
}

TEST(HostileMachine, NoiseInPlaceOfAGreetingEndsInBytesAndInTime) {
  Flood loud("", std::string(10'000, '#'));
  EXPECT_EQ(loud.connect(Millis(20'000)).error().kind, Kind::corrupt);
  EXPECT_LT(loud.sent(), 10'000'000u);
  Flood slow(std::string(1000, '#'), "");
  EXPECT_EQ(slow.connect(Millis(100)).error().kind, Kind::lost);
}

std::map<pid_t, PipeEnds> pipes_of(std::map<pid_t, std::pair<std::set<int>, std::set<int>>> reads_and_writes) {
  std::map<pid_t, PipeEnds> out;
  for (const auto& [pid, ends] : reads_and_writes) {
    for (const int pipe : ends.first) out[pid].reads.insert({0, pipe});
    for (const int pipe : ends.second) out[pid].writes.insert({0, pipe});
  }
  return out;
}

TEST(Pipes, WhoReadsWhatAWriterWritesWaitsForIt) {
  // 1 | 2 | 3, of which 2 is not a writer that counts.
  const auto chain = pipes_of({{1, {{}, {10}}}, {2, {{10}, {11}}}, {3, {{11}, {}}}});
  EXPECT_EQ(readers_of({1}, chain), (std::set<pid_t>{2, 3}));
  EXPECT_EQ(readers_of({1, 2, 3}, chain), (std::set<pid_t>{2, 3}));
  EXPECT_EQ(readers_of({2}, chain), (std::set<pid_t>{3}));
  EXPECT_EQ(readers_of({3}, chain), std::set<pid_t>());
}

TEST(Pipes, WhoReadFromEachOtherAreOne) {
  const auto workers = pipes_of({{1, {{20, 21}, {20, 21, 30}}}, {2, {{20, 21}, {20, 21}}}, {3, {{30}, {}}}});
  EXPECT_EQ(readers_of({1, 2, 3}, workers), (std::set<pid_t>{3}));
  EXPECT_EQ(readers_of({1}, pipes_of({{1, {{10}, {10}}}})), std::set<pid_t>());
}

TEST(Pipes, WhoMayNotBeLookedIntoIsTheWriterOfWhatNobodyElseWrites) {
  auto sudo = pipes_of({{1, {{}, {}}}, {2, {{10}, {}}}, {3, {{11}, {}}}, {4, {{}, {11}}}});
  sudo[1].hidden = true;
  EXPECT_EQ(readers_of({1}, sudo), (std::set<pid_t>{2}));
}

}  // namespace
}  // namespace ferry::agent
