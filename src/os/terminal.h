#pragma once
/// \file
/// What we need to know about a terminal.

#include <optional>
#include <string>

namespace ferry::os {

bool is_terminal(int fd);
/// Columns of the terminal behind `fd`; 80 if it does not say.
int terminal_width(int fd);
/// Shows `prompt` on the controlling terminal and reads one line from it. Nothing without a terminal, at its end,
/// or when `interrupt` (a descriptor; -1: none) becomes readable.
std::optional<std::string> ask(const std::string& prompt, int interrupt = -1);

}  // namespace ferry::os
