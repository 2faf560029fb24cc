#include "os/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

#include "os/fd.h"
#include "os/file.h"

namespace ferry::os {

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

int terminal_width(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::optional<std::string> ask(const std::string& prompt, int interrupt) {
  auto terminal = open_file("/dev/tty", O_RDWR);
  if (!terminal || !write_all(terminal->get(), prompt)) return std::nullopt;
  std::string line;
  while (true) {
    std::array<pollfd, 2> polls{{{terminal->get(), POLLIN, 0}, {interrupt, POLLIN, 0}}};
    if (::poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) return std::nullopt;
    if (polls[1].revents) return std::nullopt;
    if (!polls[0].revents) continue;
    const auto part = read_some(terminal->get(), 256);
    if (!part || part->empty()) return std::nullopt;
    line += *part;
    if (const auto end = line.find('\n'); end != std::string::npos) return line.substr(0, end);
  }
}

}  // namespace ferry::os
