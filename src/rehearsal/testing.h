#pragma once
/// \file
/// For this room's tests: machines that remember instead of running, and a client that signs and asks a
/// Service directly.

#include <mutex>
#include <pugixml.hpp>
#include <string>

#include "rehearsal/lifecycle.h"
#include "rehearsal/machines.h"
#include "rehearsal/roles.h"
#include "rehearsal/service.h"

namespace ferry::rehearsal {

/// Machines that are where the test puts them.
class FakeMachines final : public Machines {
 public:
  std::map<std::string, sandbox::Status> now;
  std::map<std::string, sandbox::Spec> specs;  ///< of the last boot
  std::map<std::string, sandbox::Door> doors;
  std::map<std::string, sandbox::Live> lives;
  std::vector<std::string> asked;  ///< "boot i-…", "stop i-…", …
  Status next_boot;                ///< what boot() answers

  sandbox::Status status(const std::string& id) override {
    const std::lock_guard lock(mutex_);
    return now[id];
  }
  Status boot(const std::string& id, const sandbox::Spec& spec) override {
    const std::lock_guard lock(mutex_);
    asked.push_back("boot " + id);
    if (!next_boot) return next_boot;
    specs[id] = spec;
    now[id].state = sandbox::State::booting;
    return {};
  }
  Status stop(const std::string& id) override { return end(id, "stop", sandbox::State::stopped, "stopped"); }
  Status destroy(const std::string& id) override { return end(id, "destroy", sandbox::State::absent, ""); }
  Status crash(const std::string& id) override { return end(id, "crash", sandbox::State::stopped, "died"); }
  std::string console(const std::string& id) override { return id + " says hello\n"; }
  Status break_sshd(const std::string&, bool) override { return {}; }
  Status lend_key(const std::string& id, const std::string& key, Millis limit) override {
    const std::lock_guard lock(mutex_);
    asked.push_back(fmt::format("lend {} {} {}", id, key, limit.count()));
    return {};
  }
  Status set_door(const std::string& id, const sandbox::Door& door) override {
    const std::lock_guard lock(mutex_);
    doors[id] = door;
    return {};
  }
  Status tell(const std::string& id, const sandbox::Live& live) override {
    const std::lock_guard lock(mutex_);
    lives[id] = live;
    return {};
  }
  Status give_volume(const std::string& id, const std::string& volume) override { return note("give", volume, id); }
  Status take_volume(const std::string& id, const std::string& volume) override { return note("take", volume, id); }
  Status drop_volume(const std::string& volume) override { return note("drop", volume, "all"); }
  sandbox::Probe probe() override { return {sandbox::Mode::plain, "a fake"}; }

  void come_up(const std::string& id, const std::string& address, int port) {
    const std::lock_guard lock(mutex_);
    now[id].state = sandbox::State::running;
    now[id].address = address;
    now[id].port = port;
  }
  void power_off(const std::string& id) { (void)end(id, "power-off", sandbox::State::stopped, "poweroff"); }

 private:
  Status end(const std::string& id, const std::string& verb, sandbox::State state, const std::string& how) {
    const std::lock_guard lock(mutex_);
    asked.push_back(verb + " " + id);
    now[id] = {};
    now[id].state = state;
    now[id].ended = how;
    return {};
  }
  Status note(const char* verb, const std::string& volume, const std::string& id) {
    const std::lock_guard lock(mutex_);
    asked.push_back(fmt::format("{} {} {}", verb, volume, id));
    return {};
  }
  std::mutex mutex_;
};

/// A store that keeps the last state in memory and can be told to fail.
class MemoryStore final : public Store {
 public:
  MemoryStore() : Store("/nowhere") {}
  State saved;
  bool full = false;
  Result<State> load(const std::string&) override { return saved; }
  Status save(const State& state) override {
    if (full) return fail(Kind::disk_full, "no space left");
    saved = state;
    return {};
  }
};

using Form = std::vector<std::pair<std::string, std::string>>;

/// A POST of `form` signed with `key` at `now_ms`.
HttpRequest signed_form(const Form& form, const AccessKey& key, std::int64_t now_ms, const std::string& service = "ec2",
                        const std::string& region = "us-east-1");

/// A POST of `body` to a JSON service ("ServiceQuotasV20190624.GetServiceQuota"), signed as `service`.
HttpRequest signed_json(const std::string& target, const Json& body, const AccessKey& key, std::int64_t now_ms,
                        const std::string& service);

/// The same of a REST service.
HttpRequest signed_rest(const std::string& method, const std::string& path, const Json& body, const AccessKey& key,
                        std::int64_t now_ms, const std::string& service);

/// What came back, with the XML at hand.
struct Answer {
  int status = 0;
  bool dropped = false;
  pugi::xml_document xml;
  std::string body;
  /// Text at an XPath below the root, e.g. "//instanceId".
  std::string at(const std::string& path) const { return xml.select_node(path.c_str()).node().text().get(); }
  std::size_t count(const std::string& path) const { return xml.select_nodes(path.c_str()).size(); }
  std::string code() const { return at("//Error/Code"); }
};

/// A whole rehearsal cloud without sockets and processes. Time stands still unless moved.
class TestCloud {
 public:
  os::FakeClock clock;
  FakeMachines machines;
  MemoryStore store;
  AccessKey key;
  std::unique_ptr<Guarded> state;
  std::unique_ptr<Service> service;
  std::unique_ptr<RoleKeeper> roles;
  std::unique_ptr<Lifecycle> lifecycle;

  TestCloud();
  /// As after a kill -9 of the server: what is stored is all that is left.
  void restart();
  /// Asks with Action and Version added.
  Answer ask(const std::string& action, Form form = {});
  /// The same of IAM.
  Answer ask_iam(const std::string& action, Form form = {});
  /// The same of Auto Scaling.
  Answer ask_autoscaling(const std::string& action, Form form = {});
  Answer send(const HttpRequest& request);
  /// Asks the JSON service whose permissions begin with `service`. An error's code is at "__type".
  Json ask_json(const std::string& service, const std::string& operation, const Json& body);
  /// One pass of the lifecycle, then the machines that boot come up at 127.0.0.9 on `port`, and another pass
  /// after their boot time.
  void settle(int port = 22);
  /// An instance profile with a role of the same name that EC2 may take, which has this policy ("": none).
  void make_profile(const std::string& name, const std::string& policy = "");
  /// RunInstances of one t3.micro with these further parameters; the id.
  std::string launch(Form more = {});
  Instance instance(const std::string& id) const;
};

}  // namespace ferry::rehearsal
