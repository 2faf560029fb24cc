#include "job/long_command.h"

#include <csignal>

#include "base/text.h"
#include "sync/packed.h"

namespace ferry::job {

namespace {
constexpr std::size_t most_kept = 64 * 1024;
constexpr Millis look_every{20};
/// What fits into one packet anyway is not packed.
constexpr std::size_t packed_from = 1024;
}  // namespace

Result<os::Output> run_for_long(fleet::Context& context, ssh::Session& session, const std::string& command,
                                std::string_view input, std::string_view doing,
                                const std::function<void(std::string_view)>& newest) {
  const bool is_packed = input.size() >= packed_from;
  TRY_SET(shell, "",
          is_packed ? session.start({session.machine().program, "unpacked", "sh", "-c", command}, mux::Lane::talk)
                    : session.spawn(command));
  const auto given = os::write_all(
      shell.in.get(), is_packed ? sync::pack(input) : std::string(input));  // where that fails, how it ended says why
  shell.in.reset();
  os::Output said;
  bool out_open = true, err_open = true;
  while (out_open || err_open) {
    if (context.check_signals(false) == fleet::Interrupt::cancel) {
      shell.signal(SIGTERM);
      return fail(Kind::cancelled, "cancelled");
    }
    const auto waits = os::wait_readable(out_open ? shell.out.get() : -1, err_open ? shell.err.get() : -1, look_every);
    if (waits.one) {
      TRY_SET(part, "", os::read_some(shell.out.get()));
      out_open = !part.empty();
      if (said.out.size() < most_kept) said.out += part;
    }
    if (waits.other) {
      TRY_SET(part, "", os::read_some(shell.err.get()));
      err_open = !part.empty();
      said.err += part;
      if (said.err.size() > most_kept) said.err.erase(0, said.err.size() - most_kept / 2);
      const auto lines = split(trim(said.err), '\n');
      if (newest && !lines.empty()) newest(trim(lines.back()));
    }
  }
  const auto ended = shell.wait(Millis(10'000));
  if (ssh::is_cut_off(ended)) return fail(Kind::lost, fmt::format("the connection broke while {}", doing));
  said.exit = *ended;
  if (said.exit.code == 0) TRY("", given);
  return said;
}

}  // namespace ferry::job
