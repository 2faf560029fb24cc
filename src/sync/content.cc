#include "sync/content.h"

#include <unistd.h>

#include <cerrno>

#include "base/hash.h"

namespace ferry::sync {

bool untouched(const Standing& before, const Standing& after) {
  return before.size == after.size && before.mtime_ns == after.mtime_ns && before.ctime_ns == after.ctime_ns;
}

void add_zeros(Sha256& hash, std::uint64_t count, const std::function<bool()>& stop) {
  static char zeros[65536];  // (constant, it would be as large in the program)
  for (std::uint64_t left = count; left > 0;) {
    const std::size_t some = std::min<std::uint64_t>(left, sizeof zeros);
    hash.add({zeros, some});
    left -= some;
    if (left % (std::uint64_t{64} << 20) < some && stop()) return;
  }
}

Result<Hashed> read_content(int fd, const Standing& before, std::string& buffer,
                            const std::function<Status(std::string_view)>& sink) {
  if (buffer.size() < content_buffer) buffer.resize(content_buffer);
  Hashed result;
  result.marks = before;
  Sha256 hash;
  while (result.size < before.size) {
    const std::size_t wanted = std::min<std::uint64_t>(buffer.size(), before.size - result.size);
    const ssize_t got = ::read(fd, buffer.data(), wanted);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read");
    if (got == 0) break;
    const std::string_view piece(buffer.data(), static_cast<std::size_t>(got));
    hash.add(piece);
    result.size += piece.size();
    if (sink) TRY("", sink(piece));
  }
  result.sha256 = hash.finish();
  TRY_SET(after, "", standing_of(fd));
  result.stable = result.size == before.size && untouched(before, after);
  return result;
}

Result<Hashed> hash_file(Root& root, std::string_view path, std::string& buffer,
                         const std::function<Status(std::string_view)>& sink) {
  constexpr int attempts = 3;
  for (int attempt = 1;; ++attempt) {
    TRY_SET(file, "", root.open_file(path));
    TRY_SET(before, "", standing_of(file.get()));
    auto hashed = read_content(file.get(), before, buffer, sink);
    if (!hashed) return fail("reading " + root.shown(path), std::move(hashed).error());
    if (hashed->stable || attempt == attempts) return hashed;
  }
}

}  // namespace ferry::sync
