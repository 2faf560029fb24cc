#pragma once
/// \file
/// The form that bytes have on the wire: blocks, each compressed by itself with zstd, on any of several threads, with
/// what went before it as the prefix in which matches are looked for (ZSTD_CCtx_refPrefix); or as it is, where that
/// would bring nothing.
///
///   block = number (length × 4, + 1 if it is packed, + 2 if it stands alone), number (of bytes that follow, if it is
///           packed), bytes
///
/// The prefix of a block are the bytes before it, prefix_of() many. What stands alone is packed without one, and is in
/// nobody's: with a fast line, to look at the same bytes again and again would take the most time. Internal to this
/// room.

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/error.h"
#include "sync/buffer.h"

namespace ferry::sync {

inline constexpr std::size_t largest_block = std::size_t{2} << 20;
inline constexpr std::size_t largest_prefix = std::size_t{4} << 20;
/// Of `before` bytes, those that a block of `length` is compressed with: for a short one it must not cost more to look
/// at them than they can bring.
std::size_t prefix_of(std::size_t before, std::size_t length);

/// How much is tried, from hardly anything (0: blocks that stand alone).
inline constexpr std::size_t efforts = 6;

/// In LEB128.
void append_number(std::string& to, std::uint64_t value);

/// Makes blocks. Use from one thread; `done` and the threads are its own.
class Packer {
 public:
  /// `effort`: of the first block.
  explicit Packer(std::size_t effort);
  ~Packer();
  Packer(const Packer&) = delete;
  Packer& operator=(const Packer&) = delete;

  /// Takes some of the bytes, none if first a block has to go. From the first full block on there are threads.
  std::size_t add(std::string_view bytes);
  /// The same with all of a large piece, which becomes a block that stands alone; false if first a block has to go.
  bool add_whole(Buffer& bytes, std::size_t length);
  /// What was taken becomes a block, even if it is short.
  void close_block();
  bool has_open_block() const { return open_length_ > 0 || area().used > begin_; }

  /// Of the blocks that begin now.
  void set_effort(std::size_t effort) { effort_ = effort; }
  std::size_t effort() const { return effort_; }
  /// So many of the next bytes are not tried to be compressed at all.
  void leave_next(std::size_t bytes) { left_as_they_are_ = bytes; }
  /// So much may be packed and wait for the line; usually no more than the next few blocks.
  void hold(std::size_t bytes) { most_held_ = bytes; }

  /// The first block that was not dropped, or that there is none within `limit`.
  struct Block {
    std::string header;
    std::string_view body;
    std::size_t length = 0;       ///< of what is in it
    bool did_not_shrink = false;  ///< and was tried
  };
  bool has_block() const { return !jobs_.empty(); }
  std::optional<Block> first(std::chrono::milliseconds limit);
  void drop_first();

 private:
  struct Area {
    std::unique_ptr<char[]> bytes;
    std::size_t used = 0;
    int jobs = 0;  ///< blocks that are still to be read from it
  };
  struct Job {
    Area* area = nullptr;  ///< that it is to be read from; null if that is its `own`, or is over
    Buffer own;            ///< of one that stands alone
    const char* plain = nullptr;
    std::size_t length = 0, prefix = 0, effort = 0;
    bool is_alone = true, as_it_is = false, done = false;
    Buffer packed;
    std::size_t packed_length = 0;  ///< 0: it is to go as it is
  };
  class Context;
  bool is_full();
  std::size_t add_to_area(std::string_view bytes);
  std::size_t add_alone(std::string_view bytes);
  void put(std::unique_ptr<Job> job);
  void detach(Job& job) const;
  void end(Job& job);
  static constexpr std::size_t jobs_besides = 4;  ///< that wait for a thread or the line, while all threads work
  Area& area() { return areas_[current_]; }
  const Area& area() const { return areas_[current_]; }
  bool make_room();
  void start_threads();
  void work();

  std::array<Area, 2> areas_;  ///< one is filled while blocks of the other are on their way
  std::size_t current_ = 0;
  std::size_t begin_ = 0;                      ///< of the open block
  std::size_t goal_ = std::size_t{256} << 10;  ///< its length; grows, so that the line is soon busy
  Buffer open_;                                ///< the open block, if it stands alone
  std::size_t open_length_ = 0;
  std::size_t effort_;
  std::size_t left_as_they_are_ = 0;
  std::unique_ptr<Context> context_;  ///< of what is packed without threads

  std::mutex mutex_;
  std::condition_variable given_, done_;
  std::deque<std::unique_ptr<Job>> jobs_;  ///< in the order of the line
  std::deque<Job*> to_pack_;               ///< of these, by the threads
  std::size_t undone_ = 0;                 ///< of these
  std::size_t held_ = 0;                   ///< bytes of the others
  std::atomic<std::size_t> most_held_{0};
  bool stop_ = false;
  std::vector<std::thread> threads_;  // the last: they use the others
};

/// Takes blocks apart. It sets aside as much memory as the peer has sent, up to 8 MiB.
class Unpacker {
 public:
  Unpacker();
  ~Unpacker();
  Unpacker(const Unpacker&) = delete;
  Unpacker& operator=(const Unpacker&) = delete;
  /// Takes bytes of the wire until a block is whole, and gives what is in it: good until the next call, and as long as
  /// these bytes are. Nothing, if all bytes were taken and it is not. `corrupt` for what no Packer makes.
  Result<std::string_view> take(std::string_view& bytes);
  /// So many of the next bytes of the wire are what take() would give.
  std::size_t plain_next() const { return length_ > 0 && !is_packed_ && is_alone_ ? length_ - have_ : 0; }
  /// So many of them were taken by somebody else.
  void skip_plain(std::size_t bytes);

 private:
  struct Zstd;
  Status take_header(std::string_view& bytes);
  Status begin_block();

  std::unique_ptr<Zstd> zstd_;
  std::unique_ptr<char[]> plain_, packed_;
  std::size_t used_ = 0;  ///< of `plain_`
  std::string header_;
  std::size_t length_ = 0, packed_length_ = 0;  ///< of the block; 0: its header is not there yet
  bool is_packed_ = false, is_alone_ = false;
  std::size_t have_ = 0;  ///< of its body
};

}  // namespace ferry::sync
