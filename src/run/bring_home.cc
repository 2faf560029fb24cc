#include "run/bring_home.h"

#include "base/text.h"
#include "fleet/untracked.h"
#include "job/local_log.h"
#include "job/training.h"
#include "run/actions.h"

namespace ferry::run {

namespace {

/// Holds an empty file for each run whose train.log could not be written when it ought to have been.
os::Path owed_logs(const fleet::Context& context) { return context.data / "owed-logs"; }

/// write_train_log(), and notes what is owed.
Result<os::Path> put_log_home(fleet::Context& context, const ledger::Run& run, const job::LogRest& rest = {}) {
  auto written = job::write_train_log(context, run, rest);
  const auto owed = owed_logs(context) / run.name;
  std::error_code ignored;
  if (written) {
    std::filesystem::remove(owed, ignored);
  } else if (os::make_dirs(owed_logs(context), 0700)) {
    (void)os::write_file(owed, "", 0600);
  }
  return written;
}

void tell_not_written(fleet::Context& context, const ledger::Run& run, const Error& error) {
  context.progress.warn("fetch", fmt::format("the log of {} is not in {}: {}; later ferry commands try again", run.name,
                                             run.output_dir, error.what));
}

/// True if no ferry ever got so far as to put anything of a run there, whatever that run was called.
Result<bool> was_never_used(job::Connection& connection) {
  constexpr std::string_view question =
      "for d in \"$HOME/ferry\" \"$HOME/.ferry/runs\"; do "
      "if [ -e \"$d\" ] || [ -L \"$d\" ]; then held=$(ls -A \"$d\" 2>&1) && [ -z \"$held\" ] || echo ferry-used; fi; "
      "done; echo ferry-looked";
  TRY_SET(answer, "look at the machine", connection.session().run(std::string(question), {}, Millis(30'000)));
  const auto said = [&](std::string_view word) { return answer.out.find(word) != std::string::npos; };
  return answer.exit.code == 0 && said("ferry-looked") && !said("ferry-used");
}

}  // namespace

sync::Options unless_interrupted(fleet::Context& context) {
  sync::Options options;
  options.cancelled = [&context, stopped = context.interrupt != fleet::Interrupt::go_on]() mutable {
    return stopped = stopped || context.signals.next().has_value();
  };
  return options;
}

Result<BroughtHome> bring_home(fleet::Context& context, const ledger::Run& run, bool may_start, bool owned) {
  const fleet::RunDir run_dir(context.data, run.name);
  TRY_SET(reached, "", reach(context, run, may_start));
  // Its machine is to be given back: what the training would only save at its end must be saved first.
  BroughtHome home;
  if (owned && fleet::was_adopted(reached.connection.instance())) {
    TRY_SET(unused, "", was_never_used(reached.connection));
    if (unused)
      return fail(Kind::not_found, "nothing was ever put on " + reached.connection.instance().id, {}, {},
                  never_used_code);
  }
  if (owned) {
    auto stopped = job::stop_training(context, reached.connection);
    if (!stopped) context.progress.warn("down", "the training could not be stopped: " + stopped.error().what);
    if (stopped) home.job = *std::move(stopped);
  }
  auto outputs = job::fetch_outputs(context, reached.connection, run_dir, run, unless_interrupted(context));
  if (!outputs && outputs.error().kind == Kind::cancelled)
    return fail(Kind::cancelled, "stopped; what came home stays, and the machine goes on", {},
                "ferry fetch " + run.name + "  goes on from here");
  if (!outputs) return tl::unexpected<Error>(std::move(outputs).error());
  home.outputs = *std::move(outputs);
  std::optional<RunLock> owner;
  if (!owned) {
    TRY_SET(taken, "", RunLock::try_take(run_dir, Role::recover));
    owner = std::move(taken);
  }
  if (owned || owner) {
    const auto written = bring_log_home(context, reached.connection, run_dir, run);
    if (!written) tell_not_written(context, run, written.error());
  }
  return home;
}

Result<os::Path> bring_log_home(fleet::Context& context, job::Connection& connection, const fleet::RunDir& run_dir,
                                const ledger::Run& run, std::optional<std::uint64_t> size) {
  std::uint64_t whole_size = 0;
  const auto whole = [&]() -> Status {
    // The file, not our memory of it: somebody may have cut it meanwhile.
    TRY_SET(log, "", job::LocalLog::open(run_dir.log(newest_attempt(context, run.name))));
    if (!size || log.size() < *size) TRY("", complete_log(context, connection, log));
    whole_size = log.size();
    return {};
  }();
  Status streamed;
  // What there is no room for in the run's folder may have some beside the outputs; and what was just written there
  // may be gone by now.
  const auto rest = [&](std::uint64_t from, const job::LogSink& write) {
    if (whole && from >= whole_size) return;
    streamed = job::read_log(context, connection, from, [&](agent::LogChunk chunk) -> Status {
      if (chunk.offset < from) chunk.bytes.erase(0, from - chunk.offset);
      from += chunk.bytes.size();
      return write(chunk.bytes);
    });
  };
  if (whole) {
    auto written = put_log_home(context, run, rest);
    if (written && !streamed) context.progress.warn("fetch", "train.log may not be whole: " + streamed.error().what);
    return written;
  }
  const auto& error = whole.error();
  const auto why = error.what + (error.why.empty() ? "" : ": " + error.why);
  const bool is_here = error.kind != Kind::lost && error.kind != Kind::timeout && error.kind != Kind::cancelled;
  if (!is_here) streamed = tl::unexpected<Error>(error);
  auto written = put_log_home(context, run, is_here ? job::LogRest(rest) : job::LogRest());
  context.progress.warn("fetch", streamed && written
                                     ? fmt::format("train.log is whole; what ferry logs shows may not be: {}", why)
                                     : "the log may not be whole here: " + why);
  return written;
}

Status complete_log(fleet::Context& context, const std::string& run_name) {
  TRY_SET(seen, "", context.ledger.run(run_name));
  const fleet::RunDir run_dir(context.data, seen.name);
  TRY_SET(owner, "", RunLock::try_take(run_dir, Role::recover));
  if (!owner) return {};
  TRY_SET(run, "", context.ledger.run(seen.name));
  if (run.phase == ledger::Phase::released || int_at(run.task, rests) != 0) {
    write_log_home(context, run);
    return {};
  }
  TRY_SET(reached, "", reach(context, run));
  const auto written = bring_log_home(context, reached.connection, run_dir, run);
  if (!written) tell_not_written(context, run, written.error());
  return {};
}

void write_log_home(fleet::Context& context, const ledger::Run& run) {
  bool has_any = false;
  const auto note = [&](const agent::LogChunk&) {
    has_any = true;
    return Status(fail(Kind::cancelled, "one is enough"));
  };
  (void)job::LogsReader(fleet::RunDir(context.data, run.name)).read(newest_attempt(context, run.name), note);
  if (!has_any) return;
  if (const auto written = put_log_home(context, run); !written) tell_not_written(context, run, written.error());
}

void pay_owed_logs(fleet::Context& context) {
  const auto owed = os::list_dir(owed_logs(context));
  for (const auto& name : owed.value_or(std::vector<std::string>())) {
    const auto run = context.ledger.run(name);
    if (run && run->phase != ledger::Phase::released) continue;  // whoever ends it writes it
    if (const auto written = run ? put_log_home(context, *run) : tl::unexpected<Error>(run.error()))
      context.progress.note(fmt::format("the log of {} could be written now: {}", name, written->string()));
  }
}

}  // namespace ferry::run
