#include "rehearsal/s3_payload.h"

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "rehearsal/s3_checksum.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t longest_line = 4096;  // of the framing: a size and a signature, or a trailer
constexpr std::size_t most_trailers = 16;
constexpr std::uint64_t least_chunk = 8192;  // of signed ones, but for the last
constexpr std::uint64_t most_chunk = 5ull << 30;

S3Error of_reading(const Error& error) {
  if (error.kind == Kind::timeout)
    return {400,
            "RequestTimeout",
            "Your socket connection to the server was not read from or written to within the timeout period.",
            {},
            {}};
  return {400,
          "IncompleteBody",
          "You did not provide the number of bytes specified by the Content-Length HTTP header.",
          {},
          {}};
}

tl::unexpected<S3Error> incomplete() {
  return s3_refuse("IncompleteBody",
                   "You did not provide the number of bytes specified by the Content-Length HTTP header.");
}

S3Result<std::size_t> read_raw(os::BodyReader& body, std::span<char> into) {
  auto got = body.read(into);
  if (!got) return tl::unexpected<S3Error>(of_reading(got.error()));
  return *got;
}

/// The body as it is; with a hash where one was signed.
class PlainPayload final : public S3Payload {
 public:
  PlainPayload(os::BodyReader& body, std::string sha256_hex) : body_(body), wanted_(std::move(sha256_hex)) {}

  S3Result<std::size_t> read(std::span<char> into) override {
    S3_SET(got, read_raw(body_, into));
    read_ += got;
    if (got > 0) {
      if (!wanted_.empty()) hash_.add({into.data(), got});
      return got;
    }
    if (const auto length = body_.length(); length && read_ != *length) return incomplete();
    if (!wanted_.empty() && !checked_) {
      const auto computed = hex(hash_.finish());
      if (computed != wanted_)
        return s3_refuse("XAmzContentSHA256Mismatch",
                         "The provided 'x-amz-content-sha256' header does not match what was computed.", 400,
                         {{"ClientComputedContentSHA256", wanted_}, {"S3ComputedContentSHA256", computed}});
    }
    checked_ = true;
    return std::size_t{0};
  }
  std::optional<std::uint64_t> size() const override { return body_.length(); }
  std::string signed_sha256() const override { return raw_of_hex(wanted_); }
  const std::map<std::string, std::string>& trailers() const override { return none_; }

 private:
  os::BodyReader& body_;
  std::string wanted_;
  Sha256 hash_;
  std::uint64_t read_ = 0;
  bool checked_ = false;
  std::map<std::string, std::string> none_;
};

/// aws-chunked: SIZE[;chunk-signature=HEX] CRLF, so many bytes, CRLF; the last has size 0, trailers behind
/// it, and an empty line.
class ChunkedPayload final : public S3Payload {
 public:
  ChunkedPayload(os::BodyReader& body, const S3Signature& seed, std::uint64_t decoded,
                 std::vector<std::string> announced)
      : body_(body), seed_(seed), before_(seed.signature), decoded_(decoded), announced_(std::move(announced)) {}

