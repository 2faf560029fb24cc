// What signals make of a run.
#include "run/doors.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

#include "run/polling.h"

namespace ferry::run {
namespace {

/// Doors of which only clock, signals and progress are used.
struct SignalDoors {
  os::TempDir dir;
  os::FakeClock clock;
  os::SignalQueue signals{SIGINT, SIGTERM, SIGHUP};
  std::unique_ptr<os::HttpClient> http = os::make_http_client();
  std::unique_ptr<ledger::Ledger> ledger = *ledger::Ledger::open(dir.path() / "ledger.db", clock);
  os::Fd nowhere = *os::open_file("/dev/null", O_WRONLY);
  std::unique_ptr<watch::Progress> progress =
      watch::make_progress(watch::Face::plain, nowhere.get(), nowhere.get(), clock);
  Doors doors{clock, *http, *ledger, *progress, signals, dir.path(), {}, {}, {}};

  Wish after(int number, bool can_detach = true) {
    ::kill(::getpid(), number);
    return doors.check_signals(can_detach);
  }
};

TEST(Signals, AHangUpDetachesWhereThatIsPossibleAndCancelsElsewhere) {
  EXPECT_EQ(SignalDoors().after(SIGHUP, true), Wish::detach);
  EXPECT_EQ(SignalDoors().after(SIGHUP, false), Wish::cancel);
}

TEST(Signals, ASecondRequestToEndLetsGoButNotTheSameOneSentTwice) {
  for (const int second : {SIGINT, SIGTERM}) {
    SignalDoors world;
    EXPECT_EQ(world.after(SIGTERM), Wish::cancel);
    EXPECT_EQ(world.after(second), Wish::cancel);
    EXPECT_FALSE(world.doors.letting_go) << "timeout(1) sends its signal twice";
    world.clock.advance(Millis(1000));
    EXPECT_EQ(world.after(SIGHUP), Wish::cancel);
    EXPECT_FALSE(world.doors.letting_go) << "a terminal that goes away is no request";
    EXPECT_EQ(world.after(second), Wish::cancel);
    EXPECT_TRUE(world.doors.letting_go);
  }
}

TEST(Signals, WhileARunEndsNothingIsAskedAndAHangUpChangesNothing) {
  SignalDoors world;
  world.doors.ask = [](bool) -> Wish { throw std::logic_error("asked"); };
  world.doors.is_ending = true;
  EXPECT_EQ(world.after(SIGHUP), Wish::go_on);
  EXPECT_EQ(world.after(SIGINT), Wish::cancel);
  world.clock.advance(Millis(1000));
  world.after(SIGINT);
  EXPECT_TRUE(world.doors.letting_go);
}

TEST(Signals, LettingGoEndsWaitsThatCancellingDoesNot) {
  SignalDoors world;
  world.after(SIGTERM);
  int looks = 0;
  const auto look = [&]() -> Result<bool> {
    if (++looks == 40) ::kill(::getpid(), SIGTERM);
    return false;
  };
  const auto ended = poll_until(world.doors, Seconds(600), false, "it was gone", look);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().kind, Kind::cancelled);
  EXPECT_EQ(looks, 40);
  int calls = 0;
  const auto asked = patiently(world.doors, [&]() -> Status {
    ++calls;
    return fail(Kind::throttled, "busy");
  });
  EXPECT_FALSE(asked);
  EXPECT_EQ(calls, 1) << "nobody waits any more";
}

}  // namespace
}  // namespace ferry::run
