#include "sandbox/kept.h"

#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/mounts.h"

namespace ferry::sandbox {

namespace {

/// Below the home, and below Spec::kept/USER. Only folders that hold what can be made again.
struct KeptFolder {
  const char *parent, *name, *kept;
};
constexpr KeptFolder kept_folders[] = {{".ferry", "envs", "envs"}, {".cache", "pip", "pip"}, {".cache", "uv", "uv"}};

/// Environments hold their own paths, so each login user has folders of their own; in plain mode the computer's
/// account.
os::Path place_of(const Machine& machine) {
  return os::Path(machine.spec.kept) / (machine.isolated() ? machine.spec.login_user : "plain");
}

ferry::Status make_folder(const os::Path& folder, mode_t mode, std::optional<unsigned> owner) {
  TRY("", os::make_dirs(folder, mode));
  if (owner && ::lchown(folder.c_str(), *owner, *owner) < 0) return fail_errno("chown " + folder.string());
  return {};
}

ferry::Status show_folder(const Machine& machine, const KeptFolder& folder, const os::Fd& taken) {
  const os::Path home = machine.isolated() ? os::Path("/home") / machine.spec.login_user : machine.home();
  const os::Path parent = home / folder.parent, shown_at = parent / folder.name;
  if (!machine.isolated()) {
    TRY("", os::make_dirs(parent, 0700));
    const auto source = place_of(machine) / folder.kept;
    if (::symlink(source.c_str(), shown_at.c_str()) < 0 && errno != EEXIST)
      return fail_errno("link " + shown_at.string());
    return {};
  }
  const auto owner = machine.has_root() ? std::optional<unsigned>(machine.first_id + login_uid) : std::nullopt;
  for (const auto& one : {parent, shown_at}) {
    if (!os::exists(one)) TRY("", make_folder(one, 0700, owner));
  }
  TRY("", put_mount(taken, shown_at));
  return forbid_devices(shown_at);
}

}  // namespace

ferry::Status make_kept(const Machine& machine) {
  if (machine.spec.kept.empty()) return {};
  TRY("", os::make_dirs(machine.spec.kept, 0700));
  // Disks keep the ids of the inside (ids.h).
  const auto owner = machine.has_root() ? std::optional<unsigned>(login_uid) : std::nullopt;
  TRY("", os::make_dirs(place_of(machine), 0755));
  for (const auto& folder : kept_folders) TRY("", make_folder(place_of(machine) / folder.kept, 0700, owner));
  return {};
}

std::vector<os::Fd> take_kept(const Machine& machine) {
  std::vector<os::Fd> out;
  if (machine.spec.kept.empty()) return out;
  for (const auto& folder : kept_folders) {
    auto taken = take_mount(place_of(machine) / folder.kept, machine.owner);
    if (!taken) fmt::print("{} is not kept: {}\n", folder.kept, describe(taken.error()));
    out.push_back(taken ? std::move(*taken) : os::Fd());
  }
  return out;
}

void show_kept(const Machine& machine, std::vector<os::Fd> taken) {
  if (machine.spec.kept.empty()) return;
  taken.resize(std::size(kept_folders));
  for (std::size_t i = 0; i < taken.size(); ++i) {
    const auto& folder = kept_folders[i];
    if (machine.isolated() && !taken[i]) continue;
    if (const auto done = show_folder(machine, folder, taken[i]); !done)
      fmt::print("{} is not kept: {}\n", folder.kept, describe(done.error()));
  }
}

}  // namespace ferry::sandbox
