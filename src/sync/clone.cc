#include "sync/clone.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "os/fd.h"

namespace ferry::sync {

namespace {

constexpr std::size_t most_copied = std::size_t{64} << 20;
constexpr std::size_t copy_buffer = std::size_t{256} << 10;

/// Where the kernel cannot: between some file systems.
Status copy_by_hand(int from, int to, off_t begin, off_t end) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(copy_buffer);
  while (begin < end) {
    const auto wanted = std::min<std::size_t>(copy_buffer, static_cast<std::size_t>(end - begin));
    const ssize_t got = ::pread(from, buffer.get(), wanted, begin);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("copy");
    if (got == 0) return {};
    for (ssize_t written = 0; written < got;) {
      const ssize_t done =
          ::pwrite(to, buffer.get() + written, static_cast<std::size_t>(got - written), begin + written);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) return fail_errno("copy");
      written += done;
    }
    begin += got;
  }
  return {};
}

Status copy_range(int from, int to, off_t begin, off_t end) {
  off_t in = begin, out = begin;
  while (in < end) {
    const auto wanted = std::min<std::size_t>(most_copied, static_cast<std::size_t>(end - in));
    const ssize_t done = ::copy_file_range(from, &in, to, &out, wanted, 0);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == ENOSPC) return fail_errno("copy");
    if (done <= 0) return copy_by_hand(from, to, in, end);
  }
  return {};
}

}  // namespace

bool share_content(int from, int to) { return ::ioctl(to, FICLONE, from) == 0; }

Status clone_content(int from, int to) {
  if (share_content(from, to)) return {};
  struct stat info;
  if (::fstat(from, &info) < 0) return fail_errno("copy");
  for (off_t at = 0; at < info.st_size;) {
    const off_t begin = ::lseek(from, at, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) break;
    if (begin < 0) {
      TRY("", copy_range(from, to, at, info.st_size));
      break;
    }
    const off_t hole = ::lseek(from, begin, SEEK_HOLE);
    const off_t end = hole < 0 ? info.st_size : hole;
    TRY("", copy_range(from, to, begin, end));
    at = end;
  }
  if (::ftruncate(to, info.st_size) < 0) return fail_errno("copy");
  return {};
}

}  // namespace ferry::sync
