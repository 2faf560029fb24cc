#include "run/damaged_ledger.h"

#include "base/text.h"
#include "fleet/labels.h"
#include "run/actions.h"

namespace ferry::run {

namespace {

/// Which ledger this is stands in each run's task, too: a damaged ledger-id is written again. Without it machines
/// would be another ledger's.
void mend_ledger_id(fleet::Context& context) {
  const auto file = context.data / "ledger-id";
  const auto known = os::exists(file) ? fleet::ledger_id(context.data) : fail(Kind::corrupt, "it is gone");
  if (known || known.error().kind != Kind::corrupt) return;
  const auto runs = context.ledger.runs(false);
  if (!runs) return;
  std::string id;
  for (const auto& run : *runs) {
    if (id.empty()) id = text_at(run.task, "ledger");
  }
  std::error_code ignored;
  if (!id.empty() && os::write_file(file, id + "\n", 0600) && fleet::ledger_id(context.data)) {
    context.progress.warn("settle", file.string() + " was damaged: it is written again, as runs in the ledger have it");
  } else if (!runs->empty() && os::exists(file)) {
    std::filesystem::remove(file, ignored);
    context.progress.warn("settle", file.string() + " was damaged, and no run has what stood in it: another is made");
  }
}

}  // namespace

void finish_mending(fleet::Context& context) {
  mend_ledger_id(context);
  const auto file = context.data / "ledger.db";
  const auto mending = ledger::last_mending(file);
  if (!mending) return;
  context.progress.warn("settle",
                        mending->line + (mending->lost_some ? "; looking for its machines by their tags" : ""));
  if (mending->lost_some) {
    const auto found = recover(context, {});
    if (!found || found->incomplete)
      context.progress.warn("settle", fmt::format("not everything could be looked at{}: ferry orphans shows what is "
                                                  "there still, ferry recover goes on with it",
                                                  found ? "" : " (" + found.error().what + ")"));
  }
  ledger::forget_mending(file);
}

}  // namespace ferry::run
