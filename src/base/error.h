#pragma once
/// \file
/// Errors are values. A function that can fail because of the world returns Result<T>; exceptions are for
/// our own bugs and for libraries, which are fenced where they are called.

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace ferry {

/// What callers branch on. Never branch on an error's text.
enum class Kind {
  bad_input,    ///< what the user wrote (flag, file, field) is wrong; trying again changes nothing
  not_found,    ///< the thing asked for does not exist
  exists,       ///< the thing to be made is there already
  denied,       ///< credentials, permissions or keys were refused
  no_capacity,  ///< the cloud has no such machine right now; another offer may work
  quota,        ///< the account's limit stands in the way; another offer may work
  limit,        ///< the user's own limit across runs (`limits:`) stands in the way now; it may not later
  throttled,    ///< asked too often; the same call may work later
  lost,         ///< a connection broke or a peer fell silent; ask again
  timeout,      ///< a limit of time passed
  disk_full,    ///< no space left, here or on the instance
  io,           ///< any other failure of the operating system
  corrupt,      ///< bytes from outside are not what they should be
  conflict,     ///< someone else holds or changed it
  cancelled,    ///< the user asked to stop
  unsupported,  ///< valid, but this version cannot do it
  bug,          ///< ferry's own fault
};

/// The kind's name as written above, for JSON and logs.
std::string_view name(Kind kind);

struct Error {
  Kind kind = Kind::bug;
  std::string what;    ///< what happened, one line, without a trailing period
  std::string why;     ///< the cause as far as known; may be empty
  std::string advice;  ///< what the user can do next; may be empty
  std::string code;    ///< the peer's own code (for example "InvalidAMIID.NotFound"); may be empty
  /// What else was found wrong at the same look, each complete in itself (and with none of these).
  std::vector<Error> more = {};
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

/// `return fail(Kind::not_found, "no such run: x", why, advice);`
[[nodiscard]] inline tl::unexpected<Error> fail(Kind kind, std::string what, std::string why = {},
                                                std::string advice = {}, std::string code = {}) {
  return tl::unexpected<Error>(Error{kind, std::move(what), std::move(why), std::move(advice), std::move(code), {}});
}

/// Passes an error on, adding what the caller was doing: "doing: what". Empty `doing` adds nothing.
[[nodiscard]] inline tl::unexpected<Error> fail(std::string_view doing, Error cause) {
  if (!doing.empty()) cause.what = std::string(doing) + ": " + cause.what;
  return tl::unexpected<Error>(std::move(cause));
}

/// All of `errors` (at least one) as one: the first, with the others in its `more`.
[[nodiscard]] tl::unexpected<Error> fail(std::vector<Error> errors);

/// An error made from errno (pass it, or the current value is used): ENOENT is not_found, EACCES and
/// EPERM denied, ENOSPC and EDQUOT disk_full, EEXIST exists, the rest io. `what` names the thing, e.g. "open
/// /x".
[[nodiscard]] tl::unexpected<Error> fail_errno(std::string what, int code = -1);

/// True if the same call may work later, though nobody does anything about it: no_capacity, limit, throttled, lost,
/// timeout.
constexpr bool may_work_later(Kind kind) {
  return kind == Kind::no_capacity || kind == Kind::limit || kind == Kind::throttled || kind == Kind::lost ||
         kind == Kind::timeout;
}

/// The three lines a user sees: "what", "  why:  …", "  try:  …" (only those that are not empty); for each of
/// `more`, too.
std::string describe(const Error& error);

}  // namespace ferry

// Early return with context. `doing` may be "" to add nothing.
#define TRY(doing, expr)                                                                                      \
  do {                                                                                                        \
    if (auto try_result_ = (expr); !try_result_) return ::ferry::fail(doing, std::move(try_result_).error()); \
  } while (false)
#define TRY_SET(name, doing, expr)                                             \
  auto name##_or_ = (expr);                                                    \
  if (!name##_or_) return ::ferry::fail(doing, std::move(name##_or_).error()); \
  auto name = *std::move(name##_or_)
