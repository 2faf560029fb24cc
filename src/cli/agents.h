#pragma once
/// \file
/// What coding agents read about ferry, made from the program's own options: llms.txt (https://llmstxt.org) and
/// AGENTS.md. Both are in the repository; `ferry generate llms` and `ferry generate agents` make them anew.

#include <CLI/CLI.hpp>
#include <string>

namespace ferry::cli {

std::string llms_txt(const CLI::App& app);
std::string agents_md(const CLI::App& app);

}  // namespace ferry::cli