  S3Result<std::size_t> read(std::span<char> into) override {
    if (done_) return std::size_t{0};
    if (left_ == 0) {
      S3_TRY(begin_chunk());
      if (left_ == 0) {
        S3_TRY(end_body());
        done_ = true;
        return std::size_t{0};
      }
    }
    if (at_ == buffer_.size()) S3_TRY(fill());
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>({into.size(), left_, buffer_.size() - at_}));
    std::copy_n(buffer_.data() + at_, count, into.data());
    if (is_signed()) hash_.add({into.data(), count});
    at_ += count;
    left_ -= count;
    if (left_ == 0) S3_TRY(end_chunk());
    return count;
  }
  std::optional<std::uint64_t> size() const override { return decoded_; }
  const std::map<std::string, std::string>& trailers() const override { return trailers_; }

 private:
  bool is_signed() const {
    return seed_.form == PayloadForm::signed_chunks || seed_.form == PayloadForm::signed_trailer;
  }
  bool has_trailer() const {
    return seed_.form == PayloadForm::unsigned_trailer || seed_.form == PayloadForm::signed_trailer;
  }

  static tl::unexpected<S3Error> malformed() {
    return s3_refuse("InvalidRequest",
                     "The chunked body is malformed: a size, a signature or a line's end is not where it should be.");
  }

  S3Status fill() {
    buffer_.resize(64 << 10);
    at_ = 0;
    auto got = read_raw(body_, buffer_);
    buffer_.resize(got ? *got : 0);
    if (!got) return tl::unexpected<S3Error>(got.error());
    if (buffer_.empty()) return incomplete();
    return {};
  }

  S3Result<std::string> line() {
    std::string out;
    while (true) {
      if (at_ == buffer_.size()) S3_TRY(fill());
      const auto end = buffer_.find('\n', at_);
      const auto upto = end == std::string::npos ? buffer_.size() : end;
      out.append(buffer_, at_, upto - at_);
      at_ = end == std::string::npos ? upto : end + 1;
      if (out.size() > longest_line) return malformed();
      if (end != std::string::npos) break;
    }
    if (!out.ends_with('\r')) return malformed();
    out.pop_back();
    return out;
  }

  S3Status begin_chunk() {
    S3_SET(head, line());
    const auto semicolon = head.find(';');
    const auto digits = std::string_view(head).substr(0, semicolon);
    if (digits.empty() || digits.size() > 9) return malformed();
    std::uint64_t chunk = 0;
    for (const char c : digits) {
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return malformed();
      chunk = chunk * 16 + static_cast<std::uint64_t>(digit);
    }
    if (chunk > most_chunk) return s3_refuse("InvalidChunkSizeError", "The chunk is too large.");
    if (is_signed()) {
      constexpr std::string_view key = ";chunk-signature=";
      if (semicolon == std::string::npos || !std::string_view(head).substr(semicolon).starts_with(key))
        return malformed();
      signature_ = head.substr(semicolon + key.size());
      // Only the last but the empty one may be smaller.
      if (chunk > 0 && was_small_)
        return s3_refuse("InvalidChunkSizeError", "Only the last chunk is allowed to have a size less than 8192 bytes");
      was_small_ = chunk < least_chunk;
    }
    if (chunk > decoded_ - got_) return incomplete();
    got_ += chunk;
    left_ = chunk;
    hash_ = Sha256();
    return chunk == 0 && is_signed() ? check_chunk() : S3Status{};
  }

  S3Status check_chunk() {
    auto computed = chunk_signature(seed_, before_, hex(hash_.finish()));
    if (!same_signature(computed, signature_))
      return s3_refuse("SignatureDoesNotMatch",
                       "The request signature we calculated does not match the signature you provided. A "
                       "chunk's signature is wrong.",
                       403);
    before_ = std::move(computed);
    return {};
  }

  S3Status end_chunk() {
    S3_SET(rest, line());
    if (!rest.empty()) return malformed();
    return is_signed() ? check_chunk() : S3Status{};
  }

  S3Status take_trailers() {
    std::string canonical;
    while (true) {
      S3_SET(text, line());
      if (text.empty()) break;
      const auto colon = text.find(':');
      if (colon == std::string::npos || trailers_.size() >= most_trailers)
        return s3_refuse("MalformedTrailerError",
                         "The request contained trailing data that was not well-formed or did not conform to "
                         "our published schema.");
      const auto key = lower(trim(std::string_view(text).substr(0, colon)));
      const std::string value(trim(std::string_view(text).substr(colon + 1)));
      if (key == "x-amz-trailer-signature") {
        S3_TRY(check_trailer(canonical, value));
        continue;
      }
      if (trailer_checked_ || std::find(announced_.begin(), announced_.end(), key) == announced_.end() ||
          !trailers_.emplace(key, value).second)
        return s3_refuse("MalformedTrailerError",
                         "The request contained a trailer that was not announced in x-amz-trailer.");
      canonical += key + ":" + value + "\n";
    }
    if (trailers_.size() != announced_.size())
      return s3_refuse("MalformedTrailerError", "A trailer that was announced in x-amz-trailer did not come.");
    if (seed_.form == PayloadForm::signed_trailer && !trailer_checked_)
      return s3_refuse("SignatureDoesNotMatch", "The trailer is not signed.", 403);
    return {};
  }

  S3Status check_trailer(const std::string& canonical, std::string_view given) {
    if (seed_.form != PayloadForm::signed_trailer || trailer_checked_ ||
        !same_signature(trailer_signature(seed_, before_, hex(sha256(canonical))), given))
      return s3_refuse("SignatureDoesNotMatch",
                       "The request signature we calculated does not match the signature you provided. The "
                       "trailer's signature is wrong.",
                       403);
    trailer_checked_ = true;
    return {};
  }

  S3Status end_body() {
    if (has_trailer()) {
      S3_TRY(take_trailers());
    } else {
      S3_SET(rest, line());
      if (!rest.empty()) return malformed();
    }
    if (got_ != decoded_) return incomplete();
    char beyond = 0;
    if (at_ != buffer_.size()) return malformed();
    S3_SET(more, read_raw(body_, {&beyond, 1}));
    if (more != 0) return malformed();
    return {};
  }

  os::BodyReader& body_;
  const S3Signature seed_;
  std::string before_;  // the signature that the next one goes on from
  const std::uint64_t decoded_;
  const std::vector<std::string> announced_;
  std::string buffer_, signature_;
  std::size_t at_ = 0;
  std::uint64_t left_ = 0, got_ = 0;  // of this chunk; announced by the chunks so far
  bool was_small_ = false, trailer_checked_ = false, done_ = false;
  Sha256 hash_;
  std::map<std::string, std::string> trailers_;
};

}  // namespace

S3Result<std::string> S3Payload::read_all(std::size_t most, const S3Error& too_long) {
  std::string out;
  std::string part(16 << 10, '\0');
  while (true) {
    S3_SET(got, read(part));
    if (got == 0) return out;
    out.append(part, 0, got);
    if (out.size() > most) return tl::unexpected<S3Error>(too_long);
  }
}

S3Result<std::unique_ptr<S3Payload>> open_payload(const S3Request& request, const S3Signature& signature,
                                                  os::BodyReader& body) {
  if (signature.form == PayloadForm::hashed || signature.form == PayloadForm::unsigned_whole)
    return std::make_unique<PlainPayload>(body, signature.form == PayloadForm::hashed ? signature.sha256 : "");
  const auto decoded = parse_int(request.header("x-amz-decoded-content-length"));
  if (!decoded || *decoded < 0)
    return s3_refuse("MissingContentLength", "You must provide the Content-Length HTTP header.", 411);
  std::vector<std::string> announced;
  if (const auto list = request.header("x-amz-trailer"); !list.empty())
    for (const auto& one : split(list, ',')) announced.push_back(lower(trim(one)));
  const bool trailer = signature.form == PayloadForm::unsigned_trailer || signature.form == PayloadForm::signed_trailer;
  if (!trailer && !announced.empty())
    return s3_refuse("MalformedTrailerError",
                     "x-amz-trailer announces a trailer, which the payload's form does not have.");
  return std::make_unique<ChunkedPayload>(body, signature, static_cast<std::uint64_t>(*decoded), std::move(announced));
}

}  // namespace ferry::rehearsal
