#pragma once
/// \file
/// What both ends of a connection do alike: bytes of many streams over one link, each stream with its own credit, the
/// more urgent lane first, and no stream ever in the way of another. Links that join share the data of large streams
/// with the first.

#include <poll.h>

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "base/units.h"
#include "mux/frame.h"
#include "mux/gather.h"
#include "mux/join.h"
#include "os/fd.h"

namespace ferry::mux {

/// Use from one thread. The peer may be hostile: what it sends beyond its credit, or of streams that never were, is
/// corrupt; memory is bounded by window() for each stream and direction, times the links.
class Engine {
 public:
  /// Called with each open, kill, exit, hello, ping and join; the body is valid meanwhile. An error ends the
  /// connection.
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
  /// Nothing more of it comes or is sent, but for what other links still bring of data whose end is told; what came is
  /// still written, then the stream is forgotten.
  void close(std::uint32_t id);
  /// Behind what was read of that stream.
  void send(std::uint32_t id, Type type, std::string_view body);

  /// From now on data may go by this link as well, and come; `first` was read of it already. `is_sure`: the other end
  /// has it, too, and is told so; else nothing is sent by it before the other end says that, and its end until then is
  /// no harm. A link that ends later ends the connection. Not to be called by the handler.
  Status add_link(Joined link, std::string_view first, bool is_sure);
  /// Sends no more by the link that joined last; once the other end does the same it is closed.
  void leave_link();
  /// The first one and those that joined.
  std::size_t links() const { return links_.size(); }
  /// Those that joined, open; none is used any more.
  std::vector<Joined> take_links();
  /// What went over all links, in bytes.
  std::uint64_t sent() const { return sent_; }
  std::uint64_t received() const { return received_; }
  /// Whether something of a large stream waits: for a link, for credit, or for bytes before it.
  bool is_held_up() const;

  /// Bytes of the first link that somebody else has read already.
  Status feed(std::string_view bytes) { return feed(links_.front(), bytes); }
  /// Moves what can be moved, waiting at most `limit` (negative: for ever) for something to happen on the link, a
  /// stream, or one of `also`, whose revents are filled in. Fails lost when a link ended, corrupt when the peer
  /// breaks the protocol.
  Status turn(Millis limit, std::span<pollfd> also);
  /// Writes what waits for the links, for at most `limit`.
  void flush(Millis limit);

 private:
  struct Source {
    os::Fd fd;
    std::uint64_t credit = 0;
    bool is_last = false;     // drain()
    bool is_known = false;    // to the other end: it gave credit
    bool is_striped = false;  // from now on
    std::uint64_t sent = 0;
  };
  struct Sink {
    os::Fd fd;
    std::string pending;
    std::size_t at = 0;          // of pending: before it is written
    std::uint64_t allowed = 0;   // that the peer may still send
    std::uint64_t returned = 0;  // written, and not yet told
    std::uint64_t window = 0;    // may be on its way
    Gather gather;
    std::uint64_t plain = 0;            // bytes that came by the first link alone
    std::optional<std::uint64_t> size;  // that all of it will have: its end is told
    bool ended = false;
    bool idle() const { return at == pending.size(); }
  };
  struct Stream {
    Lane lane = Lane::talk;
    std::array<Source, 2> sources;  // data, error
    std::array<Sink, 2> sinks;
    bool closed = false;
  };
  struct Link {
    int in = -1, out = -1;
    Joined joined;  // of all but the first
    FrameReader reader;
    std::string current;  // is being written
    std::size_t written = 0;
    bool is_sure = true;  // the other end has it
    bool says_no_more = false, hears_no_more = false;
    bool is_idle() const { return written == current.size(); }
  };
  struct Ready {
    std::uint32_t id;
    std::size_t which;
    bool is_source;
  };

  static std::size_t index(Type what) { return what == Type::error || what == Type::end_error ? 1 : 0; }
  static Type data_of(std::size_t which) { return which == 0 ? Type::data : Type::error; }
  static Type end_of(std::size_t which) { return which == 0 ? Type::end_data : Type::end_error; }
  static bool would_wait();
  bool may_read(const Stream& stream, const Source& source) const;
  bool is_first(const Link& link) const { return &link == &links_.front(); }
  void queue(Lane lane, std::string frame, bool by_any_link = false);
  void queue_end(std::uint32_t id, const Stream& stream, std::size_t which);
  bool has_queued(const Link& link) const;
  bool has_queued() const;
  void fill(Link& link);
  Status feed(Link& link, std::string_view bytes);
  Status read_link(Link& link);
  Status write_link(Link& link);
  Status move_links();
  void say_no_more(Link& link);
  Status take(const Frame& frame);
  Status take_of_link(Link& link, const Frame& frame);
  Status take_data(Stream& stream, const Frame& frame);
  Status take_end(Stream& stream, const Frame& frame);
  void read_source(std::uint32_t id, Stream& stream, std::size_t which);
  void write_sink(std::uint32_t id, Stream& stream, std::size_t which);
  void drop_sink(std::uint32_t id, Stream& stream, std::size_t which);
  void return_credit(std::uint32_t id, Stream& stream, std::size_t which);
  void end_sink(Sink& sink);
  void forget_closed();
  bool wait(Millis limit, std::span<pollfd> also);

  Handler handler_;
  std::vector<Link> links_;
  std::map<std::uint32_t, Stream> streams_;
  std::uint32_t newest_ = 0;
  std::array<std::deque<std::string>, lanes> queues_;  // by the first link
  std::deque<std::string> striped_;                    // by any: of Lane::work
  std::array<std::size_t, lanes> queued_{};            // of both
  std::size_t striped_size_ = 0;
  std::uint64_t sent_ = 0, received_ = 0;
  std::vector<pollfd> polls_;
  std::vector<Ready> ready_;
};

}  // namespace ferry::mux
