#pragma once
/// \file
/// What to train. A Task comes from a YAML file or from a command line; nothing here touches the machine.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/units.h"

namespace ferry::task {

enum class World { aws, rehearsal, ssh };

/// Where instances come from: `aws[/region[/zone]]`, `rehearsal`, `ssh/HOST`. `*` for region or zone means
/// any.
struct Infra {
  World world = World::aws;
  std::string region, zone, host;  ///< empty: any
};
Result<Infra> parse_infra(std::string_view text);
std::string show(const Infra& infra);

/// `4` or `4+`. cpus in vCPU, memory in GiB.
struct Amount {
  double value = 0;
  bool at_least = false;
};
Result<Amount> parse_cpus(std::string_view text);
/// `16`, `16+`, `16GB`, `64GiB`; bare numbers are GiB (as SkyPilot has it).
Result<Amount> parse_memory(std::string_view text);

/// `A100:8`, `A10G`, `T4:1`. Whether such a thing exists, plan says.
struct Accelerator {
  std::string name;
  int count = 1;
};
Result<Accelerator> parse_accelerator(std::string_view text);

struct Resources {
  std::optional<Infra> infra;
  std::string instance_type;  ///< empty: any
  std::optional<Accelerator> accelerator;
  std::optional<Amount> cpus, memory;
};

struct Task {
  std::string name;               ///< empty: the caller chooses (folder or file name)
  std::filesystem::path workdir;  ///< as written; empty: none given. Relative to the caller's folder
  Resources resources;
  std::map<std::string, std::string> envs;
  std::map<std::string, std::string> secrets;
  std::vector<std::string> missing_envs;  ///< written as null: must be supplied by --env or the environment
  std::vector<std::string> missing_secrets;
  std::string setup, run;            ///< bash
  std::vector<std::string> outputs;  ///< paths or globs relative to workdir; empty: `outputs/` if it exists
  std::optional<Seconds> max_duration;
  std::vector<std::string> not_yet;  ///< one line for every known field this version does not act on
};

/// Reads a task file. Nothing in it is required here: whoever runs the task says so if `run` is empty. Values
/// are kept as written (`yes`, `1.50`); null means "not given", or for a variable "must be supplied". `file`
/// is only used in complaints, which read "FILE:LINE:COLUMN: …" and name the nearest known field for an
/// unknown one. All complaints are Kind::bad_input. Never throws.
Result<Task> parse_task(std::string_view yaml, std::string_view file);

/// A name valid for runs and tags made from any text: [a-z0-9-], at most 32 characters, never empty.
std::string name_from(std::string_view text);

}  // namespace ferry::task
