// `ferry extend`: more time for a training that runs, and what that may cost.
#include <algorithm>

#include "agent/stand_in.h"
#include "base/text.h"
#include "fleet/stand_in.h"
#include "plan/plan.h"
#include "run/actions.h"
#include "run/reach.h"
#include "run/stored.h"
#include "store/keys.h"
#include "watch/report.h"

namespace ferry::run {

namespace {

/// The job's limit as it is to be, and the machine's.
struct Terms {
  fleet::TimeLimits lifetime;  // of the attempt
  Seconds until_power_off;     // since the machine's launch
  agent::Extension order;
};

Result<Terms> terms_of(fleet::Context& context, const ledger::Instance& machine, const agent::JobStatus& job,
                       Seconds time) {
  if (job.state != agent::JobState::setup && job.state != agent::JobState::running)
    return fail(Kind::conflict, machine.run + " does not train: nothing is there to be given more time", {},
                "ferry ps says where it stands");
  constexpr Seconds longest{365 * 86'400};
  Terms terms;
  const auto now = std::chrono::ceil<Seconds>(Millis(job.deadline_ms - job.started_ms));
  if (now < Seconds(0) || now > longest || now + time > longest)
    return fail(Kind::bad_input, "no training takes longer than a year");
  terms.lifetime.max_duration = now + time;
  terms.order.deadline_ms = job.deadline_ms + Millis(time).count();
  terms.order.retention_s = terms.lifetime.retention().count();
  if (machine.provider == "ssh") return terms;
  // The machine began before the job did; what came between is not the training's.
  const auto here_ms = context.clock.now_ms();
  const auto there_s = std::max<std::int64_t>(0, (here_ms - machine.launched_ms) / 1000);
  const auto left_s = std::max<std::int64_t>(0, (terms.order.deadline_ms - here_ms) / 1000) + 60;
  const auto needed = Seconds(there_s + left_s) + terms.lifetime.retention();
  terms.until_power_off = std::max(terms.lifetime.until_power_off(), needed);
  terms.order.power_off_in_s = terms.until_power_off.count() - there_s;
  return terms;
}

/// What the whole run may cost then; nothing: it is not known.
Result<std::optional<Usd>> most_of(fleet::Context& context, const ledger::Reservation& reserved,
                                   const ledger::Instance& machine, Seconds until_power_off) {
  if (reserved.at_most.micros <= 0 || reserved.machine_hourly.micros <= 0) return std::nullopt;
  TRY_SET(machines, "", context.ledger.instances(machine.run));
  auto rates = ledger::rates_of(machine);
  rates.machine = std::max(rates.machine, reserved.machine_hourly);
  Usd most = ferry::most({rates, until_power_off, plan::is_metal(machine.type)});
  for (const auto& one : machines) {
    if (one.token != machine.token) most = most + ledger::spent(one, context.clock.now_ms()).value_or(Usd{});
  }
  return std::max(whole_cents(most), reserved.at_most);
}

Status check_budget(const ledger::Run& run, const ledger::Reservation& reserved, const ExtendOptions& options,
                    const std::optional<Usd>& most) {
  const Usd noted{std::max(int_at(run.task, "budget_micros"), reserved.budget.micros)};
  const auto budget = options.budget ? *options.budget : noted;
  if (budget.micros <= 0) return {};
  if (!most)
    return fail(Kind::bad_input, "the budget cannot be kept: what the machine costs is not known", {},
                "ferry extend without --budget");
  if (*most <= budget) return {};
  return fail(Kind::bad_input, fmt::format("{} would break its budget of {}", run.name, show(budget)),
              fmt::format("with that time it may cost {} at most", show_at_most(*most)),
              fmt::format("--budget {:.2f} allows that", static_cast<double>(most->micros) / 1e6));
}

/// With `recover: aws`: a later end for the group, and for machines that it starts, before the job is promised one.
Status put_off_stand_in(fleet::Context& context, const ledger::Run& run, const Terms& terms) {
  TRY_SET(location, "", fleet::stand_in_location(context, run.name));
  if (!location) return {};
  TRY_SET(store, "", store_of(context, run)());
  TRY_SET(text, "", store->get(store::stand_in_key(run.name)));
  TRY_SET(json, "read what a machine goes on with", parse_json(text.bytes));
  TRY_SET(order, "", agent::stand_in_order_from(json));
  const auto now = context.clock.now_ms();
  order.deadline_ms = std::max(order.deadline_ms, now + Millis(Seconds(terms.order.power_off_in_s)).count());
  order.spec.max_duration_s = std::max(order.spec.max_duration_s, (terms.order.deadline_ms - order.made_ms) / 1000);
  auto reached = *location;
  TRY_SET(cloud, "", fleet::open_cloud(context, reached));
  TRY("", cloud->end_stand_in_at(fleet::stand_in_name(run), order.deadline_ms));
  TRY("", store->put(store::stand_in_key(run.name), dump_json(to_json(order))));
  return {};
}

}  // namespace

Result<Extension> extend(fleet::Context& context, const std::string& name, const ExtendOptions& options) {
  TRY_SET(run, "", context.ledger.run(name));
  TRY_SET(reached, "", reach(context, run));
  const auto machine = reached.connection.instance();
  TRY_SET(job, "ask the agent on the machine", reached.connection.job());
  TRY_SET(terms, "", terms_of(context, machine, job, options.time));
  TRY_SET(reserved, "", context.ledger.reservation(run.name));
  auto wanted = reserved.value_or(ledger::Reservation{.run = run.name, .provider = machine.provider});
  TRY_SET(most, "", most_of(context, wanted, machine, terms.until_power_off));
  TRY("", check_budget(run, wanted, options, most));
  if (options.ask && machine.provider == "aws") {
    const auto cost = most ? fmt::format("it may then cost {} at most", show_at_most(*most))
                           : std::string("what it may then cost is not known");
    TRY("", options.ask(fmt::format("Let {} train for {} in all; {}", run.name,
                                    show_duration(terms.lifetime.max_duration), cost)));
  }
  wanted.at_most = most.value_or(wanted.at_most);
  wanted.budget = options.budget ? *options.budget : wanted.budget;
  wanted.extended_s += options.time.count();
  wanted.attempt = newest_attempt(context, run.name);
  wanted.max_duration_s = terms.lifetime.max_duration.count();
  if (machine.provider == "ssh") {
    TRY("", context.ledger.reserve(wanted, {}));
  } else {
    // First what it may cost; killed from here on, that is more than what it does.
    auto caps = context.caps ? context.caps() : Result<Caps>(Caps{});
    if (!caps) return tl::unexpected<Error>(std::move(caps).error());
    TRY("", context.ledger.reserve(wanted, *caps));
    if (most) {
      TRY_SET(machines, "", context.ledger.instances(run.name));
      const auto spent = watch::total_spent(machines, context.clock.now_ms()).value_or(Usd{});
      const auto rates = ledger::rates_of(machine);
      terms.order.money = agent::MoneySpec{most->micros, std::max<std::int64_t>(0, most->micros - spent.micros),
                                           (rates.machine + rates.disk + rates.address).micros};
    }
  }
  TRY("give what would take the machine's place more time", put_off_stand_in(context, run, terms));
  TRY_SET(channel, "", reached.connection.agent());
  auto told = channel.client.extend(terms.order);
  if (!told) {
    // Nothing was put off where the agent says no; where it says nothing, it may have been.
    const auto kind = told.error().kind;
    const bool is_refused =
        kind == Kind::conflict || kind == Kind::unsupported || kind == Kind::bad_input || kind == Kind::denied;
    if (is_refused && reserved) (void)context.ledger.reserve(*reserved, {});
    return fail("give " + run.name + " more time", std::move(told).error());
  }
  (void)context.ledger.add_event(run.name, "extended",
                                 Json{{"seconds", options.time.count()}, {"deadline_ms", told->deadline_ms}});
  return Extension{run.name, most, told->deadline_ms};
}

}  // namespace ferry::run
