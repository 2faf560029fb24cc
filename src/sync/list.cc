#include "sync/list.h"

#include <algorithm>

#include "sync/root.h"

namespace ferry::sync {

/// A name has up to 255 bytes: fewer than 2 ^ 32 are in five million of them (ReceiveOptions::most_list_bytes).
std::uint32_t List::add_name(std::string_view name) {
  if (names_used_ + name.size() > names_.size() * names_at_once) {
    names_used_ = names_.size() * names_at_once;
    names_.push_back(std::make_unique_for_overwrite<char[]>(names_at_once));
  }
  const auto at = static_cast<std::uint32_t>(names_used_);
  name.copy(names_.back().get() + names_used_ % names_at_once, name.size());
  names_used_ += name.size();
  return at;
}

void List::add(const Entry& entry) {
  const auto [folder, name] = split_last(entry.path);
  if (folder != folder_) {
    parent_ = folder.empty() ? 0 : static_cast<std::uint32_t>(find(folder) + 1);
    folder_ = folder;
  }
  if (size_ == items_.size() * items_at_once) items_.push_back(std::make_unique<Item[]>(items_at_once));
  Item& item = at(size_);
  item.parent = parent_;
  item.name_at = add_name(name);
  item.name_length = static_cast<std::uint8_t>(name.size());
  set(size_++, entry);
}

void List::set(std::size_t index, const Entry& entry) {
  Item& item = at(index);
  item.sha256 = entry.sha256;
  item.size = entry.size;
  item.mtime_ns = entry.mtime_ns;
  item.mode = static_cast<std::uint16_t>(entry.mode & 07777);
  item.type = static_cast<std::uint8_t>(entry.type) & 3;
  item.as_sent = entry.as_sent;
  item.unsettled = entry.unsettled;
  if (!entry.target.empty()) targets_[index] = entry.target;
}

void List::path_into(std::size_t index, std::string& path) const {
  std::size_t length = 0;
  for (std::size_t i = index + 1; i > 0; i = at(i - 1).parent) length += at(i - 1).name_length + std::size_t{1};
  path.resize(length - 1);
  for (std::size_t i = index + 1; i > 0; i = at(i - 1).parent) {
    const std::string_view part = name(at(i - 1));
    length -= part.size() + 1;
    part.copy(path.data() + length, part.size());
    if (length > 0) path[length - 1] = '/';
  }
}

std::string List::path(std::size_t index) const {
  std::string path;
  path_into(index, path);
  return path;
}

void List::get(std::size_t index, Entry& into) const {
  const Item& item = at(index);
  path_into(index, into.path);
  into.type = static_cast<Type>(item.type);
  into.as_sent = item.as_sent;
  into.unsettled = item.unsettled;
  into.mode = item.mode;
  into.size = item.size;
  into.mtime_ns = item.mtime_ns;
  into.sha256 = item.sha256;
  into.target = {};
  if (into.type != Type::link) return;
  if (const auto target = targets_.find(index); target != targets_.end()) into.target = target->second;
}

Entry List::operator[](std::size_t index) const {
  Entry entry;
  get(index, entry);
  return entry;
}

std::size_t List::find(std::string_view path) const {
  if (path == folder_ && parent_ > 0) return parent_ - 1;
  std::size_t first = 0, last = size_;
  std::string middle_path;
  while (first < last) {
    const std::size_t middle = first + (last - first) / 2;
    path_into(middle, middle_path);
    if (middle_path == path) return middle;
    if (middle_path < path)
      first = middle + 1;
    else
      last = middle;
  }
  return size_;
}

/// From the last on: what an entry's path needs stands before it.
std::vector<Entry> List::take() {
  std::vector<Entry> entries;
  entries.reserve(size_);
  for (std::size_t i = size_; i > 0; --i) {
    const bool is_left_out = type(i - 1) == Type::file && sha256(i - 1).empty();
    if (!is_left_out) entries.push_back((*this)[i - 1]);
    if ((i - 1) % items_at_once == 0) items_.pop_back();
  }
  std::reverse(entries.begin(), entries.end());
  *this = List();
  return entries;
}

}  // namespace ferry::sync
