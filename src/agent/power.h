#pragma once
/// \file
/// Ending the machine, and how busy it is.

#include <optional>
#include <string>

#include "base/error.h"
#include "base/units.h"

namespace ferry::agent {

/// Powers the machine off: `sudo -n shutdown -h now`, `sudo -n systemctl poweroff`, `shutdown -h now`,
/// `poweroff`, the first that works. If the environment variable FERRY_AGENT_POWEROFF names a program, only
/// that is run, without arguments. Denied if none works; `why` has what each said.
Status power_off();

/// Measures the whole machine's CPUs from /proc/stat.
class CpuMeter {
 public:
  /// Percent busy since the last call (the first gives 0), 100 meaning all of them. Waiting for a disk is not
  /// busy.
  double percent();

 private:
  double busy_ = 0, total_ = 0;
};

/// The timer that the machine of this run was booted with (fleet::user_data) ends it `in` from now on, and not sooner.
/// Unsupported where it was armed in another way.
Status put_off_power_off(const std::string& run, Seconds in);

}  // namespace ferry::agent
