#include "base/store_place.h"

#include <algorithm>

#include "base/text.h"

namespace ferry {
namespace {

constexpr const char* what_to_write = "write s3://BUCKET/PREFIX, or the absolute path of a folder";

auto no_place(std::string_view text, const char* why) {
  return fail(Kind::bad_input, "no place for a store: " + short_line(text, 200), why, what_to_write);
}

bool is_clean(std::string_view path) {
  const auto parts = split(path, '/');
  return printable(path) == path && std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
           return !part.empty() && part != "." && part != "..";
         });
}

Result<StorePlace> bucket_of(std::string_view text) {
  constexpr std::string_view scheme = "s3://";
  std::string_view rest = text.substr(scheme.size());
  const auto slash = std::min(rest.find('/'), rest.size());
  StorePlace place;
  place.bucket = rest.substr(0, slash);
  if (!is_bucket_name(place.bucket))
    return no_place(text, "a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens");
  rest = rest.substr(std::min(slash + 1, rest.size()));
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.empty()) return place;
  if (!is_clean(rest)) return no_place(text, "the prefix is a clean path");
  if (rest.find_first_of("*?$") != std::string_view::npos)
    return no_place(text, "in policies *, ? and $ would stand for more than themselves");
  if (rest.size() > 100) return no_place(text, "the prefix has at most 100 bytes");
  place.prefix = std::string(rest) + "/";
  return place;
}

}  // namespace

bool is_bucket_name(std::string_view name) {
  const auto is_plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (name.size() < 3 || name.size() > 63 || !is_plain(name.front()) || !is_plain(name.back())) return false;
  if (name.find("..") != std::string_view::npos || name.find_first_not_of("0123456789.") == std::string_view::npos)
    return false;
  return std::all_of(name.begin(), name.end(), [&](char c) { return is_plain(c) || c == '-' || c == '.'; });
}

Result<StorePlace> parse_store_place(std::string_view text) {
  if (text.starts_with("s3://")) return bucket_of(text);
  if (text.find("://") != std::string_view::npos)
    return no_place(text, "ferry stores in S3 (s3://) and in folders, and nowhere else");
  StorePlace place;
  place.folder = text;
  while (place.folder.size() > 1 && place.folder.ends_with('/')) place.folder.pop_back();
  if (place.folder != "~" && !place.folder.starts_with("~/") && !place.folder.starts_with('/'))
    return no_place(text, "a store's folder is named from the root (/…) or from your home folder (~/…) on");
  if (place.folder == "/" || place.folder == "~") return no_place(text, "it is a folder of its own");
  if (!is_clean(std::string_view(place.folder).substr(place.folder.front() == '~' ? 2 : 1)))
    return no_place(text, "the folder is a clean path, without \"..\"");
  return place;
}

std::string uri_of(const StorePlace& place) {
  if (place.bucket.empty()) return place.folder;
  std::string uri = "s3://" + place.bucket + "/" + place.prefix;
  uri.pop_back();
  return uri;
}

}  // namespace ferry
