// Files from S3, in pieces that several connections fetch at once.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/hash.h"
#include "base/text.h"
#include "s3/journal.h"
#include "s3/objects.h"
#include "store/content.h"

namespace ferry::s3 {
namespace {

constexpr std::uint64_t most_pieces = 1'000'000;
constexpr std::size_t hashed_at_once_in_order = std::size_t{128} << 10;

class Fetch {
 public:
  Fetch(Line& line, const Download& what)
      : session_(line.shared()),
        line_(line),
        what_(what),
        temp_(store::part_of(what.path)),
        journal_(temp_.string() + ".pieces"),
        together_(what.moved),
        piece_(session_->limits().part) {}

  Result<Head> run() {
    TRY_SET(fd, "", os::open_file(temp_, O_RDWR | O_CREAT));
    fd_ = std::move(fd);
    TRY("", begin());
    count_ = (head_.bytes + piece_ - 1) / piece_;
    const auto left = count_ - std::min<std::uint64_t>(count_, journal_.pieces().size());
    if (count_ > 1 && left > 0) {
      const auto threads = std::min<std::uint64_t>(left, static_cast<std::uint64_t>(session_->limits().connections));
      Together::run(static_cast<int>(threads), [this] { work(); });
      if (auto error = together_.error()) return tl::unexpected(*std::move(error));
    }
    if (::ftruncate(fd_.get(), static_cast<off_t>(head_.bytes)) < 0) return fail_errno("write " + what_.path.string());
    while (hashed_ < count_) TRY("", hash_piece());
    const store::Content found{hex(hash_.finish()), head_.bytes};
    const std::string name = "the stored " + what_.key, advice = "store it again from where it is whole";
    if (what_.expected) TRY("", store::check_content(found, *what_.expected, name, advice));
    if (!head_.sha256.empty()) TRY("", store::check_content(found, {head_.sha256, head_.bytes}, name, advice));
    TRY("", store::into_place(fd_.get(), temp_, what_.path, what_.flush));
    journal_.forget();
    head_.sha256 = found.sha256;
    return head_;
  }

  /// Nothing of it is kept.
  void forget() {
    ::unlink(temp_.c_str());
    journal_.forget();
  }
  bool is_resumed() const { return resumed_; }

 private:
  Call call_for(const std::string& range) const {
    Call call{.action = "GetObject", .doing = "fetch the stored " + printable(what_.key), .key = what_.key};
    if (!range.empty()) call.headers.emplace_back("Range", range);
    return call;
  }

  static std::string range_of(std::uint64_t from, std::uint64_t size) {
    return "bytes=" + std::to_string(from) + "-" + std::to_string(from + size - 1);
  }

  /// Answers are written from `from` on; each attempt begins there.
  void write_to_file(Call& call, std::uint64_t from, std::uint64_t& at) {
    call.begin = [from, &at]() -> Status {
      at = from;
      return {};
    };
    call.streams.take = [this, &at](std::string_view bytes) -> Status {
      while (!bytes.empty()) {
        const auto done = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return fail_errno("write " + what_.path.string());
        at += static_cast<std::uint64_t>(done);
        bytes.remove_prefix(static_cast<std::size_t>(done));
      }
      return {};
    };
    call.streams.moved = [this](std::uint64_t bytes) { return together_.moved(bytes); };
  }

  /// Which version it is, and what there is of it: what an earlier try left, else the first piece.
  Status begin() {
    const Json noted = journal_.load();
    if (const std::string etag = text_at(noted, "etag");
        !etag.empty() && int_at(noted, "piece") == static_cast<std::int64_t>(piece_)) {
      TRY_SET(head, "", head_object(line_, what_.key));
      head_ = head;
      resumed_ = head.etag == etag && int_at(noted, "bytes") == static_cast<std::int64_t>(head.bytes);
      if (resumed_) return check_size();
    }
    TRY("", first_piece());
    if (head_.bytes <= piece_) {  // it is all there
      if (!noted.is_null()) journal_.forget();
      return check_size();
    }
    journal_.begin({{"etag", head_.etag}, {"bytes", head_.bytes}, {"piece", piece_}});
    journal_.add(0, "");
    begin_to_flush(0, piece_);
    return check_size();
  }

  Status check_size() const {
    if (head_.bytes / piece_ > most_pieces)
      return fail(Kind::unsupported, "the stored " + printable(what_.key) + " is too large");
    if (!what_.expected || what_.expected->bytes == head_.bytes) return {};
    return store::check_content({"", head_.bytes}, *what_.expected, "the stored " + what_.key,
                                "store it again from where it is whole");
  }

