#include "job/restore.h"

#include "base/text.h"
#include "job/agent_lines.h"

namespace ferry::job {

Result<agent::RestoreReport> restore_stored(fleet::Context& context, Connection& connection,
                                            const agent::RestoreOrder& order) {
  TRY_SET(machine, "", connection.start_agent_program({"restore", connection.paths().run_dir}));
  const auto failed = [&](Error error) { return tl::unexpected<Error>(explain(machine, std::move(error))); };
  if (const auto asked = os::write_all(machine.in.get(), dump_json(agent::to_json(order)) + "\n"); !asked)
    return failed(
        {Kind::lost, "the connection broke while the machine was asked to restore", asked.error().what, {}, {}});
  agent::RestoreReport report;
  const auto heard = hear_lines(context, machine, "what it restores", [&](std::string_view line) -> Result<bool> {
    const auto json = parse_json(line);
    if (!json || !json->is_object()) return false;  // a login shell's noise
    TRY_SET(said, "", agent::restore_report_from(*json));
    report = std::move(said);
    if (report.error) return tl::unexpected<Error>(std::move(*report.error));
    context.progress.update(fmt::format("{} of {} are {}", show_bytes(report.bytes), show_bytes(report.bytes_total),
                                        order.set.empty() ? "back" : "there"));
    return report.done;
  });
  if (!heard) return tl::unexpected<Error>(heard.error());
  if (!*heard)
    return failed({Kind::lost, "the machine broke off while it restored what the run had stored", {}, {}, {}});
  machine.wait(Millis(2000));
  return report;
}

}  // namespace ferry::job
