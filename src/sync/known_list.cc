#include "sync/known_list.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "os/file.h"
#include "sync/manifest.h"

namespace ferry::sync {

namespace {

constexpr std::string_view magic = "ferry list 1\n";
constexpr std::size_t name_size = 32;
constexpr std::size_t at_once = std::size_t{128} << 10;

auto cut() { return fail(Kind::corrupt, "the list ends early"); }

}  // namespace

ListWriter::ListWriter(const os::Path& file) : temp_(file.string() + ".tmp-" + random_name(8)) {
  if (file.has_parent_path()) (void)os::make_dirs(file.parent_path(), 0700);
  if (auto made = os::open_file(temp_, O_WRONLY | O_CREAT | O_EXCL, 0600)) fd_ = *std::move(made);
  out_ = std::string(magic) + std::string(name_size, '\0');
}

ListWriter::~ListWriter() {
  if (fd_) ::unlink(temp_.c_str());
}

void ListWriter::add(std::string_view entry) {
  out_ += entry;
  if (out_.size() >= at_once) write();
}

void ListWriter::write() {
  if (fd_ && !os::write_all(fd_.get(), out_)) {
    ::unlink(temp_.c_str());
    fd_.reset();
  }
  out_.clear();
}

void ListWriter::commit(const os::Path& file, std::string_view name) {
  write();
  if (!fd_) return;
  const bool is_named = ::pwrite(fd_.get(), name.data(), name_size, magic.size()) == ssize_t{name_size};
  if (is_named && ::rename(temp_.c_str(), file.c_str()) == 0) fd_.reset();
}

std::optional<ListReader> ListReader::open(const os::Path& file) {
  ListReader reader;
  reader.fd_ = os::Fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (!reader.fd_ || !reader.has(magic.size() + name_size) || !reader.buffer_.starts_with(magic)) return {};
  reader.name_ = reader.buffer_.substr(magic.size(), name_size);
  reader.at_ = magic.size() + name_size;
  return reader;
}

bool ListReader::next(Entry& entry) {
  begin_ = at_;
  if (!has(1)) return false;
  auto read = read_entry(*this);
  if (!read) return false;
  entry = *std::move(read);
  return true;
}

/// Whether there are so many bytes more.
bool ListReader::has(std::size_t size) {
  while (buffer_.size() - at_ < size && !is_over_) {
    if (begin_ >= at_once) {
      buffer_.erase(0, begin_);
      at_ -= begin_;
      begin_ = 0;
    }
    const std::size_t before = buffer_.size();
    buffer_.resize(before + at_once);
    const ssize_t got = ::read(fd_.get(), buffer_.data() + before, at_once);
    buffer_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    is_over_ = got == 0 || (got < 0 && errno != EINTR);
  }
  return buffer_.size() - at_ >= size;
}

Result<char> ListReader::byte() {
  if (!has(1)) return cut();
  return buffer_[at_++];
}

Result<std::uint64_t> ListReader::number(std::uint64_t max) { return read_number(*this, max); }

Result<std::string> ListReader::text(std::size_t max) {
  TRY_SET(size, "", number(max));
  if (!has(size)) return cut();
  at_ += size;
  return buffer_.substr(at_ - size, size);
}

}  // namespace ferry::sync
