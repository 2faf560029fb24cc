#include "cli/cli.h"

#include <sstream>

#include "base/text.h"
#include "base/version.h"
#include "cli/command.h"
#include "cli/foreign_options.h"
#include "cli/loose.h"
#include "cli/meanings.h"
#include "os/env.h"
#include "os/terminal.h"
#include "run/run.h"

namespace ferry::cli {

namespace {

constexpr const char* description =
    "ferry trains any ML model on AWS with one command: the code goes over, the model comes home, the bill "
    "stops.\n"
    "\n"
    "First five minutes, without an AWS account:\n"
    "  ferry run examples/digits --infra rehearsal\n";

constexpr const char* footer =
    "Files: the ledger, keys and logs of runs are in $XDG_DATA_HOME/ferry (~/.local/share/ferry); outputs "
    "come home to ./runs/RUN.\n"
    "Exit codes: the training's own; 2 a mistake on the command line; 75 try again later; 125 ferry itself failed; 130 "
    "cancelled; all of them: ferry help exit-codes.";

/// True for commands whose words behind "--" are a command of their own; anywhere else they are arguments,
/// even when they begin with a dash.
bool takes_command(std::span<const std::string> words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string_view word = words[i];
    if (word == "--") return false;
    if (word == "--profile") ++i;
    if (word.starts_with('-')) continue;
    return word == "run" || word == "rehearse" || word == "plan" || word == "ssh";
  }
  return false;
}

int unknown_command(const CLI::App& app, std::span<const std::string> words) {
  const auto& word = words[0];
  const auto ending = os::Path(word).extension();
  const bool is_task = ending == ".yaml" || ending == ".yml";
  if (os::exists(word) && (is_task || begins_training(word)))
    return report_usage(fmt::format("'{}' is a file, not a command", printable(word)), "ferry run " + printable(word));
  if (begins_training(word))
    return report_usage(fmt::format("'{}' is a program, not a command", printable(word)),
                        "ferry run -- " + as_typed(words));
  std::vector<std::string> names;
  for (const auto* command : app.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); })) {
    names.push_back(command->get_name());
  }
  const auto near = near_command(word, names);
  return report_usage(fmt::format("there is no command '{}'", printable(word)),
                      near ? "ferry " + *near + " --help" : "ferry --help", "ferry has " + join(names, ", "));
}

/// Puts ferry's own words in the place of another tool's, or answers, which ends the program with this code.
std::optional<int> take(const Answer& meant, std::size_t typed_words, std::vector<std::string>& words) {
  const auto note = meant.note.empty() ? std::string() : "   (" + meant.note + ")";
  const auto typed = as_typed(std::span(words).first(std::min(typed_words, words.size())));
  if (meant.how == Answer::How::says)
    return report_usage(fmt::format("there is no 'ferry {}'", typed), meant.line + note);
  fmt::print(stderr, "! '{}' is here: {}{}\n", typed, meant.line, note);
  if (meant.how == Answer::How::asks && meant.words.size() > 1 && os::is_terminal(0) && may_ask() && !says_yes()) {
    const auto line = "ferry " + printable(join(meant.words, " "));
    const auto said = os::ask(line + "? [y/N] ");
    if (!said || !(said->starts_with('y') || said->starts_with('Y'))) {
      fmt::print(stderr, "nothing was done\n");
      return 1;
    }
  }
  words = meant.words;
  return std::nullopt;
}

