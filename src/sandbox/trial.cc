#include "sandbox/trial.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "sandbox/ids.h"
#include "sandbox/init.h"
#include "sandbox/namespaces.h"
#include "sandbox/rootfs.h"
#include "sandbox/wall.h"

namespace ferry::sandbox {

namespace {

/// In the system as its root: what belongs to root outside does so here, and can be changed and removed.
ferry::Status use_system() {
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
  TRY("", enter_id_space(machine.owner));
  TRY("", raise_wall());
  return use_system();
}

ferry::Status try_in(const Folder& folder) {
  TRY("", os::make_dirs(folder.root()));
  Machine machine{.mode = Mode::root, .folder = folder, .root = folder.root(), .first_id = first_id_for(folder.dir.string())};
  TRY_SET(network, "", make_id_space(machine.first_id));
  TRY_SET(child, "", start_first_process(Mode::root, [&](Channel outside, os::Fd passed) {
            machine.network = std::move(passed);
            const auto done = live_through(machine);
            outside.send(done ? std::string(word::ready) : describe(done.error()));
            return 0;
          }));
  child.channel.send("go", network.get());
  const auto said = child.channel.receive();
  while (::waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) continue;
  if (said && said->text == word::ready) return {};
  return fail(Kind::unsupported, said ? said->text.substr(0, said->text.find('\n')) : "the trial ended early");
}

}  // namespace

ferry::Status try_root_mode(const os::Path& place) {
  TRY("", os::make_dirs(place, 0700));
  const Folder folder{std::filesystem::absolute(place) / ".trial"};  // one server a folder, so one trial
  TRY("", os::remove_all(folder.dir));
  const auto done = try_in(folder);
  TRY("", os::remove_all(folder.dir));
  return done;
}

}  // namespace ferry::sandbox
