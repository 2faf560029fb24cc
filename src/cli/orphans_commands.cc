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
};

Result<int> recover(Context& context, const RecoverFlags& flags) {
  run::RecoverOptions options{flags.names, flags.owner, flags.store, flags.infra};
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
  for (const auto& one : done.of_other_ledgers) fmt::print("left alone: {}\n", fleet::describe_untracked(one));
  for (const auto& [run, why] : done.stored_of_others)
    fmt::print("left alone: {} in {} ({})\n", printable(run), printable(options.store), printable(why));
  const bool is_left = !done.of_other_ledgers.empty() || !done.stored_of_others.empty();
  if (flags.names.empty() && is_left)
    fmt::print("  if no ferry is at work with it any more, take it over: ferry recover {}{}\n",
               done.of_other_ledgers.empty() ? printable(done.stored_of_others.front().first)
                                             : name_of(done.of_other_ledgers.front()),
               with_owner(flags.owner));
  if (done.runs.empty() && done.stored.empty() && !is_left) fmt::print("there is nothing to recover\n");
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
  choose(take, [options](Context& context) { return recover(context, *options); });
}

}  // namespace ferry::cli
