#include "sync/read_ahead.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>

#include "base/hash.h"
#include "sync/content.h"

namespace ferry::sync {

namespace {

constexpr std::uint64_t most_ahead = std::uint64_t{8} << 20;
constexpr std::uint64_t batch_bytes = std::uint64_t{64} << 10;  // of small files
constexpr std::size_t batch_files = 32;
constexpr int most_readings = 5;
constexpr std::uint64_t longest_same = std::uint64_t{32} << 20;  // the receiver hears of it while the rest is read

const Known nothing_known;

std::uint64_t memory_of(const Piece& piece) { return sizeof(Piece) + (piece.bytes ? piece.length : 0); }

}  // namespace

ReadAhead::ReadAhead(const Root& root, const std::vector<Entry>& entries, const std::vector<Wanted>& wanted,
                     Settings settings)
    : root_(root), entries_(entries), wanted_(wanted), settings_(std::move(settings)) {}

Status ReadAhead::begin() {
  for (std::size_t i = 0; i < std::min<std::size_t>(settings_.threads, wanted_.size()); ++i) {
    TRY_SET(own, "", root_.again());
    threads_.emplace_back([this, mine = std::move(own)]() mutable { work(std::move(mine)); });
  }
  return {};
}

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard hold(mutex_);
    stop_ = true;
  }
  taken_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::optional<Piece> ReadAhead::next(std::chrono::milliseconds limit) {
  std::unique_lock hold(mutex_);
  if (ended_) {
    if (++current_ == slots_.front()->end) {
      slots_.pop_front();
      if (waiting_ > 0) taken_.notify_all();  // whose slot has become the first may go on
    }
    ended_ = false;
  }
  if (done()) return {};
  if (!given_.wait_for(hold, limit, [&] { return !slots_.empty() && !slots_.front()->pieces.empty(); })) return {};
  Piece piece = std::move(slots_.front()->pieces.front());
  slots_.front()->pieces.pop_front();
  held_ -= memory_of(piece);
  if (waiting_ > 0) taken_.notify_all();
  using Is = Piece::Is;
  ended_ = piece.is == Is::whole || piece.is == Is::broken || piece.is == Is::absent || piece.is == Is::unlike;
  return piece;
}

/// Waits until there is room: for the file that is sent now there always is, when nothing of it is left to be sent.
/// False if all is to stop.
bool ReadAhead::give(Slot& slot, std::vector<Piece>& pieces) {
  std::uint64_t memory = 0;
  for (const Piece& piece : pieces) memory += memory_of(piece);
  std::unique_lock hold(mutex_);
  ++waiting_;
  taken_.wait(hold, [&] {
    return stop_ || held_ + memory <= most_ahead || (slots_.front().get() == &slot && slot.pieces.empty());
  });
  --waiting_;
  held_ += memory;
  const bool was_empty = slot.pieces.empty();
  for (Piece& piece : pieces) slot.pieces.push_back(std::move(piece));
  pieces.clear();
  if (was_empty && slots_.front().get() == &slot) given_.notify_one();
  return !stop_;
}

/// Null if there is no more to be read.
ReadAhead::Slot* ReadAhead::take_slot() {
  std::unique_lock hold(mutex_);
  ++waiting_;
  taken_.wait(hold, [&] { return stop_ || begun_ == wanted_.size() || held_ < most_ahead; });
  --waiting_;
  if (stop_ || begun_ == wanted_.size()) return nullptr;
  auto slot = std::make_unique<Slot>();
  slot->begin = begun_;
  std::uint64_t bytes = 0;
  do {
    bytes += entries_[wanted_[begun_++].index].size;
  } while (begun_ < wanted_.size() && begun_ - slot->begin < batch_files &&
           bytes + entries_[wanted_[begun_].index].size <= batch_bytes);
  slot->end = begun_;
  slots_.push_back(std::move(slot));
  return slots_.back().get();
}

/// Of a slot, until it is worth to be given.
class ReadAhead::Gathered {
 public:
  Gathered(ReadAhead& ahead, Slot& slot) : ahead_(ahead), slot_(slot) {}
  std::vector<Piece>& pieces() { return pieces_; }
  /// False if all is to stop.
  bool add(Piece piece) {
    length_ += piece.bytes ? piece.length : 0;
    pieces_.push_back(std::move(piece));
    return length_ < piece_size || give();
  }
  bool give() {
    length_ = 0;
    return ahead_.give(slot_, pieces_);
  }

 private:
  ReadAhead& ahead_;
  Slot& slot_;
  std::vector<Piece> pieces_;
  std::uint64_t length_ = 0;
};

void ReadAhead::work(Root root) {
  while (Slot* slot = take_slot()) {
    Gathered gathered(*this, *slot);
    for (std::size_t i = slot->begin; i < slot->end; ++i) {
      if (!read(root, wanted_[i], gathered)) return;
    }
    if (!gathered.give()) return;
  }
}

