#pragma once
/// \file
/// The checksums that S3 keeps of whole objects and that can be put together from those of their pieces. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "os/http.h"

namespace ferry::s3 {

enum class Sum { crc32, crc32c, crc64nvme };

/// Goes on from `before` (0: of nothing) with more bytes.
std::uint64_t crc(Sum sum, std::string_view bytes, std::uint64_t before = 0);
/// Of two pieces one after the other, from the sum of each; the second has `second_bytes`.
std::uint64_t joined_crc(Sum sum, std::uint64_t first, std::uint64_t second, std::uint64_t second_bytes);

struct SumSaid {
  Sum sum = Sum::crc64nvme;
  std::uint64_t value = 0;
};
/// The checksum of the whole object, as S3 says it to who asked with x-amz-checksum-mode; nothing where the object has
/// none of these, or one that was made of its parts' sums.
std::optional<SumSaid> sum_said(const os::HttpResponse& answer);

}  // namespace ferry::s3
