// What the training is told of its limits, and a later end for it.

#include <fmt/format.h>

#include <algorithm>

#include "agent/power.h"
#include "agent/supervisor.h"
#include "base/text.h"

namespace ferry::agent {
namespace {

/// In the folder that a container sees, too.
constexpr const char* limits_file = "notice/limits.json";
/// So often it is written anew.
constexpr std::int64_t limits_every_ms = 10'000;

/// Complete or as before, and not worth a write to the disk itself: readers are on this machine.
Status replace_file(const os::Path& file, const std::string& text) {
  const os::Path temp = os::Path(file) += ".new";
  std::error_code code;
  std::filesystem::remove(temp, code);
  TRY("", os::append_file(temp, text, 0644));
  std::filesystem::rename(temp, file, code);
  return code ? Status(fail_errno("write " + file.string(), code.value())) : Status();
}

}  // namespace

void Supervisor::add_limits(const std::optional<MoneySpec>& money) {
  money_ = money;
  money_at_ = clock_.steady_ms();
  const os::Path file = options_.dir / limits_file;
  if (const auto made = os::make_dirs(file.parent_path()); !made) log(made.error().what);
  job_->add_variable("FERRY_DEADLINE", std::to_string(saved_.status.deadline_ms / 1000));
  job_->add_variable("FERRY_BUDGET_LEFT", file.string());
  write_limits();
}

void Supervisor::write_limits() {
  const auto now = clock_.steady_ms();
  const auto left_ms = std::max<std::int64_t>(0, deadline_at_ - now);
  Json told{{"deadline", saved_.status.deadline_ms / 1000},
            {"seconds_left", left_ms / 1000},
            {"usd_left", nullptr},
            {"at_most_usd", nullptr}};
  if (money_) {
    constexpr double million = 1e6;
    const auto spent = cost(Usd{money_->hourly}, Millis(now - money_at_)).micros;
    told["usd_left"] = static_cast<double>(std::max<std::int64_t>(0, money_->left - spent)) / million;
    told["at_most_usd"] = static_cast<double>(money_->at_most) / million;
  }
  if (const auto written = replace_file(options_.dir / limits_file, dump_json(told) + "\n"); !written)
    log(written.error().what);
  limits_at_ = now + limits_every_ms;
}

Result<JobStatus> Supervisor::extend(const Extension& extension) {
  constexpr std::int64_t year_ms = std::int64_t{366} * 86'400'000;
  if (!active() || stop_ || leaving_ || is_interrupted())
    return fail(Kind::conflict, "nothing runs that could go on for longer",
                active() ? "it is being ended" : "the training is over");
  if (extension.deadline_ms < saved_.status.deadline_ms)
    return fail(Kind::bad_input, "the training would end sooner than it does now");
  if (extension.deadline_ms - saved_.status.started_ms > year_ms)
    return fail(Kind::bad_input, "no training takes longer than a year");
  const auto left_ms = extension.deadline_ms - clock_.now_ms();
  if (may_power_off()) {
    if (extension.power_off_in_s * 1000 < left_ms)
      return fail(Kind::bad_input, "the machine would end before the training does");
    TRY("", put_off_power_off(saved_.run, Seconds(extension.power_off_in_s)));
  }
  saved_.status.deadline_ms = extension.deadline_ms;
  saved_.retention_s = std::max(saved_.retention_s, extension.retention_s);
  deadline_at_ = clock_.steady_ms() + left_ms;
  if (extension.money) {
    money_ = extension.money;
    money_at_ = clock_.steady_ms();
  }
  persist();
  write_limits();
  take_back_asking("the training was given more time");
  if (idle_) idle_->begin_anew(clock_.steady_ms());
  log(fmt::format("the limit is put off: {} s are left", left_ms / 1000));
  ++version_;
  return status();
}

}  // namespace ferry::agent
