#include "sync/state_table.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/crc.h"

namespace ferry::sync {

namespace {

constexpr std::string_view table_magic = "ferry tree 2\n";
constexpr std::size_t block_size = std::size_t{16} << 10, footer_size = 32;
constexpr std::uint64_t most_index = std::uint64_t{256} << 20, most_block = std::uint64_t{1} << 20;
constexpr unsigned type_bits = 3, forgotten = 3, has_sha256 = 4, has_marks = 8;

template <class Number>
void put_fixed(std::string& out, Number value) {
  for (unsigned i = 0; i < sizeof value; ++i) out += static_cast<char>(value >> (8 * i));
}

template <class Number>
Number fixed(std::string_view bytes) {
  Number value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i)
    value |= static_cast<Number>(Number{static_cast<unsigned char>(bytes[i])} << (8 * i));
  return value;
}

void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

std::uint64_t zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ (value < 0 ? ~std::uint64_t{0} : 0);
}

std::int64_t from_zigzag(std::uint64_t bits) {
  return static_cast<std::int64_t>((bits >> 1) ^ ((bits & 1) != 0 ? ~std::uint64_t{0} : 0));
}

bool read_at(int fd, std::string& into, std::uint64_t size, std::uint64_t offset) {
  into.resize(size);
  for (std::size_t have = 0; have < size;) {
    const ssize_t got = ::pread(fd, into.data() + have, size - have, static_cast<off_t>(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    have += static_cast<std::size_t>(got);
  }
  return true;
}

}  // namespace

std::string_view BlockRecords::take(std::uint64_t size) {
  if (size > rest_.size()) {
    ok_ = false;
    return {};
  }
  const std::string_view bytes = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return bytes;
}

std::uint64_t BlockRecords::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) return value;
  }
  ok_ = false;
  return 0;
}

bool BlockRecords::next() {
  if (!ok_ || rest_.empty()) return false;
  const auto shared = varint(), more = varint();
  if (shared > path_.size()) return ok_ = false;
  path_.resize(shared);
  path_ += take(more);
  const auto kind = take(1);
  if (!ok_) return false;
  const auto bits = static_cast<unsigned char>(kind[0]);
  record_ = {};
  record_.is_forgotten = (bits & type_bits) == forgotten;
  if (!record_.is_forgotten) record_.type = static_cast<Type>(bits & type_bits);
  if ((bits & has_marks) != 0) {
    record_.size = varint();
    record_.inode = varint();
    const auto mtime = take(8);
    const auto later = from_zigzag(varint());
    if (!ok_) return false;
    record_.mtime_ns = static_cast<std::int64_t>(fixed<std::uint64_t>(mtime));
    record_.ctime_ns = static_cast<std::int64_t>(fixed<std::uint64_t>(mtime) + static_cast<std::uint64_t>(later));
  }
  if ((bits & has_sha256) != 0) record_.sha256 = take(32);
  return ok_;
}

std::shared_ptr<const Table> Table::open(os::Fd file) {
  struct stat info;
  if (!file || ::fstat(file.get(), &info) < 0 || !S_ISREG(info.st_mode)) return nullptr;
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size < table_magic.size() + footer_size) return nullptr;
  std::string magic, tail;
  if (!read_at(file.get(), magic, table_magic.size(), 0) || magic != table_magic) return nullptr;
  if (!read_at(file.get(), tail, footer_size, size - footer_size)) return nullptr;
  const std::string_view footer = tail;
  const auto offset = fixed<std::uint64_t>(footer), length = fixed<std::uint64_t>(footer.substr(8));
  if (length > most_index || offset != size - footer_size - std::min(length, size - footer_size)) return nullptr;
  std::string index;
  if (!read_at(file.get(), index, length, offset)) return nullptr;
  const auto sum = crc(Sum::crc64nvme, footer.substr(0, 24), crc(Sum::crc64nvme, index));
  if (sum != fixed<std::uint64_t>(footer.substr(24))) return nullptr;
  auto table = std::make_shared<Table>();
  if (!table->read_index(index, offset)) return nullptr;
  table->records_ = fixed<std::uint64_t>(footer.substr(16));
  table->file_ = std::move(file);
  return table;
}

