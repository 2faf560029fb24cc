#include "base/text.h"
#include "cli/agents.h"
#include "cli/command.h"
#include "cli/completion.h"
#include "cli/manual.h"
#include "fleet/access.h"
#include "fleet/held_connection.h"
#include "os/env.h"
#include "run/run.h"
#include "sandbox/sandbox.h"

namespace ferry::cli {

namespace {

/// What hand_over() starts: `ferry follow-run RUN FD`.
int follow_run(const Carried& carried, const std::string& name, int fd) {
  auto context = Context::open(carried, watch::Renderer::plain, false);
  if (!context) return report(context.error());
  auto owner = run::RunLock::adopt(fleet::RunDir((*context)->run_context().data, name), fd);
  if (!owner) return report(owner.error());
  return run::follow((*context)->run_context(), name, std::move(*owner));
}

/// What ssh runs as its ProxyCommand: `ferry ssm-connect INSTANCE PORT WORLD REGION [PROFILE]`.
int ssm_connect(const Carried& carried, const fleet::CloudLocation& location, const std::string& instance, int port) {
  auto context = Context::open(carried, watch::Renderer::plain, false);
  if (!context) return report(context.error());
  auto ended = fleet::ssm_connect((*context)->run_context(), location, instance, port);
  if (ended) return *ended;
  const bool hopeless = ended.error().kind == Kind::denied || ended.error().kind == Kind::not_found;
  if (hopeless) fmt::print(stderr, "{}: ", ssh::proxy_refused);
  return report(ended.error());
}

}  // namespace

void add_other_commands(CLI::App& app, Program& program) {
  auto shell = std::make_shared<std::string>();
  auto* completion = app.add_subcommand("completion", "Print a completion script: source <(ferry completion bash)");
  completion->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->callback([&app, &program, shell] {
    program.chosen = [&app, shell] {
      fmt::print("{}", completion_script(app, *shell));
      return 0;
    };
  });

  // Not for people: an empty group hides them from --help. The build makes what is installed by this one; llms.txt and
  // AGENTS.md are in the repository.
  auto what = std::make_shared<std::string>();
  auto* generate = app.add_subcommand("generate", "Prints what is installed beside the program")->group("");
  generate->add_option("what", *what)
      ->required()
      ->check(CLI::IsMember({"man", "bash", "zsh", "fish", "llms", "agents"}));
  generate->callback([&app, &program, what] {
    program.chosen = [&app, what] {
      fmt::print("{}", *what == "man"      ? manual_page(app)
                       : *what == "llms"   ? llms_txt(app)
                       : *what == "agents" ? agents_md(app)
                                           : completion_script(app, *what));
      return 0;
    };
  });

  auto name = std::make_shared<std::string>();
  auto fd = std::make_shared<int>(-1);
  auto* follow = app.add_subcommand("follow-run", "Follows one run in the background")->group("");
  follow->add_option("run", *name)->required();
  follow->add_option("fd", *fd)->required();
  follow->callback([&program, name, fd] {
    program.chosen = [&program, name, fd] { return follow_run(program.carried, *name, *fd); };
  });

  struct Session {
    std::string instance, provider, region, profile;
    int port = 22;
  };
  auto session = std::make_shared<Session>();
  auto* connect = app.add_subcommand("ssm-connect", "Reaches a machine's port for ssh")->group("");
  connect->add_option("instance", session->instance)->required();
  connect->add_option("port", session->port)->required();
  connect->add_option("world", session->provider)->required();
  connect->add_option("region", session->region)->required();
  connect->add_option("of-profile", session->profile)->required();
  connect->callback([&program, session] {
    program.chosen = [&program, session] {
      return ssm_connect(program.carried, {session->provider, session->region, "", "", session->profile},
                         session->instance, session->port);
    };
  });

  auto idle = std::make_shared<std::int64_t>(0);
  auto target = std::make_shared<std::string>();
  auto* hold = app.add_subcommand("hold-connection", "Holds a connection for the next command")->group("");
  hold->add_option("seconds", *idle)->required();
  hold->add_option("target", *target)->required();
  hold->callback([&program, idle, target] {
    program.chosen = [&program, idle, target] {
      return fleet::hold_main(program.carried.agent, os::data_dir(), Seconds(*idle), *target);
    };
  });

  auto dir = std::make_shared<std::string>();
  auto* instance = app.add_subcommand("rehearsal-instance", "Is one rehearsal instance")->group("");
  instance->add_option("dir", *dir)->required();
  instance->callback([&program, dir] { program.chosen = [dir] { return sandbox::instance_main(*dir); }; });
}

}  // namespace ferry::cli
