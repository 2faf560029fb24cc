#include "rehearsal/s3_integrity.h"

#include "base/text.h"

namespace ferry::rehearsal {
namespace {

constexpr std::string_view sum_prefix = "x-amz-checksum-";

/// x-amz-checksum-mode, -type and -algorithm name no checksum.
bool is_sum_header(std::string_view header) {
  return header.starts_with(sum_prefix) && header != "x-amz-checksum-mode" && header != "x-amz-checksum-type" &&
         header != "x-amz-checksum-algorithm";
}

S3Result<std::string> raw_sum(std::string_view header, std::string_view text, Checksum kind) {
  auto raw = from_base64(text);
  if (!raw || raw->size() != bytes_of(kind) || base64(*raw) != text)
    return invalid_request(fmt::format("Value for {} header is invalid.", header));
  return *std::move(raw);
}

tl::unexpected<S3Error> bad_sum(Checksum kind) {
  return s3_refuse("BadDigest", fmt::format("The {} you specified did not match the calculated checksum.", name(kind)));
}

S3Result<std::string> wanted_sum(const AskedSums& asked, const S3Payload& payload) {
  if (!asked.value.empty()) return asked.value;
  const auto header = header_of(*asked.kind);
  const auto found = payload.trailers().find(header);
  if (found == payload.trailers().end())
    return s3_refuse("MalformedTrailerError", "The trailer " + header + " did not come.");
  return raw_sum(header, found->second, *asked.kind);
}

}  // namespace

S3Result<AskedSums> asked_sums(const S3Request& request) {
  AskedSums out;
  if (request.has_header("content-md5")) {
    const auto raw = from_base64(request.header("content-md5"));
    if (!raw || raw->size() != bytes_of(Checksum::md5))
      return s3_refuse("InvalidDigest", "The Content-MD5 you specified was invalid.");
    out.md5 = *raw;
  }
  for (const auto& [header, value] : request.headers) {
    const bool trailer = header == "x-amz-trailer";
    if (!trailer && !is_sum_header(header)) continue;
    for (const auto& one : trailer ? split(value, ',') : std::vector<std::string>{header}) {
      const auto wanted = lower(trim(one));
      if (!is_sum_header(wanted)) continue;
      const auto kind = checksum_named(std::string_view(wanted).substr(sum_prefix.size()));
      if (!kind) return invalid_request(fmt::format("The rehearsal cloud's S3 knows no {}.", wanted));
      if (out.kind)
        return invalid_request("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.");
      out.kind = kind;
      if (trailer) continue;
      S3_SET(raw, raw_sum(header, value, *kind));
      out.value = raw;
    }
  }
  const auto algorithm = request.header("x-amz-sdk-checksum-algorithm");
  if (algorithm.empty()) return out;
  const auto named = checksum_named(algorithm);
  if (!named)
    return invalid_request(
        "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, "
        "CRC32C, CRC64NVME, SHA1, SHA256]");
  if (!out.kind)
    return invalid_request(
        "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer "
        "headers were found.");
  if (*named != *out.kind) return invalid_request("Value for x-amz-sdk-checksum-algorithm header is invalid.");
  return out;
}

S3Status check_sums(const AskedSums& asked, const S3Blob& blob, const S3Payload& payload) {
  if (asked.md5 && *asked.md5 != blob.sum(Checksum::md5))
    return s3_refuse("BadDigest", "The Content-MD5 you specified did not match what we received.");
  if (!asked.kind) return {};
  S3_SET(wanted, wanted_sum(asked, payload));
  return wanted == blob.sum(*asked.kind) ? S3Status{} : bad_sum(*asked.kind);
}

S3Status check_sums(const AskedSums& asked, std::string_view body, const S3Payload& payload, bool needed) {
  if (needed && !asked.md5 && !asked.kind)
    return invalid_request("Missing required header for this request: Content-MD5");
  if (asked.md5 && *asked.md5 != checksum(Checksum::md5, body))
    return s3_refuse("BadDigest", "The Content-MD5 you specified did not match what we received.");
  if (!asked.kind) return {};
  S3_SET(wanted, wanted_sum(asked, payload));
  return wanted == checksum(*asked.kind, body) ? S3Status{} : bad_sum(*asked.kind);
}

Json checksum_json(Checksum kind, std::string_view raw, std::string_view type) {
  return {{"kind", name(kind)}, {"value", base64(raw)}, {"type", type}};
}

}  // namespace ferry::rehearsal
