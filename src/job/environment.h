#pragma once
/// \file
/// The environment a training gets on its machine: scratch space (scratch.sh), and a Python environment or a
/// container (environment.sh, container.sh). The scripts travel there.

#include <string>

#include "agent/stand_in.h"
#include "job/buckets.h"
#include "job/connection.h"
#include "task/task.h"

namespace ferry::job {

struct Environment {
  std::string summary;   ///< "python 3.11.2 · torch 2.9.1 · CUDA 12.8 · driver 570.133"; empty: nothing known
  Json facts;            ///< what the machine said: python, program, packages, cuda, driver, gpus, made, scratch
  std::string activate;  ///< a line for setup's and the training's shell, before anything of theirs
  std::string links;     ///< the same, inside the container where there is one: mounts.h
  Mounted mounted;       ///< of the task's data sets, what is mounted, and so not copied
  std::string back;      ///< lines for the machine's shell when the training is over: data.h
  std::vector<agent::StandInStep> steps;  ///< what made it, data included: for a machine that is to have the same
  bool container = false;                 ///< setup and training run inside the run's container

  /// The shell text that runs setup's `script` in this environment.
  std::string setup(const std::string& script) const;
  /// The same for the training's, with which a container ends.
  std::string training(const std::string& script) const;
  /// The machine's scratch space, which a container sees, too.
  std::string scratch(const Connection& connection) const;
};

/// A rehearsal's machine, whatever provider it plays, is this computer, and so is not.
bool is_rented(const ledger::Instance& instance);

/// Fails bad_input, before anything is rented, when the files that the task's environment is to be made from
/// are not in the workdir. A Dockerfile is preflight's.
Status check_environment(const task::Task& task, const os::Path& workdir);

/// How an environment is made: what the machine runs, and all of the environment that is known before it did.
struct EnvironmentPlan {
  std::string kind;                  ///< as the task's, but "present" where setup installs
  const task::Task* task = nullptr;  ///< outlives this
  Environment made;                  ///< without what the machine says; its last step is what the machine runs
  const agent::StandInStep& step() const { return made.steps.back(); }
};

/// `requirements_file`, `installers`: the workdir's own file of packages, and what the task installs with
/// (Requirements). `mounted`: what the machine has mounted by then.
EnvironmentPlan plan_environment(const Connection& connection, const task::Task& task,
                                 const std::string& requirements_file, const std::string& installers,
                                 Mounted mounted = {});

/// What became of it: `said` is what the step wrote, and how it ended. Fails bad_input when what is asked for cannot be
/// had, with the tool's last words.
Result<Environment> made_environment(fleet::Context& context, const Connection& connection, EnvironmentPlan plan,
                                     const os::Output& said);

/// The facts of one that was made as the job was started (preparation.h), from the machine; null where it has none.
Json noted_facts(Connection& connection);

/// Looks at what the machine and the workdir have, and installs what is asked for (cached by content), or
/// starts the run's container. Run it once the workdir is there.
/// Shows what it does as it goes. Fails as made_environment(); lost.
/// Disks are formatted, and system packages installed, only on machines that AWS rents out.
Result<Environment> prepare_environment(fleet::Context& context, Connection& connection, EnvironmentPlan plan);

/// For the training's shell on a machine that several runs may share: waits until `gpus` of its GPUs are free
/// (0, or a machine without GPUs: until the whole machine is), keeps them until the training ends, and sets
/// CUDA_VISIBLE_DEVICES.
std::string queue_line(int gpus);

/// One line of `facts`.
std::string describe_environment(const Json& facts);

}  // namespace ferry::job
