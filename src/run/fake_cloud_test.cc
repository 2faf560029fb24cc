// The cloud in memory that this room's tests rent from, and the tests that hold it to cloud/cloud.h's word.
#include "run/fake_cloud.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace ferry::run {

std::optional<FakeCloud::Fault> FakeCloud::meet(const std::string& call) {
  for (auto fault = faults_.begin(); fault != faults_.end(); ++fault) {
    if (!fault->call.empty() && fault->call != call) continue;
    if (fault->after > 0) {
      --fault->after;
      continue;
    }
    if (fault->times == 0) continue;
    if (fault->times > 0) --fault->times;
    return *fault;
  }
  return std::nullopt;
}

/// Lets happen what the time that passed brings.
void FakeCloud::tick() {
  const auto now = clock_.now_ms();
  for (const auto& one : machines_) {
    if (one->ended_ms == 0 && one->timer_ms > 0 && now >= one->timer_ms && one->now.state != cloud::State::stopped)
      power_off(*one, one->timer_ms);
    if (one->ended_ms == 0 && one->now.state != cloud::State::stopped && is_off && is_off(one->now.id)) {
      one->by_ferry = true;
      power_off(*one, now);
    }
    if (one->now.state == cloud::State::pending && now >= one->now.launched_ms + boot.count()) {
      one->now.state = cloud::State::running;
      one->running_ms = one->now.launched_ms + boot.count();
      one->now.address = fmt::format("127.0.1.{}", ++addresses_);
    }
    if (one->now.state == cloud::State::shutting_down && now >= one->ended_ms + ending.count())
      one->now.state = cloud::State::terminated;
  }
}

void FakeCloud::end_at(Machine& machine, std::int64_t when, const std::string& reason) {
  if (machine.ended_ms != 0) return;
  halt(machine, when);
  machine.ended_ms = when;
  if (tells_ends) machine.now.ended_ms = when;
  machine.now.state = cloud::State::shutting_down;
  machine.now.state_reason = reason;
  machine.now.address.clear();
  if (on_end) on_end(machine.now.id);
}

void FakeCloud::power_off(Machine& machine, std::int64_t when) {
  constexpr const char* reason = "Client.InstanceInitiatedShutdown";
  if (!machine.stops) return end_at(machine, when, reason);
  halt(machine, when);
  machine.now.state = cloud::State::stopped;
  machine.now.stopped_ms = when;
  machine.now.state_reason = reason;
  machine.now.address.clear();
  if (on_end) on_end(machine.now.id);
}

void FakeCloud::halt(Machine& machine, std::int64_t when) {
  if (machine.running_ms > 0) machine.ran_ms += std::max<std::int64_t>(0, when - machine.running_ms);
  machine.running_ms = 0;
}

void FakeCloud::end(const std::string& id, const std::string& reason) {
  for (const auto& one : machines_) {
    if (one->now.id == id) end_at(*one, clock_.now_ms(), reason);
  }
}

void FakeCloud::stop(const std::string& id) {
  for (const auto& one : machines_) {
    if (one->now.id != id || one->ended_ms != 0) continue;
    tick();
    halt(*one, clock_.now_ms());
    one->now.state = cloud::State::stopped;
    one->now.stopped_ms = clock_.now_ms();
    one->now.state_reason = "Client.UserInitiatedShutdown";
    one->now.address.clear();
    if (on_end) on_end(id);
  }
}

void FakeCloud::move(const std::string& id) {
  for (const auto& one : machines_) {
    if (one->now.id == id) one->now.address = fmt::format("127.0.1.{}", ++addresses_);
  }
}

void FakeCloud::start(const std::string& id) {
  for (const auto& one : machines_) {
    if (one->now.id != id || one->now.state != cloud::State::stopped) continue;
    one->now.state = cloud::State::running;
    one->now.launched_ms = one->running_ms = clock_.now_ms();  // EC2 tells the last start's
    one->now.stopped_ms = 0;
    if (one->timer_s > 0) one->timer_ms = clock_.now_ms() + one->timer_s * 1000;  // it is armed at every boot
    one->now.address = fmt::format("127.0.1.{}", ++addresses_);
  }
}

/// Nothing if the cloud would say that it does not know it.
FakeCloud::Machine* FakeCloud::find(const std::string& region, const std::string& id) {
  const auto now = clock_.now_ms();
  for (const auto& one : machines_) {
    if (one->now.region != region || one->now.id != id) continue;
    const bool is_young = now < one->rented_ms + invisible.count();
    const bool is_forgotten = one->ended_ms != 0 && now > one->ended_ms + memory.count();
    return is_young || is_forgotten ? nullptr : one.get();
  }
  return nullptr;
}

int FakeCloud::count(const std::string& call) const {
  return static_cast<int>(
      std::ranges::count_if(calls_, [&](const std::string& one) { return one.substr(0, one.find(' ')) == call; }));
}

std::vector<FakeCloud::Machine> FakeCloud::machines() {
  tick();
  std::vector<Machine> all;
  for (const auto& one : machines_) all.push_back(*one);
  return all;
}

std::vector<std::string> FakeCloud::left() {
  tick();
  std::vector<std::string> found;
  for (const auto& one : machines_) {
    if (one->ended_ms == 0) found.push_back(one->now.id);
  }
  for (const auto& [where, key] : keys_) found.push_back("key " + where.second + " in " + where.first);
  for (const auto& [where, tags] : groups_) found.push_back("group " + where.second + " in " + where.first);
  return found;
}

