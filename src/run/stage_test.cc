// The stage that this room's tests play on, and its own tests: a run that goes well.
#include "run/stage.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/client.h"
#include "base/text.h"
#include "fleet/labels.h"
#include "fleet/machine.h"
#include "job/stored.h"
#include "run/actions.h"
#include "ssh/keys.h"
#include "store/content.h"
#include "store/folder.h"

namespace ferry::run {

namespace {

constexpr const char* stage_region = "us-east-1";
constexpr int no_process = 0x3fffffff;  // no system has so many

/// No call of a test leaves this computer, nor reaches a service of it.
class NoNetwork final : public os::HttpClient {
 public:
  Result<os::HttpResponse> send(const os::HttpRequest& request) override {
    return fail(Kind::lost, "no network: " + request.url);
  }
};

}  // namespace

std::unique_ptr<store::Store> Stage::store() const { return must(store::open_folder(dir_.path() / "store")); }

void Stage::put_stored(const std::string& run, const std::string& model, bool complete, const std::string& reason,
                       int attempt) {
  const auto there = store();
  store::Manifest manifest{.run = run, .attempt = attempt, .made_ms = 1, .complete = complete};
  const auto put = [&](store::FileKind kind, const std::string& path, const std::string& bytes) {
    const auto content = store::content_of_bytes(bytes);
    const auto key = store::file_key(run, attempt, 0, kind, path, content.sha256);
    must(there->put(key, bytes));
    manifest.entries.push_back({path, kind, content.bytes, content.sha256, 0644, key, 5});
  };
  put(store::FileKind::output, "outputs/model", model);
  agent::JobStatus end;
  end.state = agent::JobState::done;
  end.run_exit = 0;
  end.reason = reason;
  end.run_started_ms = clock.now_ms();
  end.ended_ms = clock.now_ms() + 1;
  if (complete) put(store::FileKind::record, job::end_record, dump_json(agent::to_json(end)));
  must(there->put(store::manifest_key(run, attempt, 0), must(store::manifest_text(manifest))));
}

bool Stage::is_stored(const std::string& run) {
  if (!has_store_) return false;
  auto stored = job::look_at_stored(*store(), run, 1, 0);
  for (int attempt = 2; attempt < 5; ++attempt) {
    auto newer = job::look_at_stored(*store(), run, attempt, 0);
    if (newer && *newer) stored = std::move(newer);
  }
  if (!stored || !*stored || !(*stored)->is_complete()) return false;
  return std::ranges::any_of((*stored)->manifest.entries, [&](const auto& entry) {
    const auto object = store()->get(entry.key);
    return entry.path == "outputs/model" && object && object->bytes == "model\n";
  });
}

void HandClock::sleep(Millis time) {
  const auto end = now_ + std::max<std::int64_t>(0, time.count());
  while (!plans_.empty() && plans_.begin()->first <= end) {
    const auto plan = plans_.extract(plans_.begin());
    now_ = std::max(now_, plan.key());
    plan.mapped()();
  }
  now_ = std::max(now_, end);
}

void HeardProgress::put(std::string_view what, std::string_view about, std::string_view text) {
  lines.push_back(fmt::format("{} {}: {}", what, about, text));
  if (on_line) on_line(lines.back());
}

/// Nothing of a test need outlive the computer: a file system in memory makes fsync(2) free.
void write_to_memory() {
  struct statvfs there;
  if (::statvfs("/dev/shm", &there) == 0 && (there.f_flag & ST_NOEXEC) == 0 && ::access("/dev/shm", W_OK) == 0)
    ::setenv("TMPDIR", "/dev/shm", 0);
}

Stage::Stage() : dir_((write_to_memory(), "ferry-stage")), http_(std::make_unique<NoNetwork>()) {
  // What this computer's user has is nobody's business here.
  for (const char* name : {"XDG_CACHE_HOME", "XDG_CONFIG_HOME"}) ::setenv(name, dir_.path().c_str(), 1);
  ::setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
  ::setenv("FERRY_PULL_EVERY", "off", 1);  // by a clock that is turned by hand they would come anywhere
  for (const char* name : {"AWS_ACCESS_KEY_ID", "AWS_PROFILE", "FERRY_PROFILE"}) ::unsetenv(name);
  for (const char* name : {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"})
    ::setenv(name, (dir_.path() / "none").c_str(), 1);
  open_ledger();
  (void)os::make_dirs(dir_.path() / "work");
  if (auto made = os::write_file(dir_.path() / "work" / "data", "1\n"); !made)
    throw std::runtime_error(describe(made.error()));
  cloud.on_call = [this](const std::string& call, bool done) { step(point_of_call(phase_, call, done)); };
  cloud.is_off = [this](const std::string& id) {
    const auto found = machines_.find(id);
    return found != machines_.end() && found->second->is_off();
  };
  cloud.on_end = [this](const std::string& id) {
    if (const auto found = machines_.find(id); found != machines_.end()) found->second->die();
  };
  progress.on_line = [this](const std::string& line) {
    if (const auto point = point_of_line(phase_, line); !point.empty()) pass(point);
    for (std::size_t i = 0; i < plans_.size(); ++i) {
      if (line.find(plans_[i].text) == std::string::npos) continue;
      const auto act = std::move(plans_[i].act);
      plans_.erase(plans_.begin() + static_cast<std::ptrdiff_t>(i));
      act();
      return;
    }
  };
}

void Stage::open_ledger() { ledger_ = in_steps(must(ledger::Ledger::open(data() / "ledger.db", clock))); }

void Stage::lose_ledger() {
  ledger_.reset();
  for (const char* name : {"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock"})
    std::filesystem::remove(data() / name);
  must(os::make_dirs(data() / "rehearsal", 0700));
  open_ledger();
}

void Stage::between_processes(const std::function<void()>& act) {
  const auto aside = dir_.path() / "as-killed";
  must(os::make_dirs(aside));
  const char* const names[] = {"ledger.db", "ledger.db-wal", "ledger.db-shm"};
  std::error_code missing;
  for (const char* name : names) std::filesystem::copy_file(data() / name, aside / name, missing);
  ledger_.reset();
  for (const char* name : names) std::filesystem::rename(aside / name, data() / name, missing);
  act();
  open_ledger();
}

Stage::~Stage() {
  while (signals.next()) continue;
}

void Stage::step(const std::string& point) {
  pass(point);
  ++steps_;
  if (kill_at_ > 0 && steps_ == kill_at_) throw Killed();
}

fleet::Context Stage::context() {
  fleet::Context context{clock, *http_, *ledger_, progress, signals, data(), {}, {}, {}};
  context.rehearsal = [] {
    cloud::AwsContext aws_context;
    aws_context.region = stage_region;
    aws_context.endpoint_url = "http://127.0.0.1:9";
    return Result<cloud::AwsContext>(std::move(aws_context));
  };
  context.agent = [](std::string_view) { return scripted_agent(); };
  context.ask = ask;
  if (caps) context.caps = [this] { return Result<Caps>(*caps); };
  context.cloud = [this](fleet::CloudLocation& location) -> Result<std::unique_ptr<cloud::Cloud>> {
    if (location.provider == "ssh") return cloud::make_host_cloud(location.endpoint);
    if (location.region.empty()) location.region = stage_region;
    return cloud.open(location.region);
  };
  context.connect = [this](const ssh::Target& target, Millis) { return connect(target); };
  context.store = [this](const std::string&) -> Result<std::unique_ptr<store::Store>> {
    TRY_SET(folder, "", store::open_folder(dir_.path() / "store"));
    return in_steps(std::move(folder));
  };
  context.start_follower = [this](const os::SpawnOptions& options) { return start_follower(options); };
  return context;
}

RunRequest Stage::request(const std::string& run) const {
  RunRequest request;
  request.task.name = "t";
  request.task.run = run;
  request.task.resources.infra = task::Infra{.provider = task::Provider::rehearsal};
  request.task.max_duration = Seconds(3600);
  request.workdir = dir_.path() / "work";
  request.results = dir_.path() / "runs";
  request.check = false;
  if (has_store_) request.task.store = (dir_.path() / "store").string();
  return request;
}

RunRequest Stage::request_on_own_machine(const std::string& run) const {
  auto out = request(run);
  out.task.resources.infra = task::Infra{.provider = task::Provider::ssh, .host = own_host};
  return out;
}

bool Stage::process(const std::function<void(fleet::Context&)>& act) {
  try {
    auto here = context();
    act(here);
    kill_at_ = 0;
    return true;
  } catch (const Killed&) {
    kill_at_ = 0;
    return false;
  }
}

std::optional<int> Stage::start(const RunRequest& request) {
  std::optional<int> code;
  process([&](fleet::Context& here) { code = run::start(here, request); });
  return code;
}

std::optional<int> Stage::follow() {
  std::optional<int> code;
  process([&](fleet::Context& here) {
    auto owner = must(RunLock::try_take(fleet::RunDir(here.data, run().name)));
    if (!owner) throw std::runtime_error("the run has an owner");
    code = run::follow(here, run().name, std::move(*owner));
  });
  return code;
}

void Stage::leave_at(ledger::Phase phase, const std::string& command) {
  using ledger::Phase;
  ledger::Run left;
  left.name = left.task_name = "t-left";
  left.infra = "rehearsal";
  left.output_dir = (dir_.path() / "runs" / left.name).string();
  left.workdir = (dir_.path() / "work").string();
  left.created_ms = clock.now_ms();
  left.task = {{"run", command},
               {"max_duration_s", 3600},
               {"host_key", "ssh-ed25519 AAAA"},
               {"ledger", must(fleet::ledger_id(data()))}};
  if (has_store_) left.store = (dir_.path() / "store").string();
  must(ledger_->add_run(left));
  ledger::Instance machine;
  machine.run = left.name;
  machine.provider = left.infra;
  machine.region = stage_region;
  machine.token = fleet::client_token(left, 1);
  machine.login_user = "ubuntu";
  machine.hourly = Usd{1'000'000};
  const auto name = fleet::resource_name(left);
  const fleet::RunDir run_dir(data(), left.name);
  must(os::make_dirs(run_dir.path, 0700));
  must(os::write_file(run_dir.identity(), "a key", 0600));
  must(os::write_file(run_dir.known_hosts(), ssh::known_hosts_line(left.name, text_at(left.task, "host_key")), 0600));
  for (const char* kind : {"key-pair", "security-group"})
    must(ledger_->record_resource({left.name, machine.provider, machine.region, "", kind, name}));
  must(ledger_->record_intent(machine));
  const auto region = cloud.open(stage_region);
  must(region->import_key(name, "", fleet::tags_of(left)));
  cloud::LaunchRequest request;
  request.offer.type.name = machine.type = "t3.medium";
  request.offer.hourly = machine.hourly;
  request.client_token = machine.token;
  request.key_name = name;
  request.security_group = must(region->ensure_group(name, "", fleet::tags_of(left), {})).id;
  request.user_data = fleet::user_data("", "", fleet::TimeLimits{Seconds(3600)}.until_power_off(), "one");
  request.tags = fleet::tags_of(left);
  machine.id = must(region->launch(request)).id;
  let_in_[machine.id].key = os::read_file(run_dir.identity()).value_or("");
  machine.state = ledger::Rent::live;
  machine.launched_ms = clock.now_ms();
  clock.sleep(cloud.boot);
  machine.address = must(region->describe(machine.id)).address;
  must(ledger_->record_instance(machine));
  must(ledger_->move(left.name, phase));
  if (phase < Phase::setup || command.empty()) return;
  auto& there = machine_of(machine.id);
  agent::JobSpec job;
  job.run = left.name;
  job.workdir = (there.home() / "ferry" / left.name).string();
  job.command = command;
  job.store.uri = left.store;
  job.max_duration_s = 3600;
  must(os::write_file(there.home() / "agent", scripted_agent(), 0700));
  auto session = must(there.connect());
  auto channel = must(session.spawn("exec ./agent connect .ferry/runs/" + left.name));
  auto client = must(agent::Client::connect(std::move(channel.out), std::move(channel.in), Millis(60'000)));
  must(client.start(job));
  // Where outputs are fetched, the training is over.
  while (phase >= Phase::fetching && must(client.status()).state != agent::JobState::done) std::this_thread::yield();
}

void Stage::recover_all() {
  process([](fleet::Context& here) { EXPECT_TRUE(recover_orphans(here)); });
  let_followers_end();
}

std::optional<int> Stage::let_followers_end() {
  std::optional<int> code;
  while (!followers_.empty()) {
    auto follower = std::move(followers_.front());
    followers_.erase(followers_.begin());
    auto owner = must(RunLock::adopt(fleet::RunDir(data(), follower.run), follower.lock.release()));
    code.reset();
    process([&](fleet::Context& here) { code = run::follow(here, follower.run, std::move(owner)); });
  }
  return code;
}

bool Stage::was_shown(const std::string& text) const {
  return std::ranges::any_of(progress.lines, [&](const auto& line) { return line.find(text) != line.npos; });
}

std::string Stage::everything_shown() const { return "\n" + join(progress.lines, "\n"); }

bool Stage::lets_in(const std::string& id, const os::Path& file) {
  const auto key = os::read_file(file).value_or("");
  const LetIn now{key, cloud.count("send_key")};
  auto& known = let_in_.try_emplace(id, now).first->second;
  if (now.renewals > known.renewals) known = now;
  return known.key == key;
}

Result<ssh::Session> Stage::connect(const ssh::Target& target) {
  ++connects;
  if (!refused.empty()) {
    const auto error = refused.front();
    refused.pop_front();
    clock.sleep(Millis(1'000));
    return tl::unexpected<Error>(error);
  }
  if (target.own_config && !is_deaf) {
    pass(phase_ + ": before ssh to the machine");
    auto session = machine_of(own_host).connect();
    pass(phase_ + ": after ssh to the machine");
    return session;
  }
  for (const auto& one : cloud.machines()) {
    if (is_deaf || one.now.state != cloud::State::running || one.now.address != target.address) continue;
    if (!lets_in(one.now.id, target.identity))
      return fail(Kind::denied, "the ssh key was refused", {}, {}, ssh::key_refused_code);
    pass(phase_ + ": before ssh to the machine");
    auto session = machine_of(one.now.id).connect();
    pass(phase_ + ": after ssh to the machine");
    return session;
  }
  clock.sleep(Millis(1'000));
  return fail(Kind::lost, "nobody answers at " + target.address);
}

Result<int> Stage::start_follower(const os::SpawnOptions& options) {
  const auto fd = static_cast<int>(parse_int(options.argv.at(3)).value_or(-1));
  followers_.push_back({options.argv.at(2), os::Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3))});
  return no_process;
}

ScriptedMachine& Stage::machine_of(const std::string& id) {
  auto& machine = machines_[id];
  if (!machine) machine = std::make_unique<ScriptedMachine>(dir_.path() / id);
  return *machine;
}

std::string Stage::machine_id() {
  std::vector<std::string> live;
  for (const auto& one : cloud.machines()) {
    if (one.ended_ms == 0) live.push_back(one.now.id);
  }
  if (live.size() != 1) throw std::runtime_error(fmt::format("{} machines are rented", live.size()));
  return live.front();
}

ScriptedMachine& Stage::machine() { return *machines_.at(machine_id()); }

ledger::Run Stage::run() {
  auto all = ledger_->runs(false);
  if (!all || all->empty()) throw std::runtime_error("the ledger has no run");
  return all->front();
}

os::Path Stage::home() { return run().output_dir; }

std::string Stage::model() {
  const auto text = os::read_file(home() / "outputs/model");
  if (!text) return text.error().what;
  return *text == "model\n" ? "" : "it is: " + *text;
}

Error failure(Kind kind, const std::string& code) {
  return {kind, fmt::format("scripted: {}", name(kind)), "", "", code};
}

namespace {

TEST(StageItself, ARunGoesFromCheckToReleaseWithoutSleeping) {
  Stage stage;
  EXPECT_EQ(stage.start(stage.request()), 0) << stage.everything_shown();
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.trouble(), "");
  EXPECT_EQ(stage.run().outcome, ledger::Outcome::succeeded);
  EXPECT_EQ(stage.cloud.count("launch"), 1);
  EXPECT_GT(stage.steps(), 20);
}

TEST(StageItself, AFollowerThatTookOverEndsADetachedRun) {
  Stage stage;
  auto request = stage.request();
  request.detach = true;
  EXPECT_EQ(stage.start(request), 0) << stage.everything_shown();
  EXPECT_EQ(stage.followers(), 1U);
  EXPECT_EQ(stage.cloud.left().size(), 3U);
  EXPECT_EQ(stage.let_followers_end(), 0) << stage.everything_shown();
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.trouble(), "");
}

TEST(StageItself, AKilledProcessLeavesWhatItHadDone) {
  Stage stage;
  const auto request = stage.request();
  stage.kill_at(12);
  EXPECT_EQ(stage.start(request), std::nullopt);
  EXPECT_EQ(stage.steps(), 12);
  EXPECT_NE(stage.run().phase, ledger::Phase::released);
  EXPECT_NE(stage.trouble(), "");
}

TEST(StageItself, WhatWasLeftByHandIsFollowedToItsEnd) {
  Stage stage;
  stage.leave_at(ledger::Phase::training);
  EXPECT_EQ(stage.broken_promise({}), "");
  EXPECT_EQ(stage.follow(), 0) << stage.everything_shown();
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.broken_promise(0), "");
  EXPECT_EQ(stage.trouble(), "");
}

}  // namespace
}  // namespace ferry::run
