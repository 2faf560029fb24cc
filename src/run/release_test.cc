// Ending one machine, whatever the cloud says and does not say, on a clock turned by hand.
#include <gtest/gtest.h>

#include <csignal>

#include "run/labels.h"
#include "run/machine.h"

namespace ferry::run {
namespace {

/// A cloud of at most one machine, which does what the test says at each call.
class OneMachine final : public cloud::Cloud {
 public:
  /// Counts in `count`, which outlives it, how often it was told to end.
  OneMachine(os::FakeClock& clock, int& count) : terminates(count), clock_(clock) {}
  std::optional<cloud::Instance> machine;
  std::function<Status()> on_terminate = [] { return Status(); };
  std::function<void()> on_describe = [] {};
  int& terminates;

  /// As EC2 tells it; `says_when`: with the time.
  void end(bool says_when) {
    machine->state = cloud::State::terminated;
    if (says_when) machine->ended_ms = clock_.now;
  }

  const std::string& region() const override { return region_; }
  Result<cloud::Identity> whoami() override { return cloud::Identity{"1", "arn"}; }
  Result<cloud::Instance> describe(const std::string&) override {
    on_describe();
    clock_.advance(Millis(10));
    if (machine) return *machine;
    return fail(Kind::not_found, "no such instance");
  }
  Result<std::vector<cloud::Instance>> find_by_tag(const std::string&, const std::string&) override {
    return std::vector<cloud::Instance>();
  }
  Result<std::optional<cloud::Instance>> find_by_token(const std::string&) override { return std::nullopt; }
  Status terminate(const std::string&) override {
    ++terminates;
    return on_terminate();
  }
  Status delete_key(const std::string&) override { return {}; }
  Status delete_group(const std::string&) override { return {}; }

  Result<cloud::Image> newest_image(const cloud::ImageWish&) override { return none(); }
  Status import_key(const std::string&, const std::string&, const cloud::Tags&) override { return none(); }
  Result<std::string> public_key(const std::string&) override { return none(); }
  Status send_key(const std::string&, const std::string&, const std::string&) override { return none(); }
  Result<cloud::SecurityGroup> ensure_group(const std::string&, const std::string&, const cloud::Tags&,
                                            const std::string&) override {
    return none();
  }
  Result<std::vector<cloud::Subnet>> subnets(const std::vector<std::string>&) override { return none(); }
  Result<std::string> vpc_cidr(const std::string&) override { return none(); }
  Result<cloud::Reservation> reservation(const std::string&) override { return none(); }
  Result<std::vector<std::string>> zones_with(const std::string&) override { return none(); }
  Result<cloud::Instance> launch(const cloud::LaunchRequest&) override { return none(); }
  Status stop(const std::string&) override { return none(); }
  Status start(const std::string&) override { return none(); }
  Result<std::string> caller_cidr() override { return none(); }

 private:
  static tl::unexpected<Error> none() { return fail(Kind::unsupported, "not in this test"); }
  os::FakeClock& clock_;
  std::string region_ = "us-east-1";
};

struct ReleaseTest : testing::Test {
  ReleaseTest() {
    doors.cloud = [this](Place&) -> Result<std::unique_ptr<cloud::Cloud>> {
      auto opened = std::make_unique<OneMachine>(clock, terminates);
      opened->machine = {.id = "i-1", .state = cloud::State::running, .launched_ms = began};
      prepare(*opened);
      return opened;
    };
    run.name = "r-1";
    run.infra = "aws/us-east-1";
    run.task = Json::object();
    run.created_ms = began;
    EXPECT_TRUE(ledger->add_run(run));
    ledger::Instance instance;
    instance.run = run.name;
    instance.world = "aws";
    instance.token = "t";
    EXPECT_TRUE(ledger->note_intent(instance));
    instance.id = "i-1";
    instance.state = ledger::Rent::live;
    instance.launched_ms = began;
    EXPECT_TRUE(ledger->note_instance(instance));
  }
  /// When the ledger says that the machine ended.
  std::int64_t released_ms() { return ledger->instances(run.name)->at(0).released_ms; }

