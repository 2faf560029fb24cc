#include "cli/chosen_runs.h"

#include <fnmatch.h>

#include <set>

#include "base/text.h"
#include "os/terminal.h"
#include "watch/report.h"

namespace ferry::cli {

namespace {

bool fits(const std::string& pattern, const std::string& word) {
  return ::fnmatch(pattern.c_str(), word.c_str(), 0) == 0;
}

bool is_pattern(const std::string& word) { return word.find_first_of("*?[") != std::string::npos; }

bool has_label(const ledger::Run& run, const std::string& key, const std::string& value) {
  if (!run.task.is_object() || !run.task.contains("labels")) return false;
  const auto& labels = run.task["labels"];
  return labels.is_object() && labels.contains(key) && (value.empty() || text_at(labels, key) == value);
}

/// Milliseconds since 1970 of "2026-01-31" or "2026-01-31T12:00:00Z".
std::optional<std::int64_t> utc(const std::string& text) {
  const auto at = text.find('T');
  const auto parts = split(text.substr(0, at), '-');
  if (parts.size() != 3) return std::nullopt;
  const auto number = [](const std::string& part) { return static_cast<unsigned>(parse_int(part).value_or(9999)); };
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(number(parts[0]))),
                                         std::chrono::month(number(parts[1])), std::chrono::day(number(parts[2]))};
  if (!date.ok()) return std::nullopt;
  auto ms = std::chrono::sys_days(date).time_since_epoch().count() * 86'400'000LL;
  if (at == text.npos) return ms;
  auto time = text.substr(at + 1);
  if (time.ends_with('Z')) time.pop_back();
  const auto clock = split(time.substr(0, time.find('.')), ':');
  if (clock.size() < 2 || clock.size() > 3) return std::nullopt;
  constexpr std::array<std::int64_t, 3> unit = {3'600'000, 60'000, 1000}, most = {23, 59, 60};
  for (std::size_t i = 0; i < clock.size(); ++i) {
    const auto value = parse_int(clock[i]);
    if (!value || *value > most[i]) return std::nullopt;
    ms += *value * unit[i];
  }
  return ms;
}

constexpr const char* filter_keys = "state=, outcome=, label=, name=, type=, since=, exited=";

Result<std::vector<Filtered>> all_of(Context& context, bool unfinished, std::vector<ledger::Run>& runs,
                                     std::vector<std::vector<ledger::Instance>>& instances) {
  TRY_SET(found, "", context.ledger().runs(unfinished));
  runs = std::move(found);
  instances.reserve(runs.size());
  std::vector<Filtered> out;
  for (const auto& run : runs) {
    TRY_SET(of_run, "", context.ledger().instances(run.name));
    instances.push_back(std::move(of_run));
    const watch::RunView view{run, instances.back(), {}, {}, {}};
    out.push_back({run, watch::state_words(view), instances.back()});
  }
  return out;
}

}  // namespace

void RunFilter::add_label_to(CLI::App& command) {
  command.add_option("-l,--label", labels, "Runs with this label: KEY=VALUE, or KEY; may be repeated")
      ->type_name("KEY[=VALUE]")
      ->allow_extra_args(false);
}

