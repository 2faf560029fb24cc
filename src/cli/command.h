#pragma once
/// \file
/// What every command of the program shares: its registration, and the context in which it acts.

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/cli.h"
#include "cli/reply.h"
#include "fleet/context.h"
#include "rehearsal/rehearsal.h"

namespace ferry::cli {

/// Exit code for a mistake on the command line, as most Unix programs have it.
inline constexpr int usage_error = 2;

/// Error::code of a mistake on the command line that only its sense shows; report() gives usage_error for it.
inline constexpr const char* mistake_code = "usage";
/// `error`, marked as one where it is bad_input or not_found and has no code of its own.
tl::unexpected<Error> mistake(Error error);

/// One process' worth of state that commands hang their options and answers on.
struct Program {
  const Carried& carried;
  std::vector<std::string> after_dashes;  ///< the words behind the first "--"
  bool has_dashes = false;
  std::function<int()> chosen;  ///< set by the subcommand that was given
  std::string profile;          ///< --profile
  bool agent = false;           ///< --agent; os::called_by_agent() is what counts
  bool json = false;  ///< --json, where a command has no such flag of its own; in_json() (reply.h) is what counts
};

/// Each adds its subcommands to `app`; their callbacks set program.chosen.
void add_run_commands(CLI::App& app, Program& program);        // run
void add_plan_commands(CLI::App& app, Program& program);       // plan
void add_images_command(CLI::App& app, Program& program);      // images
void add_account_commands(CLI::App& app, Program& program);    // check, quota, policy, catalog
void add_logs_command(CLI::App& app, Program& program);        // logs; called by the next
void add_runs_commands(CLI::App& app, Program& program);       // ps, logs, fetch, ssh, cancel, down
void add_charges_command(CLI::App& app, Program& program);     // account
void add_data_commands(CLI::App& app, Program& program);       // data push, ls, rm
void add_gpus_command(CLI::App& app, Program& program);        // gpus
void add_capacity_command(CLI::App& app, Program& program);    // capacity, capacity ls
void add_interrupt_command(CLI::App& app, Program& program);   // interrupt
void add_extend_command(CLI::App& app, Program& program);      // extend
void add_orphans_commands(CLI::App& app, Program& program);    // orphans, recover
void add_store_commands(CLI::App& app, Program& program);      // store …
void add_service_commands(CLI::App& app, Program& program);    // service …
void add_look_commands(CLI::App& app, Program& program);       // wait, show, cost, env, help
void add_rehearsal_commands(CLI::App& app, Program& program);  // rehearsal …
void add_other_commands(CLI::App& app, Program& program);      // completion, and the hidden ones

/// The ledger, HTTP, signals and progress of one process. Make one per process.
class Context {
 public:
  /// `renderer`: how progress is shown; Renderer::json is for a command that goes on, with --json. With `interactive`,
  /// Ctrl-C at a terminal asks.
  static Result<std::unique_ptr<Context>> open(const Carried& carried, watch::Renderer renderer, bool interactive);
  /// run::recover_orphans(). What it has to say of other runs is no event of this one.
  Status recover_orphans();
  fleet::Context& run_context() { return *run_context_; }
  ledger::Ledger& ledger() { return *ledger_; }
  watch::Progress& progress() { return *progress_; }

 private:
  Context() = default;
  std::unique_ptr<os::SignalQueue> signals_;
  std::unique_ptr<os::HttpClient> http_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<watch::Progress> own_progress_;  // none: the events of a command that goes on
  watch::Progress* progress_ = nullptr;
  std::unique_ptr<fleet::Context> run_context_;
};

/// The renderer for this process' standard streams: json if asked for, terminal or plain.
watch::Renderer renderer_for(bool json);

/// What exit codes mean, as `ferry help exit-codes` shows it.
std::string exit_codes();

/// Starts the rehearsal cloud if need be, and says how to reach it.
Result<cloud::AwsContext> rehearsal_context();

/// True if the environment says yes to every question (FERRY_YES=1).
bool says_yes();

/// Opens a context with plain progress on standard error, recovers orphaned runs, runs `act`. Errors
/// are reported; `may_try_later`: as report() has it.
int with_context(const Carried& carried, const std::function<Result<int>(Context&)>& act, bool may_try_later = false);

}  // namespace ferry::cli
