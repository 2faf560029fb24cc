#pragma once
/// \file
/// How S3 says no: a status, a code, a message, and what else the XML and the headers of that refusal carry.

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

namespace ferry::rehearsal {

struct S3Error {
  int status = 400;
  std::string code, message;
  std::vector<std::pair<std::string, std::string>> elements;  ///< further ones, beside Code and Message
  std::vector<std::pair<std::string, std::string>> headers;
};

template <class T>
using S3Result = tl::expected<T, S3Error>;
using S3Status = S3Result<void>;

/// `return s3_refuse("NoSuchKey", "The specified key does not exist.", 404, {{"Key", key}});`
[[nodiscard]] inline tl::unexpected<S3Error> s3_refuse(std::string code, std::string message, int status = 400,
                                                       std::vector<std::pair<std::string, std::string>> elements = {}) {
  return tl::unexpected<S3Error>(S3Error{status, std::move(code), std::move(message), std::move(elements), {}});
}

/// The refusals that many operations share, in S3's words.
[[nodiscard]] tl::unexpected<S3Error> no_such_bucket(std::string_view bucket);
[[nodiscard]] tl::unexpected<S3Error> no_such_key(std::string_view key);
[[nodiscard]] tl::unexpected<S3Error> no_such_upload(std::string_view upload);
/// `condition`: the header that does not hold ("If-Match").
[[nodiscard]] tl::unexpected<S3Error> precondition_failed(std::string_view condition);
/// Another write came between.
[[nodiscard]] tl::unexpected<S3Error> conditional_conflict(std::string_view key);
[[nodiscard]] tl::unexpected<S3Error> invalid_argument(std::string message, std::string_view name,
                                                       std::string_view value);
[[nodiscard]] tl::unexpected<S3Error> invalid_request(std::string message);
[[nodiscard]] tl::unexpected<S3Error> malformed_xml();
/// What this cloud does not have.
[[nodiscard]] tl::unexpected<S3Error> not_implemented(std::string_view what);
/// The disk is full, or the file system failed otherwise: S3 has no other word for it than InternalError.
[[nodiscard]] tl::unexpected<S3Error> internal_error(std::string_view why);
[[nodiscard]] tl::unexpected<S3Error> access_denied(std::string_view message = "Access Denied");

/// The error document, as GET, PUT, POST and DELETE answer with it.
std::string s3_error_xml(const S3Error& error, std::string_view resource, std::string_view request_id,
                         std::string_view host_id);

}  // namespace ferry::rehearsal

// Early return, as TRY and TRY_SET do for our own errors.
#define S3_TRY(expr)                                                                     \
  do {                                                                                   \
    if (auto s3_result_ = (expr); !s3_result_)                                           \
      return tl::unexpected<::ferry::rehearsal::S3Error>(std::move(s3_result_).error()); \
  } while (false)
#define S3_SET(name, expr)                                                                            \
  auto name##_or_ = (expr);                                                                           \
  if (!name##_or_) return tl::unexpected<::ferry::rehearsal::S3Error>(std::move(name##_or_).error()); \
  auto name = *std::move(name##_or_)
