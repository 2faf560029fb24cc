#pragma once
/// \file
/// Completion scripts for shells, made from the commands and options themselves, so that they are never out
/// of date.

#include <CLI/CLI.hpp>
#include <string>

namespace ferry::cli {

/// `shell` is bash, zsh or fish.
std::string completion_script(const CLI::App& app, const std::string& shell);

}  // namespace ferry::cli
