#include "sync/content.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/hash.h"

namespace ferry::sync {

namespace {

constexpr unsigned most_readers = 2;
constexpr std::size_t largest_part = std::size_t{1} << 20;

/// Bytes at a place of a file; fewer than wanted only at its end.
Result<std::size_t> read_part(int fd, char* to, std::size_t wanted, std::uint64_t at) {
  std::size_t have = 0;
  while (have < wanted) {
    const ssize_t got = ::pread(fd, to + have, wanted - have, static_cast<off_t>(at + have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read");
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  return have;
}

/// Reads and hashes a range in parts: whoever is free takes the next, and hashes it when those before it are.
class InTurn {
 public:
  InTurn(const Range& range, Sha256& hash, const PartSink& sink) : range_(range), hash_(hash), sink_(sink) {}

  Result<std::uint64_t> run(std::string& buffer) {
    std::vector<std::thread> others;
    while (others.size() + 1 < range_.threads && others.size() * largest_part < range_.length) {
      others.emplace_back([this] {
        std::string own;
        work(own);
      });
    }
    work(buffer);
    for (std::thread& other : others) other.join();
    if (error_) return tl::unexpected<Error>(*error_);
    return hashed_;
  }

 private:
  void work(std::string& buffer) {
    std::unique_lock hold(mutex_);
    while (!is_over_ && begun_ < range_.length) {
      const std::uint64_t at = begun_;
      const std::size_t wanted = std::min<std::uint64_t>(largest_part, range_.length - at);
      begun_ += wanted;
      hold.unlock();
      if (buffer.size() < wanted) buffer.resize(wanted);
      auto got = take(buffer.data(), wanted, range_.from + at);
      hold.lock();
      turn_.wait(hold, [&] { return is_over_ || hashed_ == at; });
      if (is_over_) return;
      if (got) {
        hold.unlock();
        hash_.add({buffer.data(), *got});
        hold.lock();
        hashed_ = at + *got;
      } else {
        error_ = std::move(got).error();
      }
      is_over_ = !got || *got < wanted;
      turn_.notify_all();
    }
  }

  Result<std::size_t> take(char* buffer, std::size_t wanted, std::uint64_t at) const {
    TRY_SET(got, "", read_part(range_.fd, buffer, wanted, at));
    if (sink_ && got > 0) TRY("", sink_({buffer, got}, at));
    return got;
  }

  const Range range_;
  Sha256& hash_;  ///< whose turn it is, its
  const PartSink& sink_;
  std::mutex mutex_;
  std::condition_variable turn_;
  std::uint64_t begun_ = 0, hashed_ = 0;  ///< bytes of the range
  bool is_over_ = false;                  ///< at the end of the file, or after a failure
  std::optional<Error> error_;
};

Result<Hashed> hash_open(int fd, const Standing& before, std::string& buffer, const HashSettings& settings) {
  Hashed result;
  result.marks = before;
  Sha256 hash;
  const auto read_to = [&](std::uint64_t end) -> Status {
    const Range range{.fd = fd, .from = result.size, .length = end - result.size, .threads = settings.threads};
    TRY_SET(got, "", hash_range(range, hash, buffer, settings.sink));
    result.size += got;
    return {};
  };
  if (settings.beginning > 0 && settings.beginning < before.size) {
    TRY("", read_to(settings.beginning));
    if (result.size == settings.beginning) result.beginning_sha256 = hash.so_far();
  }
  TRY("", read_to(before.size));
  result.sha256 = hash.finish();
  TRY_SET(after, "", standing_of(fd));
  result.stable = result.size == before.size && untouched(before, after);
  return result;
}

}  // namespace

bool untouched(const Standing& before, const Standing& after) {
  return before.size == after.size && before.mtime_ns == after.mtime_ns && before.ctime_ns == after.ctime_ns;
}

void add_zeros(Sha256& hash, std::uint64_t count, const std::function<bool()>& stop) {
  static char zeros[65536];  // (constant, it would be as large in the program)
  for (std::uint64_t left = count; left > 0;) {
    const std::size_t some = std::min<std::uint64_t>(left, sizeof zeros);
    hash.add({zeros, some});
    left -= some;
    if (left % (std::uint64_t{64} << 20) < some && stop()) return;
  }
}

unsigned threads_for_large_file() { return std::clamp(std::thread::hardware_concurrency(), 1U, most_readers); }

Result<std::uint64_t> hash_range(const Range& range, Sha256& hash, std::string& buffer, const PartSink& sink) {
  return InTurn(range, hash, sink).run(buffer);
}

Result<Hashed> hash_file(Root& root, std::string_view path, std::string& buffer, const HashSettings& settings) {
  constexpr int attempts = 3;
  for (int attempt = 1;; ++attempt) {
    TRY_SET(file, "", root.open_file(path));
    TRY_SET(before, "", standing_of(file.get()));
    auto hashed = hash_open(file.get(), before, buffer, settings);
    if (!hashed) return fail("reading " + root.shown(path), std::move(hashed).error());
    if (hashed->stable || attempt == attempts) return hashed;
  }
}

}  // namespace ferry::sync
