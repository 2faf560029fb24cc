#pragma once
/// \file
/// Which runs a command is about: by name, by the beginning of one, by a pattern, by a label, by what is known of
/// them.

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "cli/command.h"
#include "ledger/ledger.h"

namespace ferry::cli {

/// What --label and --filter ask for. Of two filters with the same key one must fit, of two keys both; every label
/// must be there.
struct RunFilter {
  std::vector<std::string> labels;   ///< k=v, or k alone: has it, whatever its value
  std::vector<std::string> filters;  ///< state=, outcome=, label=, name=, type=, since=, exited=

  bool empty() const { return labels.empty() && filters.empty(); }
  void add_label_to(CLI::App& command);
  void add_filter_to(CLI::App& command);
};

/// One run with what a filter may ask about it.
struct Filtered {
  const ledger::Run& run;
  std::string state;  ///< watch::state_words
  std::span<const ledger::Instance> instances;
};

/// Decides by a filter that was understood.
class RunSieve {
 public:
  /// Fails bad_input, as a mistake on the command line, for a key or a value that says nothing.
  static Result<RunSieve> make(const RunFilter& filter, std::int64_t now_ms);
  bool passes(const Filtered& one) const;

 private:
  struct Wanted {
    std::string key, value;
    std::int64_t since_ms = 0;
  };
  std::vector<Wanted> filters_;
  std::vector<std::pair<std::string, std::string>> labels_;  // an empty value: any
};

/// "7d", "12h" back from now, a day "2026-01-31" (UTC), or a moment "2026-01-31T12:00:00Z": in milliseconds since
/// 1970. `flag` begins the complaint about anything else.
Result<std::int64_t> moment_of(const std::string& flag, const std::string& text, std::int64_t now_ms);

/// `started`: one of which something ever ran, where there is one: what it made is asked for.
enum class Prefer { newest, started };
/// The run that was named; else the newest one that passes.
Result<std::string> one_run(Context& context, const std::string& name, const RunFilter& filter,
                            Prefer prefer = Prefer::newest);

/// Runs that are to be ended.
struct EndChoice {
  std::vector<std::string> names;  ///< or patterns with * ? [
  RunFilter filter;
  bool yes = false;
};
/// Their names, each once. Those that a pattern or a label leads to (of those that are not over) are listed, and the
/// user is asked, unless they said yes; an answer of no is an empty list. Without a terminal a mistake on the
/// command line, with the line that goes ahead. `verb`: "cancel".
Result<std::vector<std::string>> runs_to_end(Context& context, const EndChoice& choice, const std::string& verb);

}  // namespace ferry::cli
