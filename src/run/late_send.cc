#include "run/late_send.h"

#include <csignal>

#include "job/connection.h"

namespace ferry::run {

Result<sync::Report> send_to(mux::Command& receiver, const os::Path& root, sync::Tree tree,
                             const sync::Options& options) {
  auto report = sync::send_tree(receiver.out.get(), receiver.in.get(), root, std::move(tree), options);
  if (!report) {
    auto error = std::move(report).error();
    if (error.kind != Kind::cancelled) error = job::explain(receiver, std::move(error));
    receiver.signal(SIGKILL);
    return tl::unexpected<Error>(std::move(error));
  }
  receiver.in.reset();
  receiver.wait(Millis(2000));
  return report;
}

LateSend::LateSend(mux::Command receiver, os::Path root, sync::Tree tree, bool expects_nothing) {
  auto send = [this, expects_nothing, receiver = std::move(receiver), root = std::move(root),
               tree = std::move(tree)]() mutable {
    sync::Options options;
    options.expects_nothing = expects_nothing;
    options.cancelled = [this] { return ends_.load(); };
    options.progress = [this](const sync::Progress& now) {
      const std::lock_guard lock(mutex_);
      progress_ = now;
    };
    return send_to(receiver, root, std::move(tree), options);
  };
  report_ = std::async(std::launch::async, std::move(send)).share();
}

LateSend::~LateSend() { stop(); }

bool LateSend::wait(Millis limit) const { return report_.wait_for(limit) == std::future_status::ready; }

void LateSend::stop() {
  ends_ = true;
  report_.wait();
}

sync::Progress LateSend::progress() const {
  const std::lock_guard lock(mutex_);
  return progress_;
}

}  // namespace ferry::run
