#include "run/actions.h"

#include <csignal>

#include "base/text.h"
#include "os/env.h"
#include "run/access.h"
#include "run/account.h"
#include "run/labels.h"
#include "run/local_log.h"
#include "run/polling.h"
#include "run/run.h"
#include "run/training.h"

namespace ferry::run {

using ledger::Outcome;
using ledger::Phase;

namespace {

constexpr Seconds reach_limit{20};
/// A cancelled training has cancel_grace to save; outputs and termination take their time after it.
constexpr Seconds owner_limit{900};

/// A run that was left on its machine on purpose.
bool is_kept(const ledger::Run& run) { return run.keep && run.outputs_home && run.phase == Phase::fetching; }

Result<ledger::Instance> live_instance(Doors& doors, const ledger::Run& run) {
  TRY_SET(instances, "", doors.ledger.instances(run.name));
  for (auto one = instances.rbegin(); one != instances.rend(); ++one) {
    if (one->state == ledger::Rent::live && !one->id.empty()) return *one;
  }
  return fail(Kind::not_found, run.name + " has no running instance",
              run.phase == Phase::released ? "it was released" : "it is " + std::string(name(run.phase)));
}

struct Reached {
  std::unique_ptr<cloud::Cloud> cloud;
  Link link;
};

Result<Reached> reach(Doors& doors, const ledger::Run& run, Seconds limit) {
  TRY_SET(instance, "", live_instance(doors, run));
  auto place = place_of(instance);
  TRY_SET(cloud, "", open_cloud(doors, place));
  TRY_SET(link, "", Link::open(doors, *cloud, Folder(doors.data, run.name), instance, limit, false));
  return Reached{std::move(cloud), std::move(link)};
}

Status mark_released(Doors& doors, ledger::Run run, Outcome outcome, const std::string& error) {
  if (run.outcome == Outcome::none) {
    run.outcome = outcome;
    run.error = error;
  }
  run.ended_ms = doors.clock.now_ms();
  TRY("", doors.ledger.update(run));
  if (run.phase != Phase::released) TRY("", doors.ledger.move(run.name, Phase::released));
  return {};
}

Status settle_one(Doors& doors, const ledger::Run& seen) {
  const Folder folder(doors.data, seen.name);
  TRY_SET(owner, "", Owner::try_take(folder));
  if (!owner) return {};
  TRY_SET(run, "", doors.ledger.run(seen.name));  // it may have moved on before we held the lock
  if (run.phase == Phase::released || is_kept(run)) return {};
  if (run.phase >= Phase::setup) {
    TRY_SET(pid, "", hand_over(folder, run.name, std::move(*owner)));
    doors.progress.note(fmt::format("{} was left behind while {}; following it again in the background",
                                    run.name, name(run.phase)),
                        {{"run", run.name}, {"follower_pid", pid}});
    return {};
  }
  TRY_SET(ended, "", release_all(doors, run));
  TRY("", mark_released(doors, run, Outcome::lost, "ferry died while " + std::string(name(run.phase))));
  doors.progress.note(fmt::format("{} was left behind while {}; {}", run.name, name(run.phase),
                                  ended.empty() ? "nothing was rented" : "released " + join(ended, ", ")),
                      {{"run", run.name}, {"terminated", ended}});
  return {};
}

/// Waits until the run is released or nobody owns it any more (true).
Result<bool> wait_for_owner(Doors& doors, const std::string& name, Seconds limit) {
  const Folder folder(doors.data, name);
  const auto end = doors.clock.steady_ms() + limit.count() * 1000;
  while (doors.clock.steady_ms() < end) {
    TRY_SET(run, "", doors.ledger.run(name));
    if (run.phase == Phase::released) return true;
    if (!os::is_locked(folder.owner_lock())) return true;
    if (doors.check_signals(false) != Wish::go_on)
      return fail(Kind::cancelled, "stopped waiting; it goes on without us");
    doors.clock.sleep(Millis(50));
  }
  return false;
}

/// Makes this process the owner: the present one is asked to cancel, and killed if it does not end.
Result<Owner> take_over(Doors& doors, const std::string& name, Seconds limit) {
  const Folder folder(doors.data, name);
  for (int tries = 0; tries < 5; ++tries) {
    TRY_SET(owner, "", Owner::try_take(folder));
    if (owner) return std::move(*owner);
    const auto pid = Owner::pid_of(folder);
    if (pid) ::kill(*pid, SIGTERM);
    TRY_SET(ended, "", wait_for_owner(doors, name, limit));
    if (!ended && pid) ::kill(*pid, SIGKILL);
    doors.clock.sleep(Millis(20));
  }
  return fail(Kind::conflict, "another ferry keeps hold of " + name);
}

}  // namespace

Status settle(Doors& doors) {
  TRY_SET(unfinished, "", doors.ledger.runs(true));
  for (const auto& run : unfinished) {
    if (is_kept(run) || os::is_locked(Folder(doors.data, run.name).owner_lock())) continue;
    if (auto settled = settle_one(doors, run); !settled) {
      doors.progress.warn("settle",
                          fmt::format("{} could not be settled now: {}", run.name, settled.error().what));
    }
  }
  return {};
}

Status look_at_clouds(Doors& doors) {
  TRY_SET(noted, "", doors.ledger.unreleased());
  std::map<Place, std::unique_ptr<cloud::Cloud>> clouds;
  for (auto& instance : noted) {
    if (instance.id.empty()) continue;
    auto place = place_of(instance);
    auto& cloud = clouds[place];
    if (!cloud) {
      auto opened = open_cloud(doors, place);
      if (!opened) {
        doors.progress.warn("ps", "cannot ask " + instance.world + ": " + opened.error().what);
        continue;
      }
      cloud = std::move(*opened);
    }
    auto now = refresh(doors, *cloud, instance);
    if (!now && now.error().kind == Kind::denied)
      doors.progress.warn("ps", fmt::format("{}: {} ({})", instance.run, now.error().what, now.error().why));
    if (now || now.error().kind != Kind::not_found) continue;
    instance.state = ledger::Rent::released;
    instance.released_ms = doors.clock.now_ms();
    TRY("", doors.ledger.note_instance(instance));
    doors.progress.warn("ps", fmt::format("{}: {}", instance.run, now.error().what));
    TRY_SET(run, "", doors.ledger.run(instance.run));
    // Nobody waits for a kept machine: it ends here. A training's owner finds out by itself.
    if (is_kept(run)) {
      TRY("", release_all(doors, run));
      TRY("", mark_released(doors, run, run.outcome, run.error));
    }
  }
  return {};
}

Status cancel(Doors& doors, const std::string& run_name) {
  TRY_SET(run, "", doors.ledger.run(run_name));
  if (run.phase == Phase::released) {
    doors.progress.note(run.name + " is over already");
    return {};
  }
  if (is_kept(run)) {
    TRY_SET(ended, "", down(doors, run.name, false));
    return {};
  }
  for (int tries = 0; tries < 3; ++tries) {
    const Folder folder(doors.data, run.name);
    if (const auto pid = Owner::pid_of(folder)) {
      ::kill(*pid, SIGTERM);
      TRY_SET(ended, "", wait_for_owner(doors, run.name, owner_limit));
      if (!ended) return fail(Kind::timeout, run.name + " did not end in time", {}, "ferry down " + run.name);
    }
    TRY_SET(now, "", doors.ledger.run(run.name));
    if (now.phase == Phase::released) return {};
    TRY("", settle(doors));
    doors.clock.sleep(Millis(100));  // a follower that was just started needs a moment to listen
  }
  TRY_SET(now, "", doors.ledger.run(run.name));
  if (now.phase == Phase::released) return {};
  return fail(Kind::conflict, run.name + " could not be cancelled", "its outputs could not be brought home",
              "ferry fetch " + run.name + ", then ferry down " + run.name);
}

namespace {

/// Removes ferry's folder from a machine of the person's own, if no run needs it any more.
Status clear_own_machine(const std::string& host) {
  ssh::Target target;
  target.address = host;
  target.own_config = true;
  TRY_SET(session, "", ssh::Session::open(target, Millis(20'000)));
  TRY_SET(done, "",
          session.run("cd ~/.ferry 2>/dev/null || exit 0\n"
                      "[ -z \"$(ls runs work 2>/dev/null | grep -v ':$' | xargs)\" ] || exit 3\n"
                      "cd && rm -rf ~/.ferry"));
  if (done.exit.code == 3) return {};
  if (done.exit.code != 0)
    return fail(Kind::io, "ferry's folder is left on " + host, printable(trim(done.err)));
  return {};
}

}  // namespace

namespace {

/// True if there is nobody any more to fetch from.
bool is_out_of_reach(const Error& error) {
  return error.kind == Kind::lost || error.kind == Kind::timeout || error.kind == Kind::not_found;
}

}  // namespace

Result<std::vector<std::string>> down(Doors& doors, const std::string& run_name, bool bring_home) {
  TRY_SET(seen, "", doors.ledger.run(run_name));
  if (seen.phase == Phase::released) {
    // Released once; make sure of it, nothing more.
    TRY_SET(infra, "", task::parse_infra(seen.infra));
    if (infra.world == task::World::ssh) TRY("", clear_own_machine(infra.host));
    return release_all(doors, seen);
  }
  TRY_SET(before, "", doors.ledger.instances(seen.name));
  TRY_SET(owner, "", take_over(doors, seen.name, bring_home ? Seconds(90) : Seconds(0)));
  TRY_SET(run, "", doors.ledger.run(seen.name));
  if (run.phase == Phase::released) {
    // Whoever owned it ended it properly when asked.
    std::vector<std::string> ended;
    for (const auto& one : before) {
      if (one.state == ledger::Rent::live) ended.push_back(one.id);
    }
    return ended;
  }
  const bool holds_outputs = run.phase >= Phase::setup && !run.outputs_home && !before.empty();
  if (bring_home && holds_outputs) {
    auto fetched = fetch(doors, run.name);
    if (!fetched && !is_out_of_reach(fetched.error())) {
      // The machine answers: what it holds is not thrown away because of something that can be cured here.
      auto error = std::move(fetched).error();
      error.advice +=
          (error.advice.empty() ? "" : "; ") +
          fmt::format("then again  ferry down {}; or without its outputs: ferry down {} --no-fetch", run.name,
                      run.name);
      return fail(run.name + " is kept: its outputs could not be brought home", std::move(error));
    }
    if (!fetched) {
      doors.progress.warn(
          "down", fmt::format("{}: outputs could not be brought home: {}", run.name, fetched.error().what));
    } else {
      TRY_SET(now, "", doors.ledger.run(run.name));
      run = std::move(now);
    }
  }
  TRY_SET(ended, "", release_all(doors, run));
  TRY("", mark_released(doors, run, Outcome::cancelled, "released by ferry down"));
  return ended;
}

namespace {

/// Ends what carries this user's tag at a place and is not in the ledger (what is there, down() has dealt
/// with), and what was made for it.
Status end_strays(Doors& doors, Place place, std::vector<std::string>& ended) {
  const auto account = place;
  TRY_SET(cloud, "", open_cloud(doors, place));
  TRY("", confirm_account(*cloud, account));
  TRY_SET(ours, "", cloud->find_by_tag("ferry:owner", os::user_name() + "@" + os::host_name()));
  TRY_SET(noted, "", doors.ledger.unreleased());
  std::erase_if(ours, [&](const auto& one) {
    return !one.alive() || std::ranges::any_of(noted, [&](const auto& it) { return it.id == one.id; });
  });
  for (const auto& one : ours) TRY("terminate " + one.id, cloud->terminate(one.id));
  for (const auto& one : ours) {
    TRY("", poll_until(doors, Seconds(600), true, one.id + " was terminated", [&]() -> Result<bool> {
          const auto now = cloud->describe(one.id);
          if (!now && now.error().kind == Kind::not_found) return true;
          if (!now) return tl::unexpected<Error>(now.error());
          return now->state == cloud::State::terminated;
        }));
    ended.push_back(one.id);
    const auto run = one.tags.find("ferry:run"), launch = one.tags.find(launch_tag);
    if (run == one.tags.end() || launch == one.tags.end()) continue;
    const auto name = resource_name(run->second, launch->second);
    TRY("", cloud->delete_key(name));
    TRY("", patiently(doors, [&] { return cloud->delete_group(name); }));
  }
  return {};
}

/// The ledger may be a new one: looks in every region that the account has, as whoever the environment says.
void end_strays_of_account(Doors& doors, const std::set<Place>& seen, std::vector<std::string>& ended) {
  const auto regions = account_regions(doors);
  if (!regions) {
    doors.progress.note("AWS itself was not looked at: " + regions.error().what);
    return;
  }
  for (const auto& region : *regions) {
    const auto is_there = [&](const Place& one) { return one.world == "aws" && one.region == region; };
    if (std::ranges::any_of(seen, is_there)) continue;
    if (const auto looked = end_strays(doors, {"aws", region, "", "", ""}, ended); !looked)
      doors.progress.warn("down", fmt::format("could not look in {}: {}", region, looked.error().what));
  }
}

}  // namespace

Result<std::vector<std::string>> down_all(Doors& doors, bool bring_home) {
  std::vector<std::string> ended;
  std::optional<Error> failed;
  TRY_SET(runs, "", doors.ledger.runs(true));
  for (const auto& run : runs) {
    auto one = down(doors, run.name, bring_home);
    if (one) {
      ended.insert(ended.end(), one->begin(), one->end());
    } else {
      doors.progress.error(one.error());
      failed = one.error();
    }
  }
  // What no run accounts for: look in every place this ledger ever rented in.
  TRY_SET(all, "", doors.ledger.runs(false));
  std::set<Place> places;
  for (const auto& run : all) {
    TRY_SET(instances, "", doors.ledger.instances(run.name));
    for (const auto& one : instances) places.insert(place_of(one));
  }
  for (const auto& place : places) TRY("", end_strays(doors, place, ended));
  end_strays_of_account(doors, places, ended);
  if (failed) return tl::unexpected<Error>(std::move(*failed));
  return ended;
}

Result<Outputs> fetch(Doors& doors, const std::string& run_name) {
  TRY_SET(run, "", doors.ledger.run(run_name));
  if (run.phase == Phase::released || run.phase < Phase::setup) {
    return fail(Kind::not_found,
                run.outputs_home ? "the outputs of " + run.name + " are home already: " + run.home
                                 : run.name + " has no machine to fetch from",
                run.outputs_home
                    ? std::string()
                    : "it is " + std::string(name(run.phase)) + (run.error.empty() ? "" : ": " + run.error));
  }
  TRY_SET(reached, "", reach(doors, run, reach_limit));
  // Nothing is lost by ending here: whatever the signal, it means just that.
  sync::Options options;
  bool stopped = doors.wish != Wish::go_on;
  options.cancelled = [&] { return stopped = stopped || doors.signals.next().has_value(); };
  auto outputs = fetch_outputs(doors, reached.link, Folder(doors.data, run.name), run, options);
  if (!outputs && outputs.error().kind == Kind::cancelled)
    return fail(Kind::cancelled, "stopped; what came home stays, and the machine goes on", {},
                "ferry fetch " + run.name + "  goes on from here");
  return outputs;
}

namespace {

/// What the machine has logged beyond the laptop's copy, up to now; never written to the copy, which is its
/// owner's.
Status rest_of_log(Doors& doors, const ledger::Run& run, std::uint64_t from,
                   const std::function<Status(std::string_view, bool)>& write) {
  TRY_SET(reached, "", reach(doors, run, reach_limit));
  TRY_SET(channel, "", reached.link.agent());
  TRY_SET(status, "", channel.client.status());
  if (status.log_size <= from) return {};
  TRY("", channel.client.attach(from));
  auto at = from;
  while (at < status.log_size) {
    TRY_SET(event, "", channel.client.next(Millis(20'000)));
    if (!event) return fail(Kind::lost, "the agent fell silent");
    if (!event->log) continue;
    const auto room = status.log_size - at;
    const std::string_view bytes = std::string_view(event->log->bytes).substr(0, room);
    TRY("", write(bytes, event->log->stream == agent::LogStream::err));
    at += bytes.size();
  }
  return {};
}

}  // namespace

Status logs(Doors& doors, const std::string& run_name, bool follow,
            const std::function<Status(std::string_view, bool is_error)>& write) {
  TRY_SET(run, "", doors.ledger.run(run_name));
  LogReader reader(Folder(doors.data, run.name).log());
  const auto show = [&](const agent::LogChunk& chunk) {
    return write(chunk.bytes, chunk.stream == agent::LogStream::err);
  };
  while (follow) {
    TRY_SET(now, "", doors.ledger.run(run.name));
    TRY("", reader.read(show));
    if (now.phase >= Phase::fetching || is_kept(now)) return {};
    if (doors.check_signals(false) != Wish::go_on) return {};
    doors.clock.sleep(Millis(50));
  }
  TRY("", reader.read(show));
  if (run.phase < Phase::setup || run.phase > Phase::training) return {};
  if (auto rest = rest_of_log(doors, run, reader.offset(), write); !rest) {
    // The run may have ended meanwhile, and its log is here then.
    TRY("", reader.read(show));
    TRY_SET(now, "", doors.ledger.run(run.name));
    if (now.phase <= Phase::training)
      doors.progress.warn("logs", "what the machine wrote since is out of reach: " + rest.error().what);
  }
  return {};
}

Result<os::Argv> ssh_command(Doors& doors, const std::string& run_name, const os::Argv& command) {
  TRY_SET(run, "", doors.ledger.run(run_name));
  TRY_SET(instance, "", live_instance(doors, run));
  const Folder folder(doors.data, run.name);
  if (key_is_lost(folder, instance)) {
    TRY_SET(reached, "", reach(doors, run, reach_limit));
    instance = reached.link.instance();
  }
  auto place = place_of(instance);
  TRY_SET(cloud, "", open_cloud(doors, place));
  TRY_SET(now, "", refresh(doors, *cloud, instance));
  return ssh::interactive_argv(target_of(folder, now), command);
}

}  // namespace ferry::run
