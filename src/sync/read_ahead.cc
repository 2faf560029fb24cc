#include "sync/read_ahead.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>

#include "base/hash.h"
#include "sync/content.h"

namespace ferry::sync {

namespace {

constexpr std::uint64_t most_ahead = std::uint64_t{24} << 20;
constexpr std::size_t piece_size = std::size_t{256} << 10;
constexpr int most_readings = 5;
constexpr std::uint64_t longest_same = std::uint64_t{256} << 20;  // the receiver hears of it while the rest is read

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
    slots_.pop_front();
    ++current_;
    ended_ = false;
    taken_.notify_all();  // whose file has become the current one may go on
  }
  if (done()) return {};
  if (!given_.wait_for(hold, limit, [&] { return !slots_.empty() && !slots_.front()->pieces.empty(); })) return {};
  Piece piece = std::move(slots_.front()->pieces.front());
  slots_.front()->pieces.pop_front();
  if (piece.bytes) {
    held_ -= piece.length;
    taken_.notify_all();
  }
  using Is = Piece::Is;
  ended_ = piece.is == Is::whole || piece.is == Is::broken || piece.is == Is::absent || piece.is == Is::unlike;
  return piece;
}

/// Waits until there is room: for the file that is sent now there always is, when nothing of it is left to be sent.
/// False if all is to stop.
bool ReadAhead::give(Slot& slot, std::vector<Piece>& pieces) {
  std::uint64_t bytes = 0;
  for (const Piece& piece : pieces) bytes += piece.bytes ? piece.length : 0;
  std::unique_lock hold(mutex_);
  taken_.wait(hold, [&] {
    return stop_ || held_ + bytes <= most_ahead || (slots_.front().get() == &slot && slot.pieces.empty());
  });
  held_ += bytes;
  for (Piece& piece : pieces) slot.pieces.push_back(std::move(piece));
  pieces.clear();
  if (slots_.front().get() == &slot) given_.notify_one();
  return !stop_;
}

void ReadAhead::work(Root root) {
  while (true) {
    Slot* slot = nullptr;
    std::size_t which = 0;
    {
      std::unique_lock hold(mutex_);
      taken_.wait(hold, [&] { return stop_ || begun_ == wanted_.size() || held_ < most_ahead; });
      if (stop_ || begun_ == wanted_.size()) return;
      which = begun_++;
      slots_.push_back(std::make_unique<Slot>());
      slot = slots_.back().get();
    }
    read(root, wanted_[which], *slot);
  }
}

/// One file's content, once.
class ReadAhead::Reading {
 public:
  Reading(ReadAhead& ahead, Slot& slot, const Wanted& wanted, int fd, const Standing& marks)
      : ahead_(ahead), slot_(slot), wanted_(wanted), fd_(fd), marks_(marks) {}

  /// False if all is to stop.
  Result<bool> run() {
    Piece begin{.is = Piece::Is::begin};
    begin.marks = marks_;
    pieces_.push_back(std::move(begin));
    const bool sparse = marks_.allocated < marks_.size;
    if (!wanted_.chunks.empty() && !sparse) {
      TRY("", by_chunks());
    } else {
      if (wanted_.beginning > 0) TRY("", continue_beginning());
      if (!unlike_ && !stopped_) TRY("", sparse ? with_holes() : data_to(marks_.size));
    }
    return !stopped_;
  }
  bool unlike() const { return unlike_; }
  std::uint64_t size() const { return at_; }
  std::string finish() { return hash_.finish(); }
  std::vector<Piece>& pieces() { return pieces_; }

 private:
  /// Between 1 and `limit` bytes, or fewer at the end of the file.
  Result<std::size_t> read_some(char* to, std::size_t limit) {
    while (true) {
      const ssize_t got = ::pread(fd_, to, limit, static_cast<off_t>(at_));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno("read");
      hash_.add({to, static_cast<std::size_t>(got)});
      at_ += static_cast<std::uint64_t>(got);
      return static_cast<std::size_t>(got);
    }
  }

  void add_data(std::unique_ptr<char[]> bytes, std::size_t length) {
    Piece piece{.is = Piece::Is::data, .length = length};
    piece.bytes = std::move(bytes);
    pieces_.push_back(std::move(piece));
    gathered_ += length;
    note_read();
  }
  void note_read() {
    if (ahead_.settings_.while_reading) ahead_.settings_.while_reading(ahead_.entries_[wanted_.index].path);
    if (gathered_ < piece_size) return;
    stopped_ = !ahead_.give(slot_, pieces_);
    gathered_ = 0;
  }

