#include "cli/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "base/hash.h"
#include "base/text.h"
#include "fleet/planning.h"
#include "os/env.h"
#include "os/terminal.h"
#include "watch/report.h"

namespace ferry::cli {

namespace {

/// Whoever has not gone on with a pipeline for so long does not want to.
constexpr std::chrono::hours told_for{24 * 7};

os::Path records_dir() { return os::data_dir() / "pipelines"; }

/// What a pipeline has come to, on disk.
struct Record {
  os::Path path;
  std::string command, file, name;
  int documents = 0, current = 0;  ///< from 1
  std::vector<std::string> runs;   ///< by document; empty: it has not come to one
  bool is_told = false;            ///< how to go on was said, or it is over

  static os::Path path_of(const std::string& command, const os::Path& file) {
    return records_dir() / fmt::format("{}-{}.json", command, hex(sha256(file.string())).substr(0, 16));
  }
  os::Path lock() const { return path.string() + ".lock"; }

  static std::optional<Record> read(const os::Path& path) {
    const auto text = os::read_file(path, 1 << 20);
    const auto json = text ? parse_json(*text) : Result<Json>(fail(Kind::not_found, ""));
    if (!json || !json->is_object()) return std::nullopt;
    Record out{path, text_at(*json, "command"), text_at(*json, "file"), text_at(*json, "name")};
    out.documents = static_cast<int>(int_at(*json, "documents"));
    out.current = static_cast<int>(int_at(*json, "current"));
    out.is_told = json->value("told", Json()) == true;
    const auto runs = json->find("runs");
    if (runs == json->end() || !runs->is_array()) return std::nullopt;
    for (const auto& one : *runs) out.runs.push_back(one.is_string() ? one.get<std::string>() : "");
    const bool is_sound = out.documents > 0 && out.current > 0 && out.current <= out.documents &&
                          out.runs.size() == static_cast<std::size_t>(out.documents);
    return is_sound ? std::optional(out) : std::nullopt;
  }

  Status write() const {
    TRY("", os::make_dirs(path.parent_path(), 0700));
    return os::write_file(path,
                          dump_json({{"command", command},
                                     {"file", file},
                                     {"name", name},
                                     {"documents", documents},
                                     {"current", current},
                                     {"runs", runs},
                                     {"told", is_told}}),
                          0600);
  }
  std::string& run_of(int document) { return runs[static_cast<std::size_t>(document - 1)]; }
};

bool has_succeeded(ledger::Ledger& ledger, const std::string& run) {
  if (run.empty()) return false;
  const auto noted = ledger.run(run);
  return noted && noted->outcome == ledger::Outcome::succeeded && noted->outputs_home;
}

/// "ferry run FILE --from 3"
std::string line_from(const Record& record, int document) {
  return fmt::format("ferry {} {} --from {}", record.command, shell_quoted(record.file), document);
}

/// Where the current document stands, and how to go on.
std::string standing(ledger::Ledger& ledger, Record& record) {
  const auto head = fmt::format("document {} of {}", record.current, record.documents);
  const auto& name = record.run_of(record.current);
  const auto run = name.empty() ? Result<ledger::Run>(fail(Kind::not_found, "")) : ledger.run(name);
  if (!run) return fmt::format("{} was not begun; go on with it:  {}", head, line_from(record, record.current));
  if (has_succeeded(ledger, name)) {
    return record.current == record.documents
               ? fmt::format("{} ({}), the last, has succeeded", head, name)
               : fmt::format("{} ({}) has succeeded; go on:  {}", head, name, line_from(record, record.current + 1));
  }
  if (run->outcome == ledger::Outcome::none && run->phase != ledger::Phase::released) {
    const auto next = record.current < record.documents
                          ? fmt::format(";  ferry wait {}  says when it is over; once it has succeeded:  {}", name,
                                        line_from(record, record.current + 1))
                          : std::string();
    return fmt::format("{} ({}) is not over, and goes on without this ferry{}", head, name, next);
  }
  return fmt::format("{} ({}) {}; again, when that is mended:  {}", head, name, ledger::words(run->outcome),
                     line_from(record, record.current));
}

/// One of them, planned.
struct Planned {
  std::optional<Usd> most;
  std::string words;
};

Result<Planned> planned(const Described& document) {
  const auto& task = document.task;
  const auto infra = task.all_candidates()[0].infra.value_or(task::Infra{});
  if (infra.provider == task::Provider::ssh) return Planned{Usd{}, infra.host + ", a machine of your own"};
  fleet::TimeLimits lifetime;
  if (task.max_duration) lifetime.max_duration = *task.max_duration;
  TRY_SET(plan, task.name,
          fleet::plan_task(task, lifetime, os::data_dir(), os::system_clock().now_ms(), rehearsal::region()));
  const auto& best = plan.ranking.offers.front();
  return Planned{plan.most,
                 fmt::format("{}{} in {}, {}", best.type.name, best.market == plan::Market::spot ? " (spot)" : "",
                             best.region, plan.most ? "at most " + show(*plan.most) : "its price is unknown")};
}

class Pipeline {
 public:
  Pipeline(Context& context, std::vector<Described> documents, const PipelineOptions& options, const RunDocument& run)
      : context_(context), documents_(std::move(documents)), options_(options), run_(run) {}

