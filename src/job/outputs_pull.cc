#include "job/outputs_pull.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "base/text.h"
#include "job/outputs.h"
#include "os/env.h"
#include "sync/state.h"

namespace ferry::job {

namespace {

/// A file is taken for complete when it has not changed for so long (or for the rest between two pulls, if that is
/// shorter) and nobody has it open for writing.
constexpr Millis settle{3'000};
constexpr Millis usual_rest{10'000}, hurried_rest{1'000};
/// Of all time, and of what the machine costs.
constexpr int most_time = 10, most_cost = 20;

std::int64_t mtime_of(const os::Path& file) {
  struct stat info;
  if (::lstat(file.c_str(), &info) < 0) return 0;
  return std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

/// Whether the file at home is still the one that came.
bool is_as_it_came(const os::Path& file, const Pulled::File& came) {
  struct stat info;
  return ::lstat(file.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         static_cast<std::uint64_t>(info.st_size) == came.size && mtime_of(file) == came.mtime_ns;
}

}  // namespace

Millis rest_after_pull(Millis took, std::uint64_t wire_bytes, Usd hourly, Millis least) {
  auto rest = std::max(least, took * most_time);
  if (hourly.micros <= 0) return rest;
  constexpr double gb = 1e9, hour_ms = 3.6e6;
  const double cost = static_cast<double>(wire_bytes) / gb * static_cast<double>(ledger::data_out_gb.micros);
  const double paid_after = cost * most_cost / static_cast<double>(hourly.micros) * hour_ms;
  constexpr double longest = 365 * 24 * hour_ms;
  return std::max(rest, Millis(static_cast<std::int64_t>(std::min(paid_after, longest))));
}

std::optional<Millis> pull_every() {
  const auto text = os::env("FERRY_PULL_EVERY");
  if (!text) return usual_rest;
  if (*text == "off") return std::nullopt;
  const auto every = parse_duration(*text);
  return every ? std::optional<Millis>(*every) : usual_rest;
}

struct OutputsPull::Transfer {
  mux::Command sender;
  os::FileLock lock;  // no fetch at the same time
  std::atomic<bool> cancelled{false}, done{false};
  Result<sync::Report> report = sync::Report{};
  std::thread thread;
};

OutputsPull::OutputsPull(Connection& connection, const ledger::Run& run, fleet::RunDir run_dir, Millis least,
                         Pulled& pulled)
    : connection_(connection), run_(run), run_dir_(std::move(run_dir)), least_(least), pulled_(pulled), next_ms_(-1) {}

OutputsPull::~OutputsPull() {
  if (!transfer_) return;
  if (!transfer_->done) transfer_->sender.signal(SIGKILL);
  transfer_->cancelled = true;
  end(0);
}

void OutputsPull::hurry() {
  if (std::exchange(hurries_, true)) return;
  next_ms_ = 0;
}

void OutputsPull::tick(std::int64_t steady_ms) {
  if (next_ms_ < 0) next_ms_ = steady_ms + least_.count();
  if (transfer_ && transfer_->done) end(steady_ms);
  if (!transfer_ && steady_ms >= next_ms_) begin(steady_ms);
}

void OutputsPull::begin(std::int64_t steady_ms) {
  next_ms_ = steady_ms + (hurries_ ? hurried_rest : least_).count();  // if it cannot begin
  began_ms_ = steady_ms;
  if (job_began_ms_ == 0) {
    const auto job = connection_.job();
    if (!job) return;
    job_began_ms_ = std::max<std::int64_t>(1, job->started_ms);
  }
  auto lock = os::FileLock::try_take(run_dir_.fetch_lock());
  if (!lock || !*lock) return;
  if (!make_home_folder(run_.output_dir)) return;
  os::Argv words = {"send",     connection_.paths().workdir,
                    "--settle", std::to_string(std::max(Millis(1), std::min(settle, least_)).count()),
                    "--hashes", connection_.paths().run_dir + "-outputs.hashes"};
  const auto selection = selection_of(connection_, run_, job_began_ms_);
  words.insert(words.end(), selection.begin(), selection.end());
  auto sender = connection_.start_agent_program(words, mux::Lane::background);
  if (!sender) return;
  look_at_state();
  transfer_.reset(new Transfer{std::move(*sender), std::move(**lock)});
  auto options = receive_options(run_dir_);
  options.cancelled = [transfer = transfer_.get()] { return transfer->cancelled.load(); };
  transfer_->thread = std::thread([transfer = transfer_.get(), options, home = os::Path(run_.output_dir)] {
    transfer->report = sync::receive_tree(transfer->sender.out.get(), transfer->sender.in.get(), home, options);
    transfer->done = true;
  });
}

void OutputsPull::end(std::int64_t steady_ms) {
  transfer_->thread.join();
  transfer_->sender.signal(SIGKILL);
  if (const auto& report = transfer_->report) {
    pulled_.wire_bytes += report->wire_bytes;
    pulled_.home = report->entries;
    std::erase_if(pulled_.home, [](const auto& entry) { return entry.type != sync::Type::file || entry.as_sent; });
    remove_vanished(*report);
    pulled_.state_ns = mtime_of(run_dir_.outputs_state());
    const auto& machine = connection_.instance();
    const Usd hourly = machine.provider == "aws" ? machine.hourly : Usd{};  // elsewhere data costs nothing
    const auto moved = report->files_moved > 0 ? report->wire_bytes : 0;
    const auto rest = rest_after_pull(Millis(steady_ms - began_ms_), moved, hourly, least_);
    next_ms_ = steady_ms + (hurries_ ? hurried_rest : rest).count();
  }
  transfer_.reset();
}

void OutputsPull::look_at_state() {
  const auto state = run_dir_.outputs_state();
  if (mtime_of(state) == pulled_.state_ns) return;
  pulled_.files.clear();
  const auto known = sync::State::load(state);
  (void)known.each([&](std::string_view path, const sync::Record&) -> Status {
    pulled_.of_others.emplace(path);
    return {};
  });
}

void OutputsPull::remove_vanished(const sync::Report& report) {
  std::map<std::string, Pulled::File> now;
  for (const auto& entry : pulled_.home) {
    if (!pulled_.of_others.contains(entry.path)) now[entry.path] = {entry.size, entry.mtime_ns};
  }
  const os::Path home = run_.output_dir;
  // What cannot be read just now, or a folder that is moved away, takes nothing from here: this may be the last copy.
  const bool may_be_gone = report.left_out.empty() && !pulled_.home.empty();
  for (const auto& [path, came] : pulled_.files) {
    if (!may_be_gone || std::ranges::binary_search(report.unsettled, path)) now.emplace(path, came);
    if (!now.contains(path) && is_as_it_came(home / path, came)) ::unlink((home / path).c_str());
  }
  pulled_.files = std::move(now);
}

void OutputsPull::finish(fleet::Context& context) {
  while (transfer_ && !transfer_->done && !context.letting_go) context.sleep(Millis(100), true);
  if (transfer_ && transfer_->done) end(context.clock.steady_ms());
}

}  // namespace ferry::job
