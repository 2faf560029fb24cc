#include "fleet/own_machine.h"

#include "base/text.h"
#include "fleet/held_connection.h"

extern "C" {
extern const char ferry_embed_own_machine_sh[], ferry_embed_own_machine_sh_end[];
}

namespace ferry::fleet {

namespace {

/// Agents have five seconds for their trainings, then are killed; containers may take a minute.
constexpr Millis tidy_limit{180'000};

Status tidy(ssh::Session& session, const std::string& host, const char* mode, const std::vector<std::string>& runs) {
  os::Argv words = {"sh", "-s", "--", mode, session.machine().program};
  words.insert(words.end(), runs.begin(), runs.end());
  const std::string_view script(ferry_embed_own_machine_sh, ferry_embed_own_machine_sh_end);
  TRY_SET(done, "", session.run(shell_quoted(words), script, tidy_limit));
  std::vector<std::string> left;
  for (const auto& line : split(done.out, '\n')) {
    if (line.starts_with("left: ")) left.push_back(printable(line.substr(6, 200)));
  }
  if (done.exit.code != 0 && left.empty()) left.push_back(printable(trim(done.err).substr(0, 300)));
  if (left.empty()) return {};
  constexpr std::size_t most_shown = 10;
  const auto count = left.size();
  left.resize(std::min(count, most_shown));
  return fail(Kind::io, "not everything that ferry started on " + host + " could be ended",
              join(left, "; ") + (count > most_shown ? fmt::format("; and {} more", count - most_shown) : ""),
              "look there:  ssh " + host + " ls ~/.ferry");
}

}  // namespace

Status clean_own_machine(Context& context, const RunDir& run_dir, const ledger::Instance& instance,
                         ssh::Session* connected) {
  if (connected && connected->alive()) {
    auto cleaned = tidy(*connected, instance.address, "run", {instance.run});
    if (cleaned || cleaned.error().kind != Kind::lost) return cleaned;
  }
  TRY_SET(session, "", open_session(context, target_of(run_dir, instance), Millis(15'000)));
  return tidy(session, instance.address, "run", {instance.run});
}

Status clear_own_machine(Context& context, const std::string& host, const std::vector<std::string>& runs) {
  ssh::Target target;
  target.address = host;
  target.own_config = true;
  let_go_of_connection(context, target);
  TRY_SET(session, "", open_session(context, target, Millis(20'000)));
  return tidy(session, host, "host", runs);
}

}  // namespace ferry::fleet
