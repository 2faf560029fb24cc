#include "agent/loop.h"

#include <poll.h>

#include <algorithm>
#include <csignal>
#include <list>

#include "agent/session.h"
#include "os/signals.h"
#include "os/socket.h"

namespace ferry::agent {
namespace {

constexpr std::size_t most_sessions = 64;
constexpr std::int64_t tend_ms = 1000;

class Loop {
 public:
  Loop(Post& post, Supervisor& supervisor) : post_(post), supervisor_(supervisor) {}

  void run() {
    while (!supervisor_.over()) {
      wait();
      take_signals();
      for (const int source : ready(first_source_, sources_)) supervisor_.read(source);
      supervisor_.step();
      receive();
      accept();
      supervisor_.step();
      std::erase_if(sessions_, [](Session& session) { return !session.send(); });
      supervisor_.set_clients(sessions_.size());
      tend();
    }
  }

 private:
  void wait() {
    polls_.clear();
    polls_.push_back({signals_.fd(), POLLIN, 0});
    polls_.push_back({post_.listener(), POLLIN, 0});
    first_source_ = polls_.size();
    const auto sources = supervisor_.sources();
    sources_ = sources.size();
    for (const int source : sources) polls_.push_back({source, POLLIN, 0});
    for (Session& session : sessions_) {
      const int events = (session.wants_input() ? POLLIN : 0) | (session.wants_output() ? POLLOUT : 0);
      polls_.push_back({session.fd(), static_cast<short>(events), 0});
    }
    const auto left = std::min(supervisor_.due(), tend_at_) - os::system_clock().steady_ms();
    if (::poll(polls_.data(), polls_.size(), static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000))) < 0) {
      for (auto& each : polls_) each.revents = 0;
    }
  }

  std::vector<int> ready(std::size_t first, std::size_t count) const {
    std::vector<int> out;
    for (std::size_t i = first; i < first + count; ++i) {
      if (polls_[i].revents != 0) out.push_back(polls_[i].fd);
    }
    return out;
  }

  void take_signals() {
    if (polls_[0].revents == 0) return;
    while (const auto number = signals_.next()) {
      if (*number == SIGTERM || *number == SIGINT) supervisor_.leave();
    }
  }

  void receive() {
    std::size_t at = first_source_ + sources_;
    for (auto session = sessions_.begin(); session != sessions_.end(); ++at) {
      const short events = polls_[at].revents;
      const bool gone = (events & (POLLIN | POLLHUP | POLLERR)) != 0 && !session->receive();
      session = gone ? sessions_.erase(session) : std::next(session);
    }
  }

  void accept() {
    if (polls_[1].revents == 0) return;
    auto socket = os::accept_one(post_.listener(), Millis(0));
    if (!socket) return;
    if (sessions_.size() >= most_sessions) {
      sessions_.erase(std::min_element(sessions_.begin(), sessions_.end(), [](const Session& a, const Session& b) {
        return a.last_active() < b.last_active();
      }));
    }
    supervisor_.touch();
    sessions_.emplace_back(std::move(*socket), supervisor_);
  }

  void tend() {
    const auto now = os::system_clock().steady_ms();
    if (now < tend_at_) return;
    tend_at_ = now + tend_ms;
    if (supervisor_.is_abandoned()) return;
    const auto mended = post_.tend();
    if (mended && *mended) supervisor_.miss_files();
    const auto trouble = mended ? "" : describe(mended.error());
    if (!trouble.empty() && trouble != told_) supervisor_.log(trouble);
    told_ = trouble;
  }

  // SIGPIPE is among them so that a closed socket is an error code and children still get the default.
  os::SignalQueue signals_{SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGPIPE};
  Post& post_;
  Supervisor& supervisor_;
  std::list<Session> sessions_;
  std::vector<pollfd> polls_;
  std::size_t first_source_ = 0, sources_ = 0;
  std::int64_t tend_at_ = 0;
  std::string told_;  ///< what went wrong there last
};

}  // namespace

void serve_loop(Post& post, Supervisor& supervisor) { Loop(post, supervisor).run(); }

}  // namespace ferry::agent
