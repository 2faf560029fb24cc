#include "s3/parts_sha256.h"

#include <algorithm>
#include <cstring>
#include <utility>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace ferry::s3 {
namespace {

constexpr std::size_t block = 64;
using Words = std::array<std::uint32_t, 8>;
/// FIPS 180-4, 5.3.3
constexpr Words first_words = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

#if defined(__x86_64__)

#define FERRY_WITH_SHA __attribute__((target("sha,sse4.1,ssse3"), always_inline)) inline

/// FIPS 180-4, 4.2.2
alignas(16) constexpr std::array<std::uint32_t, 64> constants = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/// The last sixteen words of the message schedule.
struct Message {
  __m128i four[4];
};

/// The eight words as the instructions have them: a, b, e, f and c, d, g, h, the first highest.
struct State {
  __m128i abef, cdgh;
};

FERRY_WITH_SHA State loaded(const Words& words) {
  const __m128i dcba = _mm_loadu_si128(reinterpret_cast<const __m128i*>(words.data()));
  const __m128i hgfe = _mm_loadu_si128(reinterpret_cast<const __m128i*>(words.data() + 4));
  const __m128i cdab = _mm_shuffle_epi32(dcba, 0xB1), efgh = _mm_shuffle_epi32(hgfe, 0x1B);
  return {_mm_alignr_epi8(cdab, efgh, 8), _mm_blend_epi16(efgh, cdab, 0xF0)};
}

FERRY_WITH_SHA void store(const State& state, Words& words) {
  const __m128i feba = _mm_shuffle_epi32(state.abef, 0x1B), dchg = _mm_shuffle_epi32(state.cdgh, 0xB1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(words.data()), _mm_blend_epi16(feba, dchg, 0xF0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(words.data() + 4), _mm_alignr_epi8(dchg, feba, 8));
}

FERRY_WITH_SHA void four_rounds(State& state, __m128i words) {
  state.cdgh = _mm_sha256rnds2_epu32(state.cdgh, state.abef, words);
  state.abef = _mm_sha256rnds2_epu32(state.abef, state.cdgh, _mm_shuffle_epi32(words, 0x0E));
}

/// Four rounds of both, beginning at round 4 * i, and all that follow.
template <int i>
FERRY_WITH_SHA void rounds(State& one, State& other, Message& message) {
  if constexpr (i >= 4) {
    const __m128i before = message.four[(i + 3) % 4];
    const __m128i seven_back = _mm_alignr_epi8(before, message.four[(i + 2) % 4], 4);
    const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(message.four[i % 4], message.four[(i + 1) % 4]), seven_back);
    message.four[i % 4] = _mm_sha256msg2_epu32(sum, before);
  }
  const __m128i words = _mm_add_epi32(
      message.four[i % 4], _mm_load_si128(reinterpret_cast<const __m128i*>(constants.data() + std::size_t{4} * i)));
  four_rounds(one, words);
  four_rounds(other, words);
  if constexpr (i < 15) rounds<i + 1>(one, other, message);
}

__attribute__((target("sha,sse4.1,ssse3"))) void compress(Words& one, Words& other, const char* bytes,
                                                          std::size_t blocks) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  State first = loaded(one), second = loaded(other);
  for (; blocks > 0; --blocks, bytes += block) {
    Message message;
    for (std::size_t i = 0; i < 4; ++i) {
      const __m128i four = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + 16 * i));
      message.four[i] = _mm_shuffle_epi8(four, big_endian);
    }
    const State first_was = first, second_was = second;
    rounds<0>(first, second, message);
    first = {_mm_add_epi32(first.abef, first_was.abef), _mm_add_epi32(first.cdgh, first_was.cdgh)};
    second = {_mm_add_epi32(second.abef, second_was.abef), _mm_add_epi32(second.cdgh, second_was.cdgh)};
  }
  store(first, one);
  store(second, other);
}

#else

void compress(Words&, Words&, const char*, std::size_t) {}

#endif

}  // namespace

struct PartsSha256::Plain {
  Sha256 whole, part;
};

struct PartsSha256::Quick {
  Words whole = first_words, part = first_words;
  std::uint64_t whole_bytes = 0, part_bytes = 0;
  std::array<char, block> tail{};  // what does not fill a block yet
  std::size_t tail_bytes = 0;

  void add(std::string_view bytes) {
    whole_bytes += bytes.size(), part_bytes += bytes.size();
    if (tail_bytes > 0) {
      const auto count = std::min(bytes.size(), block - tail_bytes);
      std::memcpy(tail.data() + tail_bytes, bytes.data(), count);
      tail_bytes += count;
      bytes.remove_prefix(count);
      if (tail_bytes < block) return;
      compress(whole, part, tail.data(), 1);
      tail_bytes = 0;
    }
    compress(whole, part, bytes.data(), bytes.size() / block);
    bytes.remove_prefix(bytes.size() / block * block);
    std::memcpy(tail.data(), bytes.data(), bytes.size());
    tail_bytes = bytes.size();
  }

  /// What `words` come to with the tail, the padding and the length behind them.
  std::string ended(Words words, std::uint64_t count) const {
    std::array<char, 2 * block> last{};
    std::memcpy(last.data(), tail.data(), tail_bytes);
    last[tail_bytes] = static_cast<char>(0x80);
    const std::size_t size = tail_bytes + 9 > block ? 2 * block : block;
    for (std::size_t i = 0; i < 8; ++i) last[size - 1 - i] = static_cast<char>((count * 8) >> (8 * i));
    Words ignored = words;
    compress(words, ignored, last.data(), size / block);
    std::string out;
    for (const std::uint32_t word : words)
      for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(word >> shift);
    return out;
  }
};

PartsSha256::PartsSha256() : PartsSha256(is_quick_here()) {}
PartsSha256::PartsSha256(bool quick) {
  if (quick) quick_ = std::make_unique<Quick>();
  if (!quick) plain_ = std::make_unique<Plain>();
}
PartsSha256::~PartsSha256() = default;

void PartsSha256::add(std::string_view bytes) {
  if (quick_) return quick_->add(bytes);
  plain_->whole.add(bytes);
  plain_->part.add(bytes);
}

std::string PartsSha256::end_part() {
  if (!quick_) return std::exchange(plain_->part, Sha256()).finish();
  std::string sum = quick_->ended(quick_->part, quick_->part_bytes);
  quick_->part = first_words;
  quick_->part_bytes = 0;
  return sum;
}

std::string PartsSha256::finish() {
  return quick_ ? quick_->ended(quick_->whole, quick_->whole_bytes) : plain_->whole.finish();
}

bool PartsSha256::is_quick_here() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned ssse3 = 1u << 9, sse41 = 1u << 19, sha = 1u << 29;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & ssse3) == 0 || (c & sse41) == 0) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & sha) != 0;
#else
  return false;
#endif
}

}  // namespace ferry::s3
