#include "sync/packed.h"

#include <zstd.h>

#include <memory>

namespace ferry::sync {

bool is_packed(std::string_view bytes) { return bytes.starts_with("\x28\xb5\x2f\xfd"); }

std::string pack(std::string_view bytes) {
  constexpr int level = 6;  // beyond it a shell script gets no smaller
  std::string frame(ZSTD_compressBound(bytes.size()), '\0');
  frame.resize(ZSTD_compress(frame.data(), frame.size(), bytes.data(), bytes.size(), level));
  return frame;
}

Result<std::string> unpack(std::string_view frame, std::size_t most) {
  constexpr std::size_t piece = std::size_t{1} << 20;
  const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), &ZSTD_freeDCtx);
  if (!is_packed(frame)) return fail(Kind::corrupt, "not a zstd frame");
  ZSTD_inBuffer in{frame.data(), frame.size(), 0};
  std::string out;
  while (true) {
    const auto before = out.size();
    out.resize(before + piece);
    ZSTD_outBuffer to{out.data() + before, piece, 0};
    const auto left = ZSTD_decompressStream(context.get(), &to, &in);
    out.resize(before + to.pos);
    if (ZSTD_isError(left)) return fail(Kind::corrupt, "a damaged zstd frame", ZSTD_getErrorName(left));
    if (out.size() > most) return fail(Kind::corrupt, "a zstd frame of too many bytes");
    if (left == 0) break;
    if (to.pos == 0 && in.pos == in.size) return fail(Kind::corrupt, "a zstd frame that is cut short");
  }
  if (in.pos != in.size) return fail(Kind::corrupt, "bytes behind a zstd frame");
  return out;
}

}  // namespace ferry::sync
