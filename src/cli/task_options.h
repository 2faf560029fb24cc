#pragma once
/// \file
/// The options that describe a task on the command line, and how they meet a task file: what is given here
/// wins.

#include <CLI/CLI.hpp>

#include "os/file.h"
#include "task/settings.h"
#include "task/task.h"

namespace ferry::cli {

struct TaskOptions {
  std::string path;  ///< a task file, a folder that holds one, or "-" for standard input
  std::string name, infra, instance_type, gpus, cpus, memory, disk, workdir, setup, max_duration, idle, ends, duration,
      budget, max_hourly_cost, image, region, store, recover;
  bool spot = false, on_demand = false, private_address = false, nearest = false;
  std::vector<std::string> subnets;
  /// Fields of `aws:`, by name.
  std::map<std::string, std::string> aws;
  std::vector<std::string> envs, env_files, secrets, secrets_files, labels, outputs, volumes;

  void add_to(CLI::App& command);
};

struct Described {
  task::Task task;
  os::Path workdir;                        ///< absolute; of a git repository, what stands in for it until it is cloned
  os::Path file;                           ///< absolute, of the task; empty: none
  std::string pipeline;                    ///< where the file has several: what they are called together
  os::Path carried;                        ///< what another run brought home and this one gets; empty: nothing
  std::string carried_run;                 ///< that run
  bool unsized = false, undisked = false;  ///< nothing is said of vCPUs, memory or a type; of the disk
};

/// Asks EC2 about named types that the catalog lacks, and tells what it says on standard error. Fails with the code
/// plan::no_such_hardware when nothing that the task asks for exists on AWS; with --nearest,
/// puts the nearest in its place and says so on standard error. A machine of one's own is not asked about.
Status settle_hardware(const TaskOptions& options, task::Task& task);

/// What the user's settings file says (~/.config/ferry/config.yaml); nothing said where there is none.
Result<task::Settings> personal_settings();

/// Reads the task file if there is one, lays the options and the command behind "--" over it, takes values
/// left open from the environment. All that is wrong with the file comes at once (Error::more). At least one; several
/// are a pipeline.
Result<std::vector<Described>> describe_tasks(const TaskOptions& given, const std::vector<std::string>& command,
                                              bool has_command);

}  // namespace ferry::cli
