#pragma once
/// \file
/// The way of rehearsal machines to the internet, as flags, environment and settings file say.

#include <CLI/CLI.hpp>

#include "run/run.h"

namespace ferry::cli {

struct WayOutOptions {
  bool no_internet = false;
  std::vector<std::string> reach;

  void add_to(CLI::App& command);
  bool is_given() const { return no_internet || !reach.empty(); }
};

/// Whether the environment says --no-internet (FERRY_NO_INTERNET=1).
bool says_no_internet();

/// How the machines of runs that are started now will reach the internet, in one line; `walls`: their sandbox.
std::string internet_line(const std::string& walls);

/// Makes the machines of an order for the rehearsal cloud carry the way that `options`, the settings file and the
/// user's environment ask for, and lets check and plan say so. Other orders stay as they are.
Status lay_way_out(const WayOutOptions& options, run::RunRequest& order);

}  // namespace ferry::cli
