#include "run/background_send.h"

#include <csignal>

#include "agent/bridge.h"
#include "job/connection.h"
#include "os/fd.h"

namespace ferry::run {

namespace {

/// What the receiver said may be why.
Result<sync::Report> end_receiver(mux::Command& receiver, Result<sync::Report> report) {
  if (report) {
    receiver.in.reset();
    receiver.wait(Millis(2000));
    return report;
  }
  auto error = std::move(report).error();
  if (error.kind != Kind::cancelled) error = job::explain(receiver, std::move(error));
  receiver.signal(SIGKILL);
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace

Result<sync::Report> send_to(mux::Command& receiver, const os::Path& root, sync::Tree tree,
                             const sync::Options& options) {
  return end_receiver(receiver, sync::send_tree(receiver.out.get(), receiver.in.get(), root, std::move(tree), options));
}

BackgroundSend::BackgroundSend(os::Path root, sync::Tree tree, sync::Options options) {
  auto ends = os::make_socketpair();
  if (!ends) {
    report_ = tl::unexpected<Error>(std::move(ends).error());
    return;
  }
  receivers_end_ = std::move(ends->read);
  options.cancelled = [this] { return ends_.load(); };
  options.progress = [this](const sync::Progress& now) {
    const std::lock_guard lock(mutex_);
    progress_ = now;
  };
  sent_ = std::async(std::launch::async, [own = std::move(ends->write), root = std::move(root), tree = std::move(tree),
                                          options = std::move(options)]() mutable {
    const os::Fd end = std::move(own);
    return sync::send_tree(end.get(), end.get(), root, std::move(tree), options);
  });
}

BackgroundSend::~BackgroundSend() {
  stop();
  if (receiver_ && bridge_.joinable()) (void)end();
}

void BackgroundSend::attach(mux::Command receiver) {
  receiver_ = std::move(receiver);
  bridge_ = std::thread([this] {
    (void)agent::bridge(receiver_->out.get(), receiver_->in.get(), receivers_end_.get());
    receivers_end_.reset();
  });
}

bool BackgroundSend::wait(Millis limit) const {
  return !sent_.valid() || sent_.wait_for(limit) == std::future_status::ready;
}

void BackgroundSend::stop() {
  ends_ = true;
  if (sent_.valid()) sent_.wait();
}

sync::Progress BackgroundSend::progress() const {
  const std::lock_guard lock(mutex_);
  return progress_;
}

Result<sync::Report> BackgroundSend::end() {
  auto report = sent_.get();
  if (!receiver_) return report;
  // The bridge has nothing to do any more but to pass on, to a receiver that may not take it, what is void.
  if (report) bridge_.join();
  report = end_receiver(*receiver_, std::move(report));
  if (bridge_.joinable()) bridge_.join();
  return report;
}

const Result<sync::Report>& BackgroundSend::report() {
  if (!report_) report_ = end();
  return *report_;
}

}  // namespace ferry::run
