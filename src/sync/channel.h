#pragma once
/// \file
/// The byte stream between two ends of a sync: a greeting, then blocks (sync/blocks.h) in each direction.
///
///   greeting = 0x05 0x16 "ferry-sync" 0x1e version   sent first by both, who do not wait for the other's; what
///                                                    a login shell printed before it is skipped
///   number   = LEB128, least significant group first
///   text     = number (its length), bytes
///
/// Bytes before the greeting, and letters 'B' in place of an answer, say: still at work. So does 'P', which
/// answers 'Q'.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "sync/blocks.h"

namespace ferry::sync {

inline constexpr std::string_view greeting =
    "\x05\x16"
    "ferry-sync"
    "\x1e";
inline constexpr char protocol_version = 4;

/// Of what has byte(), as a Channel.
template <class Source>
Result<std::uint64_t> read_number(Source& from, std::uint64_t max) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    TRY_SET(group, "", from.byte());
    const std::uint64_t bits = static_cast<unsigned char>(group) & 0x7f;
    if (shift == 63 && bits > 1) break;
    value |= bits << shift;
    if ((group & 0x80) != 0) continue;
    if (value > max) break;
    return value;
  }
  return fail(Kind::corrupt, "the other side sent a number that is too large");
}

/// Use from one thread. While it lives both descriptors are non-blocking; afterwards they are as before.
class Channel {
 public:
  /// `cancelled` may be empty. A peer that is silent for longer than `silence` is `lost`, and one that only
  /// trickles: under 64 KiB in five times as long.
  Channel(int in, int out, std::function<bool()> cancelled = {},
          std::chrono::milliseconds silence = std::chrono::hours(24));
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  /// The peer may be silent for so long before its greeting.
  void await_first_word(std::chrono::milliseconds limit) { first_word_ = limit; }
  /// Sends our greeting. The peer's is found when first something is read: `unsupported` for another version,
  /// `corrupt` if 64 KiB bring none. A peer that prepares may take hours, as long as it says so.
  Status greet();
  /// Between two words: tells the peer that we are still at work, if it has heard nothing for some seconds.
  Status beat();

  /// Writing collects. Between two words of the conversation, pump() sends if much was collected and flush()
  /// sends all. A stream that breaks is `lost`; `cancelled` as asked, and then tell() can still add a last
  /// word.
  void put(std::string_view bytes) { pending_ += bytes; }
  void put_number(std::uint64_t value);
  void put_text(std::string_view text);
  Status pump();
  Status flush();
  /// put() of a piece of a file, and pump().
  Status put_through(Buffer bytes, std::size_t length);
  /// From now on much is written: compressing it takes as much effort as the line leaves time for. Asks the peer, who
  /// waits for a word, by a letter 'Q': by how soon 'P' comes, it is known whether it is near.
  Status begin_bulk();
  /// From now on much is written that the peer has not asked for, to a line that may not be there yet. What it does not
  /// take is packed and held, up to `most` bytes, and what the peer says meanwhile is read and kept.
  Status go_ahead(std::size_t most);
  void end_going_ahead();
  /// After go_ahead(): waits some milliseconds for a peer that was there before us, and is true as long as it may turn
  /// out to be near, where compressing is worth less. has_word() is to be called after each.
  Result<bool> may_be_near();
  /// The peer has said something besides its greeting, or gone. Does not wait.
  bool has_word();
  /// From now on a word from the peer stops writing (as `lost`): it can only be about an error.
  void stop_writing_when_peer_speaks(bool yes) { attentive_ = yes; }

  /// Reading waits. A stream that ends is `lost`; a value over its limit is `corrupt`.
  Result<char> byte();
  /// A byte that is a letter of the conversation: skips 'B' and 'P'.
  Result<char> letter();
  Result<std::uint64_t> number(std::uint64_t max);
  Result<std::string> text(std::size_t max);
  /// Between 1 and `limit` bytes, valid until the next call.
  Result<std::string_view> some(std::size_t limit);
  /// Reads between 1 and `limit` bytes to where they belong.
  Result<std::size_t> some_into(char* to, std::size_t limit);

  /// An error that follows the tag 'E'.
  void put_error(const Error& error);
  Result<Error> error();
  /// Tells the peer (tag and error) as well as it can be done in a few seconds; called last.
  void tell(const Error& error);
  /// `ours`, unless it says that the stream broke and the peer managed to tell why.
  Error last_words(Error ours);

  Status check_cancelled() const;
  std::uint64_t bytes_sent() const { return sent_; }
  std::uint64_t bytes_received() const { return received_; }

 private:
  using Clock = std::chrono::steady_clock;
  Status await_greeting();
  Status hear(std::string_view bytes);
  Status pack_pending();
  Status pack(std::string_view& bytes);
  enum class Until { none_is_ready, one_went, none_is_left };
  Status send_blocks(Until until);
  void begin_to_judge();
  void judge(const Packer::Block& block, std::size_t sent);
  /// Takes from both, one after the other, what was sent: all, or without a wait.
  Status send(std::string_view& first, std::string_view& second, bool waits);
  void listen();
  ssize_t read_now(char* to, std::size_t limit);
  Status refill();
  Result<std::size_t> read_into(char* to, std::size_t limit);
  Status decode();
  bool peer_spoke();
  Result<std::string_view> receive();
  Status check_pace(Clock::duration waited);
  Status may_go_on();
  enum class For { reading, writing };
  Status wait(For what);

  int in_, out_;
  int in_flags_, out_flags_;
  std::function<bool()> cancelled_;
  Clock::duration silence_, first_word_{};
  Clock::duration waited_{};                        ///< since the pace was last judged
  std::uint64_t moved_before_ = 0;                  ///< bytes, both ways, when it was
  std::optional<Clock::time_point> at_work_since_;  ///< the peer, as it says
  Clock::time_point beaten_ = Clock::now();
  std::optional<Clock::time_point> deadline_;
  bool attentive_ = false;
  bool is_ahead_ = false;
  std::string intro_;   ///< what came before the greeting was found
  std::string unread_;  ///< what was read while there was something to write
  std::size_t read_of_it_ = 0;
  bool is_over_ = false;      ///< there the end was found
  bool greeted_ = false;      ///< the peer's greeting was found
  bool is_answered_ = false;  ///< a 'P' came
  std::string pending_;       ///< to be packed
  Packer packer_;
  std::optional<Packer::Block> block_;  ///< that is being sent
  std::string_view head_;               ///< what is unsent of its header
  std::size_t block_size_ = 0;          ///< of both, when it was begun
  bool in_bulk_ = false, is_near_ = false;
  std::optional<Clock::time_point> looks_until_;  ///< whether it is
  bool has_asked_ = false;                        ///< by 'Q'
  std::size_t judged_in_ = 0, judged_out_ = 0;    ///< bytes of the blocks since the effort was chosen
  std::size_t unshrunk_ = 0;                      ///< of these that did not shrink
  std::size_t unshrunk_in_a_row_ = 0;             ///< bytes, up to now
  Clock::time_point judged_at_;                   ///< when it was chosen
  Clock::duration writing_{}, working_{};         ///< since then: waited for the line, and for blocks
  Unpacker unpacker_;
  std::unique_ptr<char[]> raw_;       ///< buffer of bytes read
  std::string_view raw_rest_, rest_;  ///< what is still unused of it, and of what was unpacked
  std::uint64_t sent_ = 0, received_ = 0;
};

}  // namespace ferry::sync
