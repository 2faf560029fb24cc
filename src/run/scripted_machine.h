#pragma once
/// \file
/// For tests only: a rented machine that is a folder of this computer. What runs on it are real processes,
/// the agent among them; ssh is ssh::Session::local().

#include <string_view>

#include "ssh/session.h"

namespace ferry::run {

class ScriptedMachine {
 public:
  /// `home`: made if absent; the login user's.
  explicit ScriptedMachine(os::Path home);
  ~ScriptedMachine() { die(); }
  ScriptedMachine(const ScriptedMachine&) = delete;
  ScriptedMachine& operator=(const ScriptedMachine&) = delete;

  Result<ssh::Session> connect();
  /// Every connection breaks; what runs goes on.
  void cut();
  /// Kills the agent of the run (SIGKILL); the next connection starts another. False: none runs.
  bool kill_agent(const std::string& run);
  /// The power fails: everything that runs on it is killed.
  void die();
  /// True when something on it switched it off.
  bool is_off() const;
  const os::Path& home() const { return home_; }

 private:
  os::Path home_;
  std::vector<pid_t> carriers_;
};

/// What a ferry carries as its agent in these tests: a script that starts the shipped one (FERRY_AGENT), or
/// where that is not built, this test program as one.
std::string_view scripted_agent();

}  // namespace ferry::run
