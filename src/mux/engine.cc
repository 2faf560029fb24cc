#include "mux/engine.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "os/clock.h"

namespace ferry::mux {

namespace {

/// Read at a time from the link.
constexpr std::size_t link_read = std::size_t{128} << 10;
/// Data in one frame: at 200 Mbit/s what is urgent waits 1.3 ms for it.
constexpr std::size_t most_data = std::size_t{32} << 10;
/// While a lane has more waiting for the link than this, nothing more is read for it.
constexpr std::size_t lane_room = std::size_t{128} << 10;
/// Small frames are written together up to this.
constexpr std::size_t together = std::size_t{64} << 10;
constexpr std::uint64_t most_credit = std::uint64_t{1} << 30;

bool would_wait() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

}  // namespace

Engine::Engine(int in, int out, Handler handler) : in_(in), out_(out), handler_(std::move(handler)) {
  (void)os::set_nonblocking(in_, true);
  (void)os::set_nonblocking(out_, true);
}

void Engine::join(std::uint32_t id, Lane lane) {
  auto& stream = streams_[id];
  stream.lane = lane;
  for (auto& source : stream.sources) source.credit = window(lane);
  for (auto& sink : stream.sinks) sink.allowed = window(lane);
  newest_ = std::max(newest_, id);
}

void Engine::read_from(std::uint32_t id, Type what, os::Fd fd) {
  (void)os::set_nonblocking(fd.get(), true);
  streams_.at(id).sources[index(what)].fd = std::move(fd);
}

void Engine::write_to(std::uint32_t id, Type what, os::Fd fd) {
  (void)os::set_nonblocking(fd.get(), true);
  streams_.at(id).sinks[index(what)].fd = std::move(fd);
}

void Engine::drain(std::uint32_t id) {
  if (const auto at = streams_.find(id); at != streams_.end())
    for (auto& source : at->second.sources) source.is_last = true;
}

bool Engine::has_sent_all(std::uint32_t id) const {
  const auto at = streams_.find(id);
  return at == streams_.end() || std::ranges::none_of(at->second.sources, [](const auto& one) { return !!one.fd; });
}

void Engine::close(std::uint32_t id) {
  const auto at = streams_.find(id);
  if (at == streams_.end()) return;
  at->second.closed = true;
  for (auto& source : at->second.sources) source.fd.reset();
  for (auto& sink : at->second.sinks) {
    sink.ended = true;
    if (sink.idle()) end_sink(sink);
  }
}

void Engine::send(std::uint32_t id, Type type, std::string_view body) {
  const auto at = streams_.find(id);
  const auto lane = at == streams_.end() ? Lane::talk : at->second.lane;
  queue(lane, encode({id, type, lane, body}));
}

Status Engine::feed(std::string_view bytes) {
  reader_.add(bytes);
  while (true) {
    TRY_SET(frame, "", reader_.next());
    if (!frame) return {};
    TRY("", take(*frame));
  }
}

bool Engine::may_read(const Stream& stream, const Source& source) const {
  return source.fd && source.credit > 0 && queued_[static_cast<std::size_t>(stream.lane)] < lane_room;
}

void Engine::queue(Lane lane, std::string frame) {
  const auto at = static_cast<std::size_t>(lane);
  queued_[at] += frame.size();
  queues_[at].push_back(std::move(frame));
}

bool Engine::has_queued() const {
  return written_ < current_.size() || std::ranges::any_of(queues_, [](const auto& one) { return !one.empty(); });
}

Status Engine::write_link() {
  while (true) {
    if (written_ == current_.size()) {
      current_.clear();
      written_ = 0;
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        auto& waiting = queues_[lane];
        while (!waiting.empty() && (current_.empty() || current_.size() + waiting.front().size() <= together)) {
          queued_[lane] -= waiting.front().size();
          if (current_.empty())
            current_ = std::move(waiting.front());
          else
            current_ += waiting.front();
          waiting.pop_front();
        }
        if (!waiting.empty()) break;
      }
      if (current_.empty()) return {};
    }
    const ssize_t put = ::write(out_, current_.data() + written_, current_.size() - written_);
    if (put < 0 && would_wait()) return {};
    if (put < 0) return fail(Kind::lost, "the connection broke");
    written_ += static_cast<std::size_t>(put);
  }
}

