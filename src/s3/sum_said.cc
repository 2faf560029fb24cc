#include "s3/sum_said.h"

#include <array>

#include "base/text.h"

namespace ferry::s3 {

std::optional<SumSaid> sum_said(const os::HttpResponse& answer) {
  if (const auto type = answer.header("x-amz-checksum-type"); !type.empty() && type != "FULL_OBJECT")
    return std::nullopt;
  constexpr std::array<std::pair<const char*, Sum>, 3> headers = {{{"x-amz-checksum-crc64nvme", Sum::crc64nvme},
                                                                   {"x-amz-checksum-crc32c", Sum::crc32c},
                                                                   {"x-amz-checksum-crc32", Sum::crc32}}};
  for (const auto& [header, sum] : headers) {
    const auto raw = from_base64(answer.header(header));
    if (!raw || raw->size() * 8 != static_cast<std::size_t>(bits_of(sum))) continue;
    SumSaid said{sum, 0};
    for (const char byte : *raw) said.value = said.value << 8 | static_cast<unsigned char>(byte);
    return said;
  }
  return std::nullopt;
}

}  // namespace ferry::s3
