#include "rehearsal/doors.h"

namespace ferry::rehearsal {

namespace {

/// Whatever port the machine's sshd really has here, to the cloud it is this one.
constexpr std::int64_t ssh_port = 22;

bool is_for_ssh(const Rule& rule) {
  if (rule.direction != Direction::ingress) return false;
  return rule.protocol == "-1" || (rule.protocol == "tcp" && rule.from_port <= ssh_port && ssh_port <= rule.to_port);
}

}  // namespace

sandbox::Door door_of(const State& state, const Instance& instance, const std::string& caller) {
  sandbox::Door door;
  door.caller = caller;
  for (const auto& id : instance.groups) {
    const auto group = state.groups.find(id);
    if (group == state.groups.end()) continue;
    for (const auto& rule : group->second.rules)
      if (is_for_ssh(rule) && !rule.cidr4.empty()) door.from.push_back(rule.cidr4);
  }
  if (!instance.has_public_ip && !door.from.empty())
    door.caller = door.from.front().substr(0, door.from.front().find('/'));
  return door;
}

void set_doors(const Guarded& state, Machines& machines, const std::string& caller, const std::string& id) {
  // Under its lock, so that what is written last is what holds.
  state.look([&](const State& now) {
    for (const auto& [name, instance] : now.instances) {
      if (instance.phase == Phase::terminated || instance.phase == Phase::shutting_down) continue;
      if (id.empty() || id == name) (void)machines.set_door(name, door_of(now, instance, caller));
    }
  });
}

}  // namespace ferry::rehearsal
