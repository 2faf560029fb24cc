#pragma once
/// \file
/// A run's private folder on the laptop.

#include <string>

#include "os/file.h"

namespace ferry::fleet {

/// data/runs/NAME (0700): key, host key, known_hosts, log, lock.
struct RunDir {
  os::Path path;
  RunDir(const os::Path& data, const std::string& run) : path(data / "runs" / run) {}
  os::Path identity() const { return path / "id_ed25519"; }
  os::Path known_hosts() const { return path / "known_hosts"; }
  /// Of the training's output on the attempt's machine: the first one's is "log", the second one's "log.a2".
  os::Path log(int attempt = 1) const { return path / (attempt == 1 ? "log" : "log.a" + std::to_string(attempt)); }
  os::Path owner_lock() const { return path / "owner"; }
  os::Path key_lock() const { return path / "key"; }
  os::Path fetch_lock() const { return path / "fetch"; }
  os::Path outputs_state() const { return path / "outputs.state"; }
  os::Path follower_output() const { return path / "follower.txt"; }
};

}  // namespace ferry::fleet