/// One file's content, once.
class ReadAhead::Reading {
 public:
  Reading(ReadAhead& ahead, Gathered& gathered, const Wanted& wanted, int fd, const Standing& marks, bool is_trusted)
      : ahead_(ahead),
        gathered_(gathered),
        wanted_(wanted),
        known_(wanted.known ? *wanted.known : nothing_known),
        fd_(fd),
        marks_(marks),
        is_trusted_(is_trusted),
        is_hashed_(is_trusted) {}

  /// False if all is to stop.
  Result<bool> run() {
    Piece begin{.is = Piece::Is::begin};
    begin.marks = marks_;
    add(std::move(begin));
    const bool sparse = marks_.allocated < marks_.size;
    if (!known_.chunks.empty() && !sparse && marks_.size <= largest_cut) {
      TRY("", by_chunks());
    } else {
      if (known_.beginning > 0) TRY("", continue_beginning());
      if (!unlike_ && !stopped_) TRY("", sparse ? with_holes() : data_to(marks_.size));
    }
    return !stopped_;
  }
  bool unlike() const { return unlike_; }
  std::uint64_t size() const { return at_; }
  std::string finish() {
    return is_trusted_ ? std::string(std::string_view(ahead_.entries_[wanted_.index].sha256)) : hash_.finish();
  }

 private:
  /// Between 1 and `limit` bytes, or fewer at the end of the file.
  Result<std::size_t> read_some(char* to, std::size_t limit) {
    while (true) {
      const ssize_t got = ::pread(fd_, to, limit, static_cast<off_t>(at_));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno("read");
      if (!is_hashed_ || at_ < known_.beginning) hash_.add({to, static_cast<std::size_t>(got)});
      at_ += static_cast<std::uint64_t>(got);
      return static_cast<std::size_t>(got);
    }
  }

  void add(Piece piece) { stopped_ = !gathered_.add(std::move(piece)) || stopped_; }
  void add_data(Buffer bytes, std::size_t length) {
    Piece piece{.is = Piece::Is::data, .length = length};
    piece.bytes = std::move(bytes);
    if (ahead_.settings_.while_reading) ahead_.settings_.while_reading(ahead_.entries_[wanted_.index].path);
    add(std::move(piece));
  }

  Status data_to(std::uint64_t end) {
    while (at_ < end && !stopped_) {
      const std::size_t limit = std::min<std::uint64_t>(piece_size, end - at_);
      auto bytes = make_buffer(limit);
      TRY_SET(got, "", read_some(bytes.get(), limit));
      if (got == 0) break;
      add_data(std::move(bytes), got);
    }
    return {};
  }

  /// lseek(2), SEEK_DATA and SEEK_HOLE. The end of a file is a hole.
  Status with_holes() {
    while (at_ < marks_.size && !stopped_) {
      const off_t data = ::lseek(fd_, static_cast<off_t>(at_), SEEK_DATA);
      if (data < 0 && errno != ENXIO) return data_to(marks_.size);
      const auto begin = data < 0 ? marks_.size : std::min(static_cast<std::uint64_t>(data), marks_.size);
      if (begin > at_) skip_hole(begin - at_);
      if (begin == marks_.size) break;
      const off_t hole = ::lseek(fd_, static_cast<off_t>(at_), SEEK_HOLE);
      const std::uint64_t before = at_;
      TRY("", data_to(hole < 0 ? marks_.size : std::min(static_cast<std::uint64_t>(hole), marks_.size)));
      if (at_ == before) break;  // it was cut
    }
    return {};
  }
  void skip_hole(std::uint64_t length) {
    if (!is_trusted_) add_zeros(hash_, length, [this] { return stopped_ = ahead_.is_stopping(); });
    at_ += length;
    add(Piece{.is = Piece::Is::hole, .length = length});
  }

  /// What was seen of it when the file was hashed for the list; null: nothing.
  const Beginning* seen_beginning() const {
    if (!is_trusted_ || ahead_.settings_.beginnings == nullptr) return nullptr;
    const auto found = ahead_.settings_.beginnings->find(ahead_.entries_[wanted_.index].path);
    return found != ahead_.settings_.beginnings->end() && found->second.size == known_.beginning ? &found->second
                                                                                                 : nullptr;
  }

  /// Reads what the receiver may have.
  Status continue_beginning() {
    const Beginning* seen = seen_beginning();
    unlike_ = !seen || seen->sha256 != known_.beginning_sha256;
    if (!unlike_) return skip_beginning();
    if (seen || known_.beginning > marks_.size) return {};
    const auto buffer = std::make_unique_for_overwrite<char[]>(piece_size);
    while (at_ < known_.beginning) {
      TRY_SET(got, "", read_some(buffer.get(), std::min<std::uint64_t>(piece_size, known_.beginning - at_)));
      if (got == 0) return {};
      stopped_ = ahead_.is_stopping();
      if (stopped_) return {};
    }
    if (hash_.so_far() != known_.beginning_sha256) return {};
    unlike_ = false;
    return skip_beginning();
  }
  Status skip_beginning() {
    at_ = known_.beginning;
    add(Piece{.is = Piece::Is::same, .length = at_});
    // The receiver is to work on it at once.
    stopped_ = !gathered_.give() || stopped_;
    return {};
  }

