// The part of the supervisor that hears that the cloud takes the machine back.

#include <fmt/format.h>

#include <algorithm>
#include <csignal>

#include "agent/supervisor.h"
#include "base/text.h"

namespace ferry::agent {
namespace {

/// No notice comes earlier; a time beyond is a clock that is wrong.
constexpr std::int64_t most_left_ms = 600'000;
/// Of the time that is left, the store's alone.
constexpr std::int64_t store_share = 6, most_for_store_ms = 20'000;
/// SIGTERM comes so long before SIGKILL to a job that was told by another signal.
constexpr std::int64_t late_term_ms = 10'000;
constexpr const char* notice_folder = "notice";

}  // namespace

void Supervisor::watch_notices(const NoticeSpec& spec) {
  notice_spec_ = spec;
  const os::Path file = options_.dir / notice_folder / "notice.json";
  (void)os::remove_all(file);
  if (const auto made = os::make_dirs(file.parent_path()); !made) log(made.error().what);
  job_->add_variable("FERRY_NOTICE", file.string());
  notices_ = NoticeWatch::of_this_machine();
}

bool Supervisor::is_interrupted() const {
  const auto& notice = saved_.status.notice;
  const bool is_told = notice && notice->kind == Notice::Kind::interruption && notice->action != "hibernate";
  return is_told && !ended_before_notice_;
}

void Supervisor::hear_notice() {
  if (const auto notice = notices_->take()) take_notice(*notice);
}

void Supervisor::take_notice(const Notice& notice) {
  auto& known = saved_.status.notice;
  const bool is_interruption = notice.kind == Notice::Kind::interruption;
  if (known && known->kind == Notice::Kind::interruption) return;
  known = notice;
  ++version_;
  const auto now = clock_.now_ms();
  const auto written =
      os::write_file(options_.dir / notice_folder / "notice.json", dump_json(notice_file(notice, now)) + "\n", 0644);
  if (!written) log(written.error().what);
  if (!is_interruption) {
    log("the cloud says that it may soon take this machine back");
    persist();
    return;
  }
  if (store_) store_->tell_notice(notice);
  interrupt(notice, std::clamp<std::int64_t>(notice.time_ms - now, 0, most_left_ms));
  persist();
}

void Supervisor::interrupt(const Notice& notice, std::int64_t left_ms) {
  const auto when = fmt::format("the cloud takes this machine back in {} s ({})", left_ms / 1000, notice.action);
  if (!active() || !is_interrupted()) return log(when);
  ended_before_notice_ = job_->phase() == LogPhase::run && job_->exit_code() && background_->left().empty();
  if (ended_before_notice_) return log(when + ", and the training has just ended");
  const auto for_store = std::min(most_for_store_ms, left_ms / store_share);
  const auto grace = std::min(notice_spec_.grace_s * 1000, left_ms - for_store);
  const int number = signal_number(notice_spec_.signal).value_or(SIGTERM);
  // A setup has nothing to save.
  const bool is_usual = number == SIGTERM || job_->phase() == LogPhase::setup;
  if (is_usual || (number != 0 && job_->tell(number) == 0)) {
    tell(when + (is_usual ? "" : "; nothing of the training handles " + notice_spec_.signal) +
         "; told the training by SIGTERM");
    return stop(std::string(interrupted), Millis(grace));
  }
  tell(when + "; " + (number == 0 ? "FERRY_NOTICE says so" : "told the training by " + notice_spec_.signal));
  const auto steady = clock_.steady_ms();
  interruption_ = Interruption{steady + std::max<std::int64_t>(grace - late_term_ms, grace * 3 / 4), steady + grace};
}

}  // namespace ferry::agent
