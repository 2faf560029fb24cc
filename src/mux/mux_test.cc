// A client of this process and a server that is this test program once more, with real pipes between.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <csignal>
#include <thread>

#include "mux/client.h"
#include "mux/engine.h"
#include "mux/hello.h"
#include "mux/testing.h"
#include "os/clock.h"
#include "os/socket.h"

namespace ferry::mux {
namespace {

using testing::HasSubstr;

os::Process serving() {
  os::SpawnOptions options;
  options.argv = {os::self_program().string()};
  options.env = {{serves_streams, "1"}};
  options.in = options.out = options.err = os::Stream::pipe;
  options.die_with_parent = true;
  return *os::Process::spawn(options);
}

class Streams : public testing::Test {
 protected:
  Streams() : server_(serving()), client_(std::move(server_.out), std::move(server_.in), std::move(server_.err), {}) {}

  Command shell(const std::string& line, Lane lane = Lane::talk) {
    return *client_.open({.argv = {"sh", "-c", line}, .port = 0}, lane);
  }
  static os::Output all_of(Command& command, std::string_view input = {}) {
    os::Output output;
    const auto end = os::system_clock().steady_ms() + 60'000;
    EXPECT_TRUE(*os::exchange({command.in, command.out, command.err}, input, output, end));
    output.exit = command.wait(Millis(60'000)).value();
    return output;
  }

  os::Process server_;
  Client client_;
};

std::string noise(std::size_t size) {
  std::string out(size, '\0');
  std::uint64_t state = 88172645463325252ULL;
  for (auto& byte : out) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    byte = static_cast<char>(state);
  }
  return out;
}

TEST(Frames, AreTheSameWhereverTheirBytesAreCut) {
  const auto bytes = encode({7, Type::data, Lane::work, "body"}) + encode({8, Type::end_data, Lane::talk, {}});
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    FrameReader reader;
    std::vector<std::string> seen;
    for (const auto part : {std::string_view(bytes).substr(0, cut), std::string_view(bytes).substr(cut)}) {
      reader.add(part);
      while (const auto frame = *reader.next())
        seen.push_back(fmt::format("{} {} {} {}", frame->stream, static_cast<char>(frame->type),
                                   static_cast<int>(frame->lane), frame->body));
    }
    EXPECT_EQ(seen, (std::vector<std::string>{"7 D 1 body", "8 d 0 "})) << cut;
  }
}

TEST(Frames, ThatAreTooLongOrUnknownAreCorrupt) {
  for (const auto& bytes :
       {encode_number(most_body + 1) + encode_number(1) + std::string("D\0", 2),
        encode({1, static_cast<Type>('z'), {}, {}}), encode({1, Type::data, static_cast<Lane>(9), {}})}) {
    FrameReader reader;
    reader.add(bytes);
    EXPECT_EQ(reader.next().error().kind, Kind::corrupt);
  }
}

TEST(Orders, NameAProgramOrAPortAndNothingElse) {
  const auto order = *decode_order(*encode_order({.argv = {"a", "", "c d"}, .port = 0}));
  EXPECT_EQ(order.argv, (std::vector<std::string>{"a", "", "c d"}));
  EXPECT_EQ(decode_order(*encode_order({.argv = {}, .port = 6006}))->port, 6006);
  EXPECT_EQ(encode_order({.argv = {std::string("a\0b", 3)}, .port = 0}).error().kind, Kind::bad_input);
  EXPECT_EQ(encode_order({.argv = {std::string(most_body, 'x')}, .port = 0}).error().kind, Kind::bad_input);
  for (const std::string bad : {"", "p", "p0", "p65536", "px", "c", "cno end", "q"})
    EXPECT_EQ(decode_order(bad).error().kind, Kind::corrupt) << bad;
}

TEST(Hello, EndsWithoutAVersionInCommonSayWhichIsToBeUpdated) {
  EXPECT_TRUE(check_hello(our_hello()));
  EXPECT_TRUE(check_hello(R"({"mux":99,"oldest":1})"));
  auto error = check_hello(R"({"mux":99,"oldest":98,"ferry":"9.0"})").error();
  EXPECT_EQ(error.kind, Kind::unsupported);
  EXPECT_THAT(describe(error), HasSubstr("ferry 9.0"));
  EXPECT_THAT(error.advice, HasSubstr("this one"));
  EXPECT_THAT(check_hello(R"({"mux":0})").error().advice, HasSubstr("other one"));
  for (const char* bad : {"", "[]", "{}", "{\"mux\""}) EXPECT_EQ(check_hello(bad).error().kind, Kind::corrupt) << bad;
}

TEST_F(Streams, AProgramHasItsStandardStreamsAndItsExitCode) {
  auto command = shell("cat; echo err >&2; exit 3");
  const auto output = all_of(command, "input");
  EXPECT_EQ(output.out, "input");
  EXPECT_EQ(output.err, "err\n");
  EXPECT_EQ(output.exit.code, 3);
  EXPECT_EQ(output.exit.signal, 0);
}

TEST_F(Streams, AnExitCodeOf255IsTheProgramsOwnAndASignalIsTold) {
  auto code = shell("exit 255"), killed = shell("kill -9 $$");
  EXPECT_EQ(all_of(code).exit.signal, 0);
  EXPECT_EQ(all_of(killed).exit.signal, SIGKILL);
}

TEST_F(Streams, AProgramThatIsNotThereIsToldAsAShellWould) {
  auto command = *client_.open({.argv = {"no-such-program"}, .port = 0}, Lane::talk);
  const auto output = all_of(command);
  EXPECT_EQ(output.exit.code, 127);
  EXPECT_THAT(output.err, HasSubstr("no-such-program"));
}

TEST_F(Streams, TheEndOfTheInputIsNotTheEndOfTheOutput) {
  auto command = *client_.open({.argv = {"sort"}, .port = 0}, Lane::talk);
  EXPECT_EQ(all_of(command, "b\na\n").out, "a\nb\n");
}

TEST_F(Streams, EveryByteOfLargeAndManyStreamsArrives) {
  const auto large = noise(20'000'000);
  auto cat = shell("cat", Lane::work);
  EXPECT_TRUE(all_of(cat, large).out == large);
  std::vector<Command> commands;
  for (int i = 0; i < 60; ++i) commands.push_back(shell("cat", static_cast<Lane>(i % 3)));
  std::vector<std::thread> threads;
  std::vector<std::string> outputs(commands.size());
  for (std::size_t i = 0; i < commands.size(); ++i)
    threads.emplace_back([&, i] { outputs[i] = all_of(commands[i], std::string_view(large).substr(i, 1000 * i)).out; });
  for (auto& thread : threads) thread.join();
  for (std::size_t i = 0; i < commands.size(); ++i) EXPECT_TRUE(outputs[i] == large.substr(i, 1000 * i)) << i;
}

TEST_F(Streams, AReaderThatStallsHoldsUpNobodyElseAndNotTheMemory) {
  auto stalled = shell("yes", Lane::work), background = shell("yes", Lane::background);
  for (int i = 0; i < 20; ++i) {
    auto other = shell("echo there");
    EXPECT_EQ(all_of(other).out, "there\n");
  }
  // What is on its way: the pipes' and the credit's.
  auto counted = shell("head -c 100000000 /dev/zero | tee /dev/null; echo $? >&2", Lane::work);
  EXPECT_FALSE(counted.wait(Millis(300))) << "it cannot have written all of that";
  std::string text;
  while (text.size() < 1'000'000) text += *os::read_some(stalled.out.get());
  EXPECT_EQ(text.find_first_not_of("y\n"), std::string::npos);
  EXPECT_EQ(text.substr(0, 4), "y\ny\n");
}

TEST_F(Streams, WhoeverWritesForNobodyIsToldSo) {
  auto command = shell("yes; echo over >&2", Lane::work);
  (void)os::read_exactly(command.out.get(), 100'000);
  command.out.reset();
  EXPECT_EQ(*os::read_to_end(command.err.get()), "over\n");
  EXPECT_EQ(command.wait(Millis(60'000))->code, 0);
}

TEST_F(Streams, WhatAProgramLeavesInTheBackgroundDoesNotHoldItsEnd) {
  auto command = shell("sleep 1000 & echo $!");
  const auto output = all_of(command);
  EXPECT_EQ(output.exit.code, 0);
  const auto pid = parse_int(trim(output.out));
  ASSERT_TRUE(pid);
  EXPECT_EQ(::kill(static_cast<pid_t>(*pid), SIGKILL), 0) << "and lives on";
}

TEST_F(Streams, ASignalReachesAllThatTheProgramStarted) {
  auto command = shell("trap 'echo told; exit 9' TERM; sh -c 'echo $$; exec sleep 1000' & wait");
  const auto child = parse_int(trim(*os::read_some(command.out.get())));
  ASSERT_TRUE(child);
  command.signal(SIGTERM);
  const auto output = all_of(command);
  EXPECT_EQ(output.out, "told\n");
  EXPECT_EQ(output.exit.code, 9);
  const auto is_over = [&] {
    const auto stat = os::read_file(fmt::format("/proc/{}/stat", *child));
    return !stat || stat->find(") Z ") != std::string::npos;  // perhaps nobody has asked for its end
  };
  for (int i = 0; i < 6000 && !is_over(); ++i) os::system_clock().sleep(Millis(10));
  EXPECT_TRUE(is_over());
}

TEST_F(Streams, AKilledProgramIsNotWaitedFor) {
  auto command = shell("trap '' TERM; echo ready; sleep 1000", Lane::work);
  EXPECT_EQ(*os::read_exactly(command.out.get(), 6), "ready\n");
  command.signal(SIGKILL);
  EXPECT_EQ(command.wait(Millis(60'000))->signal, SIGKILL);
  EXPECT_EQ(*os::read_to_end(command.out.get()), "");
  auto other = shell("echo fine");
  EXPECT_EQ(all_of(other).out, "fine\n");
}

TEST_F(Streams, ACommandThatIsLetGoOfSeesTheEndOfItsInput) {
  const os::TempDir dir;
  const auto mark = dir.path() / "over";
  { auto command = shell("cat >/dev/null; touch " + mark.string()); }
  for (int i = 0; i < 6000 && !os::exists(mark); ++i) os::system_clock().sleep(Millis(10));
  EXPECT_TRUE(os::exists(mark));
}

TEST_F(Streams, WhenTheConnectionEndsEveryCommandIsCutOff) {
  auto command = shell("sleep 1000");
  server_.signal(SIGKILL);
  EXPECT_EQ(command.wait(Millis(60'000))->signal, SIGHUP);
  EXPECT_EQ(*os::read_to_end(command.out.get()), "");
  EXPECT_FALSE(client_.alive());
  EXPECT_EQ(client_.open({.argv = {"true"}, .port = 0}, Lane::talk).error().kind, Kind::lost);
}

TEST_F(Streams, TheServerEndsWithTheConnectionAndWhatItStartedSeesIt) {
  const os::TempDir dir;
  const auto mark = (dir.path() / "over").string();
  auto server = serving();
  {
    Client client(std::move(server.out), std::move(server.in), std::move(server.err), {});
    auto command = *client.open({.argv = {"sh", "-c", "echo; cat; touch " + mark}, .port = 0}, Lane::talk);
    (void)os::read_exactly(command.out.get(), 1);
  }
  EXPECT_EQ(server.wait(Millis(60'000))->code, 0);
  for (int i = 0; i < 6000 && !os::exists(mark); ++i) os::system_clock().sleep(Millis(10));
  EXPECT_TRUE(os::exists(mark));
}

TEST_F(Streams, APortIsReachedAndOneWhereNobodyListensIsClosed) {
  auto there = *os::listen_tcp("127.0.0.1", 0);
  auto here = *os::listen_tcp("127.0.0.1", 0);
  const int port = os::local_port(here.get()), remote = os::local_port(there.get());
  ASSERT_TRUE(client_.forward(std::move(here), remote));
  auto caller = *os::connect_tcp("127.0.0.1", port, Millis(10'000));
  auto called = *os::accept_one(there.get(), Millis(60'000));
  const auto bytes = noise(3'000'000);
  std::thread writer([&] {
    EXPECT_TRUE(os::write_all(caller.get(), bytes));
    ::shutdown(caller.get(), SHUT_WR);
  });
  EXPECT_TRUE(*os::read_to_end(called.get()) == bytes);
  writer.join();
  EXPECT_TRUE(os::write_all(called.get(), "answer"));
  called.reset();
  EXPECT_EQ(*os::read_to_end(caller.get()), "answer");
  there.reset();
  auto nobody = *os::connect_tcp("127.0.0.1", port, Millis(10'000));
  EXPECT_EQ(*os::read_to_end(nobody.get()), "");
}

/// One end of a connection whose other end is the test.
class Raw : public testing::Test {
 protected:
  Raw()
      : pair_(*os::make_socketpair()), engine_(pair_.read.get(), pair_.read.get(), [this](const Frame& frame) {
          heard_ += static_cast<char>(frame.type);
          return Status();
        }) {}
  /// What the engine says to these bytes.
  Status given(const std::string& bytes) {
    EXPECT_TRUE(os::write_all(pair_.write.get(), bytes));
    return engine_.turn(Millis(1'000), {});
  }

  os::Pipe pair_;
  std::string heard_;
  Engine engine_;
};

TEST_F(Raw, WhatGoesBeyondItsCreditOrNamesNoStreamIsCorrupt) {
  engine_.join(5, Lane::background);
  const std::string part(most_body, 'x');
  ASSERT_EQ(window(Lane::background), most_body);
  EXPECT_TRUE(engine_.feed(encode({3, Type::data, Lane::talk, "late"}))) << "of a stream that was";
  EXPECT_EQ(engine_.feed(encode({6, Type::data, Lane::talk, "x"})).error().kind, Kind::corrupt);
  EXPECT_EQ(engine_.feed(encode({0, Type::data, Lane::talk, "x"})).error().kind, Kind::corrupt);
  EXPECT_TRUE(engine_.feed(encode({5, Type::data, Lane::background, part})));
  EXPECT_EQ(engine_.feed(encode({5, Type::data, Lane::background, "x"})).error().kind, Kind::corrupt);
}

TEST_F(Raw, WhatIsOnItsWayWhenAStreamEndsIsSkippedHoweverSoonItComes) {
  engine_.join(1, Lane::talk);
  engine_.close(1);  // a program that could not be begun; its input came in the same flight
  EXPECT_TRUE(engine_.feed(encode({1, Type::data, Lane::talk, "input"}) + encode({1, Type::end_data, Lane::talk, {}})));
}

TEST_F(Raw, CreditsAndNoticesThatMakeNoSenseAreCorrupt) {
  engine_.join(1, Lane::talk);
  const auto much = encode_number(0x7fff'ffff);
  for (const auto& frame :
       {encode({1, Type::credit, {}, "D"}), encode({1, Type::credit, {}, "X" + much}),
        encode({1, Type::credit, {}, "D" + much}), encode({1, Type::quit, {}, ""}), encode({1, Type::quit, {}, "z"})})
    EXPECT_EQ(engine_.feed(frame).error().kind, Kind::corrupt);
}

TEST_F(Raw, WhatIsUrgentGoesBeforeWhatWaits) {
  auto bulk = *os::make_pipe();
  engine_.join(1, Lane::background);
  engine_.join(2, Lane::talk);
  engine_.read_from(1, Type::data, std::move(bulk.read));
  std::thread writer([&] { (void)os::write_all(bulk.write.get(), std::string(250'000, 'x')); });
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(engine_.turn(Millis(20), {}));  // until the link is full, or all was read
  engine_.send(2, Type::data, "urgent");
  FrameReader reader;
  std::size_t before = 0, after = 0;
  bool came = false;
  while (before + after < 250'000) {
    ASSERT_TRUE(engine_.turn(Millis(1), {}));
    while (os::wait_readable(pair_.write.get(), Millis(0))) reader.add(*os::read_some(pair_.write.get(), 4096));
    while (const auto frame = *reader.next()) {
      if (frame->stream == 2) came = true;
      if (frame->type == Type::data && frame->stream == 1) (came ? after : before) += frame->body.size();
    }
  }
  writer.join();
  EXPECT_TRUE(came);
}

}  // namespace
}  // namespace ferry::mux
