#include "job/preparation.h"

#include <csignal>

#include "agent/preparation.h"
#include "base/text.h"
#include "os/clock.h"

namespace ferry::job {

namespace {

constexpr std::size_t most_told = 64 * 1024;
constexpr Millis between_looks{20}, end_limit{10'000};

}  // namespace

Result<os::Output> await_preparation(fleet::Context& context, AgentChannel& channel, const Preparation& preparation) {
  auto& program = channel.process;
  os::Output told;
  std::int64_t ends_at = 0;  // steady_ms, once it was asked to end
  for (bool is_open = true; is_open;) {
    const auto now = os::system_clock().steady_ms();
    if (ends_at == 0 && context.check_signals(false) == fleet::Interrupt::cancel) {
      program.signal(SIGTERM);
      ends_at = now + end_limit.count();
    }
    if (ends_at > 0 && now >= ends_at) return fail(Kind::lost, "the machine does not end what comes before the job");
    if (!os::wait_readable(program.err.get(), between_looks)) continue;
    TRY_SET(part, "", os::read_some(program.err.get()));
    is_open = !part.empty();
    told.err += part;
    if (auto said = agent::said_in(told.err)) {
      told.out = *std::move(said);
      return told;
    }
    if (told.err.size() > most_told) told.err.erase(0, told.err.size() - most_told / 2);
    if (told.err.find(agent::preparation_said) != std::string::npos || trim(told.err).empty()) continue;
    const auto lines = split(trim(told.err), '\n');
    if (preparation.newest) preparation.newest(trim(lines.back()));
  }
  const auto ended = program.wait(end_limit);
  if (ends_at > 0 && ended && ended->signal != SIGHUP) return fail(Kind::cancelled, "cancelled");
  if (ssh::is_cut_off(ended)) return fail(Kind::lost, "the connection broke before the job was started");
  told.exit = *ended;
  // It ended, and did not go on to the agent.
  if (told.exit.code == 0) told.exit.code = 1;
  return told;
}

}  // namespace ferry::job
