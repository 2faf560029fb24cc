#pragma once
/// \file
/// For tests: a real agent serving a folder of its own, and what a client gets to see of it.

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/client.h"
#include "agent/server.h"
#include "os/file.h"

namespace ferry::agent {

/// A variable of this process, and of the agents it starts, while it lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value);
  ~Variable();
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

/// Ends the agent, and its job with it, when it goes. A run with a store needs FERRY_AGENT, the agent's program.
class Served {
 public:
  explicit Served(Seconds orphan = Seconds(1800), bool may_power_off = true);
  ~Served();
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  os::Path path(const std::string& name) const { return temp_.path() / name; }
  /// The agent's folder.
  const os::Path& dir() const { return options.dir; }
  /// Starts the agent (again).
  void serve();
  /// Throws if the agent does not greet.
  Client client();
  /// The agent's process; 0 if nobody serves.
  pid_t pid();
  /// kill -9, and waits until it is gone.
  void kill_agent();
  bool running() const { return os::is_locked(dir() / "lock"); }
  JobSpec spec(const std::string& command, const std::string& setup = {}) const;
  /// How often the machine was powered off.
  std::size_t power_offs() const;

 private:
  os::TempDir temp_;

 public:
  ServeOptions options;
};

/// What came from an offset on.
struct Seen {
  std::uint64_t offset = 0;  ///< next byte expected
  std::string out, err, all;
  std::vector<LogChunk> chunks;
  std::optional<JobStatus> done;

  /// Adds an event; fails the test on a gap or a repeated byte.
  void add(const Client::Event& event);
};

/// Follows until the job is done.
Seen follow(Client& client, std::uint64_t offset = 0);
/// Follows until `wanted` has been seen.
Seen follow_until(Client& client, const std::string& wanted);
/// Starts a job and follows it to its end.
Seen run_job(Served& served, const JobSpec& spec);
/// Waits until `condition` holds; fails the test after ten seconds.
void eventually(const std::function<bool()>& condition);
bool process_exists(pid_t pid);

}  // namespace ferry::agent
