#include "run/machine.h"

#include "base/text.h"
#include "os/env.h"
#include "run/labels.h"
#include "run/polling.h"

namespace ferry::run {

namespace {

constexpr Seconds terminated_limit{600};
/// A launch call that was on its way when its caller died has become an instance by then, or never will.
constexpr Millis intent_settles{10'000};
constexpr Seconds intent_limit{60};
/// EC2 is eventually consistent: "not found" this soon after a launch may mean "not yet".
constexpr Seconds visible_after{30};

}  // namespace

namespace {

/// What ssh runs to reach the machine through Systems Manager.
std::string session_command(const ledger::Instance& instance) {
  const os::Argv words = {os::self_program().string(),
                          "ssm-connect",
                          instance.id,
                          std::to_string(instance.ssh_port),
                          instance.world,
                          instance.region,
                          instance.profile};
  std::string command;
  for (const char c : shell_quoted(words)) command += c == '%' ? "%%" : std::string(1, c);
  return command;
}

/// Where ssh finds it today; empty: nowhere yet.
const std::string& address_of(const cloud::Instance& now, const ledger::Instance& instance) {
  return now.address.empty() && !instance.public_address ? now.private_address : now.address;
}

}  // namespace

void note_access(const cloud::Instance& now, ledger::Instance& instance) {
  instance.address = address_of(now, instance);
  instance.ssh_port = now.ssh_port;
  if (const auto user = now.tags.find("ferry:login-user"); user != now.tags.end())
    instance.login_user = user->second;
}

Seconds Lifetime::linger() const { return std::clamp(max_duration / 10, Seconds(30), Seconds(900)); }

Result<cloud::AwsWorld> open_world(Doors& doors, Place& place) {
  const bool rehearsing = place.world == "rehearsal";
  auto access =
      rehearsing ? doors.rehearsal() : cloud::aws_world_from_environment(place.region, place.profile);
  if (!access) return tl::unexpected<Error>(std::move(access).error());
  if (rehearsing) {
    place.endpoint = access->endpoint_url;
  } else if (const auto given = access->service_endpoints.find("ec2");
             given != access->service_endpoints.end()) {
    place.endpoint = given->second;
  } else if (!place.endpoint.empty()) {
    access->service_endpoints["ec2"] = place.endpoint;  // where it was rented, though the environment forgot
  }
  place.region = access->region;
  place.profile = access->profile;
  return access;
}

Result<std::unique_ptr<cloud::Cloud>> open_cloud(Doors& doors, Place& place) {
  if (doors.cloud) return doors.cloud(place);
  if (place.world == "ssh") return cloud::make_host_cloud(place.endpoint);
  TRY_SET(world, "", open_world(doors, place));
  return cloud::make_ec2_cloud(world, doors.http, doors.clock);
}

Result<ssh::Session> open_session(Doors& doors, const ssh::Target& target, Millis limit) {
  return doors.connect ? doors.connect(target, limit) : ssh::Session::open(target, limit);
}

Status confirm_account(cloud::Cloud& cloud, const Place& place) {
  if (place.world != "aws" || place.account.empty()) return {};
  TRY_SET(caller, "see whose account this is", cloud.whoami());
  if (caller.account == place.account) return {};
  return fail(Kind::denied, fmt::format("the machine was rented in the AWS account {}", place.account),
              fmt::format("these credentials are of account {} ({})", caller.account, caller.arn),
              "use that account's: ferry --profile NAME …, or AWS_PROFILE");
}

std::string user_data(const std::string& host_private_key, const std::string& host_public_key,
                      Seconds power_off_after) {
  std::string indented;
  for (const auto& line : split(trim(host_private_key), '\n')) indented += "    " + line + "\n";
  // systemd's timer where systemd runs the machine; otherwise a process that outlives the boot scripts.
  const auto timer = fmt::format(
      "if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then "
      "systemd-run --collect --unit=ferry-end --on-active={0} systemctl poweroff; else "
      "(setsid sh -c 'sleep {0}; shutdown -h now || poweroff -f' </dev/null >/dev/null 2>&1 &); fi",
      power_off_after.count());
  return fmt::format(
      "#cloud-config\n"
      "ssh_deletekeys: true\n"
      "ssh_keys:\n"
      "  ed25519_private: |\n{}"
      "  ed25519_public: {}\n"
      "bootcmd:\n"
      "  - {}\n",
      indented, host_public_key, dump_json(Json::array({"sh", "-c", timer})));
}

Result<ledger::Instance> borrow(Doors& doors, const ledger::Run& run, const Place& place) {
  ledger::Instance instance;
  instance.run = run.name;
  instance.world = place.world;
  instance.endpoint = instance.type = instance.address = place.endpoint;
  instance.token = client_token(run, 1);
  instance.intent_ms = doors.clock.now_ms();
  TRY("", doors.ledger.note_intent(instance));
  instance.id = "ssh/" + place.endpoint;
  instance.state = ledger::Rent::live;
  instance.launched_ms = instance.intent_ms;
  TRY("", doors.ledger.note_instance(instance));
  return instance;
}

ssh::Target target_of(const Folder& folder, const ledger::Instance& instance) {
  ssh::Target target;
  if (instance.world == "ssh") {
    target.address = instance.address;
    target.own_config = true;
    return target;
  }
  target.user = instance.login_user;
  target.address = instance.address;
  target.port = instance.ssh_port;
  target.identity = instance.identity.empty() ? folder.identity() : os::Path(instance.identity);
  target.proxy = instance.ssh_proxy == "ssm" ? session_command(instance) : instance.ssh_proxy;
  target.known_hosts = folder.known_hosts();
  target.alias = instance.run;
  return target;
}

Result<ledger::Instance> refresh(Doors& doors, cloud::Cloud& cloud, ledger::Instance instance) {
  auto seen = cloud.describe(instance.id);
  if (!seen && seen.error().kind == Kind::not_found) TRY("", confirm_account(cloud, place_of(instance)));
  if (!seen) return tl::unexpected<Error>(std::move(seen).error());
  const auto& now = *seen;
  if (!now.alive()) {
    return fail(Kind::not_found, fmt::format("{} is {}", instance.id, name(now.state)), now.state_reason);
  }
  if (now.state == cloud::State::stopped || now.state == cloud::State::stopping) {
    return fail(Kind::conflict, fmt::format("{} is {}", instance.id, name(now.state)), now.state_reason,
                "start it in the AWS console, or release it: ferry down " + instance.run);
  }
  const auto& address = address_of(now, instance);
  if (!address.empty() && (address != instance.address || now.ssh_port != instance.ssh_port)) {
    note_access(now, instance);
    TRY("", doors.ledger.note_instance(instance));
  }
  return instance;
}

namespace {

/// Every instance of the run that the cloud knows and that is not gone.
Result<std::vector<cloud::Instance>> still_there(cloud::Cloud& cloud, const ledger::Run& run) {
  TRY_SET(tagged, "", cloud.find_by_tag(launch_tag, launch_id(run)));
  std::erase_if(tagged, [](const cloud::Instance& one) { return one.state == cloud::State::terminated; });
  return tagged;
}

/// Gives back what a run has at one place. "Not found" counts only in the account that the place names.
class Release {
 public:
  Release(Doors& doors, cloud::Cloud& cloud, const ledger::Run& run, const Place& place)
      : doors_(doors), cloud_(cloud), run_(run), place_(place) {}