/// What people of other tools typed becomes what it means here. A code ends the program.
std::optional<int> translate(const CLI::App& app, std::vector<std::string>& words) {
  const auto is_command = [&](const std::string& word) {
    return !app.get_subcommands([&](const CLI::App* one) { return one->get_name() == word; }).empty();
  };
  if (words[0].starts_with('-')) return std::nullopt;
  if (is_command(words[0])) {
    const bool is_file = words.size() > 1 && os::exists(words[1]);
    if (const auto meant = answer_own(words, is_file)) {
      if (const auto code = take(*meant, 2, words)) return code;
    }
  } else {
    const auto meant = answer(words);
    if (!meant) return unknown_command(app, words);
    if (const auto code = take(*meant, meant->typed, words)) return code;
  }
  if (words[0] == "help" && words.size() > 1 && is_command(words[1])) {
    std::rotate(words.begin(), words.begin() + 1, words.end());  // help run → run help
    words.back() = "--help";
  }
  if (!is_command(words[0])) return std::nullopt;
  const auto translation = translate_options(app, words);
  for (const auto& line : translation.told) fmt::print(stderr, "! {}\n", line);
  if (!translation.refused.empty()) return report_usage(translation.refused, translation.instead);
  const bool is_task = words[0] == "run" || words[0] == "rehearse" || words[0] == "plan";
  if (!is_task && words[0] != "ssh") return std::nullopt;
  std::vector<std::string> behind(words.begin() + 1, words.end());
  const auto& command = *app.get_subcommand(words[0]);
  if (const auto told = is_task ? put_dashes(app, command, behind) : put_dashes_behind_run(app, command, behind)) {
    fmt::print(stderr, "! {}\n", *told);
    words.resize(1);
    words.insert(words.end(), behind.begin(), behind.end());
  }
  return std::nullopt;
}

/// The command that the words so far named.
const CLI::App& named_command(const CLI::App& app) {
  const auto* command = &app;
  while (!command->get_subcommands().empty()) command = command->get_subcommands()[0];
  return *command;
}

/// "ferry ps" of `command`, "ferry" of the program itself.
std::string path_of(const CLI::App& app, const CLI::App& command) {
  if (&command == &app) return "ferry";
  return path_of(app, *command.get_parent()) + " " + command.get_name();
}

std::string what_is_wrong(const CLI::App& app, const CLI::ParseError& error) {
  if (dynamic_cast<const CLI::RequiredError*>(&error))
    return fmt::format("{} needs more: {}", path_of(app, named_command(app)), printable(error.what()));
  const auto left = app.remaining(true);
  if (!dynamic_cast<const CLI::ExtrasError*>(&error) || left.empty()) return printable(error.what());
  const auto option = std::ranges::find_if(left, [](const auto& word) { return word.starts_with('-') && word != "-"; });
  const auto path = path_of(app, named_command(app));
  return option != left.end()
             ? fmt::format("{} has no option {}", path, short_line(option->substr(0, option->find('=')), 60))
             : fmt::format("{} takes no '{}'", path, short_line(left.front(), 60));
}

/// What a mistake on the command line is answered with: a flag that is nearly one of ours gets its name.
std::string cure_of(const CLI::App& app, const CLI::ParseError& error) {
  const auto& command = named_command(app);
  const auto help = path_of(app, command) + " --help";
  if (!dynamic_cast<const CLI::ExtrasError*>(&error)) return help;
  std::vector<std::string> flags;
  for (const auto* one : {&command, &app}) {
    for (const auto* option : one->get_options())
      for (const auto& name : option->get_lnames()) flags.push_back(name);
  }
  for (const auto& word : app.remaining(true)) {
    if (!word.starts_with("--")) continue;
    if (const auto near = near_command(word.substr(2, word.find('=') - 2), flags))
      return "--" + *near + "   (" + help + " lists all)";
  }
  return help;
}

}  // namespace

