// A FakeCloud as its callers see it: every call of cloud/cloud.h.
#include "base/text.h"
#include "run/fake_cloud.h"

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
  Result<cloud::Image> newest_image(const cloud::ImageQuery& interrupt) override {
    return call<cloud::Image>("newest_image", interrupt.type, [] {
      return cloud::Image{"ami-0123456789abcdef0", "fake", "ubuntu", "/dev/sda1", 8, "2026-01-01"};
    });
  }
  Status import_key(const std::string& name, const std::string& half, const cloud::Tags& tags) override {
    return call<void>("import_key", name, [&]() -> Status {
      all_.keys_.try_emplace({region_, name}, FakeCloud::Key{half, tags});
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
      return key->second.half;
    });
  }
  Status send_key(const std::string& id, const std::string&, const std::string&) override {
    return call<void>("send_key", id, []() -> Status { return {}; });
  }
  Result<cloud::SecurityGroup> ensure_group(const std::string& name, const std::string& cidr, const cloud::Tags& tags,
                                            const std::string&) override {
    return call<cloud::SecurityGroup>("ensure_group", name + " " + cidr, [&] {
      all_.groups_.try_emplace({region_, name}, tags);
      return cloud::SecurityGroup{"sg-" + name, name};
    });
  }
  Status delete_group(const std::string& name) override {
    return call<void>("delete_group", name, [&]() -> Status {
      for (const auto& one : all_.machines_) {
        if (one->now.region == region_ && one->group == "sg-" + name && one->now.state != cloud::State::terminated)
          return fail(Kind::conflict, name + " is in use", {}, {}, "DependencyViolation");
      }
      all_.groups_.erase({region_, name});
      return {};
    });
  }
  Result<std::vector<cloud::Made>> find_made(const std::string& key, const std::string& value) override {
    return call<std::vector<cloud::Made>>("find_made", key, [&] {
      std::vector<cloud::Made> found;
      const auto add = [&](const char* kind, const auto& where, const cloud::Tags& tags) {
        const auto tag = tags.find(key);
        if (where.first == region_ && tag != tags.end() && tag->second == value)
          found.push_back({kind, where.second, tags});
      };
      for (const auto& [where, one] : all_.keys_) add("key-pair", where, one.tags);
      for (const auto& [where, tags] : all_.groups_) add("security-group", where, tags);
      return found;
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
  Result<std::vector<cloud::Instance>> find_by_tag(const std::string& key, const std::string& value) override {
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
      if (all_.ignored_ends > 0 && all_.ignored_ends-- > 0) return {};
      machine->by_ferry = true;
      all_.end_at(*machine, all_.clock_.now_ms(), "Client.UserInitiatedShutdown");
      return {};
    });
  }
  Result<std::vector<cloud::Volume>> volumes(const std::string& named) override {
    return call<std::vector<cloud::Volume>>("volumes", named, [&] {
      std::vector<cloud::Volume> out;
      for (auto& one : all_.volumes) {
        const auto* machine = all_.find(one.region, one.instance);
        if (!one.instance.empty() && (!machine || machine->now.state == cloud::State::terminated)) {
          one.instance = one.device = one.attachment = "";
          one.state = "available";
        }
        if (one.region == region_ && (one.id == named || one.name == named)) out.push_back(one);
        if (one.attachment == "attaching") one.attachment = "attached";
      }
      return out;
    });
  }
  Status attach_volume(const std::string& id, const std::string& instance, const std::string& device) override {
    return call<void>("attach_volume", id + " " + instance + " " + device, [&]() -> Status {
      for (auto& one : all_.volumes) {
        if (one.region != region_ || one.id != id) continue;
        if (one.state != "available") return fail(Kind::conflict, id + " is attached", {}, {}, "VolumeInUse");
        one.state = "in-use";
        one.instance = instance;
        one.device = device;
        one.attachment = "attaching";
        return {};
      }
      return not_found("InvalidVolume.NotFound", id);
    });
  }
  Status tag(const std::string& id, const cloud::Tags& tags) override {
    return call<void>("tag", id, [&]() -> Status {
      auto* machine = all_.find(region_, id);
      if (!machine) return not_found("InvalidInstanceID.NotFound", id);
      for (const auto& [key, value] : tags) machine->now.tags[key] = value;
      return {};
    });
  }
  Status stop(const std::string& id) override { return turn("stop", id); }
  Status start(const std::string& id) override { return turn("start", id); }
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
      const auto left = one->rented_ms + all_.invisible.count() - all_.clock_.now_ms();
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

  Status turn(const std::string& name, const std::string& id) {
    const bool off = name == "stop";
    return call<void>(name, id, [&]() -> Status {
      const auto* machine = all_.find(region_, id);
      if (!machine) return not_found("InvalidInstanceID.NotFound", id);
      const bool fits = machine->now.state == (off ? cloud::State::running : cloud::State::stopped);
      if (!fits) return fail(Kind::conflict, id + " is " + std::string(cloud::name(machine->now.state)));
      off ? all_.stop(id) : all_.start(id);
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
    made->now.launched_ms = made->rented_ms = all_.clock_.now_ms();
    made->hourly = request.offer.hourly.value_or(Usd{});
    made->key = request.key_name;
    made->group = request.security_group;
    made->stops = request.stops_itself;
    constexpr std::string_view timer = "--on-active=";
    if (const auto at = request.user_data.find(timer); at != std::string::npos) {
      const auto digits = request.user_data.substr(at + timer.size());
      const auto seconds = parse_int(digits.substr(0, digits.find_first_not_of("0123456789")));
      made->timer_s = seconds.value_or(0);
      made->timer_ms = made->now.launched_ms + made->timer_s * 1000;
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

}  // namespace ferry::run
