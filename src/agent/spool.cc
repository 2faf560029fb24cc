#include "agent/spool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "base/crc.h"

namespace ferry::agent {
namespace {

constexpr std::size_t window_size = 2 * (record_header + max_record_bytes);
constexpr std::uint64_t mark_distance = std::uint64_t{1} << 20;
constexpr std::int64_t retry_ms = 1000;
constexpr std::uint64_t reserve_least = 256 * 1024, reserve_step = 512 * 1024;

void put(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
}

std::uint64_t get(std::string_view bytes, std::size_t at, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = count; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

/// Of a whole record: over all but the sum itself.
std::uint32_t sum_of(std::string_view record) {
  return static_cast<std::uint32_t>(crc(Sum::crc32c, record.substr(8), crc(Sum::crc32c, record.substr(0, 4))));
}

/// As agents before wrote it: FNV-1a, which goes byte by byte.
std::uint32_t former_sum_of(std::string_view record) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const std::string_view part : {record.substr(0, 4), record.substr(8)}) {
    for (const char c : part) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  return static_cast<std::uint32_t>(hash ^ hash >> 32);
}

/// As much as the file has at `position`, up to the size of `window`; errors count as the end.
std::string_view read_window(int fd, std::uint64_t position, std::string& window) {
  window.resize(window_size);
  std::size_t filled = 0;
  while (filled < window.size()) {
    const ssize_t got =
        ::pread(fd, window.data() + filled, window.size() - filled, static_cast<off_t>(position + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    filled += static_cast<std::size_t>(got);
  }
  return std::string_view(window).substr(0, filled);
}

/// Frames of as many bytes as are missing from `offset` to `end`, until `out` has `enough`: each a line.
void fill_hole(std::uint64_t& offset, std::uint64_t end, std::size_t enough, std::string& out) {
  while (offset < end && out.size() < enough) {
    const std::size_t size = std::min<std::uint64_t>(end - offset, max_record_bytes);
    std::string text = "\nferry: " + std::to_string(end - offset) +
                       " bytes of output were read once, and are gone since: the disk was full";
    text.resize(size - 1, ' ');
    out += encode_log({offset, LogStream::err, LogPhase::run, 0, text + "\n"});
    offset += size;
  }
}

}  // namespace

std::string encode_record(const Record& record) {
  std::string out;
  out.reserve(record_header + record.bytes.size());
  put(out, record.bytes.size(), 4);
  put(out, 0, 4);
  put(out, record.offset, 8);
  put(out, static_cast<std::uint64_t>(record.time_ms), 8);
  put(out, static_cast<std::uint64_t>(record.stream), 1);
  put(out, static_cast<std::uint64_t>(record.phase), 1);
  out += record.bytes;
  std::string sum;
  put(sum, sum_of(out), 4);
  return out.replace(4, 4, sum);
}

std::optional<Record> parse_record(std::string_view bytes) {
  if (bytes.size() < record_header) return std::nullopt;
  const std::size_t length = get(bytes, 0, 4);
  if (length == 0 || length > max_record_bytes || bytes.size() - record_header < length) return std::nullopt;
  const std::string_view whole = bytes.substr(0, record_header + length);
  const auto sum = get(whole, 4, 4);
  if (sum != sum_of(whole) && sum != former_sum_of(whole)) return std::nullopt;
  const auto stream = get(whole, 24, 1), phase = get(whole, 25, 1);
  if (stream < 1 || stream > 2 || phase < 1 || phase > 2) return std::nullopt;
  return Record{get(whole, 8, 8), static_cast<std::int64_t>(get(whole, 16, 8)), static_cast<LogStream>(stream),
                static_cast<LogPhase>(phase), whole.substr(record_header)};
}

Result<Spool> Spool::open(const os::Path& file) {
  TRY_SET(fd, "", os::open_file(file, O_RDWR | O_CREAT, 0600));
  Spool spool(std::move(fd));
  TRY("", spool.recover());
  return spool;
}

Status Spool::recover() {
  while (true) {
    const std::string_view window = read_window(fd_.get(), end_, window_);
    std::size_t used = 0;
    while (const auto record = parse_record(window.substr(used))) {
      if (record->offset < on_disk_) break;
      learn(record->offset, end_);
      on_disk_ = record->offset + record->bytes.size();
      used += record_header + record->bytes.size();
      end_ += record_header + record->bytes.size();
    }
    if (used == 0) break;
  }
  if (::ftruncate(fd_.get(), static_cast<off_t>(end_)) != 0) return fail_errno("cut the torn end of the log");
  reserve();
  return {};
}

void Spool::learn(std::uint64_t offset, std::uint64_t position) {
  if (marks_.empty() || position >= marks_.back().position + mark_distance) marks_.push_back({offset, position});
}

std::uint64_t Spool::position_before(std::uint64_t offset) const {
  const auto after = std::upper_bound(marks_.begin(), marks_.end(), offset,
                                      [](std::uint64_t wanted, const Mark& mark) { return wanted < mark.offset; });
  return after == marks_.begin() ? 0 : std::prev(after)->position;
}

void Spool::reserve() {
  if (reserved_ >= end_ + reserve_least) return;
  // Not every file system can: then there is no reserve.
  if (::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(end_), reserve_step) == 0)
    reserved_ = end_ + reserve_step;
}

Status Spool::append(const Record& record) {
  const std::string bytes = encode_record(record);
  std::size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t put_now =
        ::pwrite(fd_.get(), bytes.data() + written, bytes.size() - written, static_cast<off_t>(end_ + written));
    if (put_now < 0 && errno == EINTR) continue;
    if (put_now <= 0) {
      const int code = errno;
      reserved_ = 0;
      // A failure here is harmless: the next record is written over the same place.
      if (::ftruncate(fd_.get(), static_cast<off_t>(end_)) != 0) errno = code;
      return fail_errno("write the log", code);
    }
    written += static_cast<std::size_t>(put_now);
  }
  learn(record.offset, end_);
  on_disk_ = record.offset + record.bytes.size();
  end_ += bytes.size();
  reserve();
  return {};
}

void Spool::refuse(const Error& error, std::int64_t time_ms) {
  trouble_ = error.what + (error.why.empty() ? "" : ": " + error.why);
  refused_ms_ = time_ms;
}

void Spool::add(LogStream stream, LogPhase phase, std::int64_t time_ms, std::string_view bytes) {
  if (bytes.empty()) return;
  last_ = bytes.back();
  retry(time_ms);
  while (backlog_.empty()) {
    const std::string_view part = bytes.substr(0, max_record_bytes);
    if (const auto kept = append({on_disk_, time_ms, stream, phase, part}); !kept) {
      refuse(kept.error(), time_ms);
      backlog_.begin_at(on_disk_);
      break;
    }
    bytes.remove_prefix(part.size());
    if (bytes.empty()) return;
  }
  backlog_.add(stream, phase, time_ms, bytes, trouble_);
}

void Spool::retry(std::int64_t time_ms) {
  if (backlog_.empty() || std::abs(time_ms - refused_ms_) < retry_ms) return;
  while (!backlog_.empty()) {
    const auto chunk = backlog_.front();
    const auto kept = append({chunk.offset, chunk.time_ms, chunk.stream, chunk.phase, chunk.bytes});
    if (!kept) return refuse(kept.error(), time_ms);
    backlog_.pop_front();
  }
  trouble_.clear();
}

Status Spool::read(Place& place, std::size_t budget, std::string& out) {
  const std::size_t enough = out.size() + budget;
  while (place.offset < size() && out.size() < enough) {
    if (place.offset >= on_disk_) {
      fill_hole(place.offset, backlog_.begin(), enough, out);
      if (out.size() < enough) backlog_.read(place.offset, enough, out);
      continue;
    }
    const std::uint64_t position = place.position.value_or(position_before(place.offset));
    const std::string_view window = read_window(fd_.get(), position, window_).substr(0, end_ - position);
    std::size_t used = 0;
    bool is_damaged = true;
    while (out.size() < enough) {
      const auto record = parse_record(window.substr(used));
      if (!record) break;
      is_damaged = false;
      const std::uint64_t behind = record->offset + record->bytes.size();
      if (behind > place.offset) {
        fill_hole(place.offset, record->offset, enough, out);
        if (place.offset < record->offset) break;
        const std::size_t skip = place.offset - record->offset;
        append_log(out, {place.offset, record->stream, record->phase, record->time_ms, record->bytes.substr(skip)});
        place.offset = behind;
      }
      used += record_header + record->bytes.size();
    }
    if (is_damaged) return fail(Kind::corrupt, "the log on disk is damaged", "at byte " + std::to_string(position));
    place.position = position + used;
  }
  return {};
}

bool Spool::is_removed() const {
  struct stat info {};
  return ::fstat(fd_.get(), &info) == 0 && info.st_nlink == 0;
}

Status Spool::sync() {
  if (::fdatasync(fd_.get()) != 0) return fail_errno("sync the log");
  return {};
}

}  // namespace ferry::agent