namespace {

/// The words before "--".
std::span<const std::string> own_words(std::span<const std::string> words) {
  return words.first(static_cast<std::size_t>(std::ranges::find(words, "--") - words.begin()));
}

/// "rehearsal.status" of the words that name a command; empty where they name none.
std::string command_of(const CLI::App& app, std::span<const std::string> words) {
  std::string name;
  const auto* at = &app;
  const auto own = own_words(words);
  for (std::size_t i = 0; i < own.size(); ++i) {
    if (own[i] == "--profile") {
      ++i;
      continue;
    }
    if (own[i].starts_with('-')) continue;
    const auto below = at->get_subcommands([&](const CLI::App* one) { return one->get_name() == own[i]; });
    if (below.empty()) break;
    name += (name.empty() ? "" : ".") + own[i];
    at = below.front();
  }
  return name;
}

/// Every command for people has --json; programs have no use for a completion script.
void add_json_flags(CLI::App& command, Program& program) {
  const auto& name = command.get_name();
  const bool goes_on = name == "run" || name == "rehearse" || name == "logs" || name == "wait";
  command.add_flag(
      "--json", program.json,
      goes_on ? "One JSON object an event on standard output, the last of them the result" : "As one JSON object");
  for (auto* below : command.get_subcommands({})) {
    if (!below->get_group().empty() && below->get_name() != "completion") add_json_flags(*below, program);
  }
}

int show_help(const CLI::App& app, const CLI::ParseError& asked) {
  std::ostringstream text;
  app.exit(asked, text, text);
  if (!in_json()) {
    fmt::print("{}", text.str());
  } else if (dynamic_cast<const CLI::CallForVersion*>(&asked)) {
    reply("ferry.version/1", Json::object());
  } else {
    reply("ferry.help/1", {{"text", text.str()}});
  }
  return 0;
}

int answer_to(int argc, char** argv, const Carried& carried) {
  const std::string_view only = argc == 2 ? argv[1] : "";
  if (only == "--version" || only == "-V" || only == "-v") {
    fmt::print("ferry {}\n", ferry_version());
    return 0;
  }
  Program program{carried, {}, false, {}, {}, false, false};
  CLI::App app(description, "ferry");
  app.set_version_flag("-V,--version", "ferry " + ferry_version());
  app.footer(footer);
  app.require_subcommand(1);
  app.add_option("--profile", program.profile,
                 "Profile of ~/.aws to use, with every command; wins over AWS_PROFILE and over keys in the "
                 "environment")
      ->envname("FERRY_PROFILE");
  app.add_flag(
      "--agent", program.agent,
      "For a coding agent that reads: compact plain lines, whole ids, no questions; as where AI_AGENT, CLAUDECODE, "
      "CODEX_SANDBOX, CURSOR_AGENT or GEMINI_CLI is set");
  app.get_formatter()->column_width(34);
  add_run_commands(app, program);
  add_plan_commands(app, program);
  add_gpus_command(app, program);
  add_capacity_command(app, program);
  add_images_command(app, program);
  add_runs_commands(app, program);
  add_look_commands(app, program);
  add_interrupt_command(app, program);
  add_extend_command(app, program);
  add_orphans_commands(app, program);
  add_store_commands(app, program);
  add_data_commands(app, program);
  add_service_commands(app, program);
  add_account_commands(app, program);
  add_charges_command(app, program);
  add_rehearsal_commands(app, program);
  add_other_commands(app, program);
  add_json_flags(app, program);
  // --profile may stand behind the command, too.
  for (auto* command : app.get_subcommands({})) {
    command->fallthrough();
    for (auto* below : command->get_subcommands({})) below->fallthrough();
  }
  if (argc == 1 || only == "help") {
    fmt::print("{}", app.help());
    return 0;
  }
  std::vector<std::string> words(argv + 1, argv + argc);
  if (std::ranges::find(own_words(words), "--json") != own_words(words).end()) {
    const auto meant = command_of(app, words).empty() ? answer(words) : std::nullopt;
    answer_with_json(command_of(app, meant ? meant->words : words));
    if (command_of(app, words) == "help") {
      std::erase(words, "--json");
      words.push_back("--json");
      if (words.size() == 2) words[0] = "--help";
    }
  }
  if (std::ranges::find(own_words(words), "--agent") != own_words(words).end()) ::setenv("AI_AGENT", "1", 1);
  if (const auto code = translate(app, words)) return *code;
  if (const auto dashes = std::ranges::find(words, "--"); dashes != words.end() && takes_command(words)) {
    program.has_dashes = true;
    program.after_dashes.assign(dashes + 1, words.end());
    words.erase(dashes, words.end());
  }
  try {
    std::ranges::reverse(words);  // as CLI11 takes them
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return show_help(app, error);
    return report_usage(what_is_wrong(app, error), cure_of(app, error));
  }
  // Followers and ssh's helpers, which this process starts, use the same.
  if (!program.profile.empty()) ::setenv("FERRY_PROFILE", program.profile.c_str(), 1);
  try {
    return program.chosen ? program.chosen() : usage_error;
  } catch (const std::exception& bug) {  // nothing we expect arrives here
    return report(Error{Kind::bug,
                        std::string("ferry met a bug of its own: ") + bug.what(),
                        {},
                        "what is rented is in the ledger; the next ferry command looks after it",
                        {}});
  }
}

}  // namespace

int main(int argc, char** argv, const Carried& carried) { return finish(answer_to(argc, argv, carried)); }

}  // namespace ferry::cli
