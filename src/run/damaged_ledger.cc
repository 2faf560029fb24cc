#include "run/damaged_ledger.h"

#include <algorithm>
#include <map>

#include "base/text.h"
#include "fleet/labels.h"
#include "run/actions.h"

namespace ferry::run {

namespace {

bool is_ledger_id(std::string_view text) {
  return text.size() == 16 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

/// What ledgers that were set aside call themselves, most often: the tasks of their runs have it.
std::string id_in_damaged_ledgers(const os::Path& data) {
  constexpr std::string_view begin = "\"ledger\":\"";
  constexpr std::size_t most_bytes = std::size_t{256} << 20, id_bytes = 16;
  std::map<std::string, int> found;
  for (const auto& name : os::list_dir(data).value_or(std::vector<std::string>())) {
    if (!name.starts_with("ledger.db.damaged")) continue;
    const auto bytes = os::read_file(data / name, most_bytes).value_or("");
    for (auto at = bytes.find(begin); at != bytes.npos; at = bytes.find(begin, at + 1)) {
      const auto id = bytes.substr(at + begin.size(), id_bytes);
      if (is_ledger_id(id)) ++found[id];
    }
  }
  const auto best = std::ranges::max_element(found, {}, [](const auto& one) { return one.second; });
  return best == found.end() ? "" : best->first;
}

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
    if (const auto said = text_at(run.task, "ledger"); id.empty() && is_ledger_id(said)) id = said;
  }
  const bool is_of_damaged = id.empty();
  if (is_of_damaged) id = id_in_damaged_ledgers(context.data);
  std::error_code ignored;
  if (!id.empty() && os::write_file(file, id + "\n", 0600) && fleet::ledger_id(context.data)) {
    context.progress.warn("settle", fmt::format("{} was damaged: it is written again, as runs in {} have it",
                                                file.string(), is_of_damaged ? "a damaged ledger" : "the ledger"));
  } else if (os::exists(file)) {
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
