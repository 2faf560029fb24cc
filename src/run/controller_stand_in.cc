// `recover: aws`: what AWS starts in the place of a run's machine that dies. Before the job starts it is made ready;
// later the machines that it started are attempts of the run.
#include "base/hash.h"
#include "base/store_place.h"
#include "base/text.h"
#include "fleet/agent_programs.h"
#include "fleet/labels.h"
#include "fleet/stand_in.h"
#include "fleet/store_access.h"
#include "os/env.h"
#include "run/reach.h"
#include "run/run_controller.h"
#include "run/stored.h"
#include "store/keys.h"

namespace ferry::run {

using ledger::Outcome;
using ledger::Phase;

namespace {

constexpr std::size_t most_claim = std::size_t{64} << 10;
/// From a machine's end until its group has ordered another one: AWS looks after a minute or two, and then there may
/// be no room. Beyond that this computer looks for a machine itself, also of other types and regions.
constexpr Seconds group_limit{300};
/// From there until that says in the store that it is there.
constexpr Seconds boot_limit{900};

/// The machine says of itself what it likes: it is of this run only if the cloud says so, too.
Status confirm_claim(const Result<cloud::Instance>& found, const ledger::Run& run, const agent::StandInClaim& claim) {
  if (!found) return {};
  const auto tag = found->tags.find(fleet::launch_tag);
  if (tag != found->tags.end() && tag->second == fleet::launch_id(run)) return {};
  return fail(Kind::conflict, printable(claim.instance) + " is no machine of " + run.name,
              "that is what the store has as the machine of its next attempt");
}

}  // namespace

bool RunController::wants_stand_in() const {
  return beginning_ && beginning_->request.task.recovers_by_aws && node_.instance.provider != "ssh" &&
         !trial_.launched_by.image.id.empty();
}

void RunController::arm_stand_in(agent::JobSpec& spec) {
  if (!wants_stand_in()) return;
  context_.progress.update("making ready what takes the machine's place");
  const auto armed = [&]() -> Status {
    TRY_SET(session, "", fleet::open_s3(context_, run_.store, "", node_.location.profile, node_.location.provider));
    const auto place = session->place();
    spec.group = agent::GroupSpec{fleet::stand_in_name(run_), node_.location.region, node_.location.endpoint};
    TRY_SET(store, "", store_of(context_, run_)());
    if (!store->look(store::sent_key(run_.name)))
      return fail(Kind::bad_input, "what was sent is not in the store, from which the next machine would take it");
    TRY_SET(program, "", fleet::agent_program(context_, node_.connection->paths().agent));
    if (!store->look(store::agent_key(run_.name))) TRY("", store->put(store::agent_key(run_.name), program));
    const auto deadline = node_.instance.launched_ms + Millis(node_.lifetime.until_power_off()).count();
    const auto scratch = trial_.environment.facts.value("scratch", Json::object());
    const agent::StandInOrder order{.attempt = trial_.n,
                                    .made_ms = context_.clock.now_ms(),
                                    .deadline_ms = deadline,
                                    .scratch = text_at(scratch, "folder"),
                                    .steps = trial_.environment.steps,
                                    .spec = spec};
    TRY("", store->put(store::stand_in_key(run_.name), dump_json(to_json(order))));
    TRY_SET(parts, "", parse_store_place(run_.store));
    cloud::StandInOrder wanted{.machine = trial_.launched_by,
                               .instance_id = node_.instance.id,
                               .until_ms = deadline,
                               .subnet_ids = beginning_->request.task.aws.subnets_in(node_.location.region)};
    wanted.machine.client_token.clear();
    for (const auto* of_the_first : {fleet::host_key_tag, fleet::attempt_tag}) wanted.machine.tags.erase(of_the_first);
    wanted.machine.user_data =
        fleet::stand_in_user_data({.run = run_.name,
                                   .login_user = node_.instance.login_user,
                                   .deadline_ms = deadline,
                                   .bucket = parts.bucket,
                                   .agent_key = parts.prefix + store::agent_key(run_.name),
                                   .s3_region = place.region,
                                   .s3_endpoint = place.endpoint,
                                   .agent_name = os::Path(node_.connection->paths().agent).filename(),
                                   .agent_sha256 = hex(sha256(program)),
                                   .store = to_json(spec.store),
                                   .group = to_json(*spec.group)});
    return fleet::make_stand_in(context_, run_, node_.location, *node_.cloud, std::move(wanted));
  }();
  if (armed) {
    const auto end = node_.instance.launched_ms + Millis(node_.lifetime.until_power_off()).count();
    const auto told = fmt::format("should {} die, AWS starts another machine by itself, until {} at the latest",
                                  node_.instance.id, os::iso_time(end));
    return context_.progress.note(told, {{"instance_id", node_.instance.id}, {"until", os::iso_time(end)}});
  }
  spec.group.reset();
  auto error = armed.error();
  error.what = "AWS will not start the next machine by itself: " + error.what;
  if (error.kind == Kind::denied) error.advice = "`ferry policy --recover` prints what allows it";
  context_.progress.warn("setup", describe(error));
}

Result<bool> RunController::catch_up_with_stand_ins() {
  TRY_SET(location, "", fleet::stand_in_location(context_, run_.name, true));
  if (!location) return false;
  auto reached = *location;
  TRY_SET(cloud, "", fleet::open_cloud(context_, reached));
  TRY_SET(store, "", store_of(context_, run_)());
  // A ferry before this one may have died between the two notes of the newest attempt.
  bool news = false;
  for (int attempt = std::max(2, trial_.n);; ++attempt) {
    const auto got = store->get(store::claim_key(run_.name, attempt, 0), most_claim);
    if (!got && got.error().kind == Kind::not_found && attempt == trial_.n) continue;
    if (!got && got.error().kind == Kind::not_found) return news;
    if (!got) return tl::unexpected<Error>(got.error());
    TRY_SET(json, "a machine's word on itself", parse_json(got->bytes));
    TRY_SET(claim, "", agent::stand_in_claim_from(json));
    const auto found = cloud->describe(claim.instance);
    if (!found && found.error().kind != Kind::not_found) return tl::unexpected<Error>(found.error());
    if (!found) TRY("", fleet::confirm_account(*cloud, *location));
    TRY("", confirm_claim(found, run_, claim));
    const bool is_begun = attempt == trial_.n;
    // The phase is the last that is noted of it.
    trial_.is_stand_in = is_begun;
    if (is_begun && run_.phase >= Phase::training) continue;
    TRY_SET(before, "", end_those_before(*cloud, claim));
    if (!is_begun) TRY("", lose_attempt());
    TRY("", take_up_stand_in(std::move(before), claim, found));
    news = true;
  }
}

Result<ledger::Instance> RunController::end_those_before(cloud::Cloud& cloud, const agent::StandInClaim& claim) {
  const auto now = context_.clock.now_ms();
  TRY_SET(instances, "", context_.ledger.instances(run_.name));
  ledger::Instance last;
  for (auto& one : instances) {
    if (one.id.empty()) continue;
    last = one;
    if (one.id == claim.instance) continue;
    if (one.state != ledger::Rent::live) continue;
    const auto before = cloud.describe(one.id);
    const bool is_gone = before ? before->state == cloud::State::terminated : before.error().kind == Kind::not_found;
    if (!is_gone) continue;  // the release looks again
    const auto ended = before && before->ended_ms > 0 ? before->ended_ms : std::min(claim.launched_ms, now);
    one.state = ledger::Rent::released;
    one.released_ms = std::max(ended, one.launched_ms);
    TRY("", context_.ledger.record_instance(one));
  }
  if (last.id.empty()) return fail(Kind::not_found, "the ledger knows no machine of " + run_.name);
  return last;
}

Status RunController::lose_attempt() {
  if (!is_over() || run_.outcome == Outcome::none) {
    run_.outcome = Outcome::lost;
    run_.error = "its machine is gone";
  }
  TRY("", context_.ledger.update(run_));
  node_.connection.reset();
  pull_.reset();
  return begin_attempt();
}

Status RunController::take_up_stand_in(ledger::Instance next, const agent::StandInClaim& claim,
                                       const Result<cloud::Instance>& found) {
  const auto now = context_.clock.now_ms();
  next.token = fmt::format("{}-a{}-{}", run_.name, trial_.n, claim.instance).substr(0, 64);
  next.id.clear();
  next.address.clear();
  next.state = ledger::Rent::intent;
  next.intent_ms = now;
  next.released_ms = next.running_ms = next.bytes_out = 0;
  // A ferry that was killed here has noted that already.
  TRY_SET(noted, "", context_.ledger.instances(run_.name));
  if (std::ranges::none_of(noted, [&](const auto& one) { return one.token == next.token; }))
    TRY("", context_.ledger.record_intent(next));
  next.id = claim.instance;
  next.type = found ? found->type : claim.type;
  next.zone = found ? found->zone : claim.zone;
  next.launched_ms =
      found && found->launched_ms > 0 ? found->launched_ms : std::clamp(claim.launched_ms, std::int64_t{1}, now);
  next.state = ledger::Rent::live;
  if (found) fleet::record_access(*found, next);
  if (!found || found->state == cloud::State::terminated) {
    next.state = ledger::Rent::released;
    next.released_ms = std::max(found && found->ended_ms > 0 ? found->ended_ms : now, next.launched_ms);
  }
  TRY("", context_.ledger.record_instance(next));
  node_.instance = next;
  run_.task["host_key"] = claim.host_key;
  run_.train_start_ms = next.launched_ms;
  trial_.was_started = trial_.is_stand_in = true;
  TRY("", context_.ledger.update(run_));
  TRY("", enter(Phase::training));
  context_.progress.note(fmt::format("AWS started {} ({}) in its place: {} goes on there (attempt {})", next.id,
                                     next.zone, run_.name, trial_.n),
                         {{"run", run_.name}, {"attempt", trial_.n}, {"instance_id", next.id}});
  if (!claim.problem.empty()) context_.progress.warn("train", "it could not go on: " + printable(claim.problem));
  return {};
}

bool RunController::is_stand_in_beginning() {
  if (!trial_.is_stand_in || node_.look(run_.name) != Standing::there) return false;
  const auto store = store_of(context_, run_)();
  if (!store) return true;  // nothing is known
  const auto got = (*store)->get(store::claim_key(run_.name, trial_.n, 0), most_claim);
  if (!got) return got.error().kind != Kind::not_found;
  const auto json = parse_json(got->bytes);
  const auto claim = json ? agent::stand_in_claim_from(*json) : tl::unexpected<Error>(json.error());
  return claim && claim->problem.empty();
}

bool RunController::may_be_replaced(const Status& done) {
  const bool is_wanted = context_.interrupt == fleet::Interrupt::go_on && !context_.letting_go && !context_.given_up &&
                         !detaching_ && int_at(run_.task, cancel_asked) == 0;
  if (!is_wanted || run_.phase >= Phase::releasing) return false;
  const auto location = fleet::stand_in_location(context_, run_.name);
  if (!location || !*location) return false;
  if (done) return run_.task.contains(was_interrupted);
  if (node_.look(run_.name) != Standing::gone) return false;
  // One that has stored everything ends itself.
  const auto whole = is_stored();
  return !(whole && *whole) || run_.task.contains(was_interrupted);
}

std::optional<Status> RunController::follow_stand_in(const Status& done) {
  if (!may_be_replaced(done)) return std::nullopt;
  const auto began = context_.clock.steady_ms();
  const auto until_ordered = Millis(os::env_duration("FERRY_STAND_IN_LIMIT", group_limit)).count();
  std::int64_t ordered_at = 0;
  context_.progress.begin("train", "waiting for the machine that AWS starts in its place");
  while (true) {
    const auto caught = catch_up_with_stand_ins();
    if (caught && *caught) return follow_attempt();
    if (!caught && !passes(caught.error())) {
      context_.progress.warn("train", describe(caught.error()));
      return std::nullopt;
    }
    const auto now = context_.clock.steady_ms();
    auto location = fleet::stand_in_location(context_, run_.name);
    if (!location || !*location) return std::nullopt;
    auto cloud = fleet::open_cloud(context_, **location);
    const auto group = cloud ? (*cloud)->stand_in(fleet::stand_in_name(run_))
                             : Result<std::optional<cloud::StandIn>>(tl::unexpected<Error>(cloud.error()));
    if (group && (!*group || (*group)->wanted == 0)) return std::nullopt;
    const bool is_ordered =
        group && std::ranges::any_of((*group)->instances, [&](const auto& id) { return id != node_.instance.id; });
    if (is_ordered && ordered_at == 0) ordered_at = now;
    if (ordered_at == 0 ? now - began > until_ordered : now - ordered_at > Millis(boot_limit).count()) {
      context_.progress.warn("train", "AWS has started no machine in its place: it is looked for from here");
      return std::nullopt;
    }
    context_.sleep(Millis(1000), true);
    const auto interrupt = context_.check_signals(true);
    if (interrupt == fleet::Interrupt::detach) {
      detaching_ = true;
      return Status();
    }
    if (interrupt != fleet::Interrupt::go_on || context_.letting_go) return std::nullopt;
  }
}

}  // namespace ferry::run
