// ferry extend: more time for a training that runs.
#include "base/text.h"
#include "cli/chosen_runs.h"
#include "cli/command.h"
#include "os/terminal.h"
#include "run/actions.h"
#include "watch/report.h"

namespace ferry::cli {
namespace {

struct ExtendFlags {
  std::string run, time, budget;
  bool yes = false;
};

Status ask(const std::string& question) {
  const auto answer = os::is_terminal(0) && may_ask() ? os::ask(question + "? [y/N] ") : std::nullopt;
  if (!answer)
    return fail(Kind::bad_input, "nobody is here to say yes to what it may cost", question,
                "pass --yes (or set FERRY_YES=1) to extend without a question");
  if (answer->starts_with('y') || answer->starts_with('Y')) return {};
  return fail(Kind::cancelled, "not extended");
}

Result<int> extend(Context& context, const ExtendFlags& flags) {
  const auto time = parse_duration(flags.time);
  if (!time) return mistake(time.error());
  run::ExtendOptions options{.time = *time};
  if (!flags.budget.empty()) {
    const auto budget = parse_usd(flags.budget);
    if (!budget) return mistake(budget.error());
    options.budget = *budget;
  }
  if (!flags.yes && !says_yes()) options.ask = ask;
  TRY_SET(chosen, "", one_run(context, flags.run, {}));
  TRY_SET(done, "", run::extend(context.run_context(), chosen, options));
  if (in_json()) {
    reply("ferry.extend/1",
          {{"run", done.run}, {"deadline", done.deadline_ms / 1000}, {"at_most_usd", watch::json_usd(done.at_most)}});
    return 0;
  }
  fmt::print("{} may train until {}{}\n", done.run, os::iso_time(done.deadline_ms),
             done.at_most ? fmt::format("; it may cost {} at most", show_at_most(*done.at_most)) : "");
  return 0;
}

}  // namespace

void add_extend_command(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand("extend", "Give a training that runs more time: ferry extend RUN 2h");
  const auto flags = std::make_shared<ExtendFlags>();
  command->add_option("run", flags->run, "Its name, or the beginning of it")->required();
  command->add_option("time", flags->time, "How much more: 90m, 2h, 1d")->required();
  command->add_option("--budget", flags->budget, "Most the whole run may cost, in dollars, in place of what it had");
  command->add_flag("-y,--yes", flags->yes, "Do not ask about what it may then cost");
  command->footer(
      "\nAdds to max_duration, and to the time after which the machine ends itself. What the whole run may then cost "
      "is\n"
      "told and asked, and kept within your limits and its budget. The training sees it in the file that\n"
      "FERRY_BUDGET_LEFT names.\n");
  command->callback([&program, flags] {
    program.chosen = [&program, flags] {
      return with_context(program.carried, [flags](Context& context) { return extend(context, *flags); });
    };
  });
}

}  // namespace ferry::cli
