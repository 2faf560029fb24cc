#pragma once
/// \file
/// What both ends of a connection do alike: bytes of many streams over one link, each stream with its own credit, the
/// more urgent lane first, and no stream ever in the way of another.

#include <poll.h>

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "base/units.h"
#include "mux/frame.h"
#include "os/fd.h"

namespace ferry::mux {

/// Use from one thread. The peer may be hostile: what it sends beyond its credit, or of streams that never were, is
/// corrupt; memory is bounded by window() for each stream and direction.
class Engine {
 public:
  /// Called with each open, kill, exit and hello; the body is valid meanwhile. An error ends the connection.
  using Handler = std::function<Status(const Frame&)>;

  /// Both descriptors are made non-blocking and stay open.
  Engine(int in, int out, Handler handler);

  void join(std::uint32_t id, Lane lane);
  bool has(std::uint32_t id) const { return streams_.contains(id); }
  std::size_t size() const { return streams_.size(); }
  /// What `fd` gives is sent as `what` (data or error), and then its end.
  void read_from(std::uint32_t id, Type what, os::Fd fd);
  /// What comes as `what` is written to `fd`; it is closed at its end.
  void write_to(std::uint32_t id, Type what, os::Fd fd);
  /// Whoever writes into the stream's descriptors is gone: what they still hold is sent, and then their ends, though
  /// others may have them open.
  void drain(std::uint32_t id);
  /// True when all that is to be sent of it was handed to the link's queue, ends included.
  bool has_sent_all(std::uint32_t id) const;
  /// Nothing more of it comes or is sent; what came is still written, then the stream is forgotten.
  void close(std::uint32_t id);
  /// Behind what was read of that stream.
  void send(std::uint32_t id, Type type, std::string_view body);

  /// Bytes of the link that somebody else has read already.
  Status feed(std::string_view bytes);
  /// Moves what can be moved, waiting at most `limit` (negative: for ever) for something to happen on the link, a
  /// stream, or one of `also`, whose revents are filled in. Fails lost when the link ended, corrupt when the peer
  /// breaks the protocol.
  Status turn(Millis limit, std::span<pollfd> also);
  /// Writes what waits for the link, for at most `limit`.
  void flush(Millis limit);

 private:
  struct Source {
    os::Fd fd;
    std::uint64_t credit = 0;
    bool is_last = false;  // drain()
  };
  struct Sink {
    os::Fd fd;
    std::string pending;
    std::size_t at = 0;          // of pending: before it is written
    std::uint64_t allowed = 0;   // that the peer may still send
    std::uint64_t returned = 0;  // written, and not yet told
    bool ended = false;
    bool idle() const { return at == pending.size(); }
  };
  struct Stream {
    Lane lane = Lane::talk;
    std::array<Source, 2> sources;  // data, error
    std::array<Sink, 2> sinks;
    bool closed = false;
  };
  struct Ready {
    std::uint32_t id;
    std::size_t which;
    bool is_source;
  };

  static std::size_t index(Type what) { return what == Type::error || what == Type::end_error ? 1 : 0; }
  static Type data_of(std::size_t which) { return which == 0 ? Type::data : Type::error; }
  static Type end_of(std::size_t which) { return which == 0 ? Type::end_data : Type::end_error; }
  bool may_read(const Stream& stream, const Source& source) const;
  void queue(Lane lane, std::string frame);
  bool has_queued() const;
  Status read_link();
  Status write_link();
  Status take(const Frame& frame);
  Status take_data(Stream& stream, const Frame& frame);
  void read_source(std::uint32_t id, Stream& stream, std::size_t which);
  void write_sink(std::uint32_t id, Stream& stream, std::size_t which);
  void end_sink(Sink& sink);
  void forget_closed();
  bool wait(Millis limit, std::span<pollfd> also);

  int in_, out_;
  Handler handler_;
  FrameReader reader_;
  std::map<std::uint32_t, Stream> streams_;
  std::uint32_t newest_ = 0;
  std::array<std::deque<std::string>, lanes> queues_;
  std::array<std::size_t, lanes> queued_{};
  std::string current_;  // is being written
  std::size_t written_ = 0;
  std::vector<pollfd> polls_;
  std::vector<Ready> ready_;
};

}  // namespace ferry::mux