Usd FakeCloud::cost() {
  tick();
  Usd sum;
  for (const auto& one : machines_) {
    const auto ran = one->ran_ms + (one->running_ms > 0 ? clock_.now_ms() - one->running_ms : 0);
    if (ran > 0) sum.micros += one->hourly.micros * std::max<std::int64_t>(60, (ran + 999) / 1000) / 3600;
  }
  return sum;
}

namespace {

cloud::LaunchRequest fake_order(const std::string& token) {
  cloud::LaunchRequest request;
  request.offer.type.name = "plain";
  request.offer.hourly = Usd{3'600'000};
  request.client_token = token;
  request.key_name = "k";
  request.security_group = "sg-g";
  request.user_data = "… --on-active=60 …";
  request.tags = {{"ferry:run", "r"}};
  return request;
}

class FakeCloudItself : public testing::Test {
 protected:
  FakeCloudItself() {
    EXPECT_TRUE(region->import_key("k", "half", {}));
    EXPECT_EQ(region->ensure_group("g", "", {}, {})->id, "sg-g");
  }
  os::FakeClock clock;
  FakeCloud cloud{clock};
  std::unique_ptr<cloud::Cloud> region = cloud.open("us-east-1");
};

TEST_F(FakeCloudItself, ATokenRentsOnceEvenIfTheAnswerWasLost) {
  cloud.add({.call = "launch", .error = {Kind::lost, "gone"}, .took_effect = true});
  EXPECT_EQ(region->launch(fake_order("t-1")).error().kind, Kind::lost);
  const auto found = region->find_by_token("t-1");
  ASSERT_TRUE(found && *found);
  EXPECT_EQ(region->launch(fake_order("t-1"))->id, (*found)->id);
  EXPECT_NE(region->launch(fake_order("t-2"))->id, (*found)->id);
  EXPECT_EQ(region->find_by_tag("ferry:run", "r")->size(), 2U);
  EXPECT_TRUE(cloud.open("eu-west-1")->find_by_tag("ferry:run", "r")->empty());
}

TEST_F(FakeCloudItself, AMachineBootsEndsAndIsForgottenAsTimePasses) {
  const auto id = region->launch(fake_order("t-1"))->id;
  EXPECT_EQ(region->describe(id)->state, cloud::State::pending);
  clock.advance(cloud.boot);
  EXPECT_EQ(region->describe(id)->state, cloud::State::running);
  EXPECT_FALSE(region->describe(id)->address.empty());
  clock.advance(Millis(8'000));
  EXPECT_TRUE(region->terminate(id));
  EXPECT_EQ(region->describe(id)->state, cloud::State::shutting_down);
  EXPECT_EQ(region->delete_group("g").error().kind, Kind::conflict);
  clock.advance(cloud.ending);
  EXPECT_EQ(region->describe(id)->state, cloud::State::terminated);
  EXPECT_TRUE(region->delete_group("g") && region->delete_key("k"));
  EXPECT_TRUE(cloud.left().empty());
  EXPECT_EQ(cloud.cost().micros, 60'000) << "eight seconds of $3.60 an hour, billed as a minute";
  clock.advance(cloud.memory);
  EXPECT_EQ(region->describe(id).error().kind, Kind::not_found);
  EXPECT_TRUE(region->terminate(id));
}

TEST_F(FakeCloudItself, TheTimerOfTheUserDataEndsAMachineThatNobodyEnds) {
  region->launch(fake_order("t-1"));
  clock.advance(Millis(59'000));
  EXPECT_EQ(cloud.left().size(), 3U);
  clock.advance(Millis(10'000));
  EXPECT_EQ(cloud.left(), (std::vector<std::string>{"key k in us-east-1", "group g in us-east-1"}));
  EXPECT_EQ(cloud.cost().micros, 60'000);
}

TEST_F(FakeCloudItself, AYoungMachineIsNotSeenByOthersAndCannotBeEndedByThem) {
  cloud.invisible = Millis(5'000);
  const auto id = region->launch(fake_order("t-1"))->id;
  const auto another = cloud.open("us-east-1");
  EXPECT_EQ(another->describe(id).error().kind, Kind::not_found);
  EXPECT_TRUE(another->terminate(id));
  const auto before = clock.now;
  EXPECT_TRUE(region->describe(id)->alive()) << "whoever made it waits until it shows";
  EXPECT_EQ(clock.now - before, 5'000);
  EXPECT_TRUE(another->describe(id)->alive());
}

TEST_F(FakeCloudItself, FaultsComeInTheirOrderAndAreUsedUp) {
  cloud.add({.call = "whoami", .error = {Kind::throttled, "later"}, .times = 2, .after = 1});
  EXPECT_TRUE(region->whoami());
  EXPECT_TRUE(region->caller_cidr());
  EXPECT_EQ(region->whoami().error().kind, Kind::throttled);
  EXPECT_EQ(region->whoami().error().kind, Kind::throttled);
  EXPECT_TRUE(region->whoami());
  EXPECT_EQ(cloud.count("whoami"), 4);
}

TEST_F(FakeCloudItself, AStoppedMachineHasAnotherAddressWhenItIsStarted) {
  const auto id = region->launch(fake_order("t-1"))->id;
  clock.advance(cloud.boot);
  const auto before = region->describe(id)->address;
  EXPECT_EQ(region->start(id).error().kind, Kind::conflict);
  EXPECT_TRUE(region->stop(id));
  EXPECT_TRUE(region->describe(id)->address.empty());
  EXPECT_EQ(cloud.left().front(), id);
  EXPECT_TRUE(region->start(id));
  EXPECT_NE(region->describe(id)->address, before);
}

}  // namespace
}  // namespace ferry::run
