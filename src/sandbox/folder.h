#pragma once
/// \file
/// The folder of one instance: where things stand in it, and the record of how the instance is doing.

#include "sandbox/processes.h"
#include "sandbox/sandbox.h"

namespace ferry::sandbox {

struct Folder {
  os::Path dir;
  os::Path lock() const { return dir / "lock"; }
  os::Path spec() const { return dir / "spec.json"; }
  os::Path record() const { return dir / "status.json"; }
  os::Path console() const { return dir / "console.log"; }
  os::Path fault_no_sshd() const { return dir / "fault-no-sshd"; }
  os::Path lent_keys() const { return dir / "lent-keys"; }
  os::Path door() const { return dir / "door"; }
  os::Path live() const { return dir / "live"; }
  os::Path disk() const { return dir / "disk"; }
  os::Path root() const { return disk() / "root"; }      ///< the instance's / (in plain mode: stands for it)
  os::Path layers() const { return disk() / "layers"; }  ///< what root mode's overlays wrote
};

/// DIR/status.json. `host` and `init` name processes for good, so that a reused pid is never mistaken for
/// them.
struct Record {
  State state = State::stopped;
  std::string instance_id, address, login_user, ended, why;
  int port = 0;
  Mode mode = Mode::plain;
  Identity host;  ///< the host process
  Identity init;  ///< the first process inside
};
/// Complete or invisible. Only the holder of the lock writes.
ferry::Status write_record(const Folder& folder, const Record& record);
Result<Record> read_record(const Folder& folder);

}  // namespace ferry::sandbox