  Result<int> go(std::string& last) {
    TRY_SET(lock, "", prepare());
    TRY("", plan());
    TRY_SET(confirm, "", ask());
    int code = 0;
    bool is_done = true;
    for (int document = options_.from; is_done && document <= record_.documents; ++document) {
      TRY_SET(ended, "", run_one(document, confirm));
      code = ended;
      last = record_.run_of(document);
      is_done = code == 0 && has_succeeded(context_.ledger(), record_.run_of(document));
    }
    tell_receipt();
    if (!is_done) context_.progress().note(standing(context_.ledger(), record_));
    record_.is_told = true;
    (void)record_.write();
    lock.release();
    return code;
  }

 private:
  /// What is known of it from before, and that nobody else is at it.
  Result<os::FileLock> prepare() {
    const auto& first = documents_.front();
    const auto count = static_cast<int>(documents_.size());
    if (options_.from > count)
      return fail(Kind::bad_input, fmt::format("--from {}: the file has {} documents", options_.from, count), {},
                  fmt::format("--from {}", count), mistake_code);
    const auto file = first.file.empty() ? os::Path("-") : first.file;
    TRY("make the folder for pipelines", os::make_dirs(records_dir(), 0700));
    const auto path = Record::path_of(options_.command, file);
    auto before = Record::read(path);
    record_ = {path, options_.command, file.string(), first.pipeline, count, options_.from};
    record_.runs.resize(static_cast<std::size_t>(count));
    TRY_SET(lock, "look whether a ferry is at it", os::FileLock::try_take(record_.lock()));
    if (!lock) return fail(Kind::conflict, "another ferry is at work on " + printable(record_.file), {}, "ferry ps");
    if (options_.from == 1) return std::move(*lock);
    if (!before || before->documents != count)
      return fail(Kind::bad_input, fmt::format("--from {}: nothing is known of the documents before", options_.from),
                  "this file, with as many documents, was not run by this ledger's ferry",
                  fmt::format("ferry {} {}", record_.command, shell_quoted(record_.file)));
    for (int document = 1; document < options_.from; ++document) {
      record_.run_of(document) = before->run_of(document);
      if (has_succeeded(context_.ledger(), record_.run_of(document))) continue;
      const auto& name = record_.run_of(document);
      return fail(Kind::conflict, fmt::format("--from {}: document {} has not succeeded", options_.from, document),
                  name.empty() ? "it was not begun" : name + " is not over, or ended otherwise",
                  name.empty() ? line_from(record_, document) : "ferry show " + name);
    }
    return std::move(*lock);
  }

  Status plan() {
    auto& progress = context_.progress();
    most_ = Usd{};
    for (int document = options_.from; document <= record_.documents; ++document) {
      const auto& one = documents_[static_cast<std::size_t>(document - 1)];
      TRY_SET(known, fmt::format("document {}", document), planned(one));
      progress.note(
          fmt::format("document {} of {}: {} on {}", document, record_.documents, one.task.name, known.words));
      announced_.push_back(known.most);
      if (most_ && known.most)
        most_ = *most_ + *known.most;
      else
        most_.reset();
    }
    if (options_.budget) most_ = most_ ? std::min(*most_, *options_.budget) : options_.budget;
    progress.note(fmt::format("{}: {} tasks, one after the other, each on a machine of its own; {} together",
                              printable(record_.name), announced_.size(),
                              most_ ? "at most " + show(*most_) : "what they can cost is not known"));
    return {};
  }

  /// The one question. What each run asks then: nothing, as long as it keeps to what was said.
  Result<std::function<Status(const run::Confirmation&)>> ask() {
    const auto is_aws = [](const Described& one) {
      return one.task.all_candidates()[0].infra.value_or(task::Infra{}).provider == task::Provider::aws;
    };
    if (!options_.asks || std::ranges::none_of(documents_, is_aws) || !may_ask()) return options_.confirm;
    const auto answer =
        os::ask(fmt::format("Rent {} machines, one after the other, {}? [y/N] ", announced_.size(),
                            most_ ? fmt::format("for at most {} together whatever happens", show(*most_))
                                  : "for a price that is not known"));
    if (!answer) return options_.confirm;
    if (!answer->starts_with('y') && !answer->starts_with('Y')) return fail(Kind::cancelled, "not rented");
    return [this](const run::Confirmation& question) -> Status {
      const auto& said = announced_[static_cast<std::size_t>(record_.current - options_.from)];
      const bool is_agreed = said && question.at_most && *question.at_most <= *said;
      if (is_agreed && !question.disk_month) return {};  // that a disk stays was not said
      return options_.confirm ? options_.confirm(question) : Status();
    };
  }

  Result<std::optional<Usd>> spent() {
    std::optional<Usd> sum = Usd{};
    for (const auto& name : record_.runs) {
      if (name.empty()) continue;
      TRY_SET(instances, "", context_.ledger().instances(name));
      const auto one = watch::total_spent(instances, os::system_clock().now_ms());
      sum = sum && one ? std::optional(*sum + *one) : std::nullopt;
    }
    return sum;
  }

