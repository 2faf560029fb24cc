#pragma once
/// \file
/// The supervisor's end of the store process (store_process.h): starts it, again when it died, hears what it stored.

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "agent/store_process.h"
#include "agent/store_settings.h"
#include "agent/tree.h"
#include "os/process.h"

namespace ferry::agent {

/// One thread. Times are steady_ms.
class StoreChild {
 public:
  /// `program`: this one; `status`: what is known of the store by now.
  StoreChild(os::Path program, os::Path dir, StoreSettings settings, StoreStatus status);
  /// Ends the process.
  ~StoreChild();
  StoreChild(const StoreChild&) = delete;
  StoreChild& operator=(const StoreChild&) = delete;

  /// Starts the process when it is time to. True if it was started now.
  bool step(std::int64_t now);
  /// The machine is taken back: told now, and to each process that is started later.
  void tell_notice(const Notice& notice);
  /// The job is done: told now, and to each process that is started later.
  void tell_done(const JobStatus& status);
  /// To wait for; -1: there is no process.
  int source() const { return process_ ? process_->out.get() : -1; }
  /// Reads once. True if status() changed.
  bool read(std::int64_t now);
  const StoreStatus& status() const { return status_; }
  /// It stores, and bytes moved within the last minute, or it looks through files.
  bool is_moving(std::int64_t now) const;
  /// It works on what is left and has no trouble.
  bool has_hope() const;
  /// The process, for who ends all others of a job.
  std::set<pid_t> processes() const;
  std::int64_t due() const;

 private:
  void end(std::int64_t now);
  void kill();
  void say(const std::string& line);

  os::Path program_, dir_;
  StoreSettings settings_;
  StoreStatus status_;
  std::string notice_;  ///< the line for the process; "" when nothing was told
  std::string done_;    ///< likewise; "" while the job goes on
  std::optional<os::Process> process_;
  Named name_;  ///< of the process
  bool looking_ = false;
  std::string line_;
  std::uint64_t moved_ = 0;
  std::int64_t moved_at_ = 0, started_at_ = 0, start_at_ = 0, pause_ms_;
  int deaths_ = 0;  ///< one after the other, nothing having been stored between
};

}  // namespace ferry::agent
