#include "run/reach.h"

#include <algorithm>
#include <csignal>

#include "base/text.h"
#include "run/ending.h"
#include "run/event_callback.h"
#include "run/kept.h"
#include "run/record.h"
#include "run/stored.h"

namespace ferry::run {

using ledger::Outcome;
using ledger::Phase;

bool is_kept(const ledger::Run& run) {
  if (run.phase != Phase::fetching) return false;
  return (run.keep && run.outputs_home) || int_at(run.task, rests) != 0;
}

bool ever_rented(const std::vector<ledger::Instance>& instances) {
  return std::ranges::any_of(instances, [](const auto& one) { return !one.id.empty(); });
}

int newest_attempt(fleet::Context& context, const std::string& run) {
  const auto attempts = context.ledger.attempts(run);
  const auto known = attempts && !attempts->empty() ? attempts->back().n : 1;
  const auto noted = context.ledger.run(run);
  const auto found = noted ? int_at(noted->task, "attempt") : 0;
  return static_cast<int>(std::clamp<std::int64_t>(found, known, std::max(known, ledger::most_attempts)));
}

Result<ledger::Instance> live_instance(fleet::Context& context, const ledger::Run& run) {
  TRY_SET(instances, "", context.ledger.instances(run.name));
  for (auto one = instances.rbegin(); one != instances.rend(); ++one) {
    if (one->state == ledger::Rent::live && !one->id.empty()) return *one;
  }
  const auto why =
      run.phase == Phase::released ? std::string("it was released") : "it is " + std::string(name(run.phase));
  return fail(
      Kind::not_found, run.name + " has no running instance", why,
      run.phase == Phase::released ? "a run whose machine stays: ferry run --keep …" : "ferry logs -f " + run.name);
}

Error told_to_rest(const ledger::Run& run, Error error) {
  if (int_at(run.task, rests) == 0 || error.code != fleet::stopped_code) return error;
  error.advice =
      fmt::format("ferry ssh --start {0} starts it for a visit, and stops it again; ferry down {0} ends it", run.name);
  return error;
}

Result<Reached> reach(fleet::Context& context, const ledger::Run& run, bool may_start) {
  TRY_SET(instance, "", live_instance(context, run));
  auto place = fleet::location_of(instance);
  TRY_SET(cloud, "", fleet::open_cloud(context, place));
  const auto now = fleet::refresh(context, *cloud, instance);
  if (!now && now.error().code == fleet::stopped_code) {
    if (!may_start) return tl::unexpected<Error>(told_to_rest(run, now.error()));
    context.progress.note(fmt::format("{} of {} is stopped; starting it", instance.id, run.name));
    TRY_SET(started, "", fleet::start_again(context, *cloud, instance));
    instance = std::move(started);
  }
  // A machine that was started has yet to boot.
  const auto limit = now ? reach_limit : Seconds(300);
  TRY_SET(connection, "",
          job::Connection::open(context, *cloud, fleet::RunDir(context.data, run.name), instance, limit,
                                job::MayInterrupt::any));
  return Reached{std::move(cloud), std::move(connection)};
}

Result<Seen> see(fleet::Context& context, cloud::Cloud& cloud, const ledger::Instance& instance) {
  constexpr Seconds young{300};  // EC2 is eventually consistent
  constexpr int looks = 3;
  for (int i = 0; i < looks; ++i) {
    if (i > 0) context.clock.sleep(Millis(500));
    const auto now = cloud.describe(instance.id);
    if (now) {
      const auto& why = now->state_reason;
      const auto standing = !now->alive() ? Standing::gone : now->is_off() ? Standing::stopped : Standing::there;
      return Seen{
          standing,
          fmt::format("{} is {}{}", instance.id, name(now->state), why.empty() ? "" : " (" + printable(why) + ")"),
          *now};
    }
    if (now.error().kind != Kind::not_found) return tl::unexpected<Error>(now.error());
    TRY("", fleet::confirm_account(cloud, fleet::location_of(instance)));
    if (context.clock.now_ms() - instance.launched_ms < young.count() * 1000) return Seen{};
  }
  return Seen{Standing::gone, fmt::format("the cloud does not know {} any more", instance.id), {}};
}

Result<std::unique_ptr<Register>> register_of(fleet::Context& context, const ledger::Run& run) {
  if (is_seen_from_here(context, run)) {
    TRY_SET(store, "", store_of(context, run, fleet::Hurry::yes)());
    return store_register(std::move(store), run.name);
  }
  const auto machine = live_instance(context, run);
  if (!machine || machine->provider == "ssh" || run.phase >= Phase::releasing) return std::unique_ptr<Register>();
  auto place = fleet::location_of(*machine);
  TRY_SET(cloud, "", fleet::open_cloud(context, place));
  return tag_register(std::move(cloud), machine->id);
}

Status mark_released(fleet::Context& context, ledger::Run run, Outcome outcome, const std::string& error) {
  // No run is called succeeded whose outputs are not safe.
  if (run.outcome == Outcome::succeeded && !is_durable(run)) run.outcome = Outcome::none;
  if (run.outcome == Outcome::none) {
    run.outcome = final_outcome(run, outcome);
    if (run.outcome != Outcome::succeeded) run.error = error;
  }
  if (run.outcome != Outcome::succeeded && run.exit_code == 0) run.exit_code.reset();
  run.ended_ms = context.clock.now_ms();
  TRY("", context.ledger.update(run));
  write_record(context, run);
  if (run.phase != Phase::released) TRY("", context.ledger.move(run.name, Phase::released));
  const fleet::RunDir run_dir(context.data, run.name);
  forget_sent(run_dir);
  EventCallback callback(context, run_dir);
  callback.tell(run, std::max(1, static_cast<int>(int_at(run.task, "attempt"))), job_status(run.outcome),
                ledger::name(run.outcome));
  callback.let_go();  // this process may hold the run, and ends soon
  return {};
}

Result<RunLock> take_over(fleet::Context& context, const std::string& name, bool with_outputs) {
  constexpr Seconds longest{900};
  const Seconds patience(with_outputs ? 90 : 5);
  const fleet::RunDir run_dir(context.data, name);
  const auto begun = context.clock.steady_ms();
  std::optional<Holder> asked;
  std::int64_t asked_at = 0;
  while (true) {
    TRY_SET(owner, "", RunLock::try_take(run_dir, Role::recover));
    if (owner) return std::move(*owner);
    const auto now = context.clock.steady_ms();
    if (const auto holder = RunLock::holder_of(run_dir); holder && holder->role == Role::follow) {
      if (!asked || asked->pid != holder->pid) {
        RunLock::signal(*holder, SIGTERM, with_outputs ? 0 : fleet::give_up_word);
        asked = holder;
        asked_at = now;
      }
      TRY_SET(run, "", context.ledger.run(name));
      const bool is_bringing_home = with_outputs && run.phase >= Phase::fetching;
      const auto limit = is_bringing_home ? longest : patience;
      if (now - asked_at >= limit.count() * 1000) RunLock::signal(*holder, SIGKILL);
    }
    if (context.check_signals(false) != fleet::Interrupt::go_on)
      return fail(Kind::cancelled, "stopped waiting for the ferry that owns " + name);
    if (now - begun > longest.count() * 1000)
      return fail(Kind::timeout, "another ferry keeps hold of " + name,
                  fmt::format("it did not let go within {}", show_duration(longest)),
                  "ferry ps says what it does; try again when that is over");
    context.clock.sleep(Millis(50));
  }
}

}  // namespace ferry::run
