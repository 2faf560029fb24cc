#include "cli/manual.h"

#include "base/text.h"
#include "base/version.h"

namespace ferry::cli {

namespace {

/// Text as roff reads it: hyphens that may be copied, no line that begins a request.
std::string roff(std::string_view text) {
  std::string out;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) out += "\\&";
    line_begins = c == '\n';
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '\'') {
      out += "\\(aq";
    } else {
      out += c;
    }
  }
  return out;
}

/// Lines that are indented are shown as they stand; the others are filled.
std::string paragraphs(const std::string& text) {
  std::string out;
  bool as_it_stands = false;
  for (const auto& line : split(text, '\n')) {
    const bool indented = line.starts_with("  ");
    if (indented != as_it_stands) out += indented ? ".PP\n.nf\n" : ".fi\n";
    as_it_stands = indented;
    out += trim(line).empty() ? ".PP\n" : roff(line) + "\n";
  }
  return out + (as_it_stands ? ".fi\n" : "");
}

std::string options_of(const CLI::App& command) {
  std::string out;
  for (const auto* option : command.get_options()) {
    if (option->get_group().empty()) continue;
    std::string names;
    for (const auto& name : option->get_snames()) names += (names.empty() ? "\\-" : ", \\-") + roff(name);
    for (const auto& name : option->get_lnames()) names += (names.empty() ? "\\-\\-" : ", \\-\\-") + roff(name);
    if (names.empty()) names = roff(option->get_name());
    out += ".TP\n\\fB" + names + "\\fR";
    if (!option->get_positional() && option->get_items_expected_max() > 0)
      out += " \\fI" + roff(option->get_type_name()) + "\\fR";
    out += "\n" + roff(option->get_description()) + "\n";
  }
  return out;
}

std::string command_section(const CLI::App& command, const std::string& name) {
  std::string out = ".SS \"" + roff(name) + "\"\n" + paragraphs(command.get_description()) + options_of(command);
  for (const auto* below : command.get_subcommands({})) {
    if (!below->get_group().empty()) out += command_section(*below, name + " " + below->get_name());
  }
  const auto ending = command.get_footer();
  return ending.empty() ? out : out + ".PP\n" + paragraphs(ending);
}

}  // namespace

std::string manual_page(const CLI::App& app) {
  std::string out = fmt::format(
      ".TH FERRY 1 \"\" \"ferry {}\" \"User Commands\"\n"
      ".SH NAME\n"
      "ferry \\- train any ML model on AWS with one command\n"
      ".SH SYNOPSIS\n"
      ".B ferry\n"
      ".I COMMAND\n"
      "[\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]... [\\fB\\-\\-\\fR \\fIPROGRAM\\fR [\\fIARGUMENT\\fR]...]\n"
      ".SH DESCRIPTION\n",
      roff(ferry_version()));
  out += paragraphs(app.get_description()) + ".SH OPTIONS\n" + options_of(app) + ".SH COMMANDS\n";
  for (const auto* command : app.get_subcommands({})) {
    if (!command->get_group().empty()) out += command_section(*command, "ferry " + command->get_name());
  }
  return out + ".SH \"FILES AND EXIT CODES\"\n" + paragraphs(app.get_footer()) + ".SH \"SEE ALSO\"\n.BR ssh (1)\n";
}

}  // namespace ferry::cli
