#pragma once
/// \file
/// Options that people know from docker, SkyPilot, Slurm, Hugging Renderer, gcloud and others, and what they are here.

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace ferry::cli {

/// What came of it. With `refused` nothing may be run: it says what cannot be had, and `instead` what to type.
struct Translation {
  std::vector<std::string> told;  ///< a line for each option that was understood
  std::string refused, instead;
};

/// Puts ferry's options in the place of other tools' in `words`, which begin with a command of `app`'s, up to "--" or
/// to the training's own command. What ferry calls so itself stays, and so does what nobody knows.
Translation translate_options(const CLI::App& app, std::vector<std::string>& words);

}  // namespace ferry::cli
