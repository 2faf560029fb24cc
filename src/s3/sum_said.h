#pragma once
/// \file
/// The checksums that S3 keeps of whole objects and that can be put together from those of their pieces. Pure.

#include <cstdint>
#include <optional>

#include "base/crc.h"
#include "os/http.h"

namespace ferry::s3 {

struct SumSaid {
  Sum sum = Sum::crc64nvme;
  std::uint64_t value = 0;
};
/// The checksum of the whole object, as S3 says it to who asked with x-amz-checksum-mode; nothing where the object has
/// none of these, or one that was made of its parts' sums.
std::optional<SumSaid> sum_said(const os::HttpResponse& answer);

}  // namespace ferry::s3
