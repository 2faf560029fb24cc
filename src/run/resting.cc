#include "run/resting.h"

#include "base/text.h"
#include "fleet/labels.h"
#include "run/actions.h"
#include "run/ending.h"
#include "run/record.h"

namespace ferry::run {

using ledger::Phase;

bool may_rest(const ledger::Run& run) {
  return fleet::ends_by_stop(run) && !run.keep && is_durable(run) && run.phase >= Phase::setup &&
         run.phase < Phase::releasing;
}

Status put_to_rest(fleet::Context& context, ledger::Run& run) {
  TRY_SET(instance, "", live_instance(context, run));
  auto place = fleet::location_of(instance);
  TRY_SET(cloud, "", fleet::open_cloud(context, place));
  if (run.phase != Phase::fetching) TRY("", context.ledger.move(run.name, Phase::fetching));
  run.phase = Phase::fetching;
  TRY("", fleet::stop_and_wait(context, *cloud, instance));
  run.task[rests] = 1;
  TRY("", context.ledger.update(run));
  TRY("", context.ledger.let_go(run.name));
  write_record(context, run);
  return {};
}

Status reserve_start(fleet::Context& context, const ledger::Run& run) {
  TRY_SET(instance, "", live_instance(context, run));
  TRY_SET(before, "", context.ledger.reservation(run.name));
  TRY_SET(machines, "", context.ledger.instances(run.name));
  auto wanted = before.value_or(ledger::Reservation{.run = run.name, .provider = instance.provider});
  if (instance.hourly.micros <= 0) return {};  // what it costs is not known: as for one that was stopped by hand
  Usd spent;
  for (const auto& one : machines) spent = spent + ledger::spent(one, context.clock.now_ms()).value_or(Usd{});
  fleet::TimeLimits lifetime;
  if (const auto asked = int_at(run.task, "max_duration_s"); asked > 0) lifetime.max_duration = Seconds(asked);
  const auto rates = ledger::rates_of(instance);
  const auto again = most({.rates = rates,
                           .until_power_off = lifetime.until_power_off(),
                           .is_metal = instance.type.find("metal") != std::string::npos});
  wanted.at_most = whole_cents(spent + again);
  wanted.hourly = dearest_hour(rates);
  wanted.machine_hourly = instance.hourly;
  Caps caps;
  if (context.caps) {
    TRY_SET(own, "", context.caps());
    caps = own;
  }
  return context.ledger.reserve(wanted, caps);
}

std::string resting_words(const ledger::Instance& instance) {
  const auto month = disk_month(instance.disk, instance.region);
  return fmt::format("{} rests: its disk{} costs {} until  ferry down {}", instance.id,
                     instance.disk.gib > 0 ? fmt::format(" of {} GiB", instance.disk.gib) : "",
                     month.micros > 0 ? show(month) + " a month" : "on", instance.run);
}

Result<int> visit_started(fleet::Context& context, const std::string& run_name, const os::Argv& command) {
  TRY_SET(owner, "", RunLock::try_take(fleet::RunDir(context.data, run_name), Role::recover));
  if (!owner) return fail(Kind::conflict, "another ferry is at work on " + run_name, {}, "see what it does: ferry ps");
  TRY_SET(run, "", context.ledger.run(run_name));
  if (!is_kept(run) || !fleet::ends_by_stop(run))
    return fail(Kind::bad_input, run.name + " has no machine that rests", {}, "ferry ssh " + run.name);
  TRY("", reserve_start(context, run));
  run.task.erase(rests);  // from now on the next command stops it again, should this one be killed
  TRY("", context.ledger.update(run));
  const auto visited = [&]() -> Result<int> {
    TRY("", reach(context, run, true));
    return visit(context, run.name, command);
  }();
  auto stopped = put_to_rest(context, run);
  if (!stopped) return fail(run.name + "'s machine may run on", std::move(stopped).error());
  if (const auto instance = live_instance(context, run)) context.progress.note(resting_words(*instance));
  return visited;
}

}  // namespace ferry::run
