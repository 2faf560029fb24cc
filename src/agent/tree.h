#pragma once
/// \file
/// The processes a job is made of, also those that left its group: children of children that daemonised come
/// back to the agent, because it is a child subreaper (prctl(2)), and are found through /proc.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/units.h"

namespace ferry::agent {

/// Makes this process the parent of orphans below it.
void become_reaper();

/// Everything below this process but `without` and what is below those; zombies are left out. One look at all
/// processes decides: between two, a child is born or dies.
std::vector<pid_t> descendants(const std::set<pid_t>& without = {});
/// Everything below that process, itself included, in the same way.
std::vector<pid_t> family_of(pid_t process, const std::set<pid_t>& without = {});

/// A process for good: its number and when it began, for numbers come again.
using Named = std::pair<pid_t, std::uint64_t>;
Named named(pid_t process);

/// 0: it is gone.
pid_t parent_of(pid_t process);

/// One short line; the program's name in brackets where there is no command line.
std::string command_line(pid_t process);

/// The process has a handler for the signal.
bool handles(pid_t process, int number);

/// Processes of a group; zombies are left out.
std::vector<pid_t> group_members(pid_t group);

/// Signals processes; those of another user (started with sudo) through `sudo -n kill`, if that is allowed.
void send_signal(const std::vector<pid_t>& processes, int number);
/// The same for a whole process group, each member once.
void signal_group(pid_t group, int number);

/// A child that ended and is not reaped yet.
std::optional<pid_t> ended_child();

/// Reaps a child that ended.
void reap(pid_t child);

/// SIGKILL to everything below this process but `without` and what is below those, again until nothing is left or
/// `limit` passed. Reaps whatever ended.
void end_descendants(Millis limit, const std::set<pid_t>& without = {});

/// SIGKILL to every process of this user that has `entry` ("NAME=value") in the environment it was started
/// with.
void kill_marked(std::string_view entry);

}  // namespace ferry::agent
