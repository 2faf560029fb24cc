#include "cli/agents.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "cli/command.h"

namespace ferry::cli {

namespace {

constexpr const char* rules =
    "* `--json` with every command: standard output is JSON and nothing else, under every fault; `run`, `rehearse`, "
    "`logs` and `wait` say one event a\n"
    "  line, the last of which is `result`. Branch on `error.kind` and `exit_code`, never on texts. "
    "docs/for-programs.md, schemas in docs/schemas/.\n"
    "* Without `--json`, with `--agent` (or AI_AGENT, CLAUDECODE, CODEX_SANDBOX, CURSOR_AGENT, GEMINI_CLI set): "
    "compact lines with tabs, whole ids.\n"
    "* Nothing is asked of you. `ferry run` on AWS rents only with `--yes`: show your person the line \"at most $X\" "
    "of `ferry plan` first, and cap it with\n"
    "  `--budget` and `--max-duration`. `--infra rehearsal` runs the same on this computer, for nothing and without an "
    "account: try there first.\n"
    "* `ferry run` blocks until the outputs are home. `ferry run -d` returns once training started; then `ferry wait "
    "RUN`, `ferry logs RUN --json`.\n"
    "* Outputs are in `runs/RUN/`, what was done in `runs/RUN/run.json`. A run that failed has its log and what it "
    "saved there, too.\n"
    "* What still costs: `ferry ps --json`. End it: `ferry down RUN` (outputs come home first), `ferry down --all`. "
    "Never end machines behind ferry's back.\n"
    "* Secrets: export them, and name them with `--secret NAME`; never as words of a command.\n";

std::vector<const CLI::App*> shown(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); });
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

/// "ferry quota request", and what it takes besides options.
std::string usage_of(const CLI::App& command, const std::string& path) {
  std::string usage = path;
  for (const auto* one : command.get_options()) {
    if (!one->get_positional()) continue;
    auto word = one->get_type_name();  // with a check behind a colon: "TEXT:{bash,zsh,fish}"
    if (const auto choices = word.find(":{"); choices != word.npos) word.erase(0, choices + 1);
    if (word == "TEXT" || word.find(':') != word.npos) word = one->get_single_name();
    if (one->get_items_expected_max() > 1) word += "…";
    usage += " " + (one->get_required() ? word : "[" + word + "]");
  }
  const auto& name = command.get_name();
  const bool takes_command = name == "run" || name == "rehearse" || name == "plan" || name == "ssh";
  return usage + (takes_command ? " [-- COMMAND]" : "");
}

std::string name_of(const CLI::Option& option) {
  std::string name;
  for (const auto& one : option.get_snames()) name += (name.empty() ? "-" : ", -") + one;
  for (const auto& one : option.get_lnames()) name += (name.empty() ? "--" : ", --") + one;
  if (option.get_items_expected_max() > 0 && !option.get_type_name().empty()) name += " " + option.get_type_name();
  return name;
}

/// One line for each option that was not told before under the same name and meaning.
std::string options_of(const CLI::App& command, std::set<std::string>& told) {
  std::string lines;
  for (const auto* option : command.get_options()) {
    if (option->get_group().empty() || option->get_lnames().empty() || option->check_lname("help")) continue;
    const auto line = fmt::format("  `{}` {}\n", name_of(*option), first_line(option->get_description()));
    if (told.insert(line).second) lines += line;
  }
  return lines;
}

void add_command(const CLI::App& command, const std::string& path, std::set<std::string>& told, std::string& out) {
  out += fmt::format("\n**`{}`** {}\n", usage_of(command, path), first_line(command.get_description()));
  if (const auto options = options_of(command, told); !options.empty()) out += "\n" + options;
  for (const auto* below : shown(command)) add_command(*below, path + " " + below->get_name(), told, out);
}

}  // namespace

std::string llms_txt(const CLI::App& app) {
  std::string out =
      "# ferry\n\n"
      "> Trains any ML model on AWS with one command: the code goes over, the model comes home, the bill stops. One "
      "program, no server. `--infra rehearsal`\n"
      "> does the same on this computer without an AWS account.\n\n" +
      std::string(rules) +
      "\n## Docs\n\n"
      "- [README](README.md): install, daily use, task files, exit codes\n"
      "- [For programs](docs/for-programs.md): --json, events, errors, run.json\n"
      "- [Schemas](docs/schemas): JSON Schema of everything that --json says\n"
      "- [Every command and option](AGENTS.md)\n"
      "- [From an old tutorial](docs/from-the-tutorial.md): key pairs, ssh, scp, conda environments of AWS's images, "
      "and what is used now\n\n"
      "## Commands\n\n";
  for (const auto* command : shown(app))
    out += fmt::format("- `{}`: {}\n", usage_of(*command, "ferry " + command->get_name()),
                       first_line(command->get_description()));
  return out + "\n## Exit codes\n\n```\n" + exit_codes() + "```\n";
}

std::string agents_md(const CLI::App& app) {
  std::string out =
      "# For coding agents\n\n"
      "To use ferry, this file is enough. To work on ferry itself: CONTRIBUTING.md (build, test, habits) and "
      "ARCHITECTURE.md (where a change belongs). Made by\n"
      "`ferry generate agents` from the program's own options; after a change to them: `build/ferry generate agents "
      ">AGENTS.md; build/ferry generate llms >llms.txt`.\n\n"
      "## Rules\n\n" +
      std::string(rules) +
      "\n## The usual way\n\n"
      "    ferry check --json                                  # account, permissions, limits; spends nothing\n"
      "    ferry run task.yaml --infra rehearsal --json        # the same task on this computer first\n"
      "    ferry plan task.yaml --json                         # what would be rented, and the most it can cost\n"
      "    ferry run task.yaml --yes --budget 5 --max-duration 2h --json\n"
      "    ferry ps --json; ferry down --all --json            # nothing left running\n\n"
      "## Commands\n\nAn option is told once, with the first command that has it.\n\nOf every command:\n\n";
  std::set<std::string> told;
  out += options_of(app, told);
  for (const auto* command : shown(app)) add_command(*command, "ferry " + command->get_name(), told, out);
  return out + "\n## Exit codes\n\n```\n" + exit_codes() + "```\n";
}

}  // namespace ferry::cli
