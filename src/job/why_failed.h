#pragma once
/// \file
/// What a shell's exit code says about a command line, in words. Pure.

#include <string>
#include <string_view>

namespace ferry::job {

/// Of exit code 127 (no such command) or 126 (not a program), with the end of what the job wrote: "pyhton: command
/// not found; did you mean python?". Empty for every other code, and where the log does not name the command.
std::string why_failed(int code, std::string_view end_of_log);

}  // namespace ferry::job
