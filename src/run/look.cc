// What people look at: outputs as they are now, the log, the machine itself.
#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "fleet/access.h"
#include "job/local_log.h"
#include "os/terminal.h"
#include "run/actions.h"
#include "run/bring_home.h"
#include "run/record.h"
#include "run/stored.h"

namespace ferry::run {

using ledger::Phase;

namespace {

/// Why there is nothing to fetch, and what is.
Error nothing_to_fetch(fleet::Context& context, const ledger::Run& run) {
  if (run.phase == Phase::released) {
    if (run.outputs_home)
      return {Kind::not_found,
              "the outputs of " + run.name + " are home already: " + run.output_dir,
              "its machine was released",
              "ls " + printable(shell_quoted(run.output_dir)),
              {}};
    return {Kind::not_found,
            run.name + " has no machine any more to fetch from",
            "it was released" + (run.error.empty() ? "" : ": " + run.error),
            "what there is of it: ferry show " + run.name + ", ferry logs " + run.name,
            {}};
  }
  const auto instance = live_instance(context, run);
  const auto where = instance ? fmt::format("its machine is {}", instance->id) : std::string("it has no machine yet");
  return {Kind::not_found,
          fmt::format("{} has no outputs yet: it is {}", run.name, name(run.phase)),
          where + (run.error.empty() ? "" : "; " + run.error),
          "see how it goes: ferry logs -f " + run.name,
          {}};
}

/// The machine was not reached, or is gone: the store may have what it had.
bool may_be_elsewhere(const Error& error) {
  return error.kind == Kind::lost || error.kind == Kind::timeout || error.kind == Kind::not_found ||
         error.code == fleet::stopped_code;
}

Result<job::Outputs> fetch_from_store(fleet::Context& context, const ledger::Run& seen, const job::Stored& stored) {
  TRY_SET(outputs, "", bring_stored_home(context, seen, stored, unless_interrupted(context)));
  // Whoever owns the run notes it otherwise.
  TRY_SET(owner, "", RunLock::try_take(fleet::RunDir(context.data, seen.name), Role::recover));
  if (!owner || !stored.is_complete()) return outputs;
  TRY_SET(run, "", context.ledger.run(seen.name));
  TRY("", adopt_stored(context, run, stored));
  run.outputs_home = true;
  TRY("", context.ledger.update(run));
  write_record(context, run);
  return outputs;
}

/// One file for each visitor, which it holds locked.
os::Path visits_of(const fleet::RunDir& run_dir) { return run_dir.path / "visits"; }
/// One line for each visit that began.
os::Path visitors_book(const fleet::RunDir& run_dir) { return run_dir.path / "visits.log"; }

}  // namespace

Result<job::Outputs> fetch(fleet::Context& context, const std::string& run_name) {
  TRY_SET(run, "", context.ledger.run(run_name));
  if (run.phase == Phase::released) TRY("", complete_log(context, run.name));
  if (run.phase >= Phase::setup && run.phase < Phase::releasing) {
    auto home = bring_home(context, run, false, false);
    if (home) return std::move(home->outputs);
    if (run.store.empty() || !may_be_elsewhere(home.error())) return tl::unexpected<Error>(std::move(home).error());
  }
  TRY_SET(stored, "", look_in_store(context, run));
  if (!stored) return tl::unexpected<Error>(nothing_to_fetch(context, run));
  return fetch_from_store(context, run, *stored);
}

namespace {

/// What the machine has logged beyond the laptop's copy, up to now; never written to the copy, which is its
/// owner's.
Status rest_of_log(fleet::Context& context, const ledger::Run& run, std::uint64_t from,
                   const std::function<Status(std::string_view, bool, std::int64_t)>& write) {
  TRY_SET(reached, "", reach(context, run));
  TRY_SET(channel, "", reached.connection.agent());
  TRY_SET(status, "", channel.client.status());
  if (status.log_size <= from) return {};
  TRY("", channel.client.attach(from));
  auto at = from;
  while (at < status.log_size) {
    TRY_SET(event, "", channel.client.next(Millis(20'000)));
    if (!event) return fail(Kind::lost, "the agent fell silent");
    if (!event->log) continue;
    const auto room = status.log_size - at;
    const std::string_view bytes = std::string_view(event->log->bytes).substr(0, room);
    TRY("", write(bytes, event->log->stream == agent::LogStream::err, event->log->time_ms));
    at += bytes.size();
  }
  return {};
}

}  // namespace

Status logs(fleet::Context& context, const std::string& run_name, bool follow,
            const std::function<Status(std::string_view, bool is_error, std::int64_t time_ms)>& write,
            const std::function<Status()>& caught_up) {
  TRY_SET(run, "", context.ledger.run(run_name));
  job::LogsReader reader(fleet::RunDir(context.data, run.name));
  const auto show = [&]() -> Status {
    return reader.read(newest_attempt(context, run.name), [&](const agent::LogChunk& chunk) {
      return write(chunk.bytes, chunk.stream == agent::LogStream::err, chunk.time_ms);
    });
  };
  if (follow && caught_up) {
    TRY("", show());
    TRY("", caught_up());
  }
  const fleet::RunDir run_dir(context.data, run.name);
  bool looked_after = false;
  while (follow) {
    TRY_SET(now, "", context.ledger.run(run.name));
    TRY("", show());
    if (now.phase >= Phase::fetching || is_kept(now)) return {};
    if (context.check_signals(false) != fleet::Interrupt::go_on) return {};
    if (!RunLock::holder_of(run_dir)) {
      // Whoever followed it is gone: once, somebody is found, as `ferry wait` does. After that, what the machine has is
      // shown.
      if (std::exchange(looked_after, true)) break;
      if (const auto recovered = recover_orphan(context, run.name); !recovered) {
        context.progress.warn("logs", fmt::format("nobody follows {}: {}", run.name, recovered.error().what));
        break;
      }
      continue;
    }
    context.clock.sleep(Millis(50));
  }
  TRY("", show());
  // What there was no room for in the run's folder may be beside its outputs; which stream it was is not noted.
  if (run.phase == Phase::released) {
    const auto rest = job::read_train_log(context, run, reader.total());
    return rest.empty() ? Status() : write(rest, false, 0);
  }
  if (run.phase < Phase::setup || run.phase > Phase::training) return {};
  if (auto rest = rest_of_log(context, run, reader.offset(), write); !rest) {
    // The run may have ended meanwhile, and its log is here then.
    TRY("", show());
    TRY_SET(now, "", context.ledger.run(run.name));
    if (now.phase <= Phase::training)
      context.progress.warn("logs", "what the machine wrote since is out of reach: " + rest.error().what);
  }
  return {};
}

Result<os::Argv> visit_argv(fleet::Context& context, const std::string& run_name, const os::Argv& command) {
  TRY_SET(run, "", context.ledger.run(run_name));
  TRY_SET(instance, "", live_instance(context, run));
  const fleet::RunDir run_dir(context.data, run.name);
  if (fleet::key_is_unreadable(run_dir, instance)) {
    TRY_SET(reached, "", reach(context, run));
    instance = reached.connection.instance();
  }
  auto place = fleet::location_of(instance);
  TRY_SET(cloud, "", fleet::open_cloud(context, place));
  auto seen = fleet::refresh(context, *cloud, instance);
  if (!seen) return tl::unexpected<Error>(told_to_rest(run, std::move(seen).error()));
  const auto& now = *seen;
  // A user begins where the run's files are; a command begins where ssh puts it.
  const bool own_machine = instance.provider == "ssh";
  const auto workdir = (own_machine ? ".ferry/work/" : "ferry/") + run.name;
  const os::Argv begin = {"cd " + shell_quoted(workdir) + " 2>/dev/null; exec \"${SHELL:-/bin/sh}\" -l"};
  const bool shell = command.empty() && os::is_terminal(0);
  TRY_SET(argv, "", ssh::interactive_argv(fleet::target_of(run_dir, now), shell ? begin : command));
  if (shell) argv.insert(argv.begin() + 1, "-t");
  return argv;
}

Result<int> visit(fleet::Context& context, const std::string& run_name, const os::Argv& command) {
  TRY_SET(argv, "", visit_argv(context, run_name, command));
  TRY_SET(run, "", context.ledger.run(run_name));
  const fleet::RunDir run_dir(context.data, run.name);
  TRY("", os::make_dirs(visits_of(run_dir), 0700));
  const auto file = visits_of(run_dir) / std::to_string(::getpid());
  TRY_SET(here, "", os::FileLock::take(file, Millis(1000)));
  TRY("", os::append_file(visitors_book(run_dir), std::to_string(::getpid()) + "\n", 0600));
  os::SpawnOptions options;
  options.argv = std::move(argv);
  options.in = os::Stream::inherit;
  TRY_SET(process, "", os::Process::spawn(options));
  const int code = process.wait(Millis(-1))->code;
  (void)os::remove_all(file);
  return code;
}

bool has_visitor(const fleet::RunDir& run_dir) {
  const auto visits = os::list_dir(visits_of(run_dir)).value_or(std::vector<std::string>());
  return std::ranges::any_of(visits, [&](const auto& one) { return os::is_locked(visits_of(run_dir) / one); });
}

std::uint64_t visits_so_far(const fleet::RunDir& run_dir) {
  const auto book = os::read_file(visitors_book(run_dir)).value_or("");
  return static_cast<std::uint64_t>(std::ranges::count(book, '\n'));
}

}  // namespace ferry::run
