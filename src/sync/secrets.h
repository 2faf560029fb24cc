#pragma once
/// \file
/// Which files and folders hold a user's keys and passwords, so that they do not go to a rented machine
/// unless somebody insists.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sync/root.h"

namespace ferry::sync {

/// What a file or folder of that name (no path) holds, in a few words; empty: nothing that its name tells.
std::string_view secret_by_name(std::string_view name);

/// Which files of a folder are looked at for keys: small ones that are no code, picture, sound or table by
/// their ending. Where there are many of them, as in a folder of data, only those whose name speaks of keys or
/// which nobody else may read.
class KeySearch {
 public:
  explicit KeySearch(const Listing& folder);
  bool opens(std::string_view name, std::uint64_t size, std::uint32_t mode) const;

 private:
  bool is_crowd_ = false;
};

/// What kind of private key a file is that begins so (its first KiB is enough); empty: none.
std::string_view private_key_in(std::string_view beginning);

/// The same, of the file there. Empty, too, if it cannot be read.
std::string_view private_key_at(Root& root, std::string_view path);

}  // namespace ferry::sync
