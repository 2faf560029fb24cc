#include "agent/stand_in.h"

#include <algorithm>

#include "agent/client.h"
#include "agent/power.h"
#include "agent/restore.h"
#include "agent/sent_pack.h"
#include "agent/store_place.h"
#include "agent/stored_files.h"
#include "aws/autoscaling.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/http.h"
#include "os/process.h"
#include "s3/role.h"
#include "store/keys.h"
#include "store/manifest.h"
#include "store/store.h"
#include "sync/sync.h"

namespace ferry::agent {

namespace {

constexpr std::size_t longest_text = 4096, most_order = std::size_t{8} << 20, most_claim = std::size_t{64} << 10,
                      most_end = std::size_t{64} << 10;
/// More machines than that were not started for one run.
constexpr int most_attempts = 1000;
/// A machine with less of its time left than that begins nothing.
constexpr Seconds least_time{60};
/// What a step may take: environments are built from sources at times. The machine's own timer bounds it besides.
constexpr Millis step_limit{std::chrono::hours(12)};
constexpr Millis hello_limit{60'000};

void say(const std::string& line) { fmt::print(stderr, "ferry-agent: {}\n", printable(line)); }

/// The newest attempt that the run has, by what machines claimed.
Result<int> newest_attempt(store::Store& store, const std::string& run, int from) {
  for (int attempt = from; attempt < most_attempts; ++attempt) {
    const auto next = store.get(store::claim_key(run, attempt + 1, 0), most_claim);
    if (!next && next.error().kind == Kind::not_found) return attempt;
    if (!next) return tl::unexpected<Error>(next.error());
  }
  return fail(Kind::conflict, fmt::format("{} machines were started for {} by now", most_attempts, run));
}

/// How the attempt's job ended, where it did.
Result<std::optional<JobStatus>> end_of(store::Store& store, const std::string& run, int attempt) {
  const auto got = store.get(store::manifest_key(run, attempt, 0), store::most_manifest_bytes);
  if (!got && got.error().kind == Kind::not_found) return std::optional<JobStatus>();
  if (!got) return tl::unexpected<Error>(got.error());
  TRY_SET(manifest, "", store::parse_manifest(got->bytes));
  for (const auto& entry : manifest.entries) {
    if (entry.kind != store::FileKind::record || entry.path != end_record) continue;
    TRY_SET(record, "", store.get(entry.key, most_end));
    TRY_SET(json, "read how the training ended", parse_json(record.bytes));
    TRY_SET(status, "", status_from(json));
    return std::optional(std::move(status));
  }
  return std::optional<JobStatus>();
}

/// Nothing comes after it.
bool is_over(const JobStatus& end) {
  return end.state == JobState::done && end.reason != interrupted && end.reason != "lost" && end.reason != "stopped";
}

class StandIn {
 public:
  explicit StandIn(const StandInOptions& options) : options_(options), claim_(options.self) {}

  Result<bool> go() {
    open_ = connections_to(options_.store, options_.dir);
    TRY_SET(store, "", open_());
    store_ = std::move(store);
    TRY_SET(text, "look for what is to be done", store_->get(store::stand_in_key(options_.run), most_order));
    TRY_SET(json, "read what is to be done", parse_json(text.bytes));
    TRY_SET(order, "", stand_in_order_from(json));
    order_ = std::move(order);
    TRY_SET(claimed, "", claim());
    if (!claimed) return false;
    auto begun = begin();
    if (begun) return true;
    // Whoever looks at the run later sees why it does not go on.
    claim_.problem = describe(begun.error());
    say(claim_.problem);
    if (const auto put = store_->put(store::claim_key(options_.run, attempt_, 0), dump_json(to_json(claim_))); !put)
      say(describe(put.error()));
    return tl::unexpected<Error>(std::move(begun).error());
  }

 private:
  std::int64_t left_ms() const { return order_.deadline_ms - os::system_clock().now_ms(); }

  /// False: there is nothing to go on with.
  Result<bool> claim() {
    while (true) {
      TRY_SET(newest, "look how far the run is", newest_attempt(*store_, options_.run, order_.attempt));
      TRY_SET(end, "look how far the run is", end_of(*store_, options_.run, newest));
      if (end && is_over(*end)) {
        say(fmt::format("attempt {} is over: there is nothing to go on with", newest));
        return false;
      }
      if (left_ms() < Millis(least_time).count()) {
        say("the run's time is over");
        return false;
      }
      attempt_ = newest + 1;
      const auto put =
          store_->put(store::claim_key(options_.run, attempt_, 0), dump_json(to_json(claim_)), store::if_absent());
      if (put) return true;
      if (put.error().kind != Kind::conflict) return tl::unexpected<Error>(put.error());
    }
  }

  Status begin() {
    say(fmt::format("goes on with {}, attempt {}", options_.run, attempt_));
    // The run may have been given more time since the machine's timer was written down.
    if (const auto later = put_off_power_off(options_.run, Seconds(left_ms() / 1000)); !later)
      say(describe(later.error()));
    TRY("bring what was sent", take_sent());
    for (const auto& step : order_.steps) TRY(step.what, run(step));
    if (!order_.scratch.empty() && !os::is_directory(order_.scratch))
      return fail(Kind::unsupported, "this machine has no " + order_.scratch, "the first one had its disks there");
    const RestoreOrder wanted{
        .run = options_.run, .attempt = attempt_ - 1, .workdir = order_.spec.workdir, .store = options_.store};
    TRY_SET(restored, "bring back what the run had stored",
            restore(wanted, options_.dir, [](const RestoreReport&) { return true; }));
    return start(restored.attempt > 0);
  }

  /// As if the laptop had sent it.
  Status take_sent() {
    const os::Path folder = options_.dir / "stand-in", pack = folder / "sent.pack";
    TRY("", os::make_dirs(folder, 0700));
    TRY_SET(object, "", store_->get_file(store::sent_key(options_.run), pack));
    (void)object;
    TRY_SET(tree, "", unpack_sent(pack, folder));
    auto receiver = os::Process::spawn({.argv = {os::self_program().string(), "receive", order_.spec.workdir,
                                                 "--mirror", "--state", options_.dir.string() + "-sync.state"},
                                        .in = os::Stream::pipe,
                                        .out = os::Stream::pipe});
    if (!receiver) return tl::unexpected<Error>(receiver.error());
    TRY_SET(report, "", sync::send_tree(receiver->out.get(), receiver->in.get(), folder, tree, {}));
    (void)report;
    receiver->in.reset();
    (void)receiver->wait(Millis(10'000));
    return os::remove_all(folder);
  }

  static Status run(const StandInStep& step) {
    say(step.what);
    const auto home = os::env("HOME").value_or("/");
    TRY_SET(done, "", os::run_command({.argv = {"bash", "-c", step.command}, .cwd = home}, step.input, step_limit));
    if (done.exit.code == 0) return {};
    const auto words = trim(done.err.empty() ? done.out : done.err);
    return fail(Kind::bad_input, fmt::format("it ended with {}", done.exit.code),
                short_line(words.substr(words.size() - std::min(words.size(), longest_text / 4)), longest_text / 4));
  }

  Status start(bool resumes) {
    auto spec = order_.spec;
    spec.attempt = attempt_;
    for (auto& [name, value] : spec.env) {
      if (name == "FERRY_ATTEMPT") value = std::to_string(attempt_);
      if (name == "FERRY_RESUMED") value = resumes ? "1" : "0";
    }
    const auto passed_s = (os::system_clock().now_ms() - order_.made_ms) / 1000;
    const auto left_s = left_ms() / 1000 - spec.retention_s - least_time.count();
    spec.max_duration_s = std::min(spec.max_duration_s - std::min(passed_s, spec.max_duration_s), left_s);
    if (spec.max_duration_s < least_time.count()) return fail(Kind::timeout, "no time is left to train in");
    if (spec.money)
      spec.money->left = std::max<std::int64_t>(0, spec.money->left - spec.money->hourly * passed_s / 3600);
    auto bridge = os::Process::spawn({.argv = {os::self_program().string(), "connect", options_.dir.string()},
                                      .in = os::Stream::pipe,
                                      .out = os::Stream::pipe});
    if (!bridge) return tl::unexpected<Error>(bridge.error());
    TRY_SET(client, "start the agent", Client::connect(std::move(bridge->out), std::move(bridge->in), hello_limit));
    TRY_SET(status, "start the training", client.start(spec));
    if (status.reason == not_started) return fail(Kind::bad_input, "the training was not started", status.note);
    return {};
  }

  const StandInOptions& options_;
  StandInClaim claim_;
  StandInOrder order_;
  std::function<Result<std::unique_ptr<store::Store>>()> open_;
  std::unique_ptr<store::Store> store_;
  int attempt_ = 0;
};

Status read_text(const Json& json, const char* key, std::string& into) {
  const auto at = json.find(key);
  if (at == json.end()) return {};
  if (!at->is_string()) return fail(Kind::corrupt, std::string(key) + " is no text");
  into = short_line(at->get<std::string>(), longest_text);
  return {};
}

}  // namespace

Json to_json(const StandInOrder& order) {
  Json steps = Json::array();
  for (const auto& step : order.steps)
    steps.push_back({{"what", step.what}, {"command", step.command}, {"input", step.input}});
  return {{"attempt", order.attempt}, {"made_ms", order.made_ms}, {"deadline_ms", order.deadline_ms},
          {"scratch", order.scratch}, {"steps", steps},           {"spec", to_json(order.spec)}};
}

Result<StandInOrder> stand_in_order_from(const Json& json) {
  const auto wrong = [] { return fail(Kind::corrupt, "the store does not say what a machine is to go on with"); };
  if (!json.is_object() || !json.contains("spec") || !json.contains("steps") || !json["steps"].is_array())
    return wrong();
  StandInOrder order{.made_ms = int_at(json, "made_ms"),
                     .deadline_ms = int_at(json, "deadline_ms"),
                     .scratch = text_at(json, "scratch")};
  const auto attempt = int_at(json, "attempt");
  if (attempt < 1 || attempt >= most_attempts || order.made_ms <= 0 || order.deadline_ms < order.made_ms)
    return wrong();
  order.attempt = static_cast<int>(attempt);
  for (const auto& one : json["steps"]) {
    if (!one.is_object()) return wrong();
    order.steps.push_back({text_at(one, "what"), text_at(one, "command"), text_at(one, "input")});
  }
  TRY_SET(spec, "", spec_from(json["spec"]));
  order.spec = std::move(spec);
  return order;
}

Json to_json(const StandInClaim& claim) {
  return {{"instance", claim.instance}, {"type", claim.type},         {"zone", claim.zone},
          {"region", claim.region},     {"host_key", claim.host_key}, {"launched_ms", claim.launched_ms},
          {"problem", claim.problem}};
}

Result<StandInClaim> stand_in_claim_from(const Json& json) {
  if (!json.is_object()) return fail(Kind::corrupt, "a machine's word on itself cannot be read");
  StandInClaim claim;
  for (const auto& [key, into] : {std::pair<const char*, std::string*>{"instance", &claim.instance},
                                  {"type", &claim.type},
                                  {"zone", &claim.zone},
                                  {"region", &claim.region},
                                  {"host_key", &claim.host_key},
                                  {"problem", &claim.problem}})
    TRY("a machine's word on itself", read_text(json, key, *into));
  claim.launched_ms = std::max<std::int64_t>(0, int_at(json, "launched_ms"));
  return claim;
}

Status want_none(const GroupSpec& group) {
  const auto http = os::make_http_client();
  auto& clock = os::system_clock();
  aws::Client client(
      {.credentials = s3::role_of_this_machine(*http, clock), .region = group.region, .endpoint_url = group.endpoint},
      *http, clock);
  return aws::set_desired_capacity(client, group.name, 0);
}

Result<bool> stand_in(const StandInOptions& options) {
  auto goes_on = StandIn(options).go();
  if (goes_on && *goes_on) return true;
  const auto told = want_none(options.group);
  if (!told) say("the group was not told that no machine is wanted: " + describe(told.error()));
  if (const auto off = power_off(); !off) say(describe(off.error()));
  return goes_on;
}

Status run_stand_in(const os::Path& dir, int in) {
  os::ignore_sigpipe();
  std::string text;
  while (text.size() < most_claim) {
    TRY_SET(more, "read whose place this machine takes", os::read_some(in));
    if (more.empty()) break;
    text += more;
  }
  TRY_SET(json, "read whose place this machine takes", parse_json(text));
  if (!json.is_object() || !json.contains("store") || !json.contains("group") || !json.contains("self"))
    return fail(Kind::bad_input, "that is no run");
  StandInOptions options{.dir = dir, .run = text_at(json, "run")};
  if (!store::is_run_name(options.run)) return fail(Kind::bad_input, "that is no run");
  TRY_SET(store, "", store_spec_from(json["store"]));
  TRY_SET(group, "", group_spec_from(json["group"]));
  TRY_SET(self, "", stand_in_claim_from(json["self"]));
  options.store = std::move(store);
  options.group = std::move(group);
  options.self = std::move(self);
  TRY("", os::make_dirs(dir, 0700));
  TRY("", stand_in(options));
  return {};
}

}  // namespace ferry::agent
