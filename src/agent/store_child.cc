#include "agent/store_child.h"

#include <algorithm>
#include <csignal>
#include <limits>

#include "os/clock.h"

namespace ferry::agent {
namespace {

constexpr std::int64_t least_pause_ms = 500, most_pause_ms = 60'000;
/// A process that lived so long did not die of its beginning.
constexpr std::int64_t lived_ms = 30'000;
constexpr std::int64_t still_ms = 60'000;
constexpr int many_deaths = 5;
constexpr std::size_t longest_report = 64 * 1024;

}  // namespace

StoreChild::StoreChild(os::Path program, os::Path dir, StoreSettings settings, StoreStatus status)
    : program_(std::move(program)),
      dir_(std::move(dir)),
      settings_(std::move(settings)),
      status_(std::move(status)),
      pause_ms_(least_pause_ms) {
  status_.state = StoreStatus::State::storing;
  status_.problem.clear();
}

StoreChild::~StoreChild() {
  if (process_) kill();
}

void StoreChild::kill() {
  process_->in.reset();  // this ends one that goes on as root, too
  // (Whoever reaps for the job may have reaped it, and its number may be another's.)
  if (named(process_->pid()) == name_) send_signal(family_of(process_->pid()), SIGKILL);
  process_->wait(Millis(1000));
  process_.reset();
  looking_ = false;
}

bool StoreChild::step(std::int64_t now) {
  if (process_ || now < start_at_ || status_.state == StoreStatus::State::stored) return false;
  const os::Path file = dir_ / "store.json";
  const std::string text = dump_json(to_json(settings_)) + "\n";
  const bool is_there = os::read_file(file).value_or("") == text;  // a full disk would not take it again
  const auto written = is_there ? Status() : os::write_file(file, text, 0600);
  auto started = written ? os::Process::spawn({.argv = {program_.string(), "store", dir_.string()},
                                               .in = os::Stream::pipe,
                                               .out = os::Stream::pipe,
                                               .die_with_parent = true,
                                               .ignore_ends = true})
                         : Result<os::Process>(tl::unexpected(written.error()));
  if (!started) {
    status_.problem = "the store process cannot be started: " + started.error().what;
    end(now);
    return false;
  }
  process_ = std::move(*started);
  name_ = named(process_->pid());
  started_at_ = now;
  moved_ = 0;
  line_.clear();
  say(notice_);
  say(done_);
  return true;
}

/// One that is gone is started again, and told then.
void StoreChild::say(const std::string& line) {
  if (process_ && !line.empty()) (void)os::write_all(process_->in.get(), line);
}

void StoreChild::tell_notice(const Notice& notice) {
  notice_ = dump_json({{"notice", to_json(notice)}}) + "\n";
  say(notice_);
}

void StoreChild::tell_done(const JobStatus& status) {
  done_ = dump_json(to_json(status)) + "\n";
  say(done_);
}

bool StoreChild::read(std::int64_t now) {
  if (!process_) return false;
  const StoreStatus before = status_;
  const auto bytes = os::read_some(process_->out.get());
  if (!bytes || bytes->empty() || line_.size() > longest_report) {
    end(now);
    return status_ != before;
  }
  line_ += *bytes;
  for (auto stop = line_.find('\n'); stop != line_.npos; stop = line_.find('\n')) {
    const auto json = parse_json(line_.substr(0, stop));
    line_.erase(0, stop + 1);
    const auto report = json ? store_report_from(*json) : Result<StoreReport>(tl::unexpected(json.error()));
    if (!report) continue;
    // Nothing is known to be stored before the job's end was told.
    if (report->status.state == StoreStatus::State::stored && done_.empty()) continue;
    if (report->moved != moved_) moved_at_ = now;
    moved_ = report->moved;
    looking_ = report->looking;
    if (report->status.stored_ms != status_.stored_ms) deaths_ = 0;
    status_ = report->status;
  }
  return status_ != before;
}

void StoreChild::end(std::int64_t now) {
  if (process_) {
    kill();
    if (now - started_at_ >= lived_ms) pause_ms_ = least_pause_ms;
    if (status_.state != StoreStatus::State::stored) status_.problem = "the store process ended; it is started again";
  }
  if (++deaths_ >= many_deaths && status_.state == StoreStatus::State::storing)
    status_.state = StoreStatus::State::failed;
  start_at_ = now + pause_ms_;
  pause_ms_ = std::min(pause_ms_ * 2, most_pause_ms);
}

bool StoreChild::is_moving(std::int64_t now) const {
  const bool works = looking_ || (moved_at_ > 0 && now - moved_at_ < still_ms);
  return status_.state == StoreStatus::State::storing && works && deaths_ < many_deaths;
}

bool StoreChild::has_hope() const { return status_.state == StoreStatus::State::storing && status_.problem.empty(); }

std::set<pid_t> StoreChild::processes() const {
  return process_ ? std::set<pid_t>{process_->pid()} : std::set<pid_t>();
}

std::int64_t StoreChild::due() const {
  const bool waits = !process_ && status_.state != StoreStatus::State::stored;
  return waits ? start_at_ : std::numeric_limits<std::int64_t>::max();
}

}  // namespace ferry::agent
