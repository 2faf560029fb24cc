#include "os/memory_file.h"

#include <sys/mman.h>
#include <unistd.h>

namespace ferry::os {

Result<Fd> file_in_memory(const char* name, std::string_view content) {
  Fd file(::memfd_create(name, MFD_CLOEXEC));
  if (!file) return fail_errno("make a file in memory");
  TRY("", write_all(file.get(), content));
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return fail_errno("make a file in memory");
  return file;
}

}  // namespace ferry::os
