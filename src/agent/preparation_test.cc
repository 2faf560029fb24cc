// What comes before a job: the real program's end of it, as a process of its own.
#include "agent/preparation.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "agent/served.h"
#include "agent/tree.h"
#include "base/text.h"
#include "os/clock.h"

namespace ferry::agent::preparation_test {
namespace {

/// `ferry-agent connect DIR --after COMMAND`, in a session of its own, with pipes as the connection gives it.
class Prepared {
 public:
  Prepared(const ServeOptions& options, const std::string& command, const std::string& input = {})
      : Prepared(options, command, encode_preparation(input), 0) {}
  /// With other first bytes.
  Prepared(const ServeOptions& options, const std::string& command, std::string first, int) {
    auto up = os::make_pipe(), down = os::make_pipe(), errors = os::make_pipe();
    pid = ::fork();
    if (pid == 0) {
      ::setsid();
      for (auto* fd : {&up->write, &down->read, &errors->read}) fd->reset();
      const auto prepared = prepare(options, command, up->read.get(), errors->write.get());
      if (!prepared) ::_exit(99);
      errors->write.reset();
      ::_exit(connect(options, up->read.get(), down->write.get()) ? 0 : 1);
    }
    in = std::move(down->read);
    out = std::move(up->write);
    err = std::move(errors->read);
    EXPECT_TRUE(os::write_all(out.get(), first));
  }
  ~Prepared() {
    ::kill(-pid, SIGKILL);
    end();
  }
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

