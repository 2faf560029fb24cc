#pragma once
/// \file
/// Files that are no tasks of ferry's: configurations of other tools, and templates that nobody has filled in.
/// Inside this room only.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "task/yaml.h"

namespace ferry::task {

/// The complaint about a configuration of another tool (axolotl, oumi, torchtune, LLaMA-Factory, accelerate, YOLO,
/// dstack, docker compose, Kubernetes, conda, GitHub), with the line to type instead. Nothing where the file may
/// be a task.
std::optional<Error> other_tools_file(const Node& root, std::string_view file);

/// The same for text that is no mapping of YAML's: a Dockerfile, a list of packages, a Makefile, TOML, a script.
std::optional<Error> other_kind_of_file(std::string_view text, std::string_view file);

/// Whether a value is a blank of a template and nothing else: {{ name }}.
bool is_blank(std::string_view value);

/// The complaint about the first blank ({{…}}, {%…%}) in `text`; nothing without one.
std::optional<Error> unfilled_template(std::string_view text, std::string_view file);

/// Puts the complaint about a blank in the place of those that lines with a blank have led to.
void explain_blanks(std::vector<Error>& found, std::string_view text, std::string_view file);

}  // namespace ferry::task
