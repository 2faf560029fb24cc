#include "sync/state.h"

#include <ctime>

#include "base/hash.h"

namespace ferry::sync {

namespace {

constexpr std::string_view magic = "ferry tree 1\n";
constexpr std::int64_t clock_tick_ns = 20'000'000;  // file times move in steps of up to 10 ms

void put(std::string& out, std::uint64_t value) {
  for (int i = 0; i < 8; ++i) out += static_cast<char>(value >> (8 * i));
}
void put(std::string& out, std::string_view text) {
  put(out, text.size());
  out += text;
}

/// Reads what put() wrote; after the first lack of bytes everything is zero or empty and ok() is false.
class Bytes {
 public:
  explicit Bytes(std::string_view rest) : rest_(rest) {}
  std::uint64_t number() {
    const std::string_view raw = take(8);
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < raw.size(); ++i) value |= std::uint64_t{static_cast<unsigned char>(raw[i])} << (8 * i);
    return value;
  }
  std::string text() { return std::string(take(number())); }
  bool ok() const { return ok_; }
  bool done() const { return rest_.empty() || !ok_; }

 private:
  std::string_view take(std::uint64_t size) {
    if (size > rest_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view raw = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return raw;
  }
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace

std::int64_t file_clock_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

State State::load(const os::Path& file) {
  State state;
  if (file.empty()) return state;
  const auto whole = os::read_file(file, std::size_t{2} << 30);
  if (!whole || !whole->starts_with(magic) || whole->size() < magic.size() + 32) return state;
  const std::string_view body = std::string_view(*whole).substr(0, whole->size() - 32);
  if (sha256(body) != whole->substr(body.size())) return state;
  Bytes bytes(body.substr(magic.size()));
  while (!bytes.done()) {
    std::string path = bytes.text();
    Record record;
    record.type = static_cast<Type>(bytes.number() % 3);
    record.size = bytes.number();
    record.inode = bytes.number();
    record.mtime_ns = static_cast<std::int64_t>(bytes.number());
    record.ctime_ns = static_cast<std::int64_t>(bytes.number());
    record.sha256 = bytes.text();
    if (bytes.ok()) state.records_.emplace_hint(state.records_.end(), std::move(path), std::move(record));
  }
  return state;
}

Status State::save(const os::Path& file) const {
  if (file.empty()) return {};
  std::string out(magic);
  for (const auto& [path, record] : records_) {
    put(out, path);
    put(out, static_cast<std::uint64_t>(record.type));
    put(out, record.size);
    put(out, record.inode);
    put(out, static_cast<std::uint64_t>(record.mtime_ns));
    put(out, static_cast<std::uint64_t>(record.ctime_ns));
    put(out, record.sha256);
  }
  out += sha256(out);
  if (file.has_parent_path()) TRY("remember the tree", os::make_dirs(file.parent_path(), 0700));
  TRY("remember the tree", os::write_file(file, out, 0600));
  return {};
}

const Record* State::find(std::string_view path) const {
  const auto found = records_.find(path);
  return found == records_.end() ? nullptr : &found->second;
}

const Digest* State::hash_of(std::string_view path, const Standing& now) const {
  const Record* known = find(path);
  const bool same = known != nullptr && known->type == Type::file && now.is == Standing::Is::file &&
                    known->inode != 0 && known->inode == now.inode && known->size == now.size &&
                    known->mtime_ns == now.mtime_ns && known->ctime_ns == now.ctime_ns;
  return same ? &known->sha256 : nullptr;
}

void State::note_file(const std::string& path, const Standing& marks, const Digest& sha256, std::int64_t now_ns) {
  const bool settled = std::max(marks.mtime_ns, marks.ctime_ns) < now_ns - clock_tick_ns;
  records_[path] = Record{Type::file, marks.size, settled ? marks.inode : 0, marks.mtime_ns, marks.ctime_ns, sha256};
}

}  // namespace ferry::sync
