#include "job/git_state.h"

#include "base/text.h"
#include "sync/repository.h"

namespace ferry::job {

Json git_state(const os::Path& workdir) {
  if (!sync::repository_top(workdir)) return nullptr;
  constexpr Millis patience{10'000};
  const auto head =
      os::run_command(sync::git_command(workdir, {"rev-parse", "--verify", "--quiet", "HEAD"}), {}, patience);
  if (!head || head->exit.code != 0) return nullptr;
  Json state = {{"commit", short_line(trim(head->out), 64)}};
  const auto branch =
      os::run_command(sync::git_command(workdir, {"symbolic-ref", "--quiet", "--short", "HEAD"}), {}, patience);
  if (branch && branch->exit.code == 0) state["branch"] = short_line(trim(branch->out), 250);
  const auto changes = os::run_command(
      sync::git_command(workdir, {"status", "--porcelain", "--untracked-files=no", "--", "."}), {}, patience);
  if (changes && changes->exit.code == 0) state["dirty"] = !trim(changes->out).empty();
  return state;
}

}  // namespace ferry::job
