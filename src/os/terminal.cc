#include "os/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/file.h"

namespace ferry::os {

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

int terminal_width(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::optional<std::string> ask(const std::string& prompt) {
  auto terminal = open_file("/dev/tty", O_RDWR);
  if (!terminal || !write_all(terminal->get(), prompt)) return std::nullopt;
  std::string line;
  while (true) {
    const auto part = read_some(terminal->get(), 256);
    if (!part || part->empty()) return std::nullopt;
    line += *part;
    if (const auto end = line.find('\n'); end != std::string::npos) return line.substr(0, end);
  }
}

}  // namespace ferry::os
