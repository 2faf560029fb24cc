#include "base/error.h"

#include <cerrno>
#include <cstring>
#include <iterator>

namespace ferry {

std::string_view name(Kind kind) {
  switch (kind) {
    case Kind::bad_input:
      return "bad_input";
    case Kind::not_found:
      return "not_found";
    case Kind::exists:
      return "exists";
    case Kind::denied:
      return "denied";
    case Kind::no_capacity:
      return "no_capacity";
    case Kind::quota:
      return "quota";
    case Kind::limit:
      return "limit";
    case Kind::throttled:
      return "throttled";
    case Kind::lost:
      return "lost";
    case Kind::timeout:
      return "timeout";
    case Kind::disk_full:
      return "disk_full";
    case Kind::io:
      return "io";
    case Kind::corrupt:
      return "corrupt";
    case Kind::conflict:
      return "conflict";
    case Kind::cancelled:
      return "cancelled";
    case Kind::unsupported:
      return "unsupported";
    case Kind::bug:
      return "bug";
  }
  return "bug";
}

tl::unexpected<Error> fail_errno(std::string what, int code) {
  if (code < 0) code = errno;
  Kind kind = Kind::io;
  std::string advice;
  switch (code) {
    case ENOENT:
      kind = Kind::not_found;
      break;
    case EACCES:
    case EPERM:
      kind = Kind::denied;
      break;
    case EROFS:
      kind = Kind::denied;
      advice = "make the folder writable, or set XDG_DATA_HOME to one that is";
      break;
    case ENOSPC:
    case EDQUOT:
      kind = Kind::disk_full;
      advice = "free some space and try again";
      break;
    case EEXIST:
      kind = Kind::exists;
      break;
    case EPIPE:
    case ECONNRESET:
    case ECONNREFUSED:
      kind = Kind::lost;
      break;
    case ETIMEDOUT:
      kind = Kind::timeout;
      break;
    default:
      break;
  }
  return fail(kind, std::move(what) + ": " + std::strerror(code), {}, std::move(advice));
}

tl::unexpected<Error> fail(std::vector<Error> errors) {
  Error all = std::move(errors.front());
  all.more.insert(all.more.end(), std::make_move_iterator(errors.begin() + 1), std::make_move_iterator(errors.end()));
  return tl::unexpected<Error>(std::move(all));
}

std::string describe(const Error& error) {
  std::string out = error.what;
  if (!error.why.empty()) out += "\n  why:  " + error.why;
  if (!error.advice.empty()) out += "\n  try:  " + error.advice;
  for (const auto& other : error.more) out += "\n" + describe(other);
  return out;
}

}  // namespace ferry
