// What signals make of a run.
#include "fleet/context.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

#include "fleet/polling.h"

namespace ferry::fleet {
namespace {

/// Context of which only clock, signals and progress are used.
struct SignalContext {
  os::TempDir dir;
  os::FakeClock clock;
  os::SignalQueue signals{SIGINT, SIGTERM, SIGHUP};
  std::unique_ptr<os::HttpClient> http = os::make_http_client();
  std::unique_ptr<ledger::Ledger> ledger = *ledger::Ledger::open(dir.path() / "ledger.db", clock);
  os::Fd nowhere = *os::open_file("/dev/null", O_WRONLY);
  std::unique_ptr<watch::Progress> progress =
      watch::make_progress(watch::Renderer::plain, nowhere.get(), nowhere.get(), clock);
  Context context{clock, *http, *ledger, *progress, signals, dir.path(), {}, {}, {}};

  Interrupt after(int number, bool can_detach = true) {
    ::kill(::getpid(), number);
    return context.check_signals(can_detach);
  }
};

TEST(Signals, AHangUpDetachesWhereThatIsPossibleAndCancelsElsewhere) {
  EXPECT_EQ(SignalContext().after(SIGHUP, true), Interrupt::detach);
  EXPECT_EQ(SignalContext().after(SIGHUP, false), Interrupt::cancel);
}

TEST(Signals, ASecondRequestToEndLetsGoButNotTheSameOneSentTwice) {
  for (const int second : {SIGINT, SIGTERM}) {
    SignalContext aws_context;
    EXPECT_EQ(aws_context.after(SIGTERM), Interrupt::cancel);
    EXPECT_EQ(aws_context.after(second), Interrupt::cancel);
    EXPECT_FALSE(aws_context.context.letting_go) << "timeout(1) sends its signal twice";
    aws_context.clock.advance(Millis(1000));
    EXPECT_EQ(aws_context.after(SIGHUP), Interrupt::cancel);
    EXPECT_FALSE(aws_context.context.letting_go) << "a terminal that goes away is no request";
    EXPECT_EQ(aws_context.after(second), Interrupt::cancel);
    EXPECT_TRUE(aws_context.context.letting_go);
  }
}

TEST(Signals, WhileARunEndsNothingIsAskedAndAHangUpChangesNothing) {
  SignalContext aws_context;
  aws_context.context.ask = [](bool) -> Interrupt { throw std::logic_error("asked"); };
  aws_context.context.is_ending = true;
  EXPECT_EQ(aws_context.after(SIGHUP), Interrupt::go_on);
  EXPECT_EQ(aws_context.after(SIGINT), Interrupt::cancel);
  aws_context.clock.advance(Millis(1000));
  aws_context.after(SIGINT);
  EXPECT_TRUE(aws_context.context.letting_go);
}

TEST(Signals, LettingGoEndsWaitsThatCancellingDoesNot) {
  SignalContext aws_context;
  aws_context.after(SIGTERM);
  int looks = 0;
  const auto look = [&]() -> Result<bool> {
    if (++looks == 40) ::kill(::getpid(), SIGTERM);
    return false;
  };
  const auto ended = poll_until(aws_context.context, Seconds(600), false, "it was gone", look);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().kind, Kind::cancelled);
  EXPECT_EQ(looks, 40);
  int calls = 0;
  const auto asked = patiently(aws_context.context, [&]() -> Status {
    ++calls;
    return fail(Kind::throttled, "busy");
  });
  EXPECT_FALSE(asked);
  EXPECT_EQ(calls, 1) << "nobody waits any more";
}

}  // namespace
}  // namespace ferry::fleet
