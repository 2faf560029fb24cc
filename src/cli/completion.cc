#include "cli/completion.h"

#include "base/text.h"

namespace ferry::cli {

namespace {

std::vector<const CLI::App*> shown_commands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* command) { return !command->get_group().empty(); });
}

std::string words_of(const CLI::App& command) {
  std::vector<std::string> words;
  for (const auto* sub : shown_commands(command)) words.push_back(sub->get_name());
  for (const auto* option : command.get_options()) {
    for (const auto& name : option->get_lnames()) words.push_back("--" + name);
  }
  return join(words, " ");
}

/// Commands whose argument is the name of a run.
bool takes_run(const CLI::App& command) { return command.get_option_no_throw("run") != nullptr; }

std::string bash_script(const CLI::App& app) {
  std::string cases;
  for (const auto* command : shown_commands(app)) {
    cases += fmt::format("    {}) words=\"{}\";;\n", command->get_name(), words_of(*command));
  }
  std::string runs;
  for (const auto* command : shown_commands(app)) {
    if (takes_run(*command)) runs += (runs.empty() ? "" : "|") + command->get_name();
  }
  return fmt::format(
      "# ferry completion for bash: source <(ferry completion bash)\n"
      "_ferry() {{\n"
      "  local cur=\"${{COMP_WORDS[COMP_CWORD]}}\" words=\"{}\"\n"
      "  [ \"$COMP_CWORD\" -gt 1 ] && case \"${{COMP_WORDS[1]}}\" in\n{}  esac\n"
      "  if [ \"$COMP_CWORD\" -gt 1 ] && [[ \"${{COMP_WORDS[1]}}\" =~ ^({})$ ]] && [[ \"$cur\" != -* ]]; "
      "then\n"
      "    words=\"$(ferry ps --all 2>/dev/null | awk 'NR>1{{print $1}}')\"\n"
      "  fi\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
      "}}\n"
      "complete -o default -F _ferry ferry\n",
      words_of(app), cases, runs);
}

std::string fish_script(const CLI::App& app) {
  std::string out = "# ferry completion for fish: ferry completion fish | source\n";
  for (const auto* command : shown_commands(app)) {
    out += fmt::format("complete -c ferry -n __fish_use_subcommand -a {} -d {}\n", command->get_name(),
                       shell_quoted(command->get_description()));
    for (const auto* option : command->get_options()) {
      for (const auto& name : option->get_lnames()) {
        out += fmt::format("complete -c ferry -n '__fish_seen_subcommand_from {}' -l {} -d {}\n",
                           command->get_name(), name, shell_quoted(option->get_description()));
      }
    }
    if (takes_run(*command)) {
      out += fmt::format(
          "complete -c ferry -n '__fish_seen_subcommand_from {}' -a \"(ferry ps --all 2>/dev/null | awk "
          "'NR>1{{print $1}}')\"\n",
          command->get_name());
    }
  }
  return out;
}

}  // namespace

std::string completion_script(const CLI::App& app, const std::string& shell) {
  if (shell == "fish") return fish_script(app);
  if (shell == "zsh") {
    // zsh runs the bash function through its own compatibility layer.
    return "autoload -Uz bashcompinit && bashcompinit\n" + bash_script(app);
  }
  return bash_script(app);
}

}  // namespace ferry::cli
