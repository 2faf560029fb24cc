// What an engine's links do: the rest is in engine.cc.
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "mux/engine.h"
#include "os/clock.h"

namespace ferry::mux {

namespace {

/// Read at a time from the link.
constexpr std::size_t link_read = std::size_t{128} << 10;
/// Small frames are written together up to this.
constexpr std::size_t together = std::size_t{64} << 10;
/// By a link that joined nothing goes unless so much is there for it: what a stream has in small pieces stays on the
/// first, and the other end gets it in few.
constexpr std::size_t least_striped = std::size_t{16} << 10;

}  // namespace

bool Engine::would_wait() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

Status Engine::add_link(Joined joined, std::string_view first, bool is_sure) {
  TRY("", os::set_nonblocking(joined.in.get(), true));
  TRY("", os::set_nonblocking(joined.out.get(), true));
  auto& link = links_.emplace_back();
  link.in = joined.in.get();
  link.out = joined.out.get();
  link.joined = std::move(joined);
  link.is_sure = is_sure;
  if (is_sure) link.current = encode({0, Type::join, {}, {}});
  return feed(link, first);
}

void Engine::leave_link() {
  if (links_.size() > 1) say_no_more(links_.back());
}

void Engine::say_no_more(Link& link) {
  if (std::exchange(link.says_no_more, true)) return;
  link.current += encode({0, Type::leave, {}, {}});
}

std::vector<Joined> Engine::take_links() {
  std::vector<Joined> out;
  for (; links_.size() > 1; links_.pop_back()) out.push_back(std::move(links_.back().joined));
  return out;
}

Status Engine::feed(Link& link, std::string_view bytes) {
  link.reader.add(bytes);
  while (true) {
    TRY_SET(frame, "", link.reader.next());
    if (!frame) return {};
    TRY("", is_first(link) ? take(*frame) : take_of_link(link, *frame));
  }
}

bool Engine::has_queued(const Link& link) const {
  if (!link.is_idle()) return true;
  if (!is_first(link)) return link.is_sure && !link.says_no_more && striped_size_ >= least_striped;
  return striped_size_ > 0 || std::ranges::any_of(queues_, [](const auto& one) { return !one.empty(); });
}

bool Engine::has_queued() const {
  return std::ranges::any_of(links_, [&](const auto& one) { return has_queued(one); });
}

/// The next bytes that go by that link: the most urgent.
void Engine::fill(Link& link) {
  link.current.clear();
  link.written = 0;
  if (!has_queued(link)) return;
  const auto take_from = [&](std::deque<std::string>& waiting, std::size_t lane) {
    while (!waiting.empty() && (link.current.empty() || link.current.size() + waiting.front().size() <= together)) {
      queued_[lane] -= waiting.front().size();
      if (&waiting == &striped_) striped_size_ -= waiting.front().size();
      if (link.current.empty())
        link.current = std::move(waiting.front());
      else
        link.current += waiting.front();
      waiting.pop_front();
    }
    return waiting.empty();
  };
  constexpr auto work = static_cast<std::size_t>(Lane::work);
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    const bool goes_on =
        (!is_first(link) || take_from(queues_[lane], lane)) && (lane != work || take_from(striped_, work));
    if (!goes_on) return;
  }
}

Status Engine::write_link(Link& link) {
  while (true) {
    if (link.is_idle()) fill(link);
    if (link.current.empty()) return {};
    const ssize_t put = ::write(link.out, link.current.data() + link.written, link.current.size() - link.written);
    if (put < 0 && would_wait()) return {};
    if (put < 0) return fail(Kind::lost, "the connection broke");
    link.written += static_cast<std::size_t>(put);
    sent_ += static_cast<std::uint64_t>(put);
  }
}

Status Engine::read_link(Link& link) {
  const ssize_t got = ::read(link.in, link.reader.room(link_read), link_read);
  if (got < 0 && would_wait()) return {};
  if (got <= 0 && !link.is_sure) {
    link.says_no_more = link.hears_no_more = true;
    return {};
  }
  if (got <= 0) return fail(Kind::lost, "the connection ended");
  link.reader.took(static_cast<std::size_t>(got));
  received_ += static_cast<std::uint64_t>(got);
  return feed(link, {});
}

/// What wait() has found of them; those that neither end uses any more are closed.
Status Engine::move_links() {
  for (std::size_t i = 0; i < links_.size(); ++i) {
    auto& link = links_[i];
    if (has_queued(link)) TRY("", write_link(link));
    if (polls_[2 * i].revents != 0) TRY("", read_link(link));
  }
  std::erase_if(links_, [](const Link& one) { return one.says_no_more && one.hears_no_more && one.is_idle(); });
  return {};
}

/// A link that joined has data and its own end, and at first the other end's word that it is there.
Status Engine::take_of_link(Link& link, const Frame& frame) {
  if (frame.type == Type::striped && link.is_sure && !link.hears_no_more) return take(frame);
  if (frame.type == Type::join && !link.is_sure) {
    link.is_sure = true;
    return {};
  }
  if (frame.type != Type::leave || !link.is_sure || link.hears_no_more)
    return fail(Kind::corrupt, "a link that joined the connection has what it may not have");
  link.hears_no_more = true;
  say_no_more(link);
  return {};
}

void Engine::flush(Millis limit) {
  const auto end = os::system_clock().steady_ms() + limit.count();
  while (has_queued()) {
    polls_.clear();
    for (auto& link : links_) {
      if (!write_link(link)) return;
      if (has_queued(link)) polls_.push_back({link.out, POLLOUT, 0});
    }
    const auto left = end - os::system_clock().steady_ms();
    if (polls_.empty() || left <= 0 || ::poll(polls_.data(), polls_.size(), static_cast<int>(left)) == 0) return;
  }
}

}  // namespace ferry::mux
