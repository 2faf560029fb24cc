// How a run ends whose machine is to rest (`ends: stop`).
#include "base/text.h"
#include "run/ending.h"
#include "run/record.h"
#include "run/resting.h"
#include "run/run_controller.h"
#include "watch/report.h"

namespace ferry::run {

int RunController::stop_machine(const Status& done) {
  if (lease_ && !lease_->confirm()) stop_at_once("another computer took it over while this one was not heard of");
  node_.connection.reset();
  bring_stored();  // first: nobody looks after a run that rests
  context_.progress.begin("stop", node_.instance.id);
  const auto stopped = put_to_rest(context_, run_);
  if (!stopped && stopped.error().kind == Kind::not_found) return give_back(done);
  if (!stopped) {
    auto error = stopped.error();
    error.advice += (error.advice.empty() ? "" : "; then  ") + std::string("ferry down ") + run_.name;
    context_.progress.error(error);
    context_.progress.note(fmt::format(
        "{} may still run, for {}/h, and stops itself at the latest {} after its start; "
        "every ferry command tries again",
        node_.instance.id, show_hourly(node_.instance.hourly), show_duration(node_.lifetime.until_power_off())));
    return ferry_failed;
  }
  write_record(context_, run_);
  tell_end();
  if (lease_) lease_->give_back();
  lease_.reset();
  const auto instances = context_.ledger.instances(run_.name).value_or(std::vector<ledger::Instance>());
  const auto total = watch::total_spent(instances, context_.clock.now_ms());
  const auto at_most = ledger::at_most(context_.ledger, run_);
  const auto words = resting_words(node_.instance);
  context_.progress.done("stop",
                         fmt::format("{} · until now {}{}", words, total ? show(*total) : "unknown",
                                     at_most ? " of at most " + show_at_most(*at_most) : ""),
                         {{"kept", node_.instance.id},
                          {"stopped", true},
                          {"disk_usd_month", watch::json_usd(disk_month(node_.instance.disk, node_.instance.region))}});
  note_home();
  if (run_.outputs_stored && !run_.outputs_home) return ferry_failed;
  return exit_code_of(run_);
}

}  // namespace ferry::run