bool Table::read_index(std::string_view index, std::uint64_t end) {
  while (!index.empty()) {
    if (index.size() < 24) return false;
    Block block{.offset = fixed<std::uint64_t>(index),
                .sum = fixed<std::uint64_t>(index.substr(12)),
                .length = fixed<std::uint32_t>(index.substr(8)),
                .first = {}};
    const auto path = fixed<std::uint32_t>(index.substr(20));
    index.remove_prefix(24);
    if (path > index.size() || block.length > most_block || block.offset > end) return false;
    block.first = index.substr(0, path);
    index.remove_prefix(path);
    index_.push_back(std::move(block));
  }
  return true;
}

std::size_t Table::block_of(std::string_view path) const {
  const auto after = std::upper_bound(index_.begin(), index_.end(), path,
                                      [](std::string_view wanted, const Block& block) { return wanted < block.first; });
  return after == index_.begin() ? 0 : static_cast<std::size_t>(after - index_.begin()) - 1;
}

void Table::read(std::size_t block, std::string& into) const {
  const Block& at = index_[block];
  if (!read_at(file_.get(), into, at.length, at.offset) || crc(Sum::crc64nvme, into) != at.sum) into.clear();
}

void TableCursor::go_to(std::size_t block) {
  if (block != block_) table_->read(block, bytes_);
  block_ = block;
  at_ = BlockRecords(bytes_);
  stands_ = is_over_ = false;
}

const Record* TableCursor::find(std::string_view path) {
  if (table_->blocks() == 0) return nullptr;
  const auto block = table_->block_of(path);
  if (block != block_ || path < asked_) go_to(block);
  asked_ = path;
  while (!is_over_ && (!stands_ || at_.path() < path)) {
    stands_ = at_.next();
    is_over_ = !stands_;
  }
  return stands_ && at_.path() == path ? &at_.record() : nullptr;
}

bool TableCursor::next() {
  if (block_ == nowhere) {
    if (table_->blocks() == 0) return false;
    go_to(0);
  }
  while (!(stands_ = at_.next())) {
    if (block_ + 1 >= table_->blocks()) return false;
    go_to(block_ + 1);
  }
  return true;
}

TableWriter::TableWriter(int fd) : fd_(fd), out_(table_magic), begin_(out_.size()) {}

Status TableWriter::add(std::string_view path, const Record& record) {
  const bool is_first = out_.size() == begin_;
  const std::string_view before = is_first ? std::string_view() : std::string_view(last_);
  const auto differs = std::mismatch(path.begin(), path.end(), before.begin(), before.end()).first;
  const auto shared = static_cast<std::size_t>(differs - path.begin());
  if (is_first) first_ = path;
  last_ = path;
  put_varint(out_, shared);
  put_varint(out_, path.size() - shared);
  out_ += path.substr(shared);
  const bool marks = !record.is_forgotten && record.type == Type::file;
  unsigned bits = record.is_forgotten ? forgotten : static_cast<unsigned>(record.type);
  if (marks) bits |= has_marks;
  if (!record.sha256.empty()) bits |= has_sha256;
  out_ += static_cast<char>(bits);
  if (marks) {
    put_varint(out_, record.size);
    put_varint(out_, record.inode);
    put_fixed(out_, static_cast<std::uint64_t>(record.mtime_ns));
    const auto later = static_cast<std::uint64_t>(record.ctime_ns) - static_cast<std::uint64_t>(record.mtime_ns);
    put_varint(out_, zigzag(static_cast<std::int64_t>(later)));
  }
  out_ += record.sha256;
  ++records_;
  return out_.size() - begin_ >= block_size ? end_block() : Status();
}

Status TableWriter::end_block() {
  const auto block = std::string_view(out_).substr(begin_);
  if (!block.empty()) {
    put_fixed(index_, offset_ + begin_);
    put_fixed(index_, static_cast<std::uint32_t>(block.size()));
    put_fixed(index_, crc(Sum::crc64nvme, block));
    put_fixed(index_, static_cast<std::uint32_t>(first_.size()));
    index_ += first_;
  }
  TRY("", os::write_all(fd_, out_));
  offset_ += out_.size();
  out_.clear();
  begin_ = 0;
  return {};
}

Status TableWriter::finish() {
  TRY("", end_block());
  std::string footer;
  put_fixed(footer, offset_);
  put_fixed(footer, std::uint64_t{index_.size()});
  put_fixed(footer, records_);
  put_fixed(footer, crc(Sum::crc64nvme, footer, crc(Sum::crc64nvme, index_)));
  TRY("", os::write_all(fd_, index_));
  return os::write_all(fd_, footer);
}

}  // namespace ferry::sync
