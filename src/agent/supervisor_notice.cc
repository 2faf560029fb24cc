// The part of the supervisor that hears that the cloud takes the machine back.

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <limits>

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

}  // namespace

os::Path Supervisor::notice_path() const { return options_.dir / "notice" / "notice.json"; }

void Supervisor::watch_notices(const std::optional<NoticeSpec>& spec) {
  if (!spec && !on_limit_) return;
  const auto file = notice_path();
  (void)os::remove_all(file);
  if (const auto made = os::make_dirs(file.parent_path()); !made) log(made.error().what);
  job_->add_variable("FERRY_NOTICE", file.string());
  if (!spec) return;
  notice_spec_ = *spec;
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
  write_notice(notice_file(notice, now));
  if (!is_interruption) {
    log("the cloud says that it may soon take this machine back");
    persist();
    return;
  }
  if (store_) store_->tell_notice(notice);
  interrupt(notice, std::clamp<std::int64_t>(notice.time_ms - now, 0, most_left_ms));
  persist();
}

void Supervisor::write_notice(const Json& told) {
  if (const auto written = os::write_file(notice_path(), dump_json(told) + "\n", 0644); !written)
    log(written.error().what);
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

std::int64_t Supervisor::ask_at() const {
  constexpr auto never = std::numeric_limits<std::int64_t>::max();
  if (!on_limit_ || asked_ || stop_ || interruption_ || is_interrupted()) return never;
  const Millis whole(saved_.status.deadline_ms - saved_.status.started_ms);
  return deadline_at_ - asked_before(on_limit_->grace_s, whole).count();
}

void Supervisor::ask_to_save(const std::string& reason, std::int64_t left_ms) {
  const auto now = clock_.now_ms();
  write_notice(notice_file(LimitNotice{reason, now + left_ms}, now));
  const auto signal = on_limit_ ? on_limit_->signal : NoticeSpec().signal;
  const int number = signal_number(signal).value_or(SIGTERM);
  std::string how = "FERRY_NOTICE says so";
  // What does not handle the signal goes on until the end; a setup has nothing to save.
  const auto steady = clock_.steady_ms();
  asked_ = Asked{.reason = reason, .is_told = number == 0, .at = steady, .end_at = steady + left_ms};
  if (number != 0 && job_->phase() == LogPhase::run) {
    const bool is_heard = job_->tell(number) > 0;
    asked_->is_told = is_heard || (number != SIGTERM && job_->tell(SIGTERM) > 0);
    if (asked_->is_told) how = "told the training by " + (is_heard ? signal : std::string("SIGTERM"));
  }
  const auto why =
      reason == idled ? "the training did nothing for " + show_duration(idle_->limit()) + ", which" : reason;
  const auto text = fmt::format("{} ends it in {} s; {}", why, left_ms / 1000, how);
  log(text);
  add_line(text);
}

void Supervisor::take_back_asking(const std::string& why) {
  if (!asked_) return;
  asked_.reset();
  if (!saved_.status.notice) (void)os::remove_all(notice_path());
  log(why);
  add_line(why + ": what FERRY_NOTICE said is taken back");
}

}  // namespace ferry::agent
