#include "sync/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/text.h"
#include "sync/root.h"

namespace ferry::sync {

namespace {

constexpr std::size_t max_notes = 2000;

auto bad(const std::string& why, std::string_view path) {
  return fail(Kind::corrupt, "the other side sent a list of files that cannot be right",
              why + ": " + printable(path.substr(0, 200)),
              "nothing was changed; use the same version of ferry on both sides");
}

bool clean_components(std::string_view path) {
  while (true) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, end);
    if (part.empty() || part == "." || part == ".." || part.size() > 255) return false;
    if (end == path.size()) return true;
    path.remove_prefix(end + 1);
  }
}

std::uint64_t to_zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ (value < 0 ? ~std::uint64_t{0} : 0);
}
std::int64_t from_zigzag(std::uint64_t bits) {
  return static_cast<std::int64_t>((bits >> 1) ^ ((bits & 1) != 0 ? ~std::uint64_t{0} : 0));
}

auto bad_hash() { return fail(Kind::corrupt, "the other side sent a hash of the wrong length"); }

auto too_long(const std::string& what, std::uint64_t limit) {
  return fail(Kind::corrupt, "the other side's list of files is too long",
              fmt::format("{} and the limit is {}", what, limit),
              "nothing was changed; put many small files into one archive there, then try again");
}

Result<Type> read_type(char letter) {
  switch (letter) {
    case 'f':
      return Type::file;
    case 'd':
      return Type::folder;
    case 'l':
      return Type::link;
    default:
      return bad("unknown type of entry", {&letter, 1});
  }
}

template <class Source>
Result<Entry> read_rest(char letter, Source& from) {
  Entry entry;
  entry.as_sent = letter == 'F' || letter == 'D' || letter == 'L';
  entry.unsettled = letter == 'u';
  TRY_SET(type, "", read_type(entry.unsettled ? 'f' : entry.as_sent ? static_cast<char>(letter - 'A' + 'a') : letter));
  entry.type = type;
  TRY_SET(path, "", from.text(max_path));
  entry.path = std::move(path);
  TRY_SET(mode, "", from.number(07777));
  entry.mode = static_cast<std::uint32_t>(mode);
  TRY_SET(mtime_bits, "", from.number(std::numeric_limits<std::uint64_t>::max()));
  entry.mtime_ns = from_zigzag(mtime_bits);
  if (entry.unsettled) return entry;
  if (type == Type::file) {
    TRY_SET(size, "", from.number(max_file_size));
    entry.size = size;
    TRY_SET(sha256, "", from.text(32));
    if (sha256.size() != 32) return bad_hash();
    entry.sha256 = sha256;
  } else if (type == Type::link) {
    TRY_SET(target, "", from.text(max_target));
    entry.target = target;
  }
  return entry;
}

}  // namespace

Result<Entry> read_entry(Channel& channel) {
  TRY_SET(letter, "", channel.byte());
  if (letter != 'E') return read_rest(letter, channel);
  TRY_SET(theirs, "", channel.error());
  return tl::unexpected(std::move(theirs));
}

Result<Entry> read_entry(ListReader& list) {
  TRY_SET(letter, "", list.byte());
  return read_rest(letter, list);
}

bool is_temp(std::string_view path) { return path.starts_with(temp_prefix); }

namespace {

/// Whether `next` may follow in a list of which `last` is the last path, or empty.
Status check_follows(std::string_view last, const Entry& next) {
  const std::string& path = next.path;
  if (path.find('\0') != std::string::npos) return bad("a path with a zero byte", path);
  if (!clean_components(path)) return bad("not a clean relative path", path);
  if (std::count(path.begin(), path.end(), '/') > static_cast<std::ptrdiff_t>(max_levels)) {
    return fail(Kind::corrupt, fmt::format("more than {} folders within folders", max_levels),
                "the other side sent: " + printable(std::string_view(path).substr(0, 200)) + "…",
                "nothing was changed; put the deep folders into one archive there, then try again");
  }
  if (is_temp(path)) return bad("a name that the receiver keeps for itself", path);
  if (last == path) return bad("a path that comes twice", path);
  if (last > path) return bad("the list is not sorted", path);
  if (next.type == Type::link && (next.target.empty() || next.target.str().find('\0') != std::string::npos)) {
    return bad("a link without a usable target", path);
  }
  return {};
}

/// By what its folder is, if that is in the list.
Status check_below(std::optional<Type> folder, const std::string& path) {
  if (!folder) return bad("its folder is not in the list", path);
  if (*folder != Type::folder) return bad("it lies below something that is no folder", path);
  return {};
}

}  // namespace

