#pragma once
/// \file
/// Reads the files that a sender is to send, several at once and ahead of what is being sent: opening, reading and
/// hashing the next ones costs no time of the line's. Internal to this room.

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "sync/buffer.h"
#include "sync/chunk_ahead.h"
#include "sync/root.h"
#include "sync/sync.h"

namespace ferry::sync {

/// What the receiver has of a file that it asked for.
struct Known {
  /// A file of which this one may be a continuation: so many bytes with that SHA-256. 0: none.
  std::uint64_t beginning = 0;
  std::string beginning_sha256;
  /// The chunks of a file that has much in common with this one, in their order. Empty: none.
  std::vector<Chunk> chunks;
};
struct Wanted {
  std::size_t index = 0;         ///< in the list
  std::unique_ptr<Known> known;  ///< null: nothing
};

/// What becomes known of a file, in this order: begin, then data, hole and same, then whole, again (and then begin) or
/// broken. Or only: absent, unlike.
struct Piece {
  enum class Is {
    begin,   ///< `marks`
    data,    ///< `bytes`, `length`
    hole,    ///< `length` zeros, which take no room on the disk
    same,    ///< `length` bytes as at `offset` in what the receiver has
    whole,   ///< `sha256`; `restless` if it changed each time it was read
    again,   ///< it changed meanwhile: what came of it since begin is void
    broken,  ///< `error`: it could not be read to its end
    absent,  ///< `error`: it could not be opened
    unlike,  ///< it does not begin with what the receiver has
  } is = Is::begin;
  std::uint64_t length = 0, offset = 0;
  Buffer bytes;
  Standing marks;
  std::string sha256;
  bool restless = false;
  Error error;
};

/// Use from one thread, which need not be the one that made it.
class ReadAhead {
 public:
  struct Settings {
    unsigned threads = 1;
    /// A file with the size and time that it was listed with has the listed content: it is not hashed again. (If it has
    /// another one after all, the receiver finds that, and asks again, for the whole file.) So is one of which the
    /// receiver has something.
    bool trusts_list = false;
    /// Of such a file, what is known of its beginning (Tree::beginnings) is not read again either; null: nothing.
    const std::map<std::string, Beginning, std::less<>>* beginnings = nullptr;
    ChunkAhead* chunks = nullptr;  ///< of some files these are known, or will be; null: of none
    /// Called by a reading thread after each piece was read; may be empty. For tests.
    std::function<void(std::string_view path)> while_reading;
  };
  /// `entries` and `wanted` outlive this. Of an entry nothing is changed but by who has seen the end of its file.
  ReadAhead(const Root& root, const std::vector<Entry>& entries, const std::vector<Wanted>& wanted, Settings settings);
  /// Waits for at most one piece to be read.
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  Status begin();
  /// The next of the files in the order in which they are wanted; nothing if there is none within `limit`.
  std::optional<Piece> next(std::chrono::milliseconds limit);
  /// Of which file the last piece was.
  const Wanted& current() const { return wanted_[current_]; }
  /// All pieces of all files were taken.
  bool done() const { return current_ == wanted_.size(); }

 private:
  /// Files that one thread reads, one after the other: a large one, or several small ones.
  struct Slot {
    std::size_t begin = 0, end = 0;  ///< of those that are wanted
    std::deque<Piece> pieces;
  };
  class Gathered;
  class Reading;
  void work(Root root);
  Slot* take_slot();
  bool is_stopping();
  bool give(Slot& slot, std::vector<Piece>& pieces);
  bool read(Root& root, const Wanted& wanted, Gathered& gathered);

  const Root& root_;
  const std::vector<Entry>& entries_;
  const std::vector<Wanted>& wanted_;
  const Settings settings_;
  std::mutex mutex_;
  std::condition_variable given_, taken_;
  std::deque<std::unique_ptr<Slot>> slots_;  ///< that are or were being read, the first with the current file
  std::size_t begun_ = 0;                    ///< files that were begun to be read
  std::size_t current_ = 0;                  ///< the file whose pieces are taken
  bool ended_ = false;                       ///< its last piece was taken
  std::uint64_t held_ = 0;                   ///< memory of what was read and not taken
  unsigned waiting_ = 0;                     ///< threads, until something is taken
  bool stop_ = false;
  std::vector<std::thread> threads_;  // the last: they use the others
};

}  // namespace ferry::sync
