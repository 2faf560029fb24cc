#include "watch/progress.h"

#include <filesystem>

#include "os/env.h"
#include "os/fd.h"
#include "os/terminal.h"
#include "watch/renderers.h"

namespace ferry::watch {

void Sink::write(std::string_view bytes) {
  if (!broken_ && !bytes.empty()) broken_ = !os::write_all(fd_, bytes);
}

bool same_target(int first, int second) {
  if (first == second) return true;
  std::error_code none, code;
  const auto link = [](int fd) { return "/proc/self/fd/" + std::to_string(fd); };
  const auto a = std::filesystem::read_symlink(link(first), code);
  const auto b = std::filesystem::read_symlink(link(second), none);
  return !code && !none && a == b;
}

std::unique_ptr<Progress> make_progress(Renderer renderer, int out, int err, os::Clock& clock) {
  os::ignore_sigpipe();
  if (renderer == Renderer::json) return make_json(out, "ferry.run.event/1", clock);
  if (renderer == Renderer::quiet) return make_plain(out, err, clock, true);
  const bool can_redraw = os::is_terminal(err) && os::env("TERM").value_or("dumb") != "dumb";
  if (renderer == Renderer::terminal && can_redraw) return make_terminal(out, err, clock);
  return make_plain(out, err, clock);
}

}  // namespace ferry::watch
