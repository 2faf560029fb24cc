#pragma once
/// \file
/// The door to the processes that instances are made of.

#include <string>

#include "sandbox/sandbox.h"

namespace ferry::rehearsal {

/// Runs instances. Safe from any thread; calls about one instance come one at a time.
class Machines {
 public:
  virtual ~Machines() = default;
  virtual sandbox::Status status(const std::string& instance_id) = 0;
  /// Returns once the instance has begun to boot; status() tells when it is up.
  virtual Status boot(const std::string& instance_id, const sandbox::Spec& spec) = 0;
  /// Ends its processes and keeps its disk.
  virtual Status stop(const std::string& instance_id) = 0;
  /// Leaves no process and no file of it.
  virtual Status destroy(const std::string& instance_id) = 0;
  /// As a power cut would.
  virtual Status crash(const std::string& instance_id) = 0;
  /// What it printed since its last boot; empty if nothing is known.
  virtual std::string console(const std::string& instance_id) = 0;
  /// While `on`, its sshd resets every new connection.
  virtual Status break_sshd(const std::string& instance_id, bool on) = 0;
  /// Lets who has the key (one line, as in authorized_keys) log in as its login user for `limit`.
  virtual Status lend_key(const std::string& instance_id, const std::string& key, Millis limit) = 0;
  /// Whose connections reach its sshd from now on, before its first boot, too.
  virtual Status set_door(const std::string& instance_id, const sandbox::Door& door) = 0;
  /// What it is told while it runs, before its first boot, too.
  virtual Status tell(const std::string& instance_id, const sandbox::Live& live) = 0;
  /// What is on a volume is on the instance's disk from then on: a folder (sandbox/volume.h). Calm if it is there
  /// already.
  virtual Status give_volume(const std::string& instance_id, const std::string& volume_id) = 0;
  /// And is nowhere but with us again. Calm if it is.
  virtual Status take_volume(const std::string& instance_id, const std::string& volume_id) = 0;
  /// What is on it is gone.
  virtual Status drop_volume(const std::string& volume_id) = 0;
  /// The mode that instances are given, and why it is not a stronger one.
  virtual sandbox::Probe probe() = 0;
};

/// Real ones, each in a folder `dir`/ID.
class SandboxMachines final : public Machines {
 public:
  explicit SandboxMachines(os::Path dir) : dir_(std::move(dir)), probe_(sandbox::probe(dir_)) {}
  sandbox::Status status(const std::string& instance_id) override { return sandbox::status(dir_ / instance_id); }
  Status boot(const std::string& instance_id, const sandbox::Spec& spec) override;
  Status stop(const std::string& instance_id) override { return sandbox::stop(dir_ / instance_id, Millis(3000)); }
  Status destroy(const std::string& instance_id) override { return sandbox::destroy(dir_ / instance_id); }
  Status crash(const std::string& instance_id) override { return sandbox::crash(dir_ / instance_id); }
  std::string console(const std::string& instance_id) override;
  Status break_sshd(const std::string& instance_id, bool on) override;
  Status lend_key(const std::string& instance_id, const std::string& key, Millis limit) override {
    return sandbox::lend_key(dir_ / instance_id, key, limit);
  }
  Status set_door(const std::string& instance_id, const sandbox::Door& door) override;
  Status tell(const std::string& instance_id, const sandbox::Live& live) override;
  Status give_volume(const std::string& instance_id, const std::string& volume_id) override;
  Status take_volume(const std::string& instance_id, const std::string& volume_id) override;
  Status drop_volume(const std::string& volume_id) override;
  sandbox::Probe probe() override { return probe_; }

 private:
  /// Of volumes that are attached to none: beside the instances, on the same file system.
  os::Path volumes() const { return dir_.parent_path() / "volumes"; }

  os::Path dir_;
  sandbox::Probe probe_;
};

}  // namespace ferry::rehearsal
