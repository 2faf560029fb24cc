#include "agent/store_process.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "agent/as_root.h"
#include "agent/store_keeper.h"
#include "agent/store_place.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/process.h"

namespace ferry::agent {
namespace {

constexpr std::size_t longest_done = std::size_t{1} << 20;
constexpr Millis tell_every{200}, lock_limit{60'000};
constexpr Millis first_pause{2'000}, longest_pause{60'000};
/// After what asking again does not change by itself: somebody may have given the role its permission.
constexpr Millis refused_pause{180'000};
/// The machine is taken back in two minutes.
constexpr Millis hurried_pause{1'000};
constexpr std::size_t most_unread_shown = 3;

/// What sudo drops and the way to the store needs.
constexpr const char* kept_variables[] = {"https_proxy",
                                          "HTTPS_PROXY",
                                          "http_proxy",
                                          "HTTP_PROXY",
                                          "all_proxy",
                                          "ALL_PROXY",
                                          "no_proxy",
                                          "NO_PROXY",
                                          "AWS_CA_BUNDLE",
                                          "REQUESTS_CA_BUNDLE",
                                          "CURL_CA_BUNDLE",
                                          "SSL_CERT_FILE",
                                          "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                          "AWS_EC2_METADATA_DISABLED"};

std::string one_line(const Error& error) {
  return short_line(error.what + (error.why.empty() ? "" : ": " + error.why), 1000);
}

/// The two pipes to the supervisor, looked after by a thread of their own.
class Supervised {
 public:
  Supervised(int in, int out) : in_(in), out_(out) {}
  ~Supervised() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    if (thread_.joinable()) thread_.join();
    tell();
  }
  Supervised(const Supervised&) = delete;
  Supervised& operator=(const Supervised&) = delete;

  void begin(const std::string& done) {
    if (!done.empty()) take(done);
    thread_ = std::thread([this] { look_after(); });
  }

  std::optional<JobStatus> done() const {
    const std::lock_guard lock(mutex_);
    return done_;
  }
  /// The machine is taken back.
  std::optional<Notice> notice() const {
    const std::lock_guard lock(mutex_);
    return notice_;
  }
  /// How much was heard: grows with what changes what is to be done.
  int heard() const {
    const std::lock_guard lock(mutex_);
    return heard_;
  }
  /// Until more than `heard` was heard, or `limit` passed.
  void wait(int heard, Millis limit) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, limit, [&] { return heard_ > heard; });
  }

  void change(const std::function<void(StoreReport&)>& how) {
    const std::lock_guard lock(mutex_);
    how(report_);
  }

 private:
  void look_after() {
    std::string line;
    while (true) {
      if (os::wait_readable(in_, tell_every)) {
        const auto bytes = os::read_some(in_);
        if (!bytes || bytes->empty()) ::_exit(3);  // nobody is there any more
        line += *bytes;
        for (auto end = line.find('\n'); end != line.npos; end = line.find('\n')) {
          take(line.substr(0, end));
          line.erase(0, end + 1);
        }
        if (line.size() > longest_done) line.clear();
      }
      tell();
      const std::lock_guard lock(mutex_);
      if (over_) return;
    }
  }

  void take(const std::string& line) {
    const auto json = parse_json(line);
    if (!json || !json->is_object()) return;
    auto status = status_from(*json);
    auto notice = status ? Result<Notice>(fail(Kind::not_found, "")) : notice_from(json->value("notice", Json()));
    if (!status && !notice) return;
    const std::lock_guard lock(mutex_);
    if (status && status->notice && status->notice->kind == Notice::Kind::interruption) notice_ = status->notice;
    if (notice) notice_ = *std::move(notice);
    if (status) done_ = *std::move(status);
    ++heard_;
    changed_.notify_all();
  }

  void tell() {
    std::string text;
    {
      const std::lock_guard lock(mutex_);
      text = dump_json(to_json(report_)) + "\n";
    }
    if (text != told_ && !os::write_all(out_, text)) ::_exit(3);
    told_ = text;
  }

  int in_, out_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<JobStatus> done_;
  std::optional<Notice> notice_;
  int heard_ = 0;
  StoreReport report_{.status = {.state = StoreStatus::State::storing}};
  bool over_ = false;
  std::string told_;  // the thread's own
  std::thread thread_;
};

Result<StoreSettings> read_settings(const os::Path& dir) {
  const os::Path file = dir / "store.json";
  TRY_SET(text, "", os::read_file(file, std::size_t{8} << 20));
  TRY_SET(json, file.string(), parse_json(text));
  TRY_SET(settings, file.string(), store_settings_from(json));
  return settings;
}

class StoreProcess {
 public:
  StoreProcess(const StoreProcessOptions& options, StoreSettings settings)
      : options_(options), settings_(std::move(settings)), supervised_(options.in, options.out) {}

  void run() {
    supervised_.begin(options_.done);
    StoreKeeper keeper(keeper_options());
    auto& clock = os::system_clock();
    Millis pause = first_pause;
    while (true) {
      const auto began = clock.steady_ms();
      heard_ = supervised_.heard();
      const auto done = supervised_.done();
      const auto notice = supervised_.notice();
      if (notice) keeper.hurry(*notice);
      const Status result = done ? end(keeper, *done) : keeper.pass();
      note([&](StoreReport& report) {
        report.status.problem = result ? "" : one_line(result.error());
        const bool waits = result || may_go_on(result.error().kind);
        report.status.state = result && done ? StoreStatus::State::stored
                              : waits        ? StoreStatus::State::storing
                                             : StoreStatus::State::failed;
      });
      if (result && done) return;
      if (result) {
        pause = first_pause;
        // No more than half of the time, or the training may miss what the transfers take of the network.
        const auto rest = std::max(Millis(1000 * settings_.spec.every_s), Millis(clock.steady_ms() - began));
        supervised_.wait(heard_, notice ? hurried_pause : rest);
        continue;
      }
      const bool later = may_go_on(result.error().kind);
      supervised_.wait(heard_, notice ? hurried_pause : later ? pause : refused_pause);
      pause = later ? std::min(pause * 2, longest_pause) : first_pause;
    }
  }

 private:
  void note(const std::function<void(StoreReport&)>& how) { supervised_.change(how); }

  KeeperOptions keeper_options() {
    KeeperOptions keeper{
        .settings = settings_, .dir = options_.dir, .open = connections_to(settings_.spec, options_.dir)};
    keeper.moved = [this](std::uint64_t bytes) { note([&](StoreReport& report) { report.moved += bytes; }); };
    // What is under way is left for what is more urgent now.
    keeper.cut = [this] { return supervised_.heard() > heard_ && supervised_.notice(); };
    keeper.looking = [this](bool yes) { note([&](StoreReport& report) { report.looking = yes; }); };
    keeper.committed = [this](const Committed& there) {
      note([&](StoreReport& report) {
        report.status.files = there.files;
        report.status.bytes = there.bytes;
        report.status.stored_ms = there.made_ms;
      });
    };
    return keeper;
  }

  Status end(StoreKeeper& keeper, const JobStatus& done) {
    TRY_SET(first, "", keeper.last_pass(done, false));
    if (first.left_out.empty()) return {};
    go_on_as_root_with(done);
    TRY_SET(again, "", keeper.last_pass(done, true));
    if (again.left_out.empty()) return {};
    return fail(Kind::denied, "some outputs cannot be read, and are not stored",
                join(first_few(again.left_out, most_unread_shown), "; "));
  }

  void go_on_as_root_with(const JobStatus& done) {
    const auto program = os::self_program().string();
    if (options_.as_root || ::geteuid() == 0 || !may_be_root(program)) return;
    os::Argv line = {program, "store", options_.dir.string(), "--as-root", "--done", dump_json(to_json(done))};
    for (const char* name : kept_variables) {
      if (const auto value = os::env(name)) line.insert(line.end(), {"--with", std::string(name) + "=" + *value});
    }
    go_on_as_root(line);
  }

  static bool may_go_on(Kind kind) { return may_work_later(kind) || kind == Kind::corrupt || kind == Kind::cancelled; }

  const StoreProcessOptions& options_;
  StoreSettings settings_;
  Supervised supervised_;
  std::atomic<int> heard_{0};  // when the pass under way began
};

}  // namespace

Json to_json(const StoreReport& report) {
  return Json{{"store", to_json(report.status)}, {"moved", report.moved}, {"looking", report.looking}};
}

Result<StoreReport> store_report_from(const Json& json) {
  if (!json.is_object() || !json.contains("store")) return fail(Kind::corrupt, "that is no report of a store");
  StoreReport report;
  TRY_SET(status, "", store_status_from(json["store"]));
  report.status = std::move(status);
  report.moved = static_cast<std::uint64_t>(std::max<std::int64_t>(0, int_at(json, "moved")));
  report.looking = json.value("looking", Json(false)) == Json(true);
  return report;
}

Status run_store_process(const StoreProcessOptions& options) {
  // When the machine shuts down, everybody is told to end; this one still stores what was saved. Its supervisor's end
  // is heard from the pipe.
  for (const int number : {SIGPIPE, SIGTERM, SIGINT, SIGHUP}) ::signal(number, SIG_IGN);
  ::setpriority(PRIO_PROCESS, 0, 19);
  for (const auto& variable : options.with) {
    const auto equals = variable.find('=');
    const std::string name = variable.substr(0, equals);
    const bool is_kept =
        std::find(std::begin(kept_variables), std::end(kept_variables), name) != std::end(kept_variables);
    if (equals != variable.npos && is_kept) ::setenv(name.c_str(), variable.substr(equals + 1).c_str(), 1);
  }
  TRY_SET(settings, "", read_settings(options.dir));
  // One that lost its supervisor is gone in a moment.
  TRY_SET(lock, "", os::FileLock::take(options.dir / "store.lock", lock_limit));
  StoreProcess(options, std::move(settings)).run();
  return {};
}

}  // namespace ferry::agent