  Status data_to(std::uint64_t end) {
    while (at_ < end && !stopped_) {
      const std::size_t limit = std::min<std::uint64_t>(piece_size, end - at_);
      auto bytes = std::make_unique_for_overwrite<char[]>(limit);
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
    add_zeros(hash_, length, [this] { return stopped_ = ahead_.is_stopping(); });
    at_ += length;
    pieces_.push_back(Piece{.is = Piece::Is::hole, .length = length});
  }

  /// Reads what the receiver may have.
  Status continue_beginning() {
    unlike_ = true;
    if (wanted_.beginning > marks_.size) return {};
    const auto buffer = std::make_unique_for_overwrite<char[]>(piece_size);
    while (at_ < wanted_.beginning) {
      TRY_SET(got, "", read_some(buffer.get(), std::min<std::uint64_t>(piece_size, wanted_.beginning - at_)));
      if (got == 0) return {};
      stopped_ = ahead_.is_stopping();
      if (stopped_) return {};
    }
    if (hash_.so_far() != wanted_.beginning_sha256) return {};
    unlike_ = false;
    pieces_.push_back(Piece{.is = Piece::Is::same, .length = wanted_.beginning});
    return {};
  }

  Status by_chunks() {
    std::map<ChunkId, std::pair<std::uint64_t, std::uint32_t>> known;
    std::uint64_t offset = 0;
    for (const Chunk& chunk : wanted_.chunks) {
      known.try_emplace(chunk.id, offset, chunk.length);
      offset += chunk.length;
    }
    const auto read = each_chunk(fd_, 0, [&](std::string_view bytes) -> Status {
      bytes = bytes.substr(0, marks_.size - at_);  // what it grew by is not of this reading
      hash_.add(bytes);
      at_ += bytes.size();
      const auto found = known.find(chunk_id(bytes));
      if (found != known.end() && found->second.second == bytes.size()) {
        add_same(found->second.first, bytes.size());
      } else if (!bytes.empty()) {
        auto copy = std::make_unique_for_overwrite<char[]>(bytes.size());
        bytes.copy(copy.get(), bytes.size());
        add_data(std::move(copy), bytes.size());
      }
      if (!stopped_) stopped_ = ahead_.is_stopping();
      if (stopped_ || at_ == marks_.size) return fail(Kind::cancelled, "enough");
      return {};
    });
    return stopped_ || at_ == marks_.size ? Status() : read;
  }
  void add_same(std::uint64_t offset, std::uint64_t length) {
    if (!pieces_.empty() && pieces_.back().is == Piece::Is::same &&
        pieces_.back().offset + pieces_.back().length == offset && pieces_.back().length < longest_same) {
      pieces_.back().length += length;
      return;
    }
    pieces_.push_back(Piece{.is = Piece::Is::same, .length = length, .offset = offset});
    gathered_ += piece_size;
    note_read();
  }

  ReadAhead& ahead_;
  Slot& slot_;
  const Wanted& wanted_;
  const int fd_;
  const Standing marks_;
  Sha256 hash_;
  std::uint64_t at_ = 0;
  std::size_t gathered_ = 0;
  std::vector<Piece> pieces_;
  bool unlike_ = false, stopped_ = false;
};

bool ReadAhead::is_stopping() {
  const std::lock_guard hold(mutex_);
  return stop_;
}

void ReadAhead::read(Root& root, const Wanted& wanted, Slot& slot) {
  std::vector<Piece> last;
  const auto give = [&](Piece::Is is, Error error = {}) {
    Piece piece{.is = is};
    piece.error = std::move(error);
    last.push_back(std::move(piece));
    return this->give(slot, last);
  };
  const Entry& entry = entries_[wanted.index];
  for (int attempt = 1;; ++attempt) {
    auto file = root.open_file(entry.path);
    auto marks = file ? standing_of(file->get()) : tl::unexpected<Error>(file.error());
    if (!marks) return (void)give(Piece::Is::absent, marks.error());
    Reading reading(*this, slot, wanted, file->get(), *marks);
    const auto read = reading.run();
    if (read && !*read) return;
    if (reading.unlike()) return (void)give(Piece::Is::unlike);
    last = std::move(reading.pieces());
    if (!read) return (void)give(Piece::Is::broken, read.error());
    const auto after = standing_of(file->get());
    const std::string sha256 = reading.finish();
    // Other content under the marks it was listed with: someone writes between two ticks of the file clock.
    // Look again.
    const bool surprising =
        attempt == 1 && sha256 != entry.sha256 && marks->size == entry.size && marks->mtime_ns == entry.mtime_ns;
    const bool good = after && reading.size() == marks->size && untouched(*marks, *after) && !surprising;
    if (good || attempt == most_readings) {
      Piece whole{.is = Piece::Is::whole, .length = reading.size()};
      whole.sha256 = sha256;
      whole.restless = !good;
      last.push_back(std::move(whole));
      return (void)this->give(slot, last);
    }
    if (!give(Piece::Is::again)) return;
  }
}

}  // namespace ferry::sync
