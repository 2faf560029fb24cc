#include "mux/engine.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "os/clock.h"

namespace ferry::mux {

namespace {

/// Data in one frame: at 200 Mbit/s what is urgent waits 1.3 ms for it.
constexpr std::size_t most_data = std::size_t{32} << 10;
/// While a lane has more waiting for the link than this, nothing more is read for it.
constexpr std::size_t lane_room = std::size_t{128} << 10;
constexpr std::uint64_t most_credit = std::uint64_t{1} << 30;

}  // namespace

Engine::Engine(int in, int out, Handler handler) : handler_(std::move(handler)) {
  (void)os::set_nonblocking(in, true);
  (void)os::set_nonblocking(out, true);
  auto& link = links_.emplace_back();
  link.in = in;
  link.out = out;
}

void Engine::join(std::uint32_t id, Lane lane) {
  auto& stream = streams_[id];
  stream.lane = lane;
  for (auto& source : stream.sources) source.credit = window(lane);
  for (auto& sink : stream.sinks) sink.allowed = sink.window = window(lane);
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
    if (sink.size && *sink.size > sink.gather.next()) continue;
    sink.ended = true;
    if (sink.idle()) end_sink(sink);
  }
}

void Engine::send(std::uint32_t id, Type type, std::string_view body) {
  const auto at = streams_.find(id);
  const auto lane = at == streams_.end() ? Lane::talk : at->second.lane;
  queue(lane, encode({id, type, lane, body}));
}

bool Engine::may_read(const Stream& stream, const Source& source) const {
  return source.fd && source.credit > 0 && queued_[static_cast<std::size_t>(stream.lane)] < lane_room;
}

void Engine::queue(Lane lane, std::string frame, bool by_any_link) {
  const auto at = static_cast<std::size_t>(lane);
  queued_[at] += frame.size();
  if (by_any_link) striped_size_ += frame.size();
  (by_any_link ? striped_ : queues_[at]).push_back(std::move(frame));
}

void Engine::queue_end(std::uint32_t id, const Stream& stream, std::size_t which) {
  const auto& source = stream.sources[which];
  queue(stream.lane, encode({id, end_of(which), stream.lane, source.is_striped ? encode_offset(source.sent) : ""}));
}