Status Engine::read_link() {
  const ssize_t got = ::read(in_, reader_.room(link_read), link_read);
  if (got < 0 && would_wait()) return {};
  if (got <= 0) return fail(Kind::lost, "the connection ended");
  reader_.took(static_cast<std::size_t>(got));
  return feed({});
}

Status Engine::take(const Frame& frame) {
  switch (frame.type) {
    case Type::hello:
    case Type::open:
    case Type::kill:
    case Type::exit:
      return handler_(frame);
    default:
      break;
  }
  const auto at = streams_.find(frame.stream);
  if (at == streams_.end()) {
    if (frame.stream == 0 || frame.stream > newest_)
      return fail(Kind::corrupt, "the connection names an unknown stream");
    return {};  // it was on its way when the stream ended
  }
  auto& stream = at->second;
  if (stream.closed) return {};  // the same
  const auto of = [&] { return frame.body.empty() ? '\0' : frame.body[0]; };
  switch (frame.type) {
    case Type::data:
    case Type::error:
      return take_data(stream, frame);
    case Type::end_data:
    case Type::end_error: {
      auto& sink = stream.sinks[index(frame.type)];
      sink.ended = true;
      if (sink.idle()) end_sink(sink);
      return {};
    }
    case Type::credit: {
      if (frame.body.size() != 5 || (of() != 'D' && of() != 'E')) return fail(Kind::corrupt, "a credit of nothing");
      auto& source = stream.sources[of() == 'E' ? 1 : 0];
      source.credit += decode_number(frame.body.substr(1));
      if (source.credit > most_credit) return fail(Kind::corrupt, "a credit beyond all measure");
      return {};
    }
    default:
      if (of() != 'D' && of() != 'E') return fail(Kind::corrupt, "nobody reads what nobody wrote");
      auto& source = stream.sources[of() == 'E' ? 1 : 0];
      if (source.fd) send(frame.stream, end_of(of() == 'E' ? 1 : 0), {});
      source.fd.reset();
      return {};
  }
}

Status Engine::take_data(Stream& stream, const Frame& frame) {
  const auto which = index(frame.type);
  auto& sink = stream.sinks[which];
  if (frame.body.size() > sink.allowed || sink.ended)
    return fail(Kind::corrupt, "the other end sends more than it may");
  sink.allowed -= frame.body.size();
  if (!sink.fd) return {};  // nobody reads it
  const bool was_idle = sink.idle();
  sink.pending += frame.body;
  if (was_idle) write_sink(frame.stream, stream, which);
  return {};
}

