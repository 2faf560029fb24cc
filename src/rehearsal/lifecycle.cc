#include "rehearsal/lifecycle.h"

#include <thread>

#include "rehearsal/catalog.h"
#include "rehearsal/metadata.h"
#include "rehearsal/spot.h"
#include "rehearsal/tagging.h"
#include "rehearsal/volumes.h"
#include "rehearsal/way_out.h"

namespace ferry::rehearsal {
namespace {

constexpr Millis changing_poll{20};  // something boots or ends
constexpr Millis running_poll{250};  // only to notice machines that end by themselves
constexpr std::int64_t retry_ms = 1000;
constexpr const char* port_tag = "ferry:ssh-port";
constexpr const char* user_tag = "ferry:login-user";

Millis poll_for(const Instance& instance, std::int64_t now_ms, std::int64_t keep_ms) {
  switch (instance.phase) {
    case Phase::pending:
      return instance.never_boots ? Millis(-1) : changing_poll;
    case Phase::shutting_down:
    case Phase::stopping:
      return changing_poll;
    case Phase::running:
      if (instance.reboot_wanted) return changing_poll;
      if (const auto at = next_spot_change(instance, now_ms); at > 0)
        return Millis(std::clamp<std::int64_t>(at - now_ms, 1, running_poll.count()));
      return running_poll;
    case Phase::terminated:
      return Millis(std::max<std::int64_t>(instance.phase_ms + keep_ms - now_ms, 0) + 1);
    case Phase::stopped:
      return Millis(-1);
  }
  return Millis(-1);
}

Millis sooner(Millis a, Millis b) {
  if (a.count() < 0 || b.count() < 0) return std::max(a, b);
  return std::min(a, b);
}

Step step_when_running(const Instance& instance, const sandbox::Status& machine) {
  using enum sandbox::State;
  if (machine.state == stopped && machine.ended == "reboot") return Step::reboot;
  if (machine.state == stopped && (machine.ended == "poweroff" || machine.ended == "stopped")) return Step::powered_off;
  if (machine.state == stopped || machine.state == absent) return Step::died;
  if (instance.reboot_wanted) return Step::reboot;
  if (machine.state == sandbox::State::running &&
      (machine.address != instance.address || machine.port != instance.ssh_port))
    return Step::moved;
  return Step::nothing;
}

/// Where and as whom to log in, where that is not port 22 and the image's own user.
void set_address(State& state, Instance& instance, const sandbox::Status& machine) {
  instance.address = machine.address;
  instance.ssh_port = machine.port;
  const auto* image = find_image(instance.image_id);
  if (machine.port != 22 && machine.port != 0) state.tags[instance.id][port_tag] = std::to_string(machine.port);
  if (image && !machine.login_user.empty() && machine.login_user != image->login_user)
    state.tags[instance.id][user_tag] = machine.login_user;
}

void clear_address(State& state, Instance& instance) {
  instance.address.clear();
  instance.ssh_port = 0;
  const auto tags = state.tags.find(instance.id);
  if (tags == state.tags.end()) return;
  tags->second.erase(port_tag);
  tags->second.erase(user_tag);
}

void set_phase(Instance& instance, Phase phase, std::int64_t now_ms) {
  instance.phase = phase;
  instance.phase_ms = now_ms;
}

}  // namespace

std::string_view name(Step step) {
  switch (step) {
    case Step::nothing:
      return "nothing";
    case Step::boot:
      return "boot";
    case Step::up:
      return "up";
    case Step::moved:
      return "moved";
    case Step::reboot:
      return "reboot";
    case Step::stop:
      return "stop";
    case Step::powered_off:
      return "powered off";
    case Step::died:
      return "died";
    case Step::taken:
      return "taken back";
    case Step::destroy:
      return "destroy";
    case Step::forget:
      return "forget";
  }
  return "nothing";
}

Step next_step(const Instance& instance, const Sight& sight) {
  using enum sandbox::State;
  const auto& machine = sight.machine;
  switch (instance.phase) {
    case Phase::pending:
      if (instance.never_boots) return Step::nothing;
      if (machine.state == absent || machine.state == stopped) return sight.boot_tried ? Step::died : Step::boot;
      return machine.state == sandbox::State::running && sight.now_ms >= instance.phase_ms + instance.boot_ms
                 ? Step::up
                 : Step::nothing;
    case Phase::running:
      return is_due(instance, sight.now_ms) ? Step::taken : step_when_running(instance, machine);
    case Phase::stopping:
      return Step::stop;
    case Phase::shutting_down:
      return Step::destroy;
    case Phase::stopped:
      return Step::nothing;
    case Phase::terminated:
      return sight.now_ms >= instance.phase_ms + sight.keep_ms ? Step::forget : Step::nothing;
  }
  return Step::nothing;
}

Lifecycle::Lifecycle(Guarded& state, Machines& machines, os::Clock& clock, Options options)
    : state_(state), machines_(machines), clock_(clock), options_(std::move(options)) {
  if (!options_.executor) options_.executor = [](std::function<void()> work) { std::thread(std::move(work)).detach(); };
}

Lifecycle::~Lifecycle() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return busy_.empty(); });
}