void RunFilter::add_filter_to(CLI::App& command) {
  command
      .add_option("-f,--filter", filters,
                  "Runs that are so: state=training, outcome=failed, label=KEY[=VALUE], name=GLOB, type=GLOB, "
                  "since=2h, exited=1; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

Result<RunSieve> RunSieve::make(const RunFilter& filter, std::int64_t now_ms) {
  RunSieve sieve;
  const auto add_label = [&](const std::string& text) -> Status {
    const auto equals = text.find('=');
    const auto key = text.substr(0, equals);
    if (key.empty())
      return fail(Kind::bad_input, "--label needs KEY=VALUE or KEY", "there is no key in '" + printable(text) + "'",
                  "--label team=vision", mistake_code);
    sieve.labels_.emplace_back(key, equals == text.npos ? "" : text.substr(equals + 1));
    return {};
  };
  for (const auto& label : filter.labels) TRY("", add_label(label));
  const std::vector<std::string> keys = {"state", "outcome", "name", "type", "since", "exited", "label"};
  for (const auto& text : filter.filters) {
    const auto equals = text.find('=');
    const auto key = text.substr(0, equals);
    const auto value = equals == text.npos ? std::string() : text.substr(equals + 1);
    if (key == "status") {
      sieve.filters_.push_back({"state", value, 0});
      continue;
    }
    if (value.empty() || std::ranges::find(keys, key) == keys.end()) {
      const auto near = nearest(key, keys);
      return fail(Kind::bad_input, "--filter: not understood: '" + printable(text) + "'",
                  std::string("it takes ") + filter_keys,
                  near && !value.empty() ? "did you mean '" + *near + "='?" : "ferry ps --filter state=training",
                  mistake_code);
    }
    if (key == "label") {
      TRY("", add_label(value));
      continue;
    }
    Wanted wanted{key, value, 0};
    if (key == "since") {
      TRY_SET(since, "", moment_of("--filter since", value, now_ms));
      wanted.since_ms = since;
    }
    sieve.filters_.push_back(std::move(wanted));
  }
  return sieve;
}

bool RunSieve::passes(const Filtered& one) const {
  for (const auto& [key, value] : labels_) {
    if (!has_label(one.run, key, value)) return false;
  }
  const auto does = [&](const Wanted& wanted) {
    const auto& key = wanted.key;
    const auto& value = wanted.value;
    if (key == "state") return fits(lower(value), one.state) || fits(lower(value), std::string(name(one.run.phase)));
    if (key == "outcome")
      return fits(lower(value), std::string(name(one.run.outcome))) ||
             fits(lower(value), std::string(words(one.run.outcome)));
    if (key == "name") return fits(value, one.run.name) || fits(value, one.run.task_name);
    if (key == "exited") return one.run.exit_code && std::to_string(*one.run.exit_code) == value;
    if (key == "since") return one.run.created_ms >= wanted.since_ms;
    return std::ranges::any_of(one.instances, [&](const auto& it) { return fits(value, it.type); });
  };
  for (const auto& wanted : filters_) {
    const auto fitting = [&](const Wanted& other) { return other.key == wanted.key && does(other); };
    if (std::ranges::none_of(filters_, fitting)) return false;
  }
  return true;
}

Result<std::int64_t> moment_of(const std::string& flag, const std::string& text, std::int64_t now_ms) {
  if (const auto moment = utc(text)) return *moment;
  const auto back = parse_duration(text);
  if (back) return now_ms - back->count() * 1000;
  return fail(Kind::bad_input, flag + ": neither a day, a moment nor a time back: " + printable(text), {},
              "write 2026-01-31, 2026-01-31T12:00:00Z, 7d or 5m", mistake_code);
}

Result<std::string> one_run(Context& context, const std::string& name, const RunFilter& filter, Prefer prefer) {
  if (!name.empty() && filter.empty()) {
    TRY_SET(run, "", context.ledger().run(name));
    return run.name;
  }
  TRY_SET(sieve, "", RunSieve::make(filter, os::system_clock().now_ms()));
  std::vector<ledger::Run> runs;
  std::vector<std::vector<ledger::Instance>> instances;
  TRY_SET(all, "", all_of(context, false, runs, instances));
  const auto newest = [&](bool started) -> const ledger::Run* {
    const auto at = std::ranges::find_if(all, [&](const Filtered& one) {
      return one.run.name.starts_with(name) && sieve.passes(one) &&
             (!started || one.run.outcome != ledger::Outcome::not_started);
    });
    return at == all.end() ? nullptr : &at->run;
  };
  const auto* started = prefer == Prefer::started ? newest(true) : nullptr;
  if (const auto* found = started ? started : newest(false)) return found->name;
  if (all.empty())
    return fail(Kind::not_found, "there are no runs yet", {}, "ferry run examples/digits --infra rehearsal");
  return fail(Kind::not_found, "no run has that label", {}, "ferry ps --all lists them");
}

Result<std::vector<std::string>> runs_to_end(Context& context, const EndChoice& choice, const std::string& verb) {
  const bool by_words = !choice.filter.empty();
  if (choice.names.empty() && !by_words)
    return fail(Kind::bad_input, "name a run, a pattern or a label", {}, fmt::format("ferry {} RUN", verb),
                mistake_code);
  std::vector<std::string> out;
  std::set<std::string> found;
  TRY_SET(sieve, "", RunSieve::make(choice.filter, os::system_clock().now_ms()));
  std::vector<ledger::Run> runs;
  std::vector<std::vector<ledger::Instance>> instances;
  TRY_SET(open, "", all_of(context, true, runs, instances));
  std::vector<std::string> lines;
  const auto take = [&](const Filtered& one) {
    if (!found.insert(one.run.name).second) return;
    out.push_back(one.run.name);
    const auto type = one.instances.empty() ? one.run.infra : one.instances.back().type;
    lines.push_back(fmt::format("{}  {}  {}", one.run.name, one.state, printable(type)));
  };
  auto patterns = choice.names;
  if (patterns.empty()) patterns.emplace_back("*");
  for (const auto& name : patterns) {
    if (!is_pattern(name) && !by_words) {
      TRY_SET(run, "", context.ledger().run(name));
      if (found.insert(run.name).second) out.push_back(run.name);
      continue;
    }
    for (const auto& one : open) {
      const bool named = is_pattern(name) ? fits(name, one.run.name) : one.run.name.starts_with(name);
      if (named && sieve.passes(one)) take(one);
    }
  }
  if (out.empty())
    return fail(Kind::not_found, "no run that is not over is so", {}, "ferry ps lists those that are not over");
  if (lines.empty() || choice.yes || says_yes()) return out;
  const auto list = join(lines, "\n  ");
  if (!os::is_terminal(0) || !may_ask()) {
    return fail(Kind::bad_input,
                fmt::format("to {} {} by a pattern or a label needs a yes: {}", verb,
                            watch::counted(lines.size(), "run"), join(out, ", ")),
                "nobody is here to be asked",
                fmt::format("the same line with --yes, or: ferry {} {}", verb, join(out, " ")), mistake_code);
  }
  const auto said = os::ask(fmt::format("  {}\n{} {}? [y/N] ", list, verb, lines.size() == 1 ? "it" : "these"));
  if (said && (said->starts_with('y') || said->starts_with('Y'))) return out;
  return std::vector<std::string>();
}

}  // namespace ferry::cli
