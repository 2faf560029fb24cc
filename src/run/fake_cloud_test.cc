// The cloud in memory that this room's tests rent from, and the tests that hold it to cloud/cloud.h's word.
#include "run/fake_cloud.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace ferry::run {

/// One region of a FakeCloud.
class FakeRegion final : public cloud::Cloud {
 public:
  FakeRegion(FakeCloud& all, std::string region) : all_(all), region_(std::move(region)) {}

  const std::string& region() const override { return region_; }
  Result<cloud::Identity> whoami() override {
    return call<cloud::Identity>("whoami", "", [&] {
      return cloud::Identity{all_.account, "arn:aws:iam::" + all_.account + ":user/me"};
    });
  }
  Result<cloud::Image> newest_image(const cloud::ImageWish& wish) override {
    return call<cloud::Image>("newest_image", wish.type, [] {
      return cloud::Image{"ami-0123456789abcdef0", "fake", "ubuntu", "/dev/sda1", 8, "2026-01-01"};
    });
  }
  Status import_key(const std::string& name, const std::string& half, const cloud::Tags&) override {
    return call<void>("import_key", name, [&]() -> Status {
      all_.keys_[{region_, name}] = half;
      return {};
    });
  }
  Status delete_key(const std::string& name) override {
    return call<void>("delete_key", name, [&]() -> Status {
      all_.keys_.erase({region_, name});
      return {};
    });
  }
  Result<std::string> public_key(const std::string& name) override {
    return call<std::string>("public_key", name, [&]() -> Result<std::string> {
      const auto key = all_.keys_.find({region_, name});
      if (key == all_.keys_.end()) return not_found("InvalidKeyPair.NotFound", name);
      return key->second;
    });
  }
  Status send_key(const std::string& id, const std::string&, const std::string&) override {
    return call<void>("send_key", id, []() -> Status { return {}; });
  }
  Result<cloud::SecurityGroup> ensure_group(const std::string& name, const std::string& cidr,
                                            const cloud::Tags&, const std::string&) override {
    return call<cloud::SecurityGroup>("ensure_group", name + " " + cidr, [&] {
      all_.groups_.insert({region_, name});
      return cloud::SecurityGroup{"sg-" + name, name};
    });
  }
  Status delete_group(const std::string& name) override {
    return call<void>("delete_group", name, [&]() -> Status {
      for (const auto& one : all_.machines_) {
        if (one->now.region == region_ && one->group == "sg-" + name &&
            one->now.state != cloud::State::terminated)
          return fail(Kind::conflict, name + " is in use", {}, {}, "DependencyViolation");
      }
      all_.groups_.erase({region_, name});
      return {};
    });
  }
  Result<std::vector<cloud::Subnet>> subnets(const std::vector<std::string>& ids) override {
    return call<std::vector<cloud::Subnet>>("subnets", join(ids, ","), [&] {
      std::vector<cloud::Subnet> found;
      for (const auto& id : ids) found.push_back({id, "vpc-1", region_ + all_.zones.front(), true});
      return found;
    });
  }
  Result<std::string> vpc_cidr(const std::string& vpc) override {
    return call<std::string>("vpc_cidr", vpc, [] { return std::string("10.0.0.0/16"); });
  }
  Result<cloud::Reservation> reservation(const std::string& id) override {
    return call<cloud::Reservation>("reservation", id, [&]() -> Result<cloud::Reservation> {
      return not_found("InvalidCapacityReservationId.NotFound", id);
    });
  }
  Result<std::vector<std::string>> zones_with(const std::string& type) override {
    return call<std::vector<std::string>>("zones_with", type, [&] {
      std::vector<std::string> found;
      for (const auto& one : all_.zones) found.push_back(region_ + one);
      return found;
    });
  }
  Result<cloud::Instance> launch(const cloud::LaunchRequest& request) override {
    return call<cloud::Instance>("launch", request.client_token, [&] { return rent(request); });
  }
  Result<cloud::Instance> describe(const std::string& id) override {
    return call<cloud::Instance>("describe", id, [&]() -> Result<cloud::Instance> {
      wait_for_own(id);
      const auto* machine = all_.find(region_, id);
      if (!machine) return not_found("InvalidInstanceID.NotFound", id);
      return machine->now;
    });
  }
  Result<std::vector<cloud::Instance>> find_by_tag(const std::string& key,
                                                   const std::string& value) override {
    return call<std::vector<cloud::Instance>>("find_by_tag", key, [&] {
      return seen([&](const cloud::Instance& one) {
        const auto tag = one.tags.find(key);
        return tag != one.tags.end() && tag->second == value;
      });
    });
  }
  Result<std::optional<cloud::Instance>> find_by_token(const std::string& token) override {
    return call<std::optional<cloud::Instance>>("find_by_token", token, [&] {
      const auto found = seen([&](const cloud::Instance& one) { return one.client_token == token; });
      return found.empty() ? std::optional<cloud::Instance>() : std::optional(found.front());
    });
  }
  Status terminate(const std::string& id) override {
    return call<void>("terminate", id, [&]() -> Status {
      wait_for_own(id);
      auto* machine = all_.find(region_, id);
      if (!machine || machine->ended_ms != 0) return {};
      machine->by_ferry = true;
      all_.end_at(*machine, all_.clock_.now_ms(), "Client.UserInitiatedShutdown");
      return {};
    });
  }
  Status stop(const std::string& id) override { return turn("stop", id, &FakeCloud::stop); }
  Status start(const std::string& id) override { return turn("start", id, &FakeCloud::start); }
  Result<std::string> caller_cidr() override {
    return call<std::string>("caller_cidr", "", [] { return std::string("198.51.100.7/32"); });
  }