void Lifecycle::run() {
  while (true) {
    const Millis limit = pass();
    {
      const std::lock_guard lock(mutex_);
      if (ending_) return;
    }
    state_.wait_for_change(limit);
  }
}

void Lifecycle::end() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  state_.wake();
}

void Lifecycle::crash_at(const std::string& id, std::int64_t at_ms) {
  {
    const std::lock_guard lock(mutex_);
    crashes_[id] = at_ms;
  }
  state_.wake();
}

Millis Lifecycle::pass() {
  Millis limit = options_.before_pass ? options_.before_pass() : Millis(-1);
  const auto now = clock_.now_ms();
  crash_due(now);
  std::map<std::string, Instance> instances;
  state_.look([&](const State& state) { instances = state.instances; });
  for (const auto& [id, instance] : instances) {
    Sight sight{{}, false, now, options_.keep_ms};
    {
      const std::lock_guard lock(mutex_);
      if (ending_) return Millis(0);
      limit = sooner(limit, poll_for(instance, now, options_.keep_ms));
      if (busy_.contains(id)) continue;
      if (const auto wait = not_before_.find(id); wait != not_before_.end() && now < wait->second) continue;
      sight.boot_tried = boot_tried_.contains(id);
    }
    if (instance.phase == Phase::pending || instance.phase == Phase::running) sight.machine = machines_.status(id);
    act(instance, next_step(instance, sight), sight.machine);
  }
  const std::lock_guard lock(mutex_);
  for (const auto& [id, at] : crashes_) limit = sooner(limit, Millis(std::max<std::int64_t>(at - now, 1)));
  return limit;
}

void Lifecycle::act(const Instance& instance, Step step, const sandbox::Status& machine) {
  const auto& id = instance.id;
  if (step != Step::nothing && step != Step::moved)
    log(id + " " + std::string(name(instance.phase)) + ": " + std::string(name(step)));
  switch (step) {
    case Step::nothing:
      return;
    case Step::boot:
      return begin(id, [this, instance] { work_boot(instance); });
    case Step::reboot:
      return begin(id, [this, instance] { work_reboot(instance); });
    case Step::stop:
      return begin(id, [this, instance] { work_stop(instance); });
    case Step::destroy:
      return begin(id, [this, instance] { work_destroy(instance); });
    case Step::up:
      return mark_up(instance, machine);
    case Step::moved:
      return mark_moved(instance, machine);
    case Step::powered_off:
      return mark_powered_off(instance);
    case Step::died:
      return mark_dead(instance, machine.why.empty() ? "its processes ended unexpectedly" : machine.why);
    case Step::taken:
      return mark_taken(instance);
    case Step::forget:
      return forget(id);
  }
}

void Lifecycle::begin(const std::string& id, std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    busy_.insert(id);
  }
  options_.executor([this, &state = state_, id, work = std::move(work)] {
    work();
    {
      const std::lock_guard lock(mutex_);
      busy_.erase(id);
      idle_.notify_all();
    }
    state.wake();  // this object may be gone by now
  });
}

bool Lifecycle::change(const Instance& seen, const Change& change) {
  return state_.update([&](State& state) {
    const auto found = state.instances.find(seen.id);
    if (found == state.instances.end() || found->second.phase != seen.phase) return false;
    change(state, found->second);
    return true;
  });
}

void Lifecycle::work_boot(const Instance& instance) {
  {
    const std::lock_guard lock(mutex_);
    boot_tried_.insert(instance.id);
  }
  sandbox::Spec spec;
  std::string way_out;
  const auto mode = machines_.probe().mode;
  state_.look([&](const State& state) {
    spec = boot_spec(state, instance, mode);
    const auto& tags = tags_of(state, instance.id);
    if (const auto tag = tags.find(way_out_tag); tag != tags.end()) way_out = tag->second;
  });
  if (options_.equip) options_.equip(spec, way_out);
  if (options_.set_door) options_.set_door(instance.id);
  if (const auto booted = machines_.boot(instance.id, spec); !booted && booted.error().kind != Kind::conflict)
    mark_dead(instance, booted.error().what + (booted.error().why.empty() ? "" : ": " + booted.error().why));
}

void Lifecycle::work_reboot(const Instance& instance) {
  if (const auto stopped = machines_.stop(instance.id); !stopped) log(instance.id + " reboot: " + stopped.error().what);
  Instance again = instance;
  again.booted_before = true;
  again.boot_ms = 0;
  work_boot(again);
  change(instance, [](State&, Instance& now) { now.reboot_wanted = false; });
}

void Lifecycle::work_stop(const Instance& instance) {
  if (const auto stopped = machines_.stop(instance.id); !stopped) {
    log(instance.id + " stop: " + stopped.error().what);
    const std::lock_guard lock(mutex_);
    not_before_[instance.id] = clock_.now_ms() + retry_ms;
    return;
  }
  const auto now = clock_.now_ms();
  change(instance, [&](State& state, Instance& it) {
    clear_address(state, it);
    set_phase(it, Phase::stopped, now);
  });
}

