// StartInstances, StopInstances, RebootInstances, TerminateInstances: what people ask of instances. The
// processes follow in the background.
#include "os/clock.h"
#include "rehearsal/actions.h"
#include "rehearsal/reservations.h"

namespace ferry::rehearsal {
namespace {

/// The instances of InstanceId.N; all exist.
Api<std::vector<Instance*>> named_instances(Call& call) {
  const auto ids = call.params.list("InstanceId");
  if (ids.empty()) return missing_parameter("InstanceId");
  API_TRY(check_ids(ids, instance_ids, [&](const std::string& id) { return call.state.instances.contains(id); }));
  std::vector<Instance*> out;
  for (const auto& id : ids)
    if (Instance* instance = &call.state.instances[id]; std::find(out.begin(), out.end(), instance) == out.end())
      out.push_back(instance);
  return out;
}

tl::unexpected<ApiError> wrong_state(const Instance& instance, std::string_view wanted) {
  return refuse("IncorrectInstanceState",
                fmt::format("The instance '{}' is not in a state from which it can be {}.", instance.id, wanted));
}

tl::unexpected<ApiError> is_protected(const Instance& instance, std::string_view done, std::string_view attribute) {
  return refuse("OperationNotPermitted",
                fmt::format("The instance '{}' may not be {}. Modify its '{}' instance attribute and try again.",
                            instance.id, done, attribute));
}

struct Change {
  std::string id;
  Phase before, after;
};

Xml changes(const std::vector<Change>& all) {
  Xml xml;
  return xml.list("instancesSet", all, [&](const Change& change) {
    xml.text("instanceId", change.id);
    xml.node("currentState", [&] { xml.number("code", code(change.after)).text("name", name(change.after)); });
    xml.node("previousState", [&] { xml.number("code", code(change.before)).text("name", name(change.before)); });
  });
}

void move(const Call& call, Instance& instance, Phase phase) {
  instance.phase = phase;
  instance.phase_ms = call.now_ms;
}

std::string user_initiated(const Call& call) {
  std::string time = os::iso_time(call.now_ms);
  return fmt::format("User initiated ({} {} GMT)", time.substr(0, 10), time.substr(11, 8));
}

/// A stopped instance goes back to the reservation it was told to run in, or to an open one; true if it runs
/// in one.
Api<bool> reserve_again(const Call& call, Instance& instance) {
  instance.capacity_reservation.clear();
  const CapacityReservation* found = open_reservation(call.state, instance, instance.zone, 1, call.now_ms);
  if (!instance.capacity_target.empty()) {
    const auto& target = call.state.capacity_reservations.at(instance.capacity_target);
    if (state_of(target, call.now_ms) == "active" && available(call.state, target) > 0) found = &target;
  }
  const bool must = !instance.capacity_target.empty() || instance.capacity_preference == only_reserved;
  if (!found && must) return reservation_full();
  if (found) instance.capacity_reservation = found->id;
  return found != nullptr;
}

}  // namespace

Api<Xml> start_instances(Call& call) {
  API_SET(instances, named_instances(call));
  for (const Instance* instance : instances)
    if (instance->phase != Phase::stopped && instance->phase != Phase::running && instance->phase != Phase::pending)
      return wrong_state(*instance, "started");
  std::vector<Change> out;
  for (Instance* instance : instances) {
    const Phase before = instance->phase;
    if (before == Phase::stopped) {
      API_SET(reserved, reserve_again(call, *instance));
      if (!reserved && call.faults.no_capacity(instance->type, instance->zone, true))
        return refuse("InsufficientInstanceCapacity",
                      fmt::format("Insufficient capacity for {} in {}.", instance->type, instance->zone), 500);
      move(call, *instance, Phase::pending);
      instance->launched_ms = call.now_ms;
      const auto fault = call.faults.boot(instance->type);
      instance->boot_ms = call.boot_ms + fault.extra_ms;
      instance->never_boots = fault.never;
      instance->reason_code = instance->reason_message = instance->transition_reason = "";
    }
    out.push_back({instance->id, before, instance->phase});
  }
  return changes(out);
}

Api<Xml> stop_instances(Call& call) {
  API_SET(instances, named_instances(call));
  for (const Instance* instance : instances) {
    if (instance->phase == Phase::terminated || instance->phase == Phase::shutting_down ||
        instance->phase == Phase::pending)
      return wrong_state(*instance, "stopped");
    if (instance->protect_stop) return is_protected(*instance, "stopped", "disableApiStop");
    if (!instance->spot_request_id.empty())
      return refuse("UnsupportedOperation", fmt::format("You can't stop the Spot Instance '{}' because it is "
                                                        "associated with a one-time Spot Instance request.",
                                                        instance->id));
  }
  std::vector<Change> out;
  for (Instance* instance : instances) {
    const Phase before = instance->phase;
    if (before == Phase::running) {
      move(call, *instance, Phase::stopping);
      instance->reason_code = "Client.UserInitiatedShutdown";
      instance->reason_message = "Client.UserInitiatedShutdown: User initiated shutdown";
      instance->transition_reason = user_initiated(call);
    }
    out.push_back({instance->id, before, instance->phase});
  }
  return changes(out);
}

Api<Xml> terminate_instances(Call& call) {
  API_SET(instances, named_instances(call));
  for (const Instance* instance : instances)
    if (instance->protect_termination && instance->phase != Phase::terminated)
      return is_protected(*instance, "terminated", "disableApiTermination");
  std::vector<Change> out;
  for (Instance* instance : instances) {
    const Phase before = instance->phase;
    if (before != Phase::terminated && before != Phase::shutting_down) {
      move(call, *instance, Phase::shutting_down);
      instance->reason_code = "Client.UserInitiatedShutdown";
      instance->reason_message = "Client.UserInitiatedShutdown: User initiated shutdown";
      instance->transition_reason = user_initiated(call);
    }
    out.push_back({instance->id, before, instance->phase});
  }
  return changes(out);
}

Api<Xml> reboot_instances(Call& call) {
  API_SET(instances, named_instances(call));
  for (const Instance* instance : instances)
    if (instance->phase != Phase::running) return wrong_state(*instance, "rebooted");
  for (Instance* instance : instances) instance->reboot_wanted = true;
  return Xml().flag("return", true);
}

}  // namespace ferry::rehearsal
