#pragma once
/// \file
/// For tests only: damage to a file.

#include <fstream>
#include <string>

#include "os/file.h"

namespace ferry::ledger {

/// `bytes` stand in the file from `from` on, in place of what stood there.
inline void overwrite(const os::Path& file, std::uintmax_t from, const std::string& bytes) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(static_cast<std::streamoff>(from));
  stream << bytes;
}

}  // namespace ferry::ledger
