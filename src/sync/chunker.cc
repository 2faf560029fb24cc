#include "sync/chunker.h"

#define OPENSSL_SUPPRESS_DEPRECATED  // what EVP needs makes the static agent 4 MB larger
#include <openssl/aes.h>
#include <openssl/modes.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <memory>
#include <thread>

#include "base/text.h"

namespace ferry::sync {

namespace {

/// Random numbers, one for each byte (SplitMix64: Steele et al., "Fast Splittable Pseudorandom Number Generators",
/// 2014). Both ends must have the same: to change them is to change the protocol.
constexpr std::array<std::uint64_t, 256> make_gear() {
  std::array<std::uint64_t, 256> gear{};
  std::uint64_t seed = 0x6665727279;  // "ferry"
  for (auto& one : gear) {
    seed += 0x9e3779b97f4a7c15;
    std::uint64_t mixed = (seed ^ seed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    one = mixed ^ mixed >> 31;
  }
  return gear;
}
constexpr auto gear = make_gear();

/// A cut is where these bits are zero, the highest: they know the last 64 bytes. 18 would cut every 256 KiB; normalized
/// (level 2 of the paper), up to there two more must be, after it two fewer.
constexpr std::uint64_t top_bits(int count) { return ~std::uint64_t{0} << (64 - count); }
constexpr std::uint64_t strict = top_bits(20), loose = top_bits(16);

constexpr std::size_t chunk_buffer = std::size_t{4} << 20;

}  // namespace

std::size_t first_chunk(std::string_view bytes) {
  const std::size_t end = std::min(bytes.size(), largest_chunk), middle = std::min(end, usual_chunk);
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  std::uint64_t hash = 0;
  std::size_t i = std::min(smallest_chunk, end);
  for (; i < middle; ++i) {
    hash = (hash << 1) + gear[at[i]];
    if ((hash & strict) == 0) return i + 1;
  }
  for (; i < end; ++i) {
    hash = (hash << 1) + gear[at[i]];
    if ((hash & loose) == 0) return i + 1;
  }
  return end;
}

namespace {

/// GMAC (NIST SP 800-38D): with the instructions for it, four times as fast as SHA-256 with those for that. The key is
/// no secret, so that a chunk can be forged; whoever wants that makes a sync slower, as the file is checked whole.
class Gmac {
 public:
  Gmac() {
    ::AES_set_encrypt_key(key, 128, &cipher_);
    const auto encrypt = [](const unsigned char in[16], unsigned char out[16], const void* with) {
      ::AES_encrypt(in, out, static_cast<const AES_KEY*>(with));
    };
    state_.reset(::CRYPTO_gcm128_new(&cipher_, encrypt));
  }
  ChunkId of(std::string_view bytes) {
    constexpr unsigned char none[12] = {};
    ChunkId id;
    ::CRYPTO_gcm128_setiv(state_.get(), none, sizeof none);
    ::CRYPTO_gcm128_aad(state_.get(), reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    ::CRYPTO_gcm128_tag(state_.get(), reinterpret_cast<unsigned char*>(id.data()), id.size());
    return id;
  }

 private:
  static constexpr unsigned char key[16] = {'f', 'e', 'r', 'r', 'y'};
  struct Release {
    void operator()(GCM128_CONTEXT* state) const { ::CRYPTO_gcm128_release(state); }
  };
  AES_KEY cipher_;
  std::unique_ptr<GCM128_CONTEXT, Release> state_;
};

}  // namespace

ChunkId chunk_id(std::string_view bytes) {
  thread_local Gmac gmac;
  return gmac.of(bytes);
}

namespace {

/// Cuts `fd` from `at` to `end`, until `sink` has enough (false).
Status each_chunk(int fd, std::uint64_t at, std::uint64_t end, const std::function<bool(std::string_view)>& sink) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(chunk_buffer);
  std::size_t have = 0;
  for (bool at_end = false; !at_end;) {
    while (have < chunk_buffer && !at_end) {
      const std::size_t limit = std::min<std::uint64_t>(chunk_buffer - have, end - at);
      const ssize_t got = limit > 0 ? ::pread(fd, buffer.get() + have, limit, static_cast<off_t>(at)) : 0;
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno("read");
      at_end = got == 0;
      have += static_cast<std::size_t>(got);
      at += static_cast<std::uint64_t>(got);
    }
    std::string_view rest(buffer.get(), have);
    while (rest.size() >= largest_chunk || (at_end && !rest.empty())) {
      const std::size_t length = first_chunk(rest);
      if (!sink(rest.substr(0, length))) return {};
      rest.remove_prefix(length);
    }
    have = rest.size();
    std::memmove(buffer.get(), rest.data(), have);
  }
  return {};
}

/// Where a chunk ends depends on nothing before it. So each thread cuts a segment, as if a chunk began where that does;
/// the first few of its chunks are wrong, until a cut is where it would have been anyway.
class Cutter {
 public:
  Cutter(int fd, std::uint64_t size) : fd_(fd), size_(size), segments_((size + segment - 1) / segment) {}