  Client client() { return Client::begin(std::move(in), std::move(out), Millis(10'000)); }
  /// All that came on standard error, once it is at its end.
  std::string told() { return os::read_to_end(err.get()).value_or("?"); }
  /// The exit code, or 128 and the signal; once.
  int end() {
    int status = 0;
    if (pid <= 0 || ::waitpid(pid, &status, 0) != std::exchange(pid, -1)) return -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

  pid_t pid = 0;
  os::Fd in, out, err;
};

/// A folder that nobody serves yet, and a place for what the commands leave.
struct Place {
  Place() {
    ::kill(served.pid(), SIGTERM);
    eventually([&] { return !served.running(); });
  }
  std::string path(const std::string& name) const { return served.path(name).string(); }
  /// A line that notes that it ran.
  std::string noting() const { return "echo ran >>" + path("ran") + "; "; }
  std::string noted() const { return os::read_file(path("ran")).value_or(""); }
  Served served;
};

TEST(Preparation, TheJobStartsOnceItHasEndedWellAndWhatItSaidIsTold) {
  Place place;
  Prepared prepared(place.served.options, place.noting() + "echo looking >&2; read -r word; echo \"fact: $word\"",
                    "input\n");
  auto client = prepared.client();
  const auto begun = client.begin_start(place.served.spec("cat " + place.path("ran") + "; exit 7"), 0);
  ASSERT_TRUE(begun);
  const auto started = client.await_start(*begun);
  ASSERT_TRUE(started) << describe(started.error());
  const Seen seen = follow(client);
  EXPECT_EQ(seen.out, "ran\n");
  EXPECT_EQ(seen.done->run_exit, 7);
  EXPECT_EQ(prepared.told(), "looking\n\nferry-said\nfact: input\n\nferry-prepared\n");
}

TEST(Preparation, WhereItFailsTheProcessEndsWithItsCodeAndNothingIsStarted) {
  Place place;
  {
    Prepared prepared(place.served.options, "echo no room >&2; exit 3");
    auto client = prepared.client();
    const auto begun = client.begin_start(place.served.spec("true"), 0);
    ASSERT_TRUE(begun);
    EXPECT_EQ(client.await_start(*begun).error().kind, Kind::lost);
    EXPECT_EQ(prepared.told(), "no room\n");
    EXPECT_EQ(prepared.end(), 3);
  }
  place.served.serve();
  EXPECT_EQ(place.served.client().status()->state, JobState::idle);
}

TEST(Preparation, WhatHasEndedWellIsNotDoneAgainAndTellsTheSame) {
  Place place;
  const auto command = place.noting() + "echo said";
  for (int i = 0; i < 2; ++i) {
    Prepared prepared(place.served.options, command);
    auto client = prepared.client();
    ASSERT_TRUE(client.status());
    EXPECT_EQ(prepared.told(), "\nferry-said\nsaid\n\nferry-prepared\n");
  }
  EXPECT_EQ(place.noted(), "ran\n");
  // What failed is.
  Place other;
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Prepared(other.served.options, other.noting() + "exit 1").end(), 1);
  EXPECT_EQ(other.noted(), "ran\nran\n");
}

TEST(Preparation, OneThatStillRunsForAConnectionThatWasLostIsEndedAndStartsNothing) {
  Place place;
  Prepared first(place.served.options, place.noting() + "sleep 1000; echo late >>" + place.path("ran"));
  const pid_t group = first.pid;
  auto lost = first.client();
  ASSERT_TRUE(lost.begin_start(place.served.spec("echo of the first"), 0));
  eventually([&] { return place.noted() == "ran\n"; });
  Prepared second(place.served.options, place.noting() + "true");
  auto client = second.client();
  const auto begun = client.begin_start(place.served.spec("echo of the second"), 0);
  ASSERT_TRUE(begun);
  const auto started = client.await_start(*begun);
  ASSERT_TRUE(started) << describe(started.error()) << " " << second.told();
  EXPECT_EQ(follow(client).out, "of the second\n");
  EXPECT_EQ(first.end(), 128 + SIGTERM);
  EXPECT_TRUE(group_members(group).empty());
  EXPECT_EQ(place.noted(), "ran\nran\n");
}

TEST(Preparation, NothingIsStartedForOneWhoIsGone) {
  Place place;
  Prepared prepared(place.served.options,
                    place.noting() + "while [ ! -e " + place.path("go") + " ]; do sleep 0.02; done");
  {
    auto client = prepared.client();
    ASSERT_TRUE(client.begin_start(place.served.spec("echo alone >>" + place.path("ran")), 0));
    eventually([&] { return place.noted() == "ran\n"; });
  }
  ASSERT_TRUE(os::write_file(place.path("go"), ""));
  EXPECT_EQ(prepared.end(), 99);
  place.served.serve();
  EXPECT_EQ(place.served.client().status()->state, JobState::idle);
  EXPECT_EQ(place.noted(), "ran\n");
}

TEST(Preparation, OfWhatItSaysTheEndIsToldAndWhatItLeavesInTheBackgroundHoldsNothingUp) {
  Place place;
  Prepared prepared(place.served.options, "head -c 100000 /dev/zero | tr '\\0' x; echo; echo last; sleep 1000 2>&- &");
  auto client = prepared.client();
  ASSERT_TRUE(client.status());
  const auto told = prepared.told();
  EXPECT_TRUE(told.ends_with("x\nlast\n\nferry-prepared\n")) << told.size();
  EXPECT_LT(told.size(), most_preparation_said + 100);
}

TEST(Preparation, WhatWasSaidIsFoundOnceItIsWholeWhateverWasToldBefore) {
  const std::string before = "a tool's words\nferry-said\nferry-prepared";
  for (const std::string said : {"", "one line", "two\nlines\n", "ferry-said", "ferry-prepared"}) {
    const auto told = before + encode_said(said);
    EXPECT_EQ(said_in(told), said);
    for (std::size_t size = before.size() + 1; size + 1 < told.size(); ++size)
      EXPECT_NE(said_in(told.substr(0, size)), said) << size;
  }
  for (const char* none : {"", "\n", "\nferry-prepared\n", "\nferry-said\n", "ferry-said\nferry-prepared\n",
                           "\nferry-prepared\nferry-said\n", "\nferry-said\nferry-prepared\n"})
    EXPECT_EQ(said_in(none), std::nullopt) << none;
}

TEST(Preparation, FirstBytesThatAreNoneEndIt) {
  Place place;
  const std::string too_long("\x01\x00\x40\x00", 4);
  for (const auto& first : {std::string("\x05\x00\x00\x00", 4) + "noise", too_long})
    EXPECT_EQ(Prepared(place.served.options, place.noting(), first, 0).end(), 99);
  EXPECT_EQ(place.noted(), "");
}

}  // namespace
}  // namespace ferry::agent::preparation_test
