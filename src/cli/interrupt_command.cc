// ferry interrupt: has the cloud take back a run's spot machine, to see what the training makes of it.
#include "base/text.h"
#include "cli/chosen_runs.h"
#include "cli/command.h"
#include "fleet/interrupt.h"

namespace ferry::cli {
namespace {

Result<ledger::Instance> machine_of(Context& context, const ledger::Run& run) {
  TRY_SET(all, "", context.ledger().instances(run.name));
  for (auto one = all.rbegin(); one != all.rend(); ++one) {
    if (one->state == ledger::Rent::live && !one->id.empty()) return *one;
  }
  return fail(Kind::not_found, run.name + " has no machine now", "", "ferry ps -a shows the runs");
}

Result<int> interrupt(Context& context, const std::string& name) {
  TRY_SET(chosen, "", one_run(context, name, {}));
  TRY_SET(run, "", context.ledger().run(chosen));
  TRY_SET(machine, "", machine_of(context, run));
  context.progress().begin("interrupt", machine.id);
  TRY_SET(experiment, "", fleet::send_interruption(context.run_context(), run, machine));
  context.progress().done("interrupt", "the notice is sent");
  if (in_json()) {
    reply("ferry.interrupt/1",
          {{"run", run.name}, {"instance", machine.id}, {"infra", machine.provider}, {"experiment", experiment}});
    return 0;
  }
  fmt::print("{} is told that {} takes its machine {} back   see what it makes of it: ferry logs -f {}\n", run.name,
             machine.provider == "aws" ? "AWS" : "the rehearsal cloud", machine.id, run.name);
  return 0;
}

}  // namespace

void add_interrupt_command(CLI::App& app, Program& program) {
  auto name = std::make_shared<std::string>();
  auto* command = app.add_subcommand("interrupt", "Have a run's spot machine taken back, as the cloud does it");
  command->add_option("run", *name, "Name of the run, or the beginning of it")->type_name("RUN");
  command->footer(
      "The machine is told at once, as when AWS wants it back, and goes two minutes later. What the training saves\n"
      "then, and how the run goes on, is what would happen to it. By AWS's Fault Injection Service, with a role that\n"
      "is made for this and removed again; ferry policy --interrupt has what it needs.\n");
  command->callback([&program, name] {
    program.chosen = [&program, name] {
      return with_context(program.carried, [name](Context& context) { return interrupt(context, *name); });
    };
  });
}

}  // namespace ferry::cli