  Status by_chunks() {
    std::map<ChunkId, std::pair<std::uint64_t, std::uint32_t>> known;
    std::uint64_t offset = 0;
    for (const Chunk& chunk : known_.chunks) {
      known.try_emplace(chunk.id, offset, chunk.length);
      offset += chunk.length;
    }
    if (!is_trusted_) TRY("", hash_first());
    TRY_SET(chunks, "", chunks_of_it());
    for (const Chunk& chunk : chunks) {
      if (stopped_) break;
      const auto found = known.find(chunk.id);
      if (found != known.end() && found->second.second == chunk.length) {
        at_ += chunk.length;
        add_same(found->second.first, chunk.length);
        continue;
      }
      const std::uint64_t end = at_ + chunk.length;
      TRY("", data_to(end));
      if (at_ < end) break;  // it was cut off meanwhile
    }
    return {};
  }
  Status hash_first() {
    std::string buffer;
    const Range all{.fd = fd_, .from = 0, .length = marks_.size, .threads = threads_for_large_file()};
    TRY("", hash_range(all, hash_, buffer, [this](std::string_view, std::uint64_t) { return go_on(); }));
    is_hashed_ = true;
    return {};
  }
  Result<std::vector<Chunk>> chunks_of_it() {
    ChunkAhead* ahead = ahead_.settings_.chunks;
    if (auto made = ahead ? ahead->take(ahead_.entries_[wanted_.index].path, marks_) : std::nullopt)
      return *std::move(made);
    return chunks_of(fd_, marks_.size, [this] { return go_on(); });
  }
  Status go_on() { return ahead_.is_stopping() ? fail(Kind::cancelled, "stopped") : Status(); }
  void add_same(std::uint64_t offset, std::uint64_t length) {
    auto& pieces = gathered_.pieces();
    if (!pieces.empty() && pieces.back().is == Piece::Is::same &&
        pieces.back().offset + pieces.back().length == offset) {
      pieces.back().length += length;
      if (pieces.back().length >= longest_same) stopped_ = !gathered_.give() || stopped_;
      return;
    }
    add(Piece{.is = Piece::Is::same, .length = length, .offset = offset});
  }

  ReadAhead& ahead_;
  Gathered& gathered_;
  const Wanted& wanted_;
  const Known& known_;
  const int fd_;
  const Standing marks_;
  const bool is_trusted_;  ///< it has the listed content
  bool is_hashed_;         ///< what is read need not be
  Sha256 hash_;
  std::uint64_t at_ = 0;
  bool unlike_ = false, stopped_ = false;
};

bool ReadAhead::is_stopping() {
  const std::lock_guard hold(mutex_);
  return stop_;
}

/// False if all is to stop.
bool ReadAhead::read(Root& root, const Wanted& wanted, Gathered& gathered) {
  const auto add = [&](Piece::Is is, Error error = {}) {
    Piece piece{.is = is};
    piece.error = std::move(error);
    return gathered.add(std::move(piece));
  };
  const Entry& entry = entries_[wanted.index];
  for (int attempt = 1;; ++attempt) {
    auto file = root.open_file(entry.path);
    auto marks = file ? standing_of(file->get()) : tl::unexpected<Error>(file.error());
    if (!marks) return add(Piece::Is::absent, marks.error());
    const bool as_listed = marks->size == entry.size && marks->mtime_ns == entry.mtime_ns;
    const bool is_trusted =
        (settings_.trusts_list || wanted.known) && attempt == 1 && as_listed && !entry.sha256.empty();
    Reading reading(*this, gathered, wanted, file->get(), *marks, is_trusted);
    const auto read = reading.run();
    if (read && !*read) return false;
    if (reading.unlike()) {
      gathered.pieces().pop_back();  // the beginning
      return add(Piece::Is::unlike);
    }
    if (!read) return add(Piece::Is::broken, read.error());
    const auto after = standing_of(file->get());
    const std::string sha256 = reading.finish();
    // Other content under the marks it was listed with: someone writes between two ticks of the file clock.
    // Look again.
    const bool surprising = attempt == 1 && sha256 != entry.sha256 && as_listed;
    const bool good = after && reading.size() == marks->size && untouched(*marks, *after) && !surprising;
    if (good || attempt == most_readings) {
      Piece whole{.is = Piece::Is::whole, .length = reading.size()};
      whole.sha256 = sha256;
      whole.restless = !good;
      return gathered.add(std::move(whole));
    }
    if (!add(Piece::Is::again) || !gathered.give()) return false;
  }
}

}  // namespace ferry::sync