Status check_entry(const std::vector<Entry>& before, const Entry& next) {
  TRY("", check_follows(before.empty() ? std::string_view() : before.back().path, next));
  const std::string_view parent = split_last(next.path).first;
  if (parent.empty()) return {};
  const auto found = std::lower_bound(before.begin(), before.end(), parent,
                                      [](const Entry& entry, std::string_view wanted) { return entry.path < wanted; });
  const bool is_there = found != before.end() && found->path == parent;
  return check_below(is_there ? std::optional(found->type) : std::nullopt, next.path);
}

void sort_by_path(std::vector<Entry>& entries) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.path < b.path; });
}

void put_mtime(Channel& channel, std::int64_t mtime_ns) { channel.put_number(to_zigzag(mtime_ns)); }

Result<std::int64_t> read_mtime(Channel& channel) {
  TRY_SET(bits, "", channel.number(std::numeric_limits<std::uint64_t>::max()));
  return from_zigzag(bits);
}

Result<std::string> read_hash(Channel& channel) {
  TRY_SET(sha256, "", channel.text(32));
  if (sha256.size() != 32) return bad_hash();
  return sha256;
}

void append_entry(std::string& to, const Entry& entry) {
  const auto append_text = [&](std::string_view text) {
    append_number(to, text.size());
    to += text;
  };
  const std::string_view letters = entry.as_sent ? "FDL" : "fdl";
  to += entry.unsettled ? 'u' : letters[static_cast<std::size_t>(entry.type)];
  append_text(entry.path);
  append_number(to, entry.mode);
  append_number(to, to_zigzag(entry.mtime_ns));
  if (entry.unsettled) {
    // nothing of it moves
  } else if (entry.type == Type::file) {
    append_number(to, entry.size);
    append_text(entry.sha256);
  } else if (entry.type == Type::link) {
    append_text(entry.target);
  }
}

Status put_manifest(Channel& channel, const std::vector<Entry>& entries) {
  channel.put_number(entries.size());
  std::string bytes;
  for (const Entry& entry : entries) {
    bytes.clear();
    append_entry(bytes, entry);
    channel.put(bytes);
    TRY("", channel.pump());
  }
  return {};
}

Result<std::uint64_t> read_count(Channel& channel, std::uint64_t most_entries) {
  TRY_SET(count, "", channel.number(std::numeric_limits<std::uint64_t>::max()));
  if (count > most_entries) return too_long(fmt::format("it has {} entries", count), most_entries);
  return count;
}

Status ListBuilder::add(Entry entry) {
  TRY("", check_follows(last_, entry));
  if (const std::string_view parent = split_last(entry.path).first; !parent.empty()) {
    const std::size_t found = list_.find(parent);
    TRY("", check_below(found < list_.size() ? std::optional(list_.type(found)) : std::nullopt, entry.path));
  }
  bytes_ += entry.path.size() + entry.target.size();
  if (bytes_ > most_bytes_) return too_long(fmt::format("it has {} bytes of names", bytes_), most_bytes_);
  list_.add(entry);
  last_ = std::move(entry.path);
  return {};
}

Status put_sparse(Channel& channel, const std::vector<std::pair<std::size_t, std::uint64_t>>& sparse) {
  channel.put_number(sparse.size());
  std::size_t next = 0;
  for (const auto& [index, allocated] : sparse) {
    channel.put_number(index - next);
    channel.put_number(allocated);
    next = index + 1;
    TRY("", channel.pump());
  }
  return {};
}

Result<std::vector<std::pair<std::size_t, std::uint64_t>>> read_sparse(Channel& channel, std::size_t entries) {
  TRY_SET(count, "", channel.number(entries));
  std::vector<std::pair<std::size_t, std::uint64_t>> sparse;
  std::size_t next = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    TRY_SET(distance, "", channel.number(entries));
    TRY_SET(allocated, "", channel.number(max_file_size));
    next += distance;
    if (next >= entries) return fail(Kind::corrupt, "the other side told of holes in a file that is not in the list");
    sparse.emplace_back(next++, allocated);
  }
  return sparse;
}

void put_notes(Channel& channel, const std::vector<std::string>& notes) {
  const std::size_t count = std::min(notes.size(), max_notes);
  channel.put_number(count);
  for (std::size_t i = 0; i < count; ++i) channel.put_text(std::string_view(notes[i]).substr(0, 1000));
}

Result<std::vector<std::string>> read_notes(Channel& channel) {
  TRY_SET(count, "", channel.number(max_notes));
  std::vector<std::string> notes;
  for (std::uint64_t i = 0; i < count; ++i) {
    TRY_SET(note, "", channel.text(1000));
    notes.push_back(printable(note));
  }
  return notes;
}

}  // namespace ferry::sync
