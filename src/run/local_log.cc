#include "run/local_log.h"

#include <fcntl.h>
#include <unistd.h>

namespace ferry::run {

Result<LocalLog> LocalLog::open(const os::Path& file) {
  LogReader reader(file);
  TRY("read the log", reader.read([](const agent::LogChunk&) { return Status(); }));
  TRY_SET(fd, "", os::open_file(file, O_WRONLY | O_CREAT | O_APPEND, 0600));
  if (::ftruncate(fd.get(), static_cast<off_t>(reader.file_position())) < 0) {
    return fail_errno("cut " + file.string());
  }
  return LocalLog(std::move(fd), reader.offset());
}

Result<std::string> LocalLog::append(agent::LogChunk chunk) {
  if (chunk.offset > size_) return fail(Kind::corrupt, "the agent left out a part of the log");
  const auto known = size_ - chunk.offset;
  if (known >= chunk.bytes.size()) return std::string();
  chunk.bytes.erase(0, known);
  chunk.offset = size_;
  TRY("write the log", os::write_all(fd_.get(), agent::encode_log(chunk)));
  size_ += chunk.bytes.size();
  return std::move(chunk.bytes);
}

Status LogReader::read(const std::function<Status(const agent::LogChunk&)>& take) {
  auto opened = os::open_file(file_, O_RDONLY);
  if (!opened) {
    if (opened.error().kind == Kind::not_found) return {};
    return tl::unexpected<Error>(std::move(opened).error());
  }
  if (::lseek(opened->get(), static_cast<off_t>(position_), SEEK_SET) < 0) return fail_errno("seek");
  agent::FrameReader frames;
  while (true) {
    TRY_SET(bytes, "", os::read_some(opened->get(), 1 << 18));
    if (bytes.empty()) return {};
    frames.add(bytes);
    while (true) {
      TRY_SET(frame, "", frames.next());
      if (!frame) break;
      TRY_SET(chunk, "", agent::decode_log(frame->body));
      position_ += 5 + frame->body.size();  // length and type come before the body
      offset_ = chunk.offset + chunk.bytes.size();
      TRY("", take(chunk));
    }
  }
}

}  // namespace ferry::run
