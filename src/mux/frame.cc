#include "mux/frame.h"

#include <cstring>

#include "base/text.h"

namespace ferry::mux {

namespace {

constexpr std::string_view types = "HODEdeCQKXSPJL";

}  // namespace

std::string encode_number(std::uint32_t value) {
  std::string out(4, '\0');
  for (std::size_t i = 0; i < 4; ++i) out[i] = static_cast<char>(value >> (8 * i) & 0xff);
  return out;
}

std::uint32_t decode_number(std::string_view bytes) {
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < 4; ++i)
    out |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  return out;
}

std::string encode_offset(std::uint64_t value) {
  return encode_number(static_cast<std::uint32_t>(value)) + encode_number(static_cast<std::uint32_t>(value >> 32));
}

std::uint64_t decode_offset(std::string_view bytes) {
  return decode_number(bytes) | static_cast<std::uint64_t>(decode_number(bytes.substr(4))) << 32;
}

std::string encode(const Frame& frame) {
  std::string out;
  out.reserve(header_size + frame.body.size());
  out += encode_number(static_cast<std::uint32_t>(frame.body.size()));
  out += encode_number(frame.stream);
  out += static_cast<char>(frame.type);
  out += static_cast<char>(frame.lane);
  out += frame.body;
  return out;
}

Result<std::string> encode_order(const Order& order) {
  if (order.argv.empty()) return "p" + std::to_string(order.port);
  std::string out = "c";
  for (const auto& word : order.argv) {
    if (word.find('\0') != std::string::npos) return fail(Kind::bad_input, "a command cannot hold a NUL byte");
    out += word;
    out += '\0';
  }
  if (out.size() > most_body)
    return fail(Kind::bad_input, "a command line is too long",
                fmt::format("it has {} bytes, and the limit is {}", out.size(), most_body));
  return out;
}

Result<Order> decode_order(std::string_view body) {
  Order order;
  if (body.starts_with('p')) {
    const auto port = parse_int(body.substr(1));
    if (!port || *port < 1 || *port > 65'535) return fail(Kind::corrupt, "a stream asks for no port");
    order.port = static_cast<int>(*port);
    return order;
  }
  if (!body.starts_with('c') || !body.ends_with('\0')) return fail(Kind::corrupt, "a stream asks for nothing known");
  for (auto rest = body.substr(1); !rest.empty();) {
    const auto end = rest.find('\0');
    order.argv.emplace_back(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
  if (order.argv.empty() || order.argv.front().empty()) return fail(Kind::corrupt, "a stream names no program");
  return order;
}

char* FrameReader::room(std::size_t size) {
  if (begin_ == end_) begin_ = end_ = 0;
  if (buffer_.size() - end_ < size && begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() - end_ < size) buffer_.resize(end_ + size);
  return buffer_.data() + end_;
}

void FrameReader::add(std::string_view bytes) {
  if (bytes.empty()) return;
  std::memcpy(room(bytes.size()), bytes.data(), bytes.size());
  took(bytes.size());
}

Result<std::optional<Frame>> FrameReader::next() {
  const std::string_view rest(buffer_.data() + begin_, end_ - begin_);
  if (rest.size() < header_size) return std::nullopt;
  const std::size_t size = decode_number(rest);
  if (size > most_body) return fail(Kind::corrupt, "a frame of the connection is too long");
  const char type = rest[8];
  const auto lane = static_cast<unsigned char>(rest[9]);
  if (types.find(type) == std::string_view::npos || lane >= lanes)
    return fail(Kind::corrupt, "a frame of the connection is of no known type");
  if (rest.size() < header_size + size) return std::nullopt;
  begin_ += header_size + size;
  return Frame{decode_number(rest.substr(4)), static_cast<Type>(type), static_cast<Lane>(lane),
               rest.substr(header_size, size)};
}

}  // namespace ferry::mux
