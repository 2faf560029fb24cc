#include "sandbox/trial.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "os/clock.h"
#include "sandbox/ids.h"
#include "sandbox/init.h"
#include "sandbox/namespaces.h"
#include "sandbox/rootfs.h"
#include "sandbox/wall.h"

namespace ferry::sandbox {

namespace {

/// In the system as its root: there is another user; what belongs to root outside does so here, and can be changed and
/// removed (root-unmapped also serves where the system is read-only).
ferry::Status use_system(Mode mode) {
  if (::chown("/home", login_uid, login_uid) < 0) return fail_errno("give a folder to another user");
  if (mode != Mode::root) return {};
  struct stat info;
  if (::stat("/usr/bin", &info) < 0) return fail_errno("look at /usr/bin");
  if (info.st_uid != 0) return fail(Kind::unsupported, "the system's files belong to nobody inside");
  TRY("", os::append_file("/usr/bin/ferry-trial", ""));
  TRY("", os::remove_all("/usr/bin/ferry-trial"));
  TRY("", os::append_file("/etc/os-release", "\n"));
  return os::remove_all("/etc/passwd");
}

ferry::Status live_through(Machine& machine) {
  TRY("", open_disk(machine));
  TRY("", make_skeleton(machine));
  TRY("", mount_system(machine));
  TRY("", enter_system(machine));
  TRY("", raise_network(""));
  if (machine.owner) TRY("", enter_id_space(machine.owner));
  TRY("", raise_wall());
  return use_system(machine.mode);
}

ferry::Status try_in(Mode mode, const Folder& folder) {
  TRY("", os::make_dirs(folder.root()));
  Machine machine{.mode = mode, .folder = folder, .root = folder.root(), .is_trial = true};
  os::Fd network;
  if (mode == Mode::root) {
    machine.first_id = first_id_for(folder.dir.string());
    TRY_SET(made, "", make_id_space(machine.first_id));
    network = std::move(made);
  }
  TRY_SET(child, "", start_first_process(mode, [&](Channel outside, os::Fd passed) {
            machine.network = std::move(passed);
            const auto done = live_through(machine);
            outside.send(done ? std::string(word::ready) : describe(done.error()));
            return 0;
          }));
  child.channel.send("go", network.get());
  const auto said = child.channel.receive();
  // How long the kernel takes to take the mounts apart again says nothing, and may be long beside a busy disk.
  for (int i = 0; i < 100 && ::waitpid(child.pid, nullptr, WNOHANG) == 0; ++i) os::system_clock().sleep(Millis(10));
  if (said && said->text == word::ready) return {};
  return fail(Kind::unsupported, said ? said->text.substr(0, said->text.find('\n')) : "the trial ended early");
}

}  // namespace

ferry::Status try_with_root(Mode mode, const os::Path& place) {
  TRY("", os::make_dirs(place, 0700));
  const Folder folder{std::filesystem::absolute(place) / ".trial"};  // one server a folder, so one trial
  TRY("", os::remove_all(folder.dir));
  const auto done = try_in(mode, folder);
  TRY("", os::remove_all(folder.dir));
  return done;
}

}  // namespace ferry::sandbox
