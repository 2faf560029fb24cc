#pragma once
/// \file
/// What an agent that starts again must know about the run: DIR/state.json, complete or absent. No secret is
/// in it.

#include <optional>
#include <string>

#include "agent/store_settings.h"
#include "os/file.h"

namespace ferry::agent {

struct Saved {
  std::string run;  ///< the run's name
  JobStatus status;
  std::int64_t retention_s = 0;
  bool power_off = true;               ///< whether the job's owner lets the agent end the machine
  bool released = false;               ///< outputs are safe
  std::string marker;                  ///< "NAME=value" in the environment of each process of the job
  std::string boot;                    ///< the kernel's boot_id when the job was started
  std::optional<GroupSpec> group;      ///< as JobSpec::group
  std::optional<StoreSettings> store;  ///< none: what the run makes is not stored
};

Status save(const os::Path& file, const Saved& saved);
/// Nothing if there is no file; corrupt if it cannot be understood.
Result<std::optional<Saved>> load(const os::Path& file);

}  // namespace ferry::agent
