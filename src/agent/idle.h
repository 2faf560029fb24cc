#pragma once
/// \file
/// Whether a job still does anything, by what its processes, the machine's GPUs and its output say.
///
/// It is idle when for the whole of a time none of its processes used more than `busy_cpu_percent` of a core, no GPU
/// was busier than `busy_gpu_percent`, and nothing was printed. Its processes are those below the agent and those of
/// containers, which are below somebody else; what a process's children used counts as its own once they ended. What
/// waits for a network or a disk uses no CPU, and is quiet. A job whose shell only waits is, too.
///
/// A look takes some milliseconds of one core, every ten seconds at most. nvidia-smi, where there is one, is asked at
/// most once a minute, and only while all else is quiet; one that does not answer within ten seconds is ended, and what
/// it would have said counts for nothing.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "agent/tree.h"
#include "base/units.h"
#include "os/fd.h"
#include "os/file.h"

namespace ferry::agent {

inline constexpr int busy_cpu_percent = 3, busy_gpu_percent = 5;

/// A job, as one look finds it.
struct Activity {
  std::int64_t at = 0;                       ///< steady_ms
  std::map<Named, std::uint64_t> worked_ms;  ///< of each process since it began, with that of its children that ended
  std::uint64_t printed = 0;                 ///< bytes since the job began
};
/// Something was done between two looks.
bool is_busy(const Activity& before, const Activity& now);
/// By /proc/PID/cgroup of a process, and of this one: docker, podman or containerd has it in a container of its own.
bool is_containers(std::string_view groups, std::string_view own);
/// The busiest GPU of what `nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits` says, in percent;
/// nothing where it says nothing of any.
std::optional<int> busiest_gpu(std::string_view said);
/// How long nothing must have happened, and when that began: idle once a GPU that there is was asked since.
bool is_idle(std::int64_t now, std::int64_t quiet_since, Millis limit, bool has_gpus, std::int64_t gpus_quiet_at);

/// Asks nvidia-smi without waiting for it. One thread; times are steady_ms.
class GpuWatch {
 public:
  /// `program`: nothing where there is none.
  explicit GpuWatch(std::optional<os::Path> program) : program_(std::move(program)) {}
  ~GpuWatch() { end(); }
  GpuWatch(const GpuWatch&) = delete;
  GpuWatch& operator=(const GpuWatch&) = delete;

  /// There is something to ask, and the last one that was asked has ended.
  bool can_ask() const { return program_ && (is_asking() || processes().empty()); }
  bool is_asking() const { return answer_.get() >= 0; }
  void ask(std::int64_t now);
  /// Gives up an answer that takes too long. True if it did.
  bool give_up(std::int64_t now);
  /// Readable when there is something of the answer; -1: nothing was asked.
  int source() const { return answer_.get(); }
  /// Reads once. The whole answer when it is there.
  std::optional<std::string> read();
  std::set<pid_t> processes() const;
  std::int64_t gives_up_at() const { return gives_up_at_; }

 private:
  void end();
  std::optional<os::Path> program_;
  os::Fd answer_;
  Named asked_{};
  std::string said_;
  std::int64_t gives_up_at_ = 0;
};

/// One thread; times are steady_ms.
class IdleWatch {
 public:
  IdleWatch(Millis limit, std::int64_t now, std::optional<os::Path> nvidia_smi);

  /// Looks, if it is time to. `without`: what is below this process and none of the job's; `printed`: that of Activity.
  void step(std::int64_t now, std::set<pid_t> without, std::uint64_t printed);
  int source() const { return gpus_.source(); }
  void read(std::int64_t now);
  /// As if something had been done now.
  void begin_anew(std::int64_t now);
  bool is_idle(std::int64_t now) const;
  /// When something was done last.
  std::int64_t quiet_since() const { return quiet_since_; }
  Millis limit() const { return limit_; }
  std::set<pid_t> processes() const { return gpus_.processes(); }
  std::int64_t due() const;

 private:
  std::map<Named, std::uint64_t> worked(const std::set<pid_t>& without);
  Millis limit_;
  std::int64_t look_every_, ask_every_, look_at_, quiet_since_, gpus_asked_at_ = 0, gpus_quiet_at_ = 0;
  std::optional<Activity> before_;
  GpuWatch gpus_;
  std::map<Named, bool> in_container_;  ///< of processes that are not below this one
};

}  // namespace ferry::agent