  os::TempDir dir;
  os::FakeClock clock;
  const std::int64_t began = clock.now;
  std::unique_ptr<ledger::Ledger> ledger = *ledger::Ledger::open(dir.path() / "ledger.db", clock);
  std::unique_ptr<os::HttpClient> http = os::make_http_client();
  std::unique_ptr<watch::Progress> progress = watch::make_progress(watch::Face::plain, -1, -1);
  os::SignalQueue signals{SIGUSR2};
  Doors doors{clock, *http, *ledger, *progress, signals, dir.path(), {}, {}, {}};
  ledger::Run run;
  std::function<void(OneMachine&)> prepare = [](OneMachine&) {};
  int terminates = 0;
};

TEST_F(ReleaseTest, AMachineThatEndsItselfNeedsNoHearing) {
  clock.advance(Seconds(100));
  std::int64_t ended = 0;
  prepare = [&](OneMachine& cloud) {
    cloud.on_terminate = [] { return fail(Kind::throttled, "RequestLimitExceeded"); };
    cloud.on_describe = [&] {
      if (ended == 0 && clock.now > began + 103'800) {
        ended = clock.now;
        cloud.end(false);  // and EC2 does not say when
      }
    };
  };
  const auto gone = release_all(doors, run);
  ASSERT_TRUE(gone) << describe(gone.error());
  EXPECT_EQ(*gone, std::vector<std::string>{"i-1"});
  EXPECT_LE(std::abs(released_ms() - ended), 1000);
  EXPECT_LT(clock.now - began, 110'000) << "nothing was waited for after its end";
}

TEST_F(ReleaseTest, TheEndIsTheCloudsAndNotWhenWeLooked) {
  clock.advance(Seconds(100));
  const auto ended = clock.now;
  clock.advance(Seconds(3600));
  prepare = [&](OneMachine& cloud) {
    cloud.machine->state = cloud::State::terminated;
    cloud.machine->ended_ms = ended;
  };
  ASSERT_TRUE(release_all(doors, run));
  EXPECT_EQ(released_ms(), ended);
}

TEST_F(ReleaseTest, AnEndThatNobodyHearsIsAnErrorAfterItsLimitAndTheMachineStaysNoted) {
  prepare = [](OneMachine& cloud) {
    cloud.on_terminate = [] { return fail(Kind::throttled, "RequestLimitExceeded"); };
  };
  const auto released = release_all(doors, run);
  ASSERT_FALSE(released);
  EXPECT_EQ(released.error().kind, Kind::throttled);
  EXPECT_EQ(ledger->unreleased()->size(), 1U);
  EXPECT_GE(clock.now - began, 180'000);
  EXPECT_LT(clock.now - began, 260'000);
}

TEST_F(ReleaseTest, ARefusalIsToldWhenTheMachineHasNotEndedItselfWithinAMinute) {
  prepare = [](OneMachine& cloud) {
    cloud.on_terminate = [] { return fail(Kind::denied, "UnauthorizedOperation"); };
  };
  EXPECT_EQ(release_all(doors, run).error().kind, Kind::denied);
  EXPECT_LT(clock.now - began, 62'000);
  EXPECT_EQ(ledger->unreleased()->size(), 1U);
}

TEST_F(ReleaseTest, AYoungMachineThatIsNotKnownYetIsWaitedForAndEnded) {
  prepare = [&](OneMachine& cloud) {
    const auto machine = *cloud.machine;
    cloud.machine.reset();
    cloud.on_describe = [&cloud, machine, this] {
      if (!cloud.machine && clock.now > began + 12'000) cloud.machine = machine;
    };
    cloud.on_terminate = [&cloud] {
      if (cloud.machine) cloud.end(true);  // calm about what it does not know
      return Status();
    };
  };
  ASSERT_TRUE(release_all(doors, run));
  EXPECT_GE(terminates, 2);
  EXPECT_GE(released_ms() - began, 12'000);
}

TEST_F(ReleaseTest, AnOrderThatChangesNothingIsGivenAgain) {
  prepare = [&](OneMachine& cloud) {
    cloud.on_terminate = [&cloud] {
      if (cloud.terminates > 2) cloud.end(true);
      return Status();
    };
  };
  ASSERT_TRUE(release_all(doors, run));
  EXPECT_EQ(terminates, 3);
}

}  // namespace
}  // namespace ferry::run
