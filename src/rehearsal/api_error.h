#pragma once
/// \file
/// How an AWS service says no: an HTTP status, a code that programs branch on, and a message for people.

#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace ferry::rehearsal {

struct ApiError {
  int status = 400;
  std::string code, message;
  bool operator==(const ApiError&) const = default;
};

template <class T>
using Api = tl::expected<T, ApiError>;

[[nodiscard]] inline tl::unexpected<ApiError> refuse(std::string code, std::string message, int status = 400) {
  return tl::unexpected<ApiError>(ApiError{status, std::move(code), std::move(message)});
}

/// The refusals that many actions share, in EC2's words.
[[nodiscard]] tl::unexpected<ApiError> missing_parameter(std::string_view name);
[[nodiscard]] tl::unexpected<ApiError> invalid_value(std::string_view value, std::string_view name,
                                                     std::string_view why = {});
[[nodiscard]] tl::unexpected<ApiError> other_network();
[[nodiscard]] tl::unexpected<ApiError> unknown_placement_group(std::string_view name);

}  // namespace ferry::rehearsal

// Early return, as TRY and TRY_SET do for our own errors.
#define API_TRY(expr)                                                                      \
  do {                                                                                     \
    if (auto api_result_ = (expr); !api_result_)                                           \
      return tl::unexpected<::ferry::rehearsal::ApiError>(std::move(api_result_).error()); \
  } while (false)
#define API_SET(name, expr)                                                                            \
  auto name##_or_ = (expr);                                                                            \
  if (!name##_or_) return tl::unexpected<::ferry::rehearsal::ApiError>(std::move(name##_or_).error()); \
  auto name = *std::move(name##_or_)
