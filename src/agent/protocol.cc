#include "agent/protocol.h"

#include <algorithm>
#include <stdexcept>

namespace ferry::agent {
namespace {

constexpr std::size_t frame_head = 4 + 1, log_header = 8 + 1 + 1 + 8;

template <class T>
void put(std::string& out, T value) {
  auto bits = static_cast<std::make_unsigned_t<T>>(value);
  for (std::size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>(bits >> (8 * i) & 0xff);
}

template <class T>
T get(std::string_view bytes, std::size_t at) {
  std::make_unsigned_t<T> bits = 0;
  for (std::size_t i = sizeof(T); i-- > 0;) {
    bits = static_cast<decltype(bits)>(bits << 8 | static_cast<unsigned char>(bytes[at + i]));
  }
  return static_cast<T>(bits);
}

void begin_frame(std::string& out, FrameType type, std::size_t body) {
  if (body > most_body(type)) throw std::length_error("a frame's body is too large");
  put(out, static_cast<std::uint32_t>(body + 1));
  out += static_cast<char>(type);
}

bool known(char type) { return type == 'H' || type == 'Q' || type == 'A' || type == 'L' || type == 'S'; }

}  // namespace

std::size_t most_body(FrameType type) {
  constexpr std::size_t kib = 1024;
  switch (type) {
    case FrameType::request:
      return 4 * kib * kib;
    case FrameType::log:
      return kib * kib + 64;
    case FrameType::hello:
    case FrameType::answer:
    case FrameType::state:
      return 64 * kib;
  }
  return 0;
}

void FrameReader::add(std::string_view bytes) {
  if (at_ > 0 && at_ >= buffer_.size() / 2) {
    buffer_.erase(0, at_);
    at_ = 0;
  }
  buffer_.append(bytes);
}

Result<std::optional<Frame>> FrameReader::next() {
  const std::string_view rest = std::string_view(buffer_).substr(at_);
  if (rest.size() < frame_head) return std::nullopt;
  const auto length = get<std::uint32_t>(rest, 0);
  if (length < 1 || !known(rest[4]) || length - 1 > most_body(static_cast<FrameType>(rest[4])))
    return fail(Kind::corrupt, "not a frame of the agent protocol");
  if (rest.size() - 4 < length) return std::nullopt;
  Frame frame{static_cast<FrameType>(rest[4]), std::string(rest.substr(frame_head, length - 1))};
  at_ += 4 + length;
  return frame;
}

bool FrameReader::skip_to_hello() {
  const auto found = buffer_.find(greeting, std::max(at_, searched_));
  if (found == buffer_.npos) {
    searched_ = buffer_.size() - std::min(buffer_.size(), greeting.size() - 1);
    return false;
  }
  at_ = found + greeting.size();
  return true;
}

std::string encode(FrameType type, std::string_view body) {
  std::string out;
  out.reserve(frame_head + body.size());
  begin_frame(out, type, body.size());
  out += body;
  return out;
}

std::string encode_log(const LogChunk& chunk) {
  std::string out;
  out.reserve(frame_head + log_header + chunk.bytes.size());
  append_log(out, {chunk.offset, chunk.stream, chunk.phase, chunk.time_ms, chunk.bytes});
  return out;
}

void append_log(std::string& out, const LogView& view) {
  begin_frame(out, FrameType::log, log_header + view.bytes.size());
  put(out, view.offset);
  put(out, static_cast<std::uint8_t>(view.stream));
  put(out, static_cast<std::uint8_t>(view.phase));
  put(out, view.time_ms);
  out += view.bytes;
}

Result<LogChunk> decode_log(std::string_view body) {
  if (body.size() < log_header) return fail(Kind::corrupt, "a log frame is cut short");
  const auto stream = get<std::uint8_t>(body, 8), phase = get<std::uint8_t>(body, 9);
  if (stream < 1 || stream > 2 || phase < 1 || phase > 2)
    return fail(Kind::corrupt, "a log frame of unknown stream or phase");
  LogChunk chunk;
  chunk.offset = get<std::uint64_t>(body, 0);
  chunk.stream = static_cast<LogStream>(stream);
  chunk.phase = static_cast<LogPhase>(phase);
  chunk.time_ms = get<std::int64_t>(body, 10);
  chunk.bytes = body.substr(log_header);
  if (chunk.offset + chunk.bytes.size() < chunk.offset) return fail(Kind::corrupt, "a log frame beyond all offsets");
  return chunk;
}

}  // namespace ferry::agent