 private:
  template <class T, class Act>
  Result<T> call(const std::string& name, const std::string& about, Act act) {
    all_.tick();
    all_.calls_.push_back(name + " " + region_ + (about.empty() ? "" : " " + about));
    if (all_.on_call) all_.on_call(name, false);
    const auto fault = all_.meet(name);
    if (fault && !fault->took_effect) return tl::unexpected<Error>(fault->error);
    Result<T> answer = act();
    if (all_.on_call) all_.on_call(name, true);
    if (fault) return tl::unexpected<Error>(fault->error);
    return answer;
  }

  /// As EC2's: "not found" about a machine that this object rented is no answer while the machine is young.
  void wait_for_own(const std::string& id) {
    for (const auto& one : all_.machines_) {
      const auto left = one->now.launched_ms + all_.invisible.count() - all_.clock_.now_ms();
      if (one->now.id == id && made_.contains(id) && left > 0) all_.clock_.sleep(Millis(left));
    }
    all_.tick();
  }

  static tl::unexpected<Error> not_found(const std::string& code, const std::string& what) {
    return fail(Kind::not_found, "the cloud does not know " + what, {}, {}, code);
  }

  template <class Fits>
  std::vector<cloud::Instance> seen(Fits fits) {
    std::vector<cloud::Instance> found;
    for (const auto& one : all_.machines_) {
      if (fits(one->now) && all_.find(region_, one->now.id)) found.push_back(one->now);
    }
    return found;
  }

  Status turn(const std::string& name, const std::string& id, void (FakeCloud::*way)(const std::string&)) {
    return call<void>(name, id, [&]() -> Status {
      const auto* machine = all_.find(region_, id);
      if (!machine) return not_found("InvalidInstanceID.NotFound", id);
      const bool fits =
          machine->now.state == (name == "stop" ? cloud::State::running : cloud::State::stopped);
      if (!fits) return fail(Kind::conflict, id + " is " + std::string(cloud::name(machine->now.state)));
      (all_.*way)(id);
      return {};
    });
  }

