#include "rehearsal/machines.h"

#include "sandbox/volume.h"

namespace ferry::rehearsal {

Status SandboxMachines::boot(const std::string& instance_id, const sandbox::Spec& spec) {
  TRY("", os::make_dirs(dir_ / instance_id, 0700));
  return sandbox::boot(dir_ / instance_id, spec);
}

std::string SandboxMachines::console(const std::string& instance_id) {
  return os::read_file(dir_ / instance_id / "console.log", 64 << 20).value_or("");
}

Status SandboxMachines::set_door(const std::string& instance_id, const sandbox::Door& door) {
  TRY("", os::make_dirs(dir_ / instance_id, 0700));
  return sandbox::set_door(dir_ / instance_id, door);
}

Status SandboxMachines::tell(const std::string& instance_id, const sandbox::Live& live) {
  TRY("", os::make_dirs(dir_ / instance_id, 0700));
  return sandbox::tell(dir_ / instance_id, live);
}

Status SandboxMachines::break_sshd(const std::string& instance_id, bool on) {
  const auto file = dir_ / instance_id / "fault-no-sshd";
  return on ? os::write_file(file, "") : os::remove_all(file);
}

Status SandboxMachines::give_volume(const std::string& instance_id, const std::string& volume_id) {
  TRY("", os::make_dirs(volumes(), 0700));
  return sandbox::give_volume(dir_ / instance_id, volumes(), volume_id);
}

Status SandboxMachines::take_volume(const std::string& instance_id, const std::string& volume_id) {
  TRY("", os::make_dirs(volumes(), 0700));
  return sandbox::take_volume(dir_ / instance_id, volumes(), volume_id);
}

Status SandboxMachines::drop_volume(const std::string& volume_id) { return os::remove_all(volumes() / volume_id); }

}  // namespace ferry::rehearsal
