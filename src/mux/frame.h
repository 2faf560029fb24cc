#pragma once
/// \file
/// The frames of the stream protocol, by which one connection to a machine carries many conversations.
/// docs/streams.md is its specification.
///
///   frame = length of the body (4 bytes, least significant first), stream (4 bytes, the same), type, lane, body

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace ferry::mux {

inline constexpr int protocol_version = 2;
/// The first that knows of more than one link: Type::striped and what is below it.
inline constexpr int striping_version = 2;
inline constexpr std::size_t header_size = 10;
/// A longer body is refused. Data are sent in smaller ones, so that what is more urgent does not wait for long.
inline constexpr std::size_t most_body = std::size_t{256} << 10;

enum class Type : char {
  hello = 'H',      ///< of stream 0, the first of each end: what it speaks
  open = 'O',       ///< begins a stream: what is to be run there (Order)
  data = 'D',       ///< bytes of standard input (to the machine) or output (from it), or of a port
  error = 'E',      ///< bytes of standard error
  end_data = 'd',   ///< no more of them comes
  end_error = 'e',  ///< no more of them comes
  credit = 'C',     ///< so many more bytes may be sent: of which (one byte, D or E), how many (4 bytes)
  quit = 'Q',       ///< nobody reads them any more: of which (one byte, D or E)
  kill = 'K',       ///< a signal for the stream's processes: its number (one byte)
  exit = 'X',       ///< the stream's last: exit code (4 bytes), signal (4 bytes)
  striped = 'S',    ///< data, behind how many bytes of the stream's data they come (8 bytes): by whichever link
  ping = 'P',       ///< of stream 0, from the laptop: the machine says the same at once
  join = 'J',       ///< of stream 0: the laptop wants another link; the machine says by which token it joins (join.h)
  leave = 'L',      ///< of stream 0, the last of its end on a link that joined
};

/// What goes first where several streams have something to say.
enum class Lane : std::uint8_t {
  talk = 0,        ///< questions and answers, the log
  work = 1,        ///< files that somebody waits for
  background = 2,  ///< what nobody waits for
};
inline constexpr std::size_t lanes = 3;

/// Links of one connection at once: the first, and those that joined.
inline constexpr std::size_t most_links = 3;

struct Frame {
  std::uint32_t stream = 0;
  Type type = Type::hello;
  Lane lane = Lane::talk;
  std::string_view body;
};

/// How many bytes of a stream may be on their way, of data and of error each, before the reader says that there is
/// room. 4 MiB in 60 ms are 560 Mbit/s. In the background less, so that it never stands in the way of others for long.
constexpr std::uint64_t window(Lane lane) {
  return lane == Lane::background ? std::uint64_t{256} << 10 : std::uint64_t{4} << 20;
}

/// Of the pipes between a stream and its program, where files are moved; others have the system's.
inline constexpr int pipe_bytes = 256 << 10;

std::string encode(const Frame& frame);
std::string encode_number(std::uint32_t value);
/// Of 4 bytes at least.
std::uint32_t decode_number(std::string_view bytes);
/// The same, in 8 bytes.
std::string encode_offset(std::uint64_t value);
std::uint64_t decode_offset(std::string_view bytes);
inline constexpr std::size_t offset_size = 8;

/// What a stream is opened for: a program and its arguments, or a port of the machine's loopback.
struct Order {
  std::vector<std::string> argv;  ///< empty: a port
  int port = 0;
};
/// 'c' and each word with a NUL after it, or 'p' and the number in decimals. Fails bad_input for a word with a NUL, and
/// for more than a frame holds.
Result<std::string> encode_order(const Order& order);
/// Fails corrupt.
Result<Order> decode_order(std::string_view body);

/// Cuts a stream of bytes, from whoever, into frames.
class FrameReader {
 public:
  /// Space for bytes that are about to come; the views of former frames are void afterwards.
  char* room(std::size_t size);
  void took(std::size_t size) { end_ += size; }
  void add(std::string_view bytes);
  /// The next whole frame. Fails corrupt for one that is too long, or of no known type or lane.
  Result<std::optional<Frame>> next();

 private:
  std::string buffer_;
  std::size_t begin_ = 0, end_ = 0;
};

}  // namespace ferry::mux
