#include "job/agent_lines.h"

#include <csignal>

namespace ferry::job {

namespace {

constexpr std::size_t longest_line = std::size_t{1} << 16;
/// A machine that looks at a large manifest, or lists a large bucket, says nothing meanwhile.
constexpr Millis most_silence{600'000}, look{100};

}  // namespace

Result<bool> hear_lines(fleet::Context& context, mux::Command& program, const std::string& what,
                        const std::function<Result<bool>(std::string_view line)>& hear) {
  std::string pending;
  auto heard = context.clock.steady_ms();
  while (true) {
    if (context.check_signals(false) != fleet::Interrupt::go_on) {
      program.signal(SIGTERM);
      return fail(Kind::cancelled, "cancelled");
    }
    if (!os::wait_readable(program.out.get(), look)) {
      if (context.clock.steady_ms() - heard < most_silence.count()) continue;
      program.signal(SIGKILL);
      return fail(Kind::lost, "the machine said nothing of " + what + " for minutes");
    }
    TRY_SET(bytes, "", os::read_some(program.out.get()));
    if (bytes.empty()) return false;
    heard = context.clock.steady_ms();
    pending += bytes;
    for (auto end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
      TRY_SET(is_done, "", hear(std::string_view(pending).substr(0, end)));
      if (is_done) return true;
      pending.erase(0, end + 1);
    }
    if (pending.size() > longest_line) {
      program.signal(SIGKILL);
      return fail(Kind::corrupt, "the machine's words of " + what + " have no end");
    }
  }
}

}  // namespace ferry::job
