#pragma once
/// \file
/// Scripts, notebooks and commands that people give to run, plan and rehearse without a task file and without "--".

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "os/file.h"

namespace ferry::cli {

/// The shell text that runs a script (.py, .sh, .R, .jl, or what begins with #! for python or a shell) or executes a
/// notebook (.ipynb), seen from the workdir; a notebook comes home as outputs/NAME, whether or not it came to its end.
/// Nothing for any other file.
std::optional<std::string> command_for(const std::string& file);

/// The one script or notebook of a folder that has no task file: train.py, main.py, or the only one there. Nothing
/// where it is not clear which.
std::optional<std::string> lone_script(const os::Path& folder);

/// Whether the training's own command begins with this word: a program that is known, or a script or notebook that is
/// there.
bool begins_training(const std::string& word);

/// For an option of `command` (or of `app`): whether its value is the next word. Nothing for any other word.
std::optional<bool> own_option(const CLI::App& app, const CLI::App& command, const std::string& word);

/// `words`: those behind run, plan or rehearse, whose options `command` (and `app`) has. Puts "--" where it is missing:
/// before a program's name (python train.py …, also all in one word), before -m MODULE, and, with the interpreter,
/// before a script or notebook that is named in the place of a task file; options of ours that stand behind that one
/// stay ours. Returns the line to tell; nothing where nothing was missing.
std::optional<std::string> put_dashes(const CLI::App& app, const CLI::App& command, std::vector<std::string>& words);

/// The same for ssh's RUN COMMAND ….
std::optional<std::string> put_dashes_behind_run(const CLI::App& app, const CLI::App& ssh,
                                                 std::vector<std::string>& words);

}  // namespace ferry::cli
