#pragma once
/// \file
/// The form that bytes have on the wire: blocks, each compressed by itself with zstd, on any of several threads, with
/// what went before it as the prefix in which matches are looked for (ZSTD_CCtx_refPrefix); or as it is, where that
/// would bring nothing.
///
///   block = number (length × 2, + 1 if it is packed), number (of bytes that follow, if it is packed), bytes
///
/// The prefix of a block are the bytes before it, prefix_of() many. Internal to this room.

#include <array>
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

namespace ferry::sync {

inline constexpr std::size_t largest_block = std::size_t{4} << 20;
inline constexpr std::size_t largest_prefix = std::size_t{8} << 20;
/// Of `before` bytes, those that a block of `length` is compressed with: for a short one it must not cost more to look
/// at them than they can bring.
std::size_t prefix_of(std::size_t before, std::size_t length);

/// How much is tried, from hardly anything (0).
inline constexpr std::size_t efforts = 6;

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
  /// What was taken becomes a block, even if it is short.
  void close_block();
  bool has_open_block() const { return area().used > begin_; }

  /// Of the blocks that begin now.
  void set_effort(std::size_t effort) { effort_ = effort; }
  /// So many of the next blocks are not tried to be compressed at all.
  void leave_next(int blocks) { left_as_it_is_ = blocks; }

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
    int jobs = 0;  ///< blocks that lie in it
  };
  struct Job {
    Area* area = nullptr;
    std::size_t begin = 0, length = 0, effort = 0;
    bool as_it_is = false, done = false;
    std::unique_ptr<char[]> packed;
    std::size_t packed_length = 0;  ///< 0: it is to go as it is
  };
  class Context;
  Area& area() { return areas_[current_]; }
  const Area& area() const { return areas_[current_]; }
  bool make_room();
  void start_threads();
  void work();

  std::array<Area, 2> areas_;  ///< one is filled while blocks of the other are on their way
  std::size_t current_ = 0;
  std::size_t begin_ = 0;                      ///< of the open block
  std::size_t goal_ = std::size_t{256} << 10;  ///< its length; grows, so that the line is soon busy
  std::size_t effort_;
  int left_as_it_is_ = 0;
  std::unique_ptr<Context> context_;  ///< of what is packed without threads

  std::mutex mutex_;
  std::condition_variable given_, done_;
  std::deque<std::unique_ptr<Job>> jobs_;
  std::size_t begun_ = 0;  ///< of the jobs, by a thread
  bool stop_ = false;
  std::vector<std::thread> threads_;  // the last: they use the others
};

/// Takes blocks apart. It sets aside as much memory as the peer has sent, up to 24 MiB.
class Unpacker {
 public:
  Unpacker();
  ~Unpacker();
  Unpacker(const Unpacker&) = delete;
  Unpacker& operator=(const Unpacker&) = delete;
  /// Takes bytes of the wire until a block is whole, and gives what is in it: good until the next call. Nothing, if all
  /// bytes were taken and it is not. `corrupt` for what no Packer makes.
  Result<std::string_view> take(std::string_view& bytes);

 private:
  struct Zstd;
  Status take_header(std::string_view& bytes);
  Status begin_block();

  std::unique_ptr<Zstd> zstd_;
  std::unique_ptr<char[]> plain_, packed_;
  std::size_t used_ = 0;  ///< of `plain_`
  std::string header_;
  std::size_t length_ = 0, packed_length_ = 0;  ///< of the block; 0: its header is not there yet
  bool is_packed_ = false;
  std::size_t have_ = 0;  ///< of its body
};

}  // namespace ferry::sync
