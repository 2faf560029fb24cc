#pragma once
/// \file
/// The list that a receiver works by: of a million files some 75 MB, for a path is its folder's place in the list and
/// its last component. Internal to this room.

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "sync/sync.h"

namespace ferry::sync {

class List {
 public:
  std::size_t size() const { return size_; }
  /// Its path is greater than the last, and its folder, if it is not the root, stands in the list.
  void add(const Entry& entry);
  /// Where the path stands, or size().
  std::size_t find(std::string_view path) const;

  void get(std::size_t index, Entry& into) const;
  Entry operator[](std::size_t index) const;
  std::string path(std::size_t index) const;
  Type type(std::size_t index) const { return static_cast<Type>(at(index).type); }
  bool is_unsettled(std::size_t index) const { return at(index).unsettled; }
  std::uint64_t bytes(std::size_t index) const { return at(index).size; }
  std::int64_t mtime_ns(std::size_t index) const { return at(index).mtime_ns; }
  /// Good as long as the list.
  const Digest& sha256(std::size_t index) const { return at(index).sha256; }
  /// All but the path.
  void set(std::size_t index, const Entry& entry);

  /// The entries, but for files without a SHA-256; the list is empty then. Needs little more memory than they do.
  std::vector<Entry> take();

 private:
  struct Item {
    Digest sha256;
    std::uint64_t size = 0;
    std::int64_t mtime_ns = 0;
    std::uint32_t parent = 0;   ///< its place + 1; 0: the root
    std::uint32_t name_at = 0;  ///< in `names_`
    std::uint16_t mode = 0;
    std::uint8_t name_length = 0;
    std::uint8_t type : 2 = 0;
    bool as_sent : 1 = false, unsettled : 1 = false;
  };
  static constexpr std::size_t items_at_once = std::size_t{1} << 14, names_at_once = std::size_t{1} << 18;
  const Item& at(std::size_t index) const { return items_[index / items_at_once][index % items_at_once]; }
  Item& at(std::size_t index) { return items_[index / items_at_once][index % items_at_once]; }
  std::string_view name(const Item& item) const {
    return {names_[item.name_at / names_at_once].get() + item.name_at % names_at_once, item.name_length};
  }
  void path_into(std::size_t index, std::string& path) const;
  std::uint32_t add_name(std::string_view name);

  std::size_t size_ = 0;
  std::vector<std::unique_ptr<Item[]>> items_;
  std::vector<std::unique_ptr<char[]>> names_;  ///< none across two of them
  std::size_t names_used_ = 0;                  ///< with what is left of each
  std::unordered_map<std::size_t, RareString> targets_;
  std::string folder_;        ///< of the last entry
  std::uint32_t parent_ = 0;  ///< its place + 1
};

}  // namespace ferry::sync
