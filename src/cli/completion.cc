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

/// Those commands, as a pattern: a|b|c.
std::string commands_with_run(const CLI::App& app) {
  std::string runs;
  for (const auto* command : shown_commands(app)) {
    if (takes_run(*command)) runs += (runs.empty() ? "" : "|") + command->get_name();
  }
  return runs;
}

std::string bash_script(const CLI::App& app) {
  std::string cases;
  for (const auto* command : shown_commands(app)) {
    cases += fmt::format("    {}) words=\"{}\";;\n", command->get_name(), words_of(*command));
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
      words_of(app), cases, commands_with_run(app));
}

std::string zsh_script(const CLI::App& app) {
  std::string cases;
  for (const auto* command : shown_commands(app)) {
    cases += fmt::format("      {}) offered=({});;\n", command->get_name(), words_of(*command));
  }
  // Called as a function of fpath's, it completes at once; sourced, it says for what it is.
  return fmt::format(
      "#compdef ferry\n"
      "# ferry completion for zsh: source <(ferry completion zsh)\n"
      "_ferry() {{\n"
      "  local -a offered\n"
      "  if (( CURRENT == 2 )); then\n"
      "    offered=({})\n"
      "  elif [[ $words[2] == ({}) && $words[CURRENT] != -* ]]; then\n"
      "    offered=(${{(f)\"$(ferry ps --all 2>/dev/null | awk 'NR>1{{print $1}}')\"}})\n"
      "  else\n"
      "    case $words[2] in\n{}    esac\n"
      "  fi\n"
      "  compadd -a offered\n"
      "  (( CURRENT == 2 )) || _files\n"
      "}}\n"
      "if [[ $funcstack[1] == _ferry ]]; then _ferry \"$@\"; else compdef _ferry ferry; fi\n",
      words_of(app), commands_with_run(app), cases);
}

std::string fish_script(const CLI::App& app) {
  std::string out = "# ferry completion for fish: ferry completion fish | source\n";
  for (const auto* command : shown_commands(app)) {
    out += fmt::format("complete -c ferry -n __fish_use_subcommand -a {} -d {}\n", command->get_name(),
                       shell_quoted(command->get_description()));
    for (const auto* option : command->get_options()) {
      for (const auto& name : option->get_lnames()) {
        out += fmt::format("complete -c ferry -n '__fish_seen_subcommand_from {}' -l {} -d {}\n", command->get_name(),
                           name, shell_quoted(option->get_description()));
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
  if (shell == "zsh") return zsh_script(app);
  return bash_script(app);
}

}  // namespace ferry::cli