Status Engine::take(const Frame& frame) {
  switch (frame.type) {
    case Type::hello:
    case Type::open:
    case Type::kill:
    case Type::exit:
    case Type::ping:
    case Type::join:
      return handler_(frame);
    case Type::leave:
      return fail(Kind::corrupt, "the first link of the connection is left");
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
  // The same, unless its end has come before what other links have of it.
  if (stream.closed && (frame.type != Type::striped || stream.sinks[0].ended)) return {};
  const auto of = [&] { return frame.body.empty() ? '\0' : frame.body[0]; };
  switch (frame.type) {
    case Type::data:
    case Type::error:
    case Type::striped:
      return take_data(stream, frame);
    case Type::end_data:
    case Type::end_error:
      return take_end(stream, frame);
    case Type::credit: {
      if (frame.body.size() != 5 || (of() != 'D' && of() != 'E')) return fail(Kind::corrupt, "a credit of nothing");
      auto& source = stream.sources[of() == 'E' ? 1 : 0];
      source.credit += decode_number(frame.body.substr(1));
      source.is_known = true;
      if (source.credit > most_credit) return fail(Kind::corrupt, "a credit beyond all measure");
      return {};
    }
    default:
      if (of() != 'D' && of() != 'E') return fail(Kind::corrupt, "nobody reads what nobody wrote");
      const std::size_t which = of() == 'E' ? 1 : 0;
      if (stream.sources[which].fd) queue_end(frame.stream, stream, which);
      stream.sources[which].fd.reset();
      return {};
  }
}

Status Engine::take_data(Stream& stream, const Frame& frame) {
  const auto which = index(frame.type);
  auto& sink = stream.sinks[which];
  const bool is_striped = frame.type == Type::striped;
  if (is_striped && frame.body.size() <= offset_size) return fail(Kind::corrupt, "a frame of data has none");
  const auto bytes = is_striped ? frame.body.substr(offset_size) : frame.body;
  if (bytes.size() > sink.allowed || sink.ended) return fail(Kind::corrupt, "the other end sends more than it may");
  const auto room = sink.allowed;
  sink.allowed -= bytes.size();
  if (!sink.fd) return {};  // nobody reads it
  const bool was_idle = sink.idle();
  // What went by the first link alone is all before what is striped, though it may come later.
  const auto at = is_striped ? decode_offset(frame.body) : sink.plain;
  if (!is_striped) sink.plain += bytes.size();
  TRY("", sink.gather.add(at, bytes, room, sink.pending));
  if (sink.size && sink.gather.next() > *sink.size) return fail(Kind::corrupt, "a stream has more than its end tells");
  sink.ended = sink.size == sink.gather.next();
  if (was_idle && !sink.idle()) write_sink(frame.stream, stream, which);
  return {};
}

Status Engine::take_end(Stream& stream, const Frame& frame) {
  auto& sink = stream.sinks[index(frame.type)];
  if (!frame.body.empty() && sink.fd) {
    if (frame.body.size() != offset_size || sink.size || decode_offset(frame.body) < sink.gather.next())
      return fail(Kind::corrupt, "the end of a stream is told as none is");
    sink.size = decode_offset(frame.body);
    // What other links have of it is still to come.
    if (sink.gather.next() < *sink.size) return {};
  }
  sink.ended = true;
  if (sink.idle()) end_sink(sink);
  return {};
}

void Engine::write_sink(std::uint32_t id, Stream& stream, std::size_t which) {
  auto& sink = stream.sinks[which];
  while (!sink.idle()) {
    const auto rest = std::string_view(sink.pending).substr(sink.at);
    ssize_t put = ::send(sink.fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (put < 0 && errno == ENOTSOCK) put = ::write(sink.fd.get(), rest.data(), rest.size());
    if (put < 0 && would_wait()) break;
    if (put < 0) return drop_sink(id, stream, which);
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
  return_credit(id, stream, which);
}

/// Nobody reads it any more.
void Engine::drop_sink(std::uint32_t id, Stream& stream, std::size_t which) {
  auto& sink = stream.sinks[which];
  sink.fd.reset();
  sink.pending.clear();
  sink.at = 0;
  if (!sink.ended && !stream.closed) send(id, Type::quit, which == 0 ? "D" : "E");
}

void Engine::return_credit(std::uint32_t id, Stream& stream, std::size_t which) {
  auto& sink = stream.sinks[which];
  if (sink.returned < window(stream.lane) / 4 || sink.ended || stream.closed) return;
  // With every link that joins more may be on its way.
  const auto wanted = window(stream.lane) * (which == 0 && stream.lane == Lane::work ? links_.size() : 1);
  sink.returned += std::max(wanted, sink.window) - sink.window;
  sink.window = std::max(wanted, sink.window);
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
  if (which == 0 && stream.lane == Lane::work && source.is_known && links_.size() > 1) source.is_striped = true;
  const std::size_t before = header_size + (source.is_striped ? offset_size : 0);
  const auto most = std::min<std::uint64_t>(most_data, source.credit);
  std::string frame(before + most, '\0');
  const ssize_t got = ::read(source.fd.get(), frame.data() + before, most);
  if (got < 0 && would_wait() && !(source.is_last && errno != EINTR)) return;
  if (got <= 0) {
    source.fd.reset();
    return queue_end(id, stream, which);
  }
  frame.resize(before + static_cast<std::size_t>(got));
  const auto type = source.is_striped ? Type::striped : data_of(which);
  auto header = encode_number(static_cast<std::uint32_t>(frame.size() - header_size)) + encode_number(id) +
                static_cast<char>(type) + static_cast<char>(stream.lane);
  if (source.is_striped) header += encode_offset(source.sent);
  frame.replace(0, before, header);
  source.credit -= static_cast<std::uint64_t>(got);
  source.sent += static_cast<std::uint64_t>(got);
  queue(stream.lane, std::move(frame), source.is_striped);
}

bool Engine::is_held_up() const {
  for (const auto& [id, stream] : streams_) {
    const auto& source = stream.sources[0];
    if (stream.lane != Lane::work) continue;
    if ((source.fd && source.credit == 0) || stream.sinks[0].gather.has_early()) return true;
  }
  return striped_size_ > 0;
}

void Engine::forget_closed() {
  std::erase_if(streams_, [](const auto& one) {
    const auto& sinks = one.second.sinks;
    return one.second.closed && !sinks[0].fd && !sinks[1].fd;
  });
}

/// Fills in polls_: two of each link, `also`, then one for each of ready_. False when a signal came instead.
bool Engine::wait(Millis limit, std::span<pollfd> also) {
  polls_.clear();
  for (const auto& link : links_) {
    polls_.push_back({link.in, POLLIN, 0});
    polls_.push_back({has_queued(link) ? link.out : -1, POLLOUT, 0});
  }
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
  for (std::size_t i = 0; i < also.size(); ++i) also[i].revents = polls_[2 * links_.size() + i].revents;
  return true;
}

Status Engine::turn(Millis limit, std::span<pollfd> also) {
  for (auto& one : also) one.revents = 0;
  forget_closed();
  if (!wait(limit, also)) return {};
  const auto first = 2 * links_.size() + also.size();
  for (std::size_t i = 0; i < ready_.size(); ++i) {
    const auto& ready = ready_[i];
    auto& stream = streams_.at(ready.id);
    const auto events = polls_[first + i].revents;
    if (ready.is_source) {
      const auto& source = stream.sources[ready.which];
      if ((events != 0 || source.is_last) && may_read(stream, source)) read_source(ready.id, stream, ready.which);
    } else if (auto& sink = stream.sinks[ready.which]; sink.fd && events != 0) {
      if (sink.idle() && (events & POLLERR) != 0) {
        drop_sink(ready.id, stream, ready.which);
      } else if (!sink.idle()) {
        write_sink(ready.id, stream, ready.which);
      } else if ((events & POLLHUP) != 0) {
        // A socket whose other end is gone for good.
        drop_sink(ready.id, stream, ready.which);
      }
    }
  }
  return move_links();
}

}  // namespace ferry::mux