  Result<std::vector<Chunk>> run(const std::function<Status()>& beat) {
    const std::size_t cores = std::clamp(std::thread::hardware_concurrency(), 1U, most_cutters);
    std::vector<std::future<Status>> cutters;
    while (cutters.size() < std::min(cores, segments_.size()))
      cutters.push_back(std::async(std::launch::async, [this] { return cut(); }));
    Status told, read;
    for (auto& cutter : cutters) {
      while (cutter.wait_for(between_beats) != std::future_status::ready) {
        if (told) told = beat();
        if (!told) stop_ = true;
      }
      if (auto done = cutter.get(); !done) read = std::move(done);
    }
    TRY("", std::move(told));
    TRY("", std::move(read));
    return joined();
  }

 private:
  static Chunk chunk(std::string_view bytes) { return {static_cast<std::uint32_t>(bytes.size()), chunk_id(bytes)}; }

  Status cut() {
    for (std::size_t number = next_++; number < segments_.size() && !stop_; number = next_++) {
      std::uint64_t at = number * segment;
      const std::uint64_t end = at + segment;
      TRY("", each_chunk(fd_, at, size_, [&](std::string_view bytes) {
            segments_[number].push_back(chunk(bytes));
            at += bytes.size();
            return at < end && !stop_;
          }));
    }
    return {};
  }

  Result<std::vector<Chunk>> joined() {
    std::vector<Chunk> all;
    std::uint64_t at = 0;
    for (std::size_t number = 0; number < segments_.size(); ++number) {
      const std::uint64_t end = std::min((number + 1) * segment, size_);
      std::uint64_t begin = number * segment;
      auto one = segments_[number].begin();
      const auto agree = [&] {
        for (; one != segments_[number].end() && begin < at; ++one) begin += one->length;
        return one != segments_[number].end() && begin == at;
      };
      if (at < end && !agree()) {
        TRY("", each_chunk(fd_, at, size_, [&](std::string_view bytes) {
              all.push_back(chunk(bytes));
              at += bytes.size();
              return at < end && !agree();
            }));
      }
      for (; at < end && one != segments_[number].end(); ++one) {
        all.push_back(*one);
        at += one->length;
      }
      if (at < end) break;  // it was cut off meanwhile
      segments_[number] = {};
    }
    return all;
  }

  static constexpr std::uint64_t segment = std::uint64_t{32} << 20;
  static constexpr unsigned most_cutters = 8;
  static constexpr auto between_beats = std::chrono::milliseconds(100);

  const int fd_;
  const std::uint64_t size_;
  std::vector<std::vector<Chunk>> segments_;
  std::atomic<std::size_t> next_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace

Result<std::vector<Chunk>> chunks_of(int fd, std::uint64_t size, const std::function<Status()>& beat) {
  return Cutter(fd, size).run(beat);
}

}  // namespace ferry::sync