  Status first_piece() {
    std::uint64_t at = 0;
    Call call = call_for(range_of(0, piece_));
    write_to_file(call, 0, at);
    auto answer = line_.call(call);
    if (!answer && answer.error().code == "InvalidRange") {  // it is empty: nothing of it can be asked for
      call.headers.clear();
      answer = line_.call(call);
    }
    if (!answer) return tl::unexpected(std::move(answer).error());
    head_ = head_of(*answer);
    if (answer->status == 200 && at > piece_) piece_ = at;  // no piece was sent, but all of it
    return {};
  }

  void work() {
    Line line(session_);
    while (true) {
      std::uint64_t number = 0;
      {
        const std::lock_guard lock(mutex_);
        while (next_ < count_ && journal_.pieces().contains(static_cast<int>(next_))) ++next_;
        if (next_ >= count_ || together_.has_failed()) return;
        number = next_++;
      }
      const std::uint64_t from = number * piece_, size = std::min(piece_, head_.bytes - from);
      std::uint64_t at = from;
      Call call = call_for(range_of(from, size));
      call.headers.emplace_back("If-Match", "\"" + head_.etag + "\"");
      write_to_file(call, from, at);
      auto answer = line.call(call);
      if (!answer) return together_.fail_with(std::move(answer).error());
      if (answer->status != 206 || at != from + size) {
        return together_.fail_with(
            {Kind::corrupt, call.doing + ": S3 sent another piece than was asked for", {}, {}, {}, {}});
      }
      begin_to_flush(from, size);
      {
        const std::lock_guard lock(mutex_);
        journal_.add(static_cast<int>(number), "");
      }
      if (auto hashed = hash_on(); !hashed) return together_.fail_with(std::move(hashed).error());
    }
  }

  /// So that the fsync(2) at the end finds little to do. Only a hint.
  void begin_to_flush([[maybe_unused]] std::uint64_t from, [[maybe_unused]] std::uint64_t size) {
#ifdef SYNC_FILE_RANGE_WRITE
    (void)::sync_file_range(fd_.get(), static_cast<off64_t>(from), static_cast<off64_t>(size), SYNC_FILE_RANGE_WRITE);
#endif
  }

  /// While others still fetch: hashes what is there without a gap, unless one of them is at it.
  Status hash_on() {
    const std::unique_lock at_it(hashing_, std::try_to_lock);
    while (at_it) {
      {
        const std::lock_guard lock(mutex_);
        if (!journal_.pieces().contains(static_cast<int>(hashed_))) break;
      }
      TRY("", hash_piece());
    }
    return {};
  }

  /// The next one in order.
  Status hash_piece() {
    buffer_.resize(hashed_at_once_in_order);
    const std::uint64_t end = std::min((hashed_ + 1) * piece_, head_.bytes);
    for (std::uint64_t at = hashed_ * piece_; at < end;) {
      const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(buffer_.size(), end - at));
      const auto got = ::pread(fd_.get(), buffer_.data(), most, static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno("read " + temp_.string());
      if (got == 0) return fail(Kind::corrupt, "what was fetched of the stored " + printable(what_.key) + " is gone");
      hash_.add({buffer_.data(), static_cast<std::size_t>(got)});
      at += static_cast<std::uint64_t>(got);
      if (!together_.moved(0)) return store::stopped("fetch the stored " + printable(what_.key));
    }
    ++hashed_;
    return {};
  }

  std::shared_ptr<Session> session_;
  Line& line_;
  const Download& what_;
  os::Path temp_;
  Journal journal_;
  Together together_;
  os::Fd fd_;
  Head head_;
  std::uint64_t piece_, count_ = 0;
  bool resumed_ = false;

  std::mutex mutex_;  ///< of next_, and of journal_ while threads run
  std::uint64_t next_ = 0;
  std::mutex hashing_;  ///< of all that follows, while threads run
  std::uint64_t hashed_ = 0;
  Sha256 hash_;
  std::string buffer_;
};

}  // namespace

Result<Head> download(Line& line, const Download& what) {
  for (int attempt = 1;; ++attempt) {
    Fetch fetch(line, what);
    auto head = fetch.run();
    if (head) return head;
    const Kind kind = head.error().kind;
    if (may_work_later(kind) || kind == Kind::cancelled) return head;
    fetch.forget();
    // It was replaced meanwhile, or an earlier try left something else than it noted: once more from the
    // start.
    const bool again = kind == Kind::conflict || (kind == Kind::corrupt && fetch.is_resumed());
    if (!again || attempt == 2) return head;
  }
}

}  // namespace ferry::s3
