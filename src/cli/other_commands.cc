#include "base/text.h"
#include "cli/command.h"
#include "cli/completion.h"
#include "run/run.h"
#include "sandbox/sandbox.h"

namespace ferry::cli {

namespace {

/// What hand_over() starts: `ferry follow-run RUN FD`.
int follow_run(const Carried& carried, const std::string& name, int fd) {
  auto world = World::open(carried, watch::Face::plain, false);
  if (!world) return report(world.error());
  auto owner = run::Owner::adopt(run::Folder((*world)->doors().data, name), fd);
  if (!owner) return report(owner.error());
  return run::follow((*world)->doors(), name, std::move(*owner));
}

}  // namespace

void add_other_commands(CLI::App& app, Program& program) {
  auto shell = std::make_shared<std::string>();
  auto* completion =
      app.add_subcommand("completion", "Print a completion script: source <(ferry completion bash)");
  completion->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->callback([&app, &program, shell] {
    program.chosen = [&app, shell] {
      fmt::print("{}", completion_script(app, *shell));
      return 0;
    };
  });

  // Not for people: an empty group hides them from --help.
  auto name = std::make_shared<std::string>();
  auto fd = std::make_shared<int>(-1);
  auto* follow = app.add_subcommand("follow-run", "Follows one run in the background")->group("");
  follow->add_option("run", *name)->required();
  follow->add_option("fd", *fd)->required();
  follow->callback([&program, name, fd] {
    program.chosen = [&program, name, fd] { return follow_run(program.carried, *name, *fd); };
  });

  auto dir = std::make_shared<std::string>();
  auto* instance = app.add_subcommand("rehearsal-instance", "Is one rehearsal instance")->group("");
  instance->add_option("dir", *dir)->required();
  instance->callback([&program, dir] { program.chosen = [dir] { return sandbox::instance_main(*dir); }; });
}

}  // namespace ferry::cli
