#include "store/content.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/crc.h"
#include "base/hash.h"
#include "base/text.h"

namespace ferry::store {
namespace {

constexpr std::size_t piece = std::size_t{256} << 10;

/// Hashes `from`, and copies it to `to` where that is a descriptor.
Result<Content> pass(int from, int to, const Moved& moved, const std::string& doing) {
  Sha256 hash;
  std::uint64_t sum = 0;
  Content content;
  std::string buffer(piece, '\0');
  while (true) {
    const ssize_t got = ::read(from, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(doing);
    if (got == 0) break;
    const std::string_view bytes(buffer.data(), static_cast<std::size_t>(got));
    hash.add(bytes);
    sum = crc(Sum::crc64nvme, bytes, sum);
    content.bytes += bytes.size();
    if (to >= 0) TRY(doing, os::write_all(to, bytes));
    if (moved && !moved(bytes.size())) return stopped(doing);
  }
  content.sha256 = hex(hash.finish());
  content.crc64nvme = sum;
  return content;
}

}  // namespace

Result<Content> content_of(const os::Path& path, const Moved& moved) {
  TRY_SET(fd, "", os::open_file(path, O_RDONLY));
  return pass(fd.get(), -1, moved, "read " + path.string());
}

Result<Content> copy(int from, int to, const Moved& moved) { return pass(from, to, moved, "copy"); }

Content content_of_bytes(std::string_view bytes) { return {hex(sha256(bytes)), bytes.size()}; }

std::string raw_sha256(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
  return bytes;
}

Status check_content(const Content& found, const Content& expected, const std::string& what,
                     const std::string& advice) {
  if (found == expected) return {};
  const std::string why = found.bytes == expected.bytes ? "the SHA-256 is another one"
                                                        : std::to_string(found.bytes) + " bytes where " +
                                                              std::to_string(expected.bytes) + " should be";
  return fail(Kind::corrupt, what + " does not hold what it should", why, advice);
}

tl::unexpected<Error> stopped(const std::string& doing) { return fail(Kind::cancelled, doing + ": was stopped"); }

os::Path part_of(const os::Path& path) {
  return path.parent_path() / (".ferry-part-" + hex(sha256(path.filename().string())).substr(0, 20));
}

Status flush_folder(const os::Path& folder) {
  TRY_SET(fd, "", os::open_file(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY));
  if (::fsync(fd.get()) < 0 && errno != EINVAL && errno != ENOTSUP) return fail_errno("flush " + folder.string());
  return {};
}

Status into_place(int fd, const os::Path& temp, const os::Path& path, Flush flush) {
  if (flush == Flush::yes && ::fsync(fd) < 0) return fail_errno("write " + path.string());
  if (::rename(temp.c_str(), path.c_str()) < 0) return fail_errno("write " + path.string());
  return flush == Flush::yes ? flush_folder(path.parent_path()) : Status();
}

}  // namespace ferry::store