  /// `noted`: not yet released. Adds the ids that are gone to `ended`.
  Status instances(std::vector<ledger::Instance>& noted, std::vector<std::string>& ended);
  Status resource(ledger::Resource& resource);

 private:
  Status be_sure_of_account();
  Status settle_intent(ledger::Instance& instance);
  Status end(const std::string& id, std::int64_t launched_ms);

  Doors& doors_;
  cloud::Cloud& cloud_;
  const ledger::Run& run_;
  const Place& place_;
  bool is_our_account_ = false;
};

Status Release::be_sure_of_account() {
  if (!is_our_account_) TRY("", patiently(doors_, [&] { return confirm_account(cloud_, place_); }));
  is_our_account_ = true;
  return {};
}

/// A call whose answer never came may still be on its way to becoming an instance: its token says so.
Status Release::settle_intent(ledger::Instance& instance) {
  std::optional<cloud::Instance> found;
  TRY("", poll_until(doors_, intent_limit, false, "the launch was settled", [&]() -> Result<bool> {
        TRY_SET(by_token, "", patiently(doors_, [&] { return cloud_.find_by_token(instance.token); }));
        found = std::move(by_token);
        return found.has_value() || doors_.clock.now_ms() - instance.intent_ms > intent_settles.count();
      }));
  if (!found) return {};
  instance.id = found->id;
  instance.launched_ms = found->launched_ms;
  instance.state = ledger::Rent::live;
  return doors_.ledger.note_instance(instance);
}

Status Release::end(const std::string& id, std::int64_t launched_ms) {
  const auto seen_by = launched_ms + visible_after.count() * 1000;
  bool heard = false;
  return poll_until(doors_, terminated_limit, false, id + " was terminated", [&]() -> Result<bool> {
    if (!heard) TRY("terminate " + id, patiently(doors_, [&] { return cloud_.terminate(id); }));
    auto now = patiently(doors_, [&] { return cloud_.describe(id); });
    heard = now.has_value();
    if (!now && now.error().kind == Kind::not_found) {
      TRY("", be_sure_of_account());
      return doors_.clock.now_ms() > seen_by;
    }
    if (!now) return tl::unexpected<Error>(std::move(now).error());
    is_our_account_ = true;
    return now->state == cloud::State::terminated;
  });
}

Status Release::instances(std::vector<ledger::Instance>& noted, std::vector<std::string>& ended) {
  // What is known is ended first, whatever else may fail: another account would not know it.
  for (const auto& instance : noted) {
    if (!instance.id.empty()) (void)patiently(doors_, [&] { return cloud_.terminate(instance.id); });
  }
  TRY_SET(there, "", patiently(doors_, [&] { return still_there(cloud_, run_); }));
  if (there.empty()) TRY("", be_sure_of_account());
  // What the ledger has, even if the tags do not show it yet, and what the tags show.
  std::map<std::string, std::int64_t> launched_ms;
  for (const auto& one : there) launched_ms[one.id] = one.launched_ms;
  for (auto& instance : noted) {
    if (instance.id.empty()) TRY("", settle_intent(instance));
    if (!instance.id.empty()) launched_ms.try_emplace(instance.id, instance.launched_ms);
  }
  for (const auto& [id, since] : launched_ms) {
    TRY("", end(id, since));
    ended.push_back(id);
  }
  for (auto& instance : noted) {
    instance.state = ledger::Rent::released;
    instance.released_ms = doors_.clock.now_ms();
    TRY("", doors_.ledger.note_instance(instance));
  }
  return {};
}

Status Release::resource(ledger::Resource& resource) {
  TRY("", be_sure_of_account());
  TRY("", patiently(doors_, [&] {
        return resource.kind == "key-pair" ? cloud_.delete_key(resource.name)
                                           : cloud_.delete_group(resource.name);
      }));
  resource.released = true;
  return doors_.ledger.note_resource(resource);
}

/// Removes what the run left on a machine of the person's own. What serves later runs (the agent's program,
/// environments) stays in ~/.ferry until `ferry down`.
Status clean_own_machine(Doors& doors, const Folder& folder, const ledger::Instance& instance) {
  TRY_SET(session, "", open_session(doors, target_of(folder, instance), Millis(15'000)));
  // The agent stops its training when it is asked to end. It is known by the folder on its command line.
  const auto script = fmt::format(
      "run={}; cd ~/.ferry 2>/dev/null || exit 0\n"
      "agents() {{ grep -lazF \"$HOME/.ferry/runs/$run\" /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3 | "
      "while read -r pid; do tr '\\0' ' ' <\"/proc/$pid/cmdline\" | grep -q '/ferry-agent-' && echo "
      "\"$pid\"; done; }}\n"
      "kill $(agents) 2>/dev/null\n"
      "for i in $(seq 100); do [ -n \"$(agents)\" ] || break; sleep 0.1; done\n"
      "rm -rf -- \"work/$run\" \"runs/$run\" \"runs/$run-sync.state\" \"runs/$run-env.sh\"",
      shell_quoted(instance.run));
  TRY_SET(done, "", session.run(script));
  if (done.exit.code != 0) return fail(Kind::io, "it could not be removed", printable(trim(done.err)));
  return {};
}

Status release_at(Doors& doors, const ledger::Run& run, const Place& place,
                  std::vector<ledger::Instance> noted, std::vector<ledger::Resource>& resources,
                  std::vector<std::string>& ended) {
  auto reached = place;
  TRY_SET(cloud, "", open_cloud(doors, reached));
  if (place.world == "ssh" && !noted.empty()) {
    const auto cleaned = clean_own_machine(doors, Folder(doors.data, run.name), noted.front());
    if (!cleaned)
      doors.progress.warn("release", fmt::format("what {} left on {} is still there: {}", run.name,
                                                 place.endpoint, cleaned.error().what));
  }
  Release release(doors, *cloud, run, place);
  TRY("", release.instances(noted, ended));
  for (auto& resource : resources) {
    if (place_of(resource) == place) TRY("", release.resource(resource));
  }
  return {};
}

}  // namespace

Seconds release_limit() {
  constexpr Seconds usual{180};
  const auto text = os::env("FERRY_RELEASE_LIMIT");
  return text ? parse_duration(*text).value_or(usual) : usual;
}

Result<std::vector<std::string>> release_all(Doors& doors, const ledger::Run& run) {
  TRY_SET(noted, "", doors.ledger.instances(run.name));
  TRY_SET(resources, "", doors.ledger.resources(run.name));
  std::erase_if(noted, [](const auto& one) { return one.state == ledger::Rent::released; });
  std::erase_if(resources, [](const auto& one) { return one.released; });
  std::set<Place> places;  // a run normally has one
  for (const auto& one : noted) places.insert(place_of(one));
  for (const auto& one : resources) places.insert(place_of(one));
  std::vector<std::string> ended;
  std::optional<Error> failed;  // of the first place; the others are released all the same
  for (const auto& place : places) {
    std::vector<ledger::Instance> here;
    std::copy_if(noted.begin(), noted.end(), std::back_inserter(here),
                 [&](const auto& one) { return place_of(one) == place; });
    const auto released = release_at(doors, run, place, std::move(here), resources, ended);
    if (!released && !failed) failed = released.error();
  }
  if (failed) return tl::unexpected<Error>(std::move(*failed));
  return ended;
}

}  // namespace ferry::run
