#pragma once
/// \file
/// The manual page, made from the commands and options themselves, so that it is never out of date.

#include <CLI/CLI.hpp>
#include <string>

namespace ferry::cli {

/// ferry(1) in roff (man(7) macros): every command that is shown, its arguments and options, files and exit
/// codes. It carries the version and no date: the same options make the same page.
std::string manual_page(const CLI::App& app);

}  // namespace ferry::cli
