#include "job/restore.h"

#include <csignal>

#include "base/text.h"

namespace ferry::job {

namespace {

constexpr std::size_t longest_line = std::size_t{1} << 16;
/// A machine that looks at a large manifest says nothing meanwhile.
constexpr Millis most_silence{600'000}, look{100};

}  // namespace

Result<agent::RestoreReport> restore_stored(fleet::Context& context, Connection& connection,
                                            const agent::RestoreOrder& order) {
  TRY_SET(machine, "", connection.start_agent_program({"restore", connection.paths().run_dir}));
  const auto failed = [&](Error error) { return tl::unexpected<Error>(explain(machine, std::move(error))); };
  if (const auto asked = os::write_all(machine.in.get(), dump_json(agent::to_json(order)) + "\n"); !asked)
    return failed(
        {Kind::lost, "the connection broke while the machine was asked to restore", asked.error().what, {}, {}});
  std::string pending;
  auto heard = context.clock.steady_ms();
  while (true) {
    if (context.check_signals(false) != fleet::Interrupt::go_on) {
      machine.signal(SIGKILL);
      return fail(Kind::cancelled, "cancelled");
    }
    if (!os::wait_readable(machine.out.get(), look)) {
      if (context.clock.steady_ms() - heard < most_silence.count()) continue;
      machine.signal(SIGKILL);
      return fail(Kind::timeout, "the machine says nothing of what it restores");
    }
    const auto bytes = os::read_some(machine.out.get());
    if (!bytes || bytes->empty() || pending.size() > longest_line)
      return failed({Kind::lost, "the machine broke off while it restored what the run had stored", {}, {}, {}});
    heard = context.clock.steady_ms();
    pending += *bytes;
    for (auto end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
      const auto json = parse_json(pending.substr(0, end));
      pending.erase(0, end + 1);
      if (!json || !json->is_object()) continue;  // a login shell's noise
      TRY_SET(report, "", agent::restore_report_from(*json));
      if (report.error) return tl::unexpected<Error>(std::move(*report.error));
      if (report.done) {
        machine.wait(Millis(2000));
        return report;
      }
      context.progress.update(fmt::format("{} of {} are {}", show_bytes(report.bytes), show_bytes(report.bytes_total),
                                          order.set.empty() ? "back" : "there"));
    }
  }
}

}  // namespace ferry::job