  Result<cloud::Instance> rent(const cloud::LaunchRequest& request) {
    for (const auto& one : all_.machines_) {
      if (one->now.region == region_ && one->now.client_token == request.client_token) return one->now;
    }
    if (all_.refuse) {
      if (auto error = all_.refuse(request)) return tl::unexpected<Error>(std::move(*error));
    }
    if (!all_.keys_.contains({region_, request.key_name}))
      return not_found("InvalidKeyPair.NotFound", request.key_name);
    if (!all_.groups_.contains({region_, request.security_group.substr(3)}))
      return not_found("InvalidGroup.NotFound", request.security_group);
    auto made = std::make_unique<FakeCloud::Machine>();
    made->now.id = fmt::format("i-{:017x}", all_.machines_.size() + 1);
    made->now.type = request.offer.type.name;
    made->now.region = region_;
    made->now.zone = request.offer.zone.empty() ? region_ + all_.zones.front() : request.offer.zone;
    made->now.client_token = request.client_token;
    made->now.tags = request.tags;
    made->now.launched_ms = all_.clock_.now_ms();
    made->hourly = request.offer.hourly.value_or(Usd{});
    made->key = request.key_name;
    made->group = request.security_group;
    constexpr std::string_view timer = "--on-active=";
    if (const auto at = request.user_data.find(timer); at != std::string::npos) {
      const auto digits = request.user_data.substr(at + timer.size());
      const auto seconds = parse_int(digits.substr(0, digits.find_first_not_of("0123456789")));
      made->timer_ms = made->now.launched_ms + seconds.value_or(0) * 1000;
    }
    made_.insert(made->now.id);
    all_.machines_.push_back(std::move(made));
    return all_.machines_.back()->now;
  }

  FakeCloud& all_;
  std::string region_;
  std::set<std::string> made_;  // machines, by this object
};

std::unique_ptr<cloud::Cloud> FakeCloud::open(const std::string& region) {
  return std::make_unique<FakeRegion>(*this, region);
}

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
    if (one->ended_ms == 0 && one->timer_ms > 0 && now >= one->timer_ms &&
        one->now.state != cloud::State::stopped)
      end_at(*one, one->timer_ms, "Client.InstanceInitiatedShutdown");
    if (one->ended_ms == 0 && is_off && is_off(one->now.id)) {
      one->by_ferry = true;
      end_at(*one, now, "Client.InstanceInitiatedShutdown");
    }
    if (one->now.state == cloud::State::pending && now >= one->now.launched_ms + boot.count()) {
      one->now.state = cloud::State::running;
      one->now.address = fmt::format("127.0.1.{}", ++addresses_);
    }
    if (one->now.state == cloud::State::shutting_down && now >= one->ended_ms + ending.count())
      one->now.state = cloud::State::terminated;
  }
}

void FakeCloud::end_at(Machine& machine, std::int64_t when, const std::string& reason) {
  if (machine.ended_ms != 0) return;
  machine.ended_ms = when;
  machine.now.state = cloud::State::shutting_down;
  machine.now.state_reason = reason;
  machine.now.address.clear();
  if (on_end) on_end(machine.now.id);
}

void FakeCloud::end(const std::string& id, const std::string& reason) {
  for (const auto& one : machines_) {
    if (one->now.id == id) end_at(*one, clock_.now_ms(), reason);
  }
}

void FakeCloud::stop(const std::string& id) {
  for (const auto& one : machines_) {
    if (one->now.id != id || one->ended_ms != 0) continue;
    one->now.state = cloud::State::stopped;
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
    one->now.address = fmt::format("127.0.1.{}", ++addresses_);
  }
}

/// Nothing if the cloud would say that it does not know it.
FakeCloud::Machine* FakeCloud::find(const std::string& region, const std::string& id) {
  const auto now = clock_.now_ms();
  for (const auto& one : machines_) {
    if (one->now.region != region || one->now.id != id) continue;
    const bool is_young = now < one->now.launched_ms + invisible.count();
    const bool is_forgotten = one->ended_ms != 0 && now > one->ended_ms + memory.count();
    return is_young || is_forgotten ? nullptr : one.get();
  }
  return nullptr;
}

int FakeCloud::count(const std::string& call) const {
  return static_cast<int>(std::ranges::count_if(
      calls_, [&](const std::string& one) { return one.substr(0, one.find(' ')) == call; }));
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
  for (const auto& [where, half] : keys_) found.push_back("key " + where.second + " in " + where.first);
  for (const auto& [region, name] : groups_) found.push_back("group " + name + " in " + region);
  return found;
}

Usd FakeCloud::cost() {
  tick();
  Usd sum;
  for (const auto& one : machines_) {
    const auto end = one->ended_ms != 0 ? one->ended_ms : clock_.now_ms();
    sum.micros += one->hourly.micros * ((end - one->now.launched_ms + 999) / 1000) / 3600;
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
  EXPECT_EQ(cloud.cost().micros, 10'000) << "ten seconds of $3.60 an hour";
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
