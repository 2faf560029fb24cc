#pragma once
/// \file
/// A task file with several documents: runs one after the other, each on a machine of its own and with what the one
/// before made. What it has come to is kept on disk, so that a later command can say so and go on.

#include <functional>

#include "cli/command.h"
#include "cli/task_options.h"
#include "run/run.h"

namespace ferry::cli {

/// Runs one document to its end; its exit code. `named` is called with the run's name once there is one.
using RunDocument =
    std::function<int(const Described& document, const std::function<Status(const run::Confirmation&)>& confirm,
                      const std::function<void(const std::string& run)>& named)>;

struct PipelineOptions {
  std::string command = "run";                              ///< or "rehearse"; each has its own records
  int from = 1;                                             ///< the document to begin with, from 1
  bool asks = true;                                         ///< whether anyone is to be asked before anything is rented
  std::optional<Usd> budget;                                ///< for all of them together
  std::function<Status(const run::Confirmation&)> confirm;  ///< of one run, where nobody could be asked for all
};

/// Plans all, asks once for all, and runs them until one does not succeed; tells what each cost, and all. The exit code
/// of the last that ran. `last`: its run.
int run_pipeline(Context& context, std::vector<Described> documents, const PipelineOptions& options,
                 const RunDocument& run, std::string& last);

/// One line on standard error for every pipeline of the last week whose ferry ended without a word: where it stands,
/// and how to go on.
void tell_of_pipelines(ledger::Ledger& ledger);

/// What a document's task gets of the run before it: everything in `home`, at the same place in the workdir.
void carry_outputs(const os::Path& home, const os::Path& workdir, task::Task& task);

}  // namespace ferry::cli
