#include "job/local_log.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/hash.h"

namespace ferry::job {

namespace {

using agent::FrameType;

constexpr std::size_t frame_head = 5;  // length and type come before the body

std::string check_of(std::string_view body) { return sha256(body).substr(0, 8); }

std::string record_of(const agent::LogChunk& chunk, bool with_hash) {
  std::string record;
  record.reserve(chunk.bytes.size() + 64);
  agent::append_log(record, {chunk.offset, chunk.stream, chunk.phase, chunk.time_ms, chunk.bytes});
  if (with_hash) record += agent::encode(FrameType::answer, check_of(std::string_view(record).substr(frame_head)));
  return record;
}

}  // namespace

Result<LocalLog> LocalLog::open(const os::Path& file) {
  TRY("", os::make_dirs(file.parent_path(), 0700));
  LogReader reader(file);
  TRY("read the log", reader.read([](const agent::LogChunk&) { return Status(); }));
  TRY_SET(fd, "", os::open_file(file, O_WRONLY | O_CREAT | O_APPEND, 0600));
  if (::ftruncate(fd.get(), static_cast<off_t>(reader.file_position())) < 0) {
    return fail_errno("cut " + file.string());
  }
  const bool is_new = reader.file_position() == 0;
  if (is_new) TRY("write the log", os::write_all(fd.get(), agent::encode(FrameType::hello, local_log_header)));
  return LocalLog(std::move(fd), reader.offset(), is_new || reader.has_hashes());
}

Result<std::string> LocalLog::append(agent::LogChunk chunk) {
  if (chunk.offset > size_) return fail(Kind::corrupt, "the agent left out a part of the log");
  const auto known = size_ - chunk.offset;
  if (known >= chunk.bytes.size()) return std::string();
  chunk.bytes.erase(0, known);
  chunk.offset = size_;
  if (fd_) TRY("write the log", os::write_all(fd_.get(), record_of(chunk, has_hashes_)));
  size_ += chunk.bytes.size();
  return std::move(chunk.bytes);
}

std::string LocalLog::only_count(agent::LogChunk chunk) {
  fd_.reset();
  const auto end = chunk.offset + chunk.bytes.size();
  if (end <= size_) return {};
  if (chunk.offset < size_) chunk.bytes.erase(0, size_ - chunk.offset);
  size_ = end;
  return std::move(chunk.bytes);
}

Status LogReader::read(const std::function<Status(const agent::LogChunk&)>& take) {
  auto opened = os::open_file(file_, O_RDONLY);
  if (!opened) {
    if (opened.error().kind == Kind::not_found) return {};
    return tl::unexpected<Error>(std::move(opened).error());
  }
  const int fd = opened->get();
  const auto size = static_cast<std::int64_t>(::lseek(fd, 0, SEEK_END));
  damaged_ = static_cast<std::uint64_t>(std::max<std::int64_t>(0, size)) < position_;
  if (!damaged_) TRY("", read_from(fd, take));
  if (!damaged_ || position_ == 0 || size == damaged_size_) return {};
  // Its owner may have mended it meanwhile: then the same bytes stand there in other records.
  position_ = read_to_ = 0;
  damaged_ = false;
  TRY("", read_from(fd, take));
  damaged_size_ = damaged_ ? size : -1;
  return {};
}

Status LogReader::read_from(int fd, const std::function<Status(const agent::LogChunk&)>& take) {
  if (::lseek(fd, static_cast<off_t>(position_), SEEK_SET) < 0) return fail_errno("seek");
  agent::FrameReader frames;
  std::optional<agent::LogChunk> unproven;  // whose hash has still to come
  std::string check;
  auto at = position_;
  const auto damage = [&] {
    damaged_ = true;
    return Status();
  };
  while (true) {
    TRY_SET(bytes, "", os::read_some(fd, 1 << 18));
    if (bytes.empty()) return {};
    frames.add(bytes);
    while (true) {
      const auto frame = frames.next();
      if (!frame) return damage();
      if (!*frame) break;
      const auto& [type, body] = **frame;
      if (at == 0) has_hashes_ = type == FrameType::hello;
      const bool is_header = at == 0 && type == FrameType::hello;
      at += frame_head + body.size();
      if (is_header) {
        if (body != local_log_header) return damage();
        position_ = at;
        continue;
      }
      if (unproven) {
        if (type != FrameType::answer || body != check) return damage();
      } else {
        auto chunk = type == FrameType::log ? agent::decode_log(body) : fail(Kind::corrupt, "no log");
        if (!chunk || chunk->offset != read_to_) return damage();
        unproven = std::move(*chunk);
        if (has_hashes_) {
          check = check_of(body);
          continue;
        }
      }
      auto chunk = *std::exchange(unproven, std::nullopt);
      position_ = at;
      read_to_ += chunk.bytes.size();
      if (read_to_ <= offset_) continue;  // handed out before
      if (chunk.offset < offset_) {
        chunk.bytes.erase(0, offset_ - chunk.offset);
        chunk.offset = offset_;
      }
      offset_ = read_to_;
      TRY("", take(chunk));
    }
  }
}

Status LogsReader::read(int attempts, const std::function<Status(const agent::LogChunk&)>& take) {
  while (static_cast<int>(logs_.size()) < attempts)
    logs_.emplace_back(run_dir_.log(static_cast<int>(logs_.size()) + 1));
  for (auto& log : logs_) TRY("", log.read(take));
  return {};
}

std::uint64_t LogsReader::total() const {
  std::uint64_t bytes = 0;
  for (const auto& log : logs_) bytes += log.offset();
  return bytes;
}

}  // namespace ferry::job