void Engine::write_sink(std::uint32_t id, Stream& stream, std::size_t which) {
  auto& sink = stream.sinks[which];
  while (!sink.idle()) {
    const auto rest = std::string_view(sink.pending).substr(sink.at);
    ssize_t put = ::send(sink.fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (put < 0 && errno == ENOTSOCK) put = ::write(sink.fd.get(), rest.data(), rest.size());
    if (put < 0 && would_wait()) break;
    if (put < 0) {
      // Nobody reads it any more.
      sink.fd.reset();
      sink.pending.clear();
      sink.at = 0;
      if (!sink.ended) send(id, Type::quit, which == 0 ? "D" : "E");
      return;
    }
    sink.at += static_cast<std::size_t>(put);
    sink.returned += static_cast<std::uint64_t>(put);
  }
  if (sink.idle()) {
    sink.pending.clear();
    sink.at = 0;
    if (sink.ended) return end_sink(sink);
  } else if (sink.at > sink.pending.size() / 2) {
    sink.pending.erase(0, sink.at);
    sink.at = 0;
  }
  if (sink.returned < window(stream.lane) / 4 || sink.ended) return;
  sink.allowed += sink.returned;
  // Ahead of the data of its own lane: whoever waits for it has a line that is idle.
  const auto body = (which == 0 ? "D" : "E") + encode_number(static_cast<std::uint32_t>(sink.returned));
  sink.returned = 0;
  queue(Lane::talk, encode({id, Type::credit, Lane::talk, body}));
}

void Engine::end_sink(Sink& sink) {
  if (!sink.fd) return;
  ::shutdown(sink.fd.get(), SHUT_WR);  // of a socket that is read from, too
  sink.fd.reset();
}

void Engine::read_source(std::uint32_t id, Stream& stream, std::size_t which) {
  auto& source = stream.sources[which];
  const auto most = std::min<std::uint64_t>(most_data, source.credit);
  std::string frame(header_size + most, '\0');
  const ssize_t got = ::read(source.fd.get(), frame.data() + header_size, most);
  if (got < 0 && would_wait() && !(source.is_last && errno != EINTR)) return;
  if (got <= 0) {
    source.fd.reset();
    return queue(stream.lane, encode({id, end_of(which), stream.lane, {}}));
  }
  source.credit -= static_cast<std::uint64_t>(got);
  frame.resize(header_size + static_cast<std::size_t>(got));
  const auto header = encode_number(static_cast<std::uint32_t>(got)) + encode_number(id) +
                      static_cast<char>(data_of(which)) + static_cast<char>(stream.lane);
  frame.replace(0, header_size, header);
  queue(stream.lane, std::move(frame));
}

void Engine::forget_closed() {
  std::erase_if(streams_, [](const auto& one) {
    const auto& sinks = one.second.sinks;
    return one.second.closed && !sinks[0].fd && !sinks[1].fd;
  });
}

/// Fills in polls_: the link, `also`, then one for each of ready_. False when a signal came instead.
bool Engine::wait(Millis limit, std::span<pollfd> also) {
  polls_.assign({{in_, POLLIN, 0}, {has_queued() ? out_ : -1, POLLOUT, 0}});
  polls_.insert(polls_.end(), also.begin(), also.end());
  ready_.clear();
  for (auto& [id, stream] : streams_) {
    for (std::size_t which = 0; which < 2; ++which) {
      const auto& source = stream.sources[which];
      if (may_read(stream, source)) {
        if (source.is_last) limit = Millis(0);
        ready_.push_back({id, which, true});
        polls_.push_back({source.fd.get(), POLLIN, 0});
      }
      const auto& sink = stream.sinks[which];
      if (sink.fd) {
        ready_.push_back({id, which, false});
        polls_.push_back({sink.fd.get(), static_cast<short>(sink.idle() ? 0 : POLLOUT), 0});
      }
    }
  }
  const auto ms = limit.count() < 0 ? -1 : static_cast<int>(std::min<std::int64_t>(limit.count(), 1 << 30));
  if (::poll(polls_.data(), polls_.size(), ms) < 0) return false;
  for (std::size_t i = 0; i < also.size(); ++i) also[i].revents = polls_[2 + i].revents;
  return true;
}

Status Engine::turn(Millis limit, std::span<pollfd> also) {
  for (auto& one : also) one.revents = 0;
  forget_closed();
  if (!wait(limit, also)) return {};
  const auto first = 2 + also.size();
  for (std::size_t i = 0; i < ready_.size(); ++i) {
    const auto& ready = ready_[i];
    auto& stream = streams_.at(ready.id);
    const auto events = polls_[first + i].revents;
    if (ready.is_source) {
      const auto& source = stream.sources[ready.which];
      if ((events != 0 || source.is_last) && may_read(stream, source)) read_source(ready.id, stream, ready.which);
    } else if (auto& sink = stream.sinks[ready.which]; sink.fd && events != 0) {
      if (sink.idle() && (events & POLLERR) != 0) {
        sink.fd.reset();
        if (!sink.ended) send(ready.id, Type::quit, ready.which == 0 ? "D" : "E");
      } else if (!sink.idle()) {
        write_sink(ready.id, stream, ready.which);
      } else if ((events & POLLHUP) != 0) {
        // A socket whose other end is gone for good.
        sink.fd.reset();
        if (!sink.ended) send(ready.id, Type::quit, ready.which == 0 ? "D" : "E");
      }
    }
  }
  if (has_queued()) TRY("", write_link());
  if (polls_[0].revents != 0) TRY("", read_link());
  return {};
}

void Engine::flush(Millis limit) {
  const auto end = os::system_clock().steady_ms() + limit.count();
  while (has_queued()) {
    if (!write_link() || !has_queued()) return;
    const auto left = end - os::system_clock().steady_ms();
    pollfd one{out_, POLLOUT, 0};
    if (left <= 0 || ::poll(&one, 1, static_cast<int>(left)) == 0) return;
  }
}

}  // namespace ferry::mux
