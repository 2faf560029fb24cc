#pragma once
/// \file
/// Every field that a task file may have, and which of them this version acts on. Inside this room only.

#include <string>
#include <string_view>
#include <vector>

#include "task/yaml.h"

namespace ferry::task {

/// Checks the names in `map` (and in what known fields hold) against those of `section`: "task" for the top
/// level, "resources" and so on below. Adds a line to `not_yet` for every known field that this version does
/// not act on and that asks for something; if the training would be another one without it, that is a
/// complaint of Kind::unsupported. An unknown name is a complaint with the nearest known one. Adds all complaints
/// to `found`.
void check_fields(std::string_view file, const Node& map, std::string_view section, std::vector<std::string>& not_yet,
                  std::vector<Error>& found);

/// Whether `section` has a field of that name.
bool is_field(std::string_view section, std::string_view name);

/// How many complaints about one file are enough.
inline constexpr std::size_t most_found = 50;

/// The line that a complaint about `file` is about; 0: it names none.
std::int64_t line_of(const Error& error, std::string_view file);

/// Sorts complaints about `file` as their places stand in it.
void in_order(std::vector<Error>& found, std::string_view file);

/// The line for one ignored field.
std::string not_yet_line(std::string_view file, const Entry& entry, std::string_view meaning,
                         std::string_view instead = "this version ignores it");

}  // namespace ferry::task