/// Before its folder goes: what is on volumes outlives it.
Status Lifecycle::take_volumes(const Instance& instance) {
  std::vector<std::string> attached;
  state_.look([&](const State& state) {
    for (const auto& [id, volume] : state.volumes)
      if (volume.instance_id == instance.id) attached.push_back(id);
  });
  if (attached.empty()) return {};
  TRY("", machines_.stop(instance.id));
  for (const auto& id : attached) TRY("", machines_.take_volume(instance.id, id));
  return {};
}

void Lifecycle::work_destroy(const Instance& instance) {
  auto gone = take_volumes(instance);
  if (gone) gone = machines_.destroy(instance.id);
  if (!gone) {
    log(instance.id + " destroy: " + gone.error().what + " " + gone.error().why);
    const std::lock_guard lock(mutex_);
    not_before_[instance.id] = clock_.now_ms() + retry_ms;
    return;
  }
  const auto now = clock_.now_ms();
  change(instance, [&](State& state, Instance& it) {
    clear_address(state, it);
    state.tags.erase(it.eni_id);
    for (const auto& disk : it.disks) state.tags.erase(disk.volume_id);
    it.disks.clear();
    for (auto& [id, volume] : state.volumes)
      if (volume.instance_id == it.id) forget_attachment(volume);
    set_phase(it, Phase::terminated, now);
  });
}

void Lifecycle::mark_up(const Instance& instance, const sandbox::Status& machine) {
  const auto now = clock_.now_ms();
  const bool done = change(instance, [&](State& state, Instance& it) {
    set_address(state, it, machine);
    it.booted_before = true;
    set_phase(it, Phase::running, now);
  });
  const std::lock_guard lock(mutex_);
  if (done) boot_tried_.erase(instance.id);
}

void Lifecycle::mark_moved(const Instance& instance, const sandbox::Status& machine) {
  change(instance, [&](State& state, Instance& it) { set_address(state, it, machine); });
}

namespace {

/// EC2 leaves this empty for some ends; here the moment is always told.
std::string initiated(std::string_view by, std::int64_t now_ms) {
  const auto time = os::iso_time(now_ms);
  return fmt::format("{} initiated ({} {} GMT)", by, time.substr(0, 10), time.substr(11, 8));
}

}  // namespace

void Lifecycle::mark_powered_off(const Instance& instance) {
  const auto now = clock_.now_ms();
  change(instance, [&](State& state, Instance& it) {
    clear_address(state, it);
    it.reason_code = "Client.InstanceInitiatedShutdown";
    it.reason_message = "Client.InstanceInitiatedShutdown: Instance initiated shutdown";
    it.transition_reason = initiated("Instance", now);
    set_phase(it, it.on_poweroff == OnPoweroff::terminate ? Phase::shutting_down : Phase::stopping, now);
  });
}

void Lifecycle::mark_taken(const Instance& instance) {
  const auto now = clock_.now_ms();
  change(instance, [&](State& state, Instance& it) {
    clear_address(state, it);
    it.reason_code = "Server.SpotInstanceTermination";
    it.reason_message = "Server.SpotInstanceTermination: Spot instance termination";
    it.transition_reason = initiated("Service", now);
    set_phase(it, Phase::shutting_down, now);
  });
}

void Lifecycle::mark_dead(const Instance& instance, const std::string& why) {
  log(instance.id + " died: " + why);
  const auto now = clock_.now_ms();
  change(instance, [&](State& state, Instance& it) {
    clear_address(state, it);
    it.reason_code = "Server.InternalError";
    it.reason_message = "Server.InternalError: Internal error on launch";
    if (it.phase == Phase::running) it.reason_message = "Server.InternalError: " + why;
    it.transition_reason = initiated("Service", now);
    set_phase(it, Phase::shutting_down, now);
  });
}

void Lifecycle::forget(const std::string& id) {
  state_.update([&](State& state) {
    state.instances.erase(id);
    state.tags.erase(id);
    std::erase_if(state.iam.sessions, [&](const auto& entry) { return entry.second.instance == id; });
    std::erase_if(state.sessions, [&](const auto& entry) { return entry.second == id; });
    std::erase_if(state.tokens, [&](const auto& entry) {
      const auto& ids = entry.second.instance_ids;
      return std::none_of(ids.begin(), ids.end(), [&](const std::string& it) { return state.instances.contains(it); });
    });
    return true;
  });
  const std::lock_guard lock(mutex_);
  boot_tried_.erase(id);
  not_before_.erase(id);
}

void Lifecycle::crash_due(std::int64_t now_ms) {
  std::vector<std::string> due;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, at] : crashes_)
      if (at <= now_ms) due.push_back(id);
    for (const auto& id : due) crashes_.erase(id);
  }
  for (const auto& id : due)
    if (const auto done = machines_.crash(id); !done) log(id + " crash: " + done.error().what);
}

void Lifecycle::log(const std::string& line) const {
  if (options_.log) options_.log(line);
}

}  // namespace ferry::rehearsal
