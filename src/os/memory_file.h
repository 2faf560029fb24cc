#pragma once
/// \file
/// A file that has no name and is on no disk, for programs that read their input better from a file.

#include <string_view>

#include "os/fd.h"

namespace ferry::os {

/// With that content, open for reading and writing at its beginning (memfd_create(2)). `name` is for /proc alone.
Result<Fd> file_in_memory(const char* name, std::string_view content);

}  // namespace ferry::os