  Result<int> run_one(int document, const std::function<Status(const run::Confirmation&)>& confirm) {
    auto one = documents_[static_cast<std::size_t>(document - 1)];
    record_.current = document;
    record_.run_of(document).clear();
    record_.is_told = false;
    TRY("note the pipeline", record_.write());
    if (options_.budget) {
      TRY_SET(gone, "", spent());
      const auto left = Usd{options_.budget->micros - gone.value_or(*options_.budget).micros};
      if (left.micros <= 0)
        return fail(Kind::bad_input, fmt::format("the budget of {} is spent", show(*options_.budget)),
                    fmt::format("document {} of {} was not begun", document, record_.documents),
                    line_from(record_, document) + " --budget MORE");
      one.task.budget = one.task.budget ? std::min(*one.task.budget, left) : left;
    }
    if (document > 1) {
      TRY_SET(before, "", context_.ledger().run(record_.run_of(document - 1)));
      one.carried = before.output_dir;
      one.carried_run = before.name;
    }
    context_.progress().note(fmt::format("document {} of {}: {}", document, record_.documents, one.task.name));
    return run_(one, confirm, [&](const std::string& name) {
      record_.run_of(document) = name;
      (void)record_.write();
    });
  }

  /// What each cost, and all.
  void tell_receipt() {
    Json runs = Json::array();
    std::optional<Usd> sum = Usd{};
    std::string text;
    for (const auto& name : record_.runs) {
      if (name.empty()) continue;
      const auto run = context_.ledger().run(name);
      const auto instances = context_.ledger().instances(name);
      if (!run || !instances) continue;
      const auto cost = watch::total_spent(*instances, os::system_clock().now_ms());
      sum = sum && cost ? std::optional(*sum + *cost) : std::nullopt;
      const auto words = ledger::words(run->outcome);
      text += fmt::format("{}{} {} {}", text.empty() ? "" : " · ", name, words.empty() ? "not over" : words,
                          cost ? show(*cost) : "at an unknown price");
      runs.push_back({{"run", name}, {"outcome", ledger::name(run->outcome)}, {"total_usd", watch::json_usd(cost)}});
    }
    if (runs.empty()) return;
    context_.progress().note(
        fmt::format("{}: {} · together {}{}", printable(record_.name), text, sum ? show(*sum) : "unknown",
                    most_ ? fmt::format(" of at most {}", show(*most_)) : ""),
        {{"pipeline",
          {{"name", record_.name},
           {"documents", record_.documents},
           {"runs", runs},
           {"total_usd", watch::json_usd(sum)},
           {"at_most_usd", watch::json_usd(most_)}}}});
  }

  Context& context_;
  std::vector<Described> documents_;
  const PipelineOptions& options_;
  const RunDocument& run_;
  Record record_;
  std::vector<std::optional<Usd>> announced_;  // from options_.from on
  std::optional<Usd> most_;
};

}  // namespace

void carry_outputs(const os::Path& home, const os::Path& workdir, task::Task& task) {
  const auto at = "what the document before made";
  const std::function<void(const os::Path&)> carry = [&](const os::Path& place) {
    const bool is_top = place.empty();
    for (const auto& name : os::list_dir(home / place).value_or(std::vector<std::string>())) {
      // What ferry itself wrote there.
      if (is_top && (name == "train.log" || name == "run.json" || name == ".ferry")) continue;
      const auto path = place / name;
      std::error_code failed;
      const auto kind = std::filesystem::symlink_status(home / path, failed).type();
      if (kind == std::filesystem::file_type::directory && os::is_directory(workdir / path))
        carry(path);
      else if (kind == std::filesystem::file_type::directory || kind == std::filesystem::file_type::regular)
        task.mounts.push_back({.target = path.string(), .source = home / path, .at = at, .is_whole = true});
    }
  };
  carry({});
}

int run_pipeline(Context& context, std::vector<Described> documents, const PipelineOptions& options,
                 const RunDocument& run, std::string& last) {
  auto code = Pipeline(context, std::move(documents), options, run).go(last);
  return code ? *code : report(code.error(), true);
}

void tell_of_pipelines(ledger::Ledger& ledger) {
  for (const auto& name : os::list_dir(records_dir()).value_or(std::vector<std::string>())) {
    if (!name.ends_with(".json")) continue;
    std::error_code failed;
    const auto written = std::filesystem::last_write_time(records_dir() / name, failed);
    if (!failed && std::filesystem::file_time_type::clock::now() - written > told_for) continue;
    auto record = Record::read(records_dir() / name);
    if (!record || record->is_told || os::is_locked(record->lock())) continue;
    const auto words = standing(ledger, *record);
    fmt::print(stderr, "! the pipeline {} was left: {}\n", printable(record->file), words);
    if (record->current == record->documents && has_succeeded(ledger, record->run_of(record->current))) {
      record->is_told = true;
      (void)record->write();
    }
  }
}

}  // namespace ferry::cli
