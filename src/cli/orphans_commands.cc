// What is in no ledger here: ferry orphans looks, ferry recover takes it over.
#include "base/text.h"
#include "cli/command.h"
#include "cli/task_options.h"
#include "run/actions.h"
#include "task/settings.h"
#include "watch/report.h"

namespace ferry::cli {

namespace {

Json told(const fleet::Untracked& machine) {
  const auto& one = machine.instance;
  const auto tag = [&](const char* key) {
    const auto at = one.tags.find(key);
    return at == one.tags.end() ? Json() : Json(printable(at->second));
  };
  return {{"id", one.id},
          {"type", one.type},
          {"provider", machine.location.provider},
          {"region", machine.location.region},
          {"run", tag("ferry:run")},
          {"ledger", tag(fleet::ledger_tag)},
          {"ours", machine.is_ours},
          {"launched", watch::json_time(one.launched_ms)}};
}

Json told(const std::vector<fleet::Untracked>& machines) {
  Json all = Json::array();
  for (const auto& one : machines) all.push_back(told(one));
  return all;
}

/// What `ferry recover` takes the machine by.
std::string name_of(const fleet::Untracked& machine) {
  const auto run = machine.instance.tags.find("ferry:run");
  return run == machine.instance.tags.end() ? machine.instance.id : printable(run->second);
}

std::string with_owner(const std::string& owner) { return owner.empty() ? "" : " --owner " + shell_quoted(owner); }

Result<int> orphans(Context& context, const std::string& owner) {
  TRY_SET(found, "", run::find_orphans(context.run_context(), owner));
  std::vector<std::string> leftovers;
  for (const auto& one : found.leftovers) leftovers.push_back(fleet::describe_leftover(one));
  const int code = found.incomplete ? 1 : 0;
  if (in_json()) {
    reply("ferry.orphans/1",
          {{"machines", told(found.machines)}, {"leftovers", leftovers}, {"incomplete", found.incomplete}});
    return code;
  }
  for (const auto& one : found.machines) fmt::print("{}\n", fleet::describe_untracked(one));
  for (const auto& line : leftovers) fmt::print("{}  (costs nothing)\n", line);
  if (!found.machines.empty()) {
    fmt::print("go on with one: ferry recover {}{}{}\n", name_of(found.machines.front()), with_owner(owner),
               owner.empty() ? "   end them: ferry down --all" : "");
  } else if (!leftovers.empty()) {
    fmt::print("no machine; ferry down --all removes what is left over\n");
  } else {
    fmt::print("nothing is left{}\n", found.incomplete ? " where it could be looked" : "");
  }
  return code;
}

struct RecoverFlags {
  std::vector<std::string> names;
  std::string owner, store, infra = "aws";
  bool yes = false, over = false;
};

/// Who may say whether a run that another computer began is gone on with, which rents machines.
run::GoOnQuestion question_for(Context& context, const RecoverFlags& flags) {
  if (flags.over) return {};
  if (flags.yes) return [](const std::string&) { return true; };
  return [&context](const std::string& question) -> Result<bool> {
    if (!os::is_terminal(0) || !may_ask())
      return fail(Kind::cancelled, "it could be gone on with, and nobody is here to be asked", question,
                  "--yes goes on with it; --over takes it as one that is over");
    context.progress().pause();
    const auto said = os::ask(question + ".\nGo on? [y/N] ");
    return said && (*said == "y" || *said == "yes");
  };
}

Result<int> recover(Context& context, const RecoverFlags& flags) {
  run::RecoverOptions options{flags.names, flags.owner, flags.store, flags.infra, question_for(context, flags)};
  if (options.store.empty()) {
    TRY_SET(settings, "", personal_settings());
    options.store = settings.store.value_or("");
  } else if (options.store == "none") {
    options.store.clear();
  } else {
    TRY_SET(place, "--store", task::parse_store(options.store));
    options.store = place;
  }
  TRY_SET(done, "", run::recover(context.run_context(), options));
  const int code = done.incomplete ? 1 : 0;
  if (in_json()) {
    Json others = Json::array();
    for (const auto& [run, why] : done.stored_of_others)
      others.push_back({{"run", printable(run)}, {"why", printable(why)}});
    reply("ferry.recover/1", {{"runs", done.runs},
                              {"stored", done.stored},
                              {"going_on", done.going_on},
                              {"of_other_ledgers", told(done.of_other_ledgers)},
                              {"stored_of_others", std::move(others)},
                              {"incomplete", done.incomplete}});
    return code;
  }
  for (const auto& run : done.runs)
    fmt::print("{} is in this ledger again; its outputs come home to runs/{}   follow it: ferry logs -f {}\n", run, run,
               run);
  for (const auto& run : done.stored)
    fmt::print(
        "{} is in this ledger again; its machine is gone, what it stored is in {}   bring it home: ferry fetch {}\n",
        run, printable(options.store), run);
  for (const auto& run : done.going_on)
    fmt::print("{} is gone on with here; its outputs come home to runs/{}   follow it: ferry logs -f {}\n", run, run,
               run);
  for (const auto& one : done.of_other_ledgers) fmt::print("left alone: {}\n", fleet::describe_untracked(one));
  for (const auto& [run, why] : done.stored_of_others)
    fmt::print("left alone: {} in {} ({})\n", printable(run), printable(options.store), printable(why));
  const bool is_left = !done.of_other_ledgers.empty() || !done.stored_of_others.empty();
  if (flags.names.empty() && is_left)
    fmt::print("  if no ferry is at work with it any more, take it over: ferry recover {}{}\n",
               done.of_other_ledgers.empty() ? printable(done.stored_of_others.front().first)
                                             : name_of(done.of_other_ledgers.front()),
               with_owner(flags.owner));
  if (done.runs.empty() && done.stored.empty() && done.going_on.empty() && !is_left)
    fmt::print("there is nothing to recover\n");
  return code;
}

}  // namespace

void add_orphans_commands(CLI::App& app, Program& program) {
  auto options = std::make_shared<RecoverFlags>();
  const auto add_owner = [&](CLI::App* command) {
    command->add_option("--owner", options->owner, "Whose: user@host of another computer (default: of this one)")
        ->type_name("USER@HOST");
  };
  const auto choose = [&program](CLI::App* command, std::function<Result<int>(Context&)> act) {
    command->callback(
        [&program, act] { program.chosen = [&program, act] { return with_context(program.carried, act); }; });
  };
  auto* look = app.add_subcommand("orphans", "List machines of yours that are in no ledger here; ends nothing");
  add_owner(look);
  choose(look, [options](Context& context) { return orphans(context, options->owner); });
  auto* take = app.add_subcommand("recover", "Go on with runs whose ledger was lost, or that another computer began");
  take->add_option("run", options->names, "Runs or instance ids (default: all that this computer's lost ledger made)")
      ->type_name("RUN");
  add_owner(take);
  take->add_option("--store", options->store,
                   "Look there, too, for runs whose machine is gone (default: the settings' store; none: nowhere)")
      ->type_name("URI");
  take->add_option("--infra", options->infra, "Whose S3 that is: aws or rehearsal")
      ->check(CLI::IsMember({"aws", "rehearsal"}));
  auto* yes = take->add_flag("-y,--yes", options->yes, "Go on with runs that may be tried again, without asking");
  take->add_flag("--over", options->over, "Go on with none: those whose machine is gone are over")->excludes(yes);
  choose(take, [options](Context& context) { return recover(context, *options); });
}

}  // namespace ferry::cli
