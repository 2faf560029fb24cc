#include "sync/state.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "base/hash.h"

namespace ferry::sync {

namespace {

constexpr std::int64_t clock_tick_ns = 20'000'000;  // file times move in steps of up to 10 ms
constexpr std::size_t most_changes = 16'384;        // in memory: some 4 MB
constexpr std::size_t most_tables = 64;             // a descriptor and a block each

/// One without a name, where the state's file lies, or among the temporary files.
os::Fd nameless_file(const os::Path& beside) {
  for (const os::Path& folder : {beside.parent_path(), std::filesystem::path("/tmp")}) {
    if (folder.empty()) continue;
    os::Fd file(::open(folder.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
    if (file) return file;
    auto name = (folder / ".ferry-state-XXXXXX").string();
    file = os::Fd(::mkostemp(name.data(), O_CLOEXEC));
    if (file) ::unlink(name.c_str());
    if (file) return file;
  }
  return os::Fd();
}

}  // namespace

Record file_record(const Standing& marks, const Digest& sha256, std::int64_t now_ns) {
  const bool settled = std::max(marks.mtime_ns, marks.ctime_ns) < now_ns - clock_tick_ns;
  return {.type = Type::file,
          .size = marks.size,
          .inode = settled ? marks.inode : 0,
          .mtime_ns = marks.mtime_ns,
          .ctime_ns = marks.ctime_ns,
          .sha256 = sha256};
}

bool is_same_file(const Record& known, const Standing& now) {
  return known.type == Type::file && now.is == Standing::Is::file && known.inode != 0 && known.inode == now.inode &&
         known.size == now.size && known.mtime_ns == now.mtime_ns && known.ctime_ns == now.ctime_ns;
}

State State::load(const os::Path& file) {
  State state;
  state.file_ = file;
  state.is_kept_ = !file.empty();
  if (!state.is_kept_) return state;
  if (auto table = Table::open(os::Fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)))) {
    state.loaded_ = table->records();
    state.tables_.emplace_back(std::move(table));
  }
  return state;
}

Status State::save(const os::Path& file) const {
  if (file.empty()) return {};
  TRY_SET(writer, "remember the tree", StateWriter::begin(file));
  TRY("remember the tree", each([&](std::string_view path, const Record& record) { return writer.add(path, record); }));
  TRY("remember the tree", writer.commit());
  return {};
}

std::optional<Record> State::find(std::string_view path) const {
  if (const auto change = changes_.find(path); change != changes_.end())
    return change->second.is_forgotten ? std::nullopt : std::optional(change->second);
  for (auto table = tables_.rbegin(); table != tables_.rend(); ++table) {
    if (const Record* record = table->find(path)) return record->is_forgotten ? std::nullopt : std::optional(*record);
  }
  return std::nullopt;
}

std::optional<Digest> State::hash_of(std::string_view path, const Standing& now) const {
  const auto known = find(path);
  return known && is_same_file(*known, now) ? std::optional(known->sha256) : std::nullopt;
}

Status State::each(const std::function<Status(std::string_view, const Record&)>& visit) const {
  std::vector<TableCursor> cursors = tables_;
  auto change = changes_.begin();
  // What of several has the first path; of one path the latest, which is the changes (at the end).
  const auto path_at = [&](std::size_t i) -> std::string_view {
    return i == cursors.size() ? change->first : cursors[i].path();
  };
  const auto later = [&](std::size_t a, std::size_t b) {
    const auto order = path_at(a) <=> path_at(b);
    return order > 0 || (order == 0 && a < b);
  };
  std::vector<std::size_t> heap;
  const auto advance = [&](std::size_t i) {
    if (i == cursors.size() ? change == changes_.end() : !cursors[i].next()) return;
    heap.push_back(i);
    std::push_heap(heap.begin(), heap.end(), later);
  };
  for (std::size_t i = 0; i <= cursors.size(); ++i) advance(i);
  std::string last;
  bool is_first = true;
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const std::size_t i = heap.back();
    heap.pop_back();
    if (is_first || path_at(i) != last) {
      last = path_at(i);
      is_first = false;
      const Record& record = i == cursors.size() ? change->second : cursors[i].record();
      if (!record.is_forgotten) TRY("", visit(last, record));
    }
    if (i == cursors.size()) ++change;
    advance(i);
  }
  return {};
}

void State::note(const std::string& path, Record record) {
  if (!is_kept_) return;
  changes_[path] = record;
  if (changes_.size() >= most_changes) spill();
}

void State::drop(const std::string& path) { note(path, Record{.is_forgotten = true}); }

void State::note_file(const std::string& path, const Standing& marks, const Digest& sha256, std::int64_t now_ns) {
  note(path, file_record(marks, sha256, now_ns));
}

/// Makes a table of the changes; of all, when there are many. Where no file can be had they stay in memory.
void State::spill() {
  const bool all = tables_.size() + 1 >= most_tables;
  auto file = nameless_file(file_);
  if (!file) return;
  TableWriter writer(file.get());
  Status written;
  if (all) {
    written = each([&](std::string_view path, const Record& record) { return writer.add(path, record); });
  } else {
    for (auto change = changes_.begin(); written && change != changes_.end(); ++change)
      written = writer.add(change->first, change->second);
  }
  if (written) written = writer.finish();
  auto table = written ? Table::open(std::move(file)) : nullptr;
  if (!table) return;
  if (all) tables_.clear();
  tables_.emplace_back(std::move(table));
  changes_.clear();
}

bool seems_untouched(const Record& received, const Standing& now) {
  return received.type == Type::file && now.is == Standing::Is::file && received.size == now.size &&
         received.mtime_ns == now.mtime_ns && received.ctime_ns == now.ctime_ns;
}

StateWriter::StateWriter(os::Path file, os::Path temp, os::Fd fd)
    : file_(std::move(file)), temp_(std::move(temp)), fd_(std::move(fd)) {
  writer_ = std::make_unique<TableWriter>(fd_.get());
}

StateWriter::~StateWriter() {
  if (fd_) ::unlink(temp_.c_str());
}

Result<StateWriter> StateWriter::begin(const os::Path& file) {
  if (file.has_parent_path()) TRY("", os::make_dirs(file.parent_path(), 0700));
  const os::Path temp = file.string() + ".tmp-" + random_name(8);
  TRY_SET(fd, "", os::open_file(temp, O_WRONLY | O_CREAT | O_EXCL, 0600));
  return StateWriter(file, temp, std::move(fd));
}

Status StateWriter::commit() {
  TRY("write " + file_.string(), writer_->finish());
  if (::fsync(fd_.get()) < 0) return fail_errno("write " + file_.string());
  if (::rename(temp_.c_str(), file_.c_str()) < 0) return fail_errno("write " + file_.string());
  fd_.reset();
  return {};
}

}  // namespace ferry::sync
