#include "agent/store_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/spool.h"
#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"

namespace ferry::agent {
namespace {

std::string path_of(std::uint64_t position) { return fmt::format("frames-{:012}", position); }

/// At most `size` bytes from `position` on.
Result<std::string> read_at(int fd, std::uint64_t position, std::size_t size) {
  std::string bytes(size, '\0');
  std::size_t got = 0;
  while (got < size) {
    const auto count = ::pread(fd, bytes.data() + got, size - got, static_cast<off_t>(position + got));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("read the log");
    if (count == 0) break;
    got += static_cast<std::size_t>(count);
  }
  bytes.resize(got);
  return bytes;
}

/// How many bytes at the beginning are whole records.
std::size_t whole_records(std::string_view bytes) {
  std::size_t end = 0;
  while (const auto record = parse_record(bytes.substr(end))) end += record_header + record->bytes.size();
  return end;
}

}  // namespace

void StoreLog::take_up(const std::vector<store::ManifestEntry>& entries) {
  pieces_.clear();
  end_ = 0;
  const auto fd = os::open_file(file_, O_RDONLY);
  for (const auto& entry : entries) {  // in the order of their paths
    if (entry.kind != store::FileKind::log) continue;
    if (fd) {
      if (entry.path != path_of(end_) || entry.bytes > most_bytes) return;
      const auto bytes = read_at(fd->get(), end_, static_cast<std::size_t>(entry.bytes));
      if (!bytes || bytes->size() != entry.bytes || hex(sha256(*bytes)) != entry.sha256) return;
    }
    pieces_.push_back(entry);
    end_ += entry.bytes;
  }
}

Status StoreLog::add(bool all, std::int64_t steady_ms,
                     const std::function<Result<std::string>(const std::string&, std::string_view)>& put) {
  const auto fd = os::open_file(file_, O_RDONLY);
  if (!fd) return fd.error().kind == Kind::not_found ? Status() : fail("", fd.error());
  while (true) {
    TRY_SET(bytes, "", read_at(fd->get(), end_, most_bytes));
    bytes.resize(whole_records(bytes));
    if (bytes.empty()) return {};
    // A record has 64 KiB at most.
    const bool is_full = bytes.size() + max_record_bytes + record_header > most_bytes;
    if (!all && !is_full && put_ms_ && steady_ms - *put_ms_ < wait_ms) return {};
    const std::string path = path_of(end_);
    TRY_SET(key, "", put(path, bytes));
    pieces_.push_back({.path = path,
                       .kind = store::FileKind::log,
                       .bytes = bytes.size(),
                       .sha256 = hex(sha256(bytes)),
                       .mode = 0600,
                       .key = key,
                       .mtime_ns = os::system_clock().now_ms() * 1'000'000});
    end_ += bytes.size();
    put_ms_ = steady_ms;
    if (!is_full) return {};
  }
}

}  // namespace ferry::agent
