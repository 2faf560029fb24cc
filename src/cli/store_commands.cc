// ferry store …: what runs store, where, and clearing it.
#include <algorithm>

#include "account/store_setup.h"
#include "base/bill.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/opened_store.h"
#include "cli/task_options.h"
#include "fleet/buckets.h"
#include "fleet/store_access.h"
#include "fleet/stored_runs.h"
#include "os/env.h"
#include "os/terminal.h"
#include "store/inventory.h"
#include "task/data_url.h"
#include "task/settings.h"
#include "watch/report.h"
#include "watch/table.h"

namespace ferry::cli {

namespace {

struct StoreFlags {
  std::string uri, region, infra = "aws";
  std::vector<std::string> runs, data, written_data;
  std::string older_than;
  bool yes = false, force = false, dry_run = false;
};

constexpr const char* s3_price =
    "what is stored costs about $0.023 a GB and month (S3 Standard in us-east-1; up to twice "
    "that elsewhere)";

Result<OpenedStore> open(Context& context, const StoreFlags& flags) {
  return open_named_store(context, {flags.uri, flags.region, flags.infra});
}

// ---- setup

/// Writes `store:` into the user's settings, through a link where the file is one. Its path.
Result<std::string> write_settings(const std::string& uri) {
  auto file = os::config_dir() / "config.yaml";
  std::string text;
  if (os::exists(file)) {
    std::error_code none;
    if (auto real = std::filesystem::canonical(file, none); !none) file = real;
    TRY_SET(before, "", os::read_file(file, 1 << 20));
    text = before;
  } else {
    TRY("", os::make_dirs(file.parent_path(), 0700));
  }
  TRY_SET(after, "", task::with_store(text, file.string(), uri));
  if (after != text) TRY("", os::write_file(file, after));
  return file.string();
}

Result<std::vector<fleet::BucketUse>> data_sets(const StoreFlags& flags) {
  std::vector<fleet::BucketUse> out;
  for (const bool is_written : {false, true}) {
    for (const auto& uri : is_written ? flags.written_data : flags.data) {
      const char* option = is_written ? "--write-data" : "--data";
      TRY_SET(url, option, task::data_url(uri));
      if (!url.starts_with("s3://"))
        return fail(Kind::bad_input, fmt::format("{}: {} is in no bucket", option, printable(uri)), {},
                    "s3://BUCKET/PATH", mistake_code);
      auto path = task::bucket_path(url);
      out.push_back({std::move(path.bucket), std::move(path.key), is_written});
    }
  }
  return out;
}

Result<int> setup(Context& context, const StoreFlags& flags) {
  TRY_SET(order, "", account::order_store(context.run_context(), flags.uri, flags.region, flags.infra));
  TRY_SET(data, "", data_sets(flags));
  order.data = std::move(data);
  const bool in_s3 = !order.account.empty(), rehearsal = flags.infra == "rehearsal" && in_s3;
  const auto settings = (os::config_dir() / "config.yaml").string();
  const auto write = rehearsal ? "" : fmt::format("write store: {} into {}", order.uri, settings);
  auto question = in_s3 ? fmt::format(
                              "Make {} in {} (account {}), and the policy ferry-store that bounds what machines may "
                              "do there{}{}? That costs nothing; {}.",
                              order.uri, order.region, order.account, write.empty() ? "" : "; ", write, s3_price)
                        : fmt::format("Use the folder {} and {}?", order.uri, write);
  TRY_SET(go, "", goes_ahead(question, flags.yes));
  if (!go) {
    if (in_json()) return fail(Kind::cancelled, "nothing was made");
    fmt::print(stderr, "nothing was made\n");
    return 1;
  }
  TRY_SET(made, "", account::make_store(context.run_context(), order));
  std::string written;
  if (!rehearsal) {
    TRY_SET(file, "", write_settings(order.uri));
    written = file;
  }
  if (made.unbounded) {
    auto error = *made.unbounded;
    context.progress().warn("store",
                            fmt::format("the policy ferry-store is not as it should be: {}; until an "
                                        "administrator has run `ferry store setup {}`, who has only what `ferry "
                                        "policy` prints can make no roles for machines",
                                        error.what, shell_quoted(order.uri)));
  }
  const int code = made.unbounded ? 1 : 0;
  if (in_json()) {
    reply("ferry.store.setup/1", {{"store", order.uri},
                                  {"account", in_s3 ? Json(order.account) : Json()},
                                  {"region", in_s3 ? Json(order.region) : Json()},
                                  {"new", made.is_new},
                                  {"bounded", !made.unbounded},
                                  {"settings", written.empty() ? Json() : Json(written)}});
    return code;
  }
  fmt::print("{} {}\n", order.uri, made.is_new ? "is made" : "was there");
  if (!written.empty()) fmt::print("{} says store: {}\n", written, order.uri);
  if (in_s3 && !made.unbounded)
    fmt::print("what its users need besides: ferry policy --store {}\n", shell_quoted(order.uri));
  return code;
}

// ---- looking

const char* name_of(fleet::Standing standing) {
  return standing == fleet::Standing::over ? "over" : standing == fleet::Standing::going ? "going" : "elsewhere";
}

std::string age_of(std::int64_t modified_ms) {
  return show_duration(Millis(std::max<std::int64_t>(0, os::system_clock().now_ms() - modified_ms)));
}

/// How a stored run is, by its newest manifests.
struct State {
  std::string words;  ///< "complete", "partial", "no manifest", "unreadable"
  int attempt = 0;
  std::size_t files = 0;
};
State state_of(store::Store& store, const store::StoredRun& run) {
  const auto manifests = store::newest_manifests(store, run);
  if (!manifests) return {"unreadable", 0, 0};
  if (manifests->empty()) return {"no manifest", 0, 0};
  State state{store::is_complete(*manifests) ? "complete" : "partial", manifests->front().attempt, 0};
  for (const auto& one : *manifests) {
    state.files += static_cast<std::size_t>(std::ranges::count_if(one.entries, [](const auto& entry) {
      return entry.kind == store::FileKind::output || entry.kind == store::FileKind::checkpoint;
    }));
  }
  return state;
}

Result<int> list_runs(Context& context, store::Store& store) {
  TRY_SET(runs, "", store::stored_runs(store));
  Json all = Json::array();
  watch::Table table({"RUN", "STATE", ">FILES", ">BYTES", "HERE", ">WRITTEN"});
  for (const auto& run : runs) {
    const auto state = state_of(store, run);
    TRY_SET(standing, "", fleet::standing_of(context.run_context(), run.name));
    all.push_back({{"run", run.name},
                   {"state", state.words},
                   {"attempt", state.attempt},
                   {"files", state.files},
                   {"bytes", run.bytes},
                   {"objects", run.objects},
                   {"here", name_of(standing)},
                   {"modified", watch::json_time(run.modified_ms)}});
    table.add({run.name, state.words, std::to_string(state.files), show_bytes(run.bytes), name_of(standing),
               age_of(run.modified_ms) + " ago"});
  }
  if (in_json()) {
    reply("ferry.store.ls/1", {{"store", store.uri()}, {"runs", std::move(all)}, {"files", Json()}});
  } else if (runs.empty()) {
    fmt::print("nothing is stored in {}\n", printable(store.uri()));
  } else {
    fmt::print("{}", table.text());
  }
  return 0;
}

Result<int> list_files(store::Store& store, const std::string& name) {
  TRY_SET(run, "", store::stored_run(store, name));
  TRY_SET(manifests, "", store::newest_manifests(store, run));
  Json all = Json::array();
  watch::Table table({"PATH", "KIND", ">BYTES", ">RANK", ">WRITTEN"});
  for (const auto& manifest : manifests) {
    for (const auto& entry : manifest.entries) {
      const auto modified_ms = entry.mtime_ns / 1'000'000;
      all.push_back({{"path", printable(entry.path)},
                     {"kind", std::string(store::name(entry.kind))},
                     {"bytes", entry.bytes},
                     {"sha256", entry.sha256},
                     {"attempt", manifest.attempt},
                     {"rank", manifest.rank},
                     {"modified", watch::json_time(modified_ms)}});
      table.add({printable(entry.path), std::string(store::name(entry.kind)), show_bytes(entry.bytes),
                 manifests.size() > 1 ? std::to_string(manifest.rank) : "", age_of(modified_ms) + " ago"});
    }
  }
  if (in_json()) {
    reply("ferry.store.ls/1", {{"store", store.uri()}, {"runs", Json()}, {"files", std::move(all)}});
  } else if (all.empty()) {
    fmt::print("{} has stored {} and names no file yet\n", name, watch::counted(run.objects, "object"));
  } else {
    fmt::print("{}", table.text());
  }
  return 0;
}

Result<int> ls(Context& context, const StoreFlags& flags) {
  TRY_SET(opened, "", open(context, flags));
  return flags.runs.empty() ? list_runs(context, *opened.store) : list_files(*opened.store, flags.runs.front());
}

Result<int> du(Context& context, const StoreFlags& flags) {
  TRY_SET(opened, "", open(context, flags));
  TRY_SET(runs, "", store::stored_runs(*opened.store));
  std::ranges::sort(runs, std::greater(), &store::StoredRun::bytes);
  std::uint64_t bytes = 0;
  Json all = Json::array();
  watch::Table table({">BYTES", ">OUTPUTS", ">CHECKPOINTS", ">LOG", ">OBJECTS", "RUN"});
  for (auto& run : runs) {
    bytes += run.bytes;
    auto& kinds = run.bytes_by_kind;
    all.push_back({{"run", run.name},
                   {"bytes", run.bytes},
                   {"outputs_bytes", kinds["outputs"]},
                   {"checkpoints_bytes", kinds["checkpoints"]},
                   {"log_bytes", kinds["log"]},
                   {"objects", run.objects}});
    table.add({show_bytes(run.bytes), show_bytes(kinds["outputs"]), show_bytes(kinds["checkpoints"]),
               show_bytes(kinds["log"]), std::to_string(run.objects), run.name});
  }
  const auto month = stored_month(bytes);
  if (in_json()) {
    reply("ferry.store.du/1",
          {{"store", opened.store->uri()},
           {"runs", std::move(all)},
           {"bytes", bytes},
           {"about_usd_a_month", opened.session ? Json(static_cast<double>(month.micros) / 1e6) : Json()}});
    return 0;
  }
  if (!runs.empty()) fmt::print("{}", table.text());
  fmt::print("{} in {}{}\n", show_bytes(bytes), printable(opened.store->uri()),
             opened.session ? ", about " + show(month) + " a month" : "");
  return 0;
}

// ---- removing

Result<int> rm(Context& context, const StoreFlags& flags) {
  TRY_SET(opened, "", open(context, flags));
  std::vector<store::StoredRun> runs;
  std::uint64_t bytes = 0;
  std::string words;
  for (const auto& name : flags.runs) {
    TRY_SET(run, "", store::stored_run(*opened.store, name));
    TRY_SET(standing, "", fleet::standing_of(context.run_context(), name));
    if (standing == fleet::Standing::going && !flags.force)
      return fail(Kind::conflict, name + " is not over: what it stored may be all that there is of it",
                  "the ledger says so", "end it first (ferry cancel " + name + "), or insist: --force");
    bytes += run.bytes;
    words += (words.empty() ? "" : ", ") + run.name;
    runs.push_back(std::move(run));
  }
  const auto what = fmt::format("{} ({}) in {}", words, show_bytes(bytes), printable(opened.store->uri()));
  TRY_SET(go, "", goes_ahead("Remove all that is stored of " + what + "? It cannot be brought back.", flags.yes));
  if (!go) {
    fmt::print(stderr, "nothing was removed\n");
    return 1;
  }
  Json removed = Json::array();
  for (const auto& run : runs) {
    TRY("", store::remove_run(*opened.store, run));
    TRY_SET(uploads, "", fleet::uploads_of(opened.session, run.name));
    for (const auto& upload : uploads) TRY("", s3::abort_upload(opened.session, upload));
    removed.push_back(run.name);
  }
  if (in_json()) {
    reply("ferry.store.rm/1", {{"store", opened.store->uri()}, {"removed", std::move(removed)}, {"bytes", bytes}});
  } else {
    fmt::print("removed {}\n", what);
  }
  return 0;
}

void tell(const fleet::Clearing& clearing) {
  for (const auto& run : clearing.runs) fmt::print("run     {}  {}\n", run.name, show_bytes(run.bytes));
  for (const auto& object : clearing.objects)
    fmt::print("object  {}  {}\n", printable(object.key), show_bytes(object.bytes));
  for (const auto& upload : clearing.uploads) fmt::print("upload  {}  (not finished)\n", printable(upload.key));
  for (const auto& line : clearing.left) fmt::print(stderr, "! not looked into: {}\n", line);
}

Result<int> gc(Context& context, const StoreFlags& flags) {
  std::optional<Seconds> older_than;
  if (!flags.older_than.empty()) {
    auto time = parse_duration(flags.older_than);
    if (!time) return mistake(std::move(time).error());
    older_than = *time;
  }
  TRY_SET(opened, "", open(context, flags));
  TRY_SET(clearing, "", fleet::find_clearing(context.run_context(), *opened.store, opened.session, older_than));
  if (!in_json()) tell(clearing);
  bool go = false;
  if (!flags.dry_run && !clearing.is_empty()) {
    const auto question =
        fmt::format("Remove that ({}) from {}?", show_bytes(clearing.bytes), printable(opened.store->uri()));
    TRY_SET(said, "", goes_ahead(question, flags.yes));
    go = said;
  }
  if (go) TRY("", fleet::clear(*opened.store, opened.session, clearing));
  if (in_json()) {
    Json runs = Json::array(), objects = Json::array(), uploads = Json::array();
    for (const auto& one : clearing.runs) runs.push_back(one.name);
    for (const auto& one : clearing.objects) objects.push_back(printable(one.key));
    for (const auto& one : clearing.uploads) uploads.push_back(printable(one.key));
    reply("ferry.store.gc/1", {{"store", opened.store->uri()},
                               {"removed", go},
                               {"runs", std::move(runs)},
                               {"objects", std::move(objects)},
                               {"uploads", std::move(uploads)},
                               {"not_looked_into", clearing.left},
                               {"bytes", clearing.bytes}});
  } else if (clearing.is_empty()) {
    fmt::print("nothing to clear in {}\n", printable(opened.store->uri()));
  } else {
    fmt::print("{} {}\n", show_bytes(clearing.bytes), go ? "removed" : "would be removed");
  }
  return 0;
}

}  // namespace

void add_store_commands(CLI::App& app, Program& program) {
  auto flags = std::make_shared<StoreFlags>();
  auto* top = app.add_subcommand("store", "Where runs store by themselves: set one up, list it, clear it");
  top->require_subcommand(1);
  using Act = Result<int> (*)(Context&, const StoreFlags&);
  const auto add = [&](const std::string& name, const std::string& meaning, Act act) {
    auto* command = top->add_subcommand(name, meaning);
    command->add_option("--region", flags->region, "Of the bucket, instead of your own region");
    command->add_option("--infra", flags->infra, "Whose S3: aws or rehearsal")
        ->check(CLI::IsMember({"aws", "rehearsal"}))
        ->type_name("INFRA");
    command->callback([&program, flags, act] {
      program.chosen = [&program, flags, act] {
        return with_context(
            program.carried, [flags, act](Context& context) { return act(context, *flags); }, true);
      };
    });
    return command;
  };
  const auto add_store = [flags](CLI::App* command) {
    command->add_option("--store", flags->uri, "s3://BUCKET/PREFIX, or a folder (default: that of your settings)")
        ->type_name("URI");
  };
  const auto add_yes = [flags](CLI::App* command) {
    command->add_flag("-y,--yes", flags->yes, "Do not ask (also FERRY_YES=1)");
  };

  auto* make = add("setup", "Make a bucket of ferry's own, or take a place that you name, for runs to store in", setup);
  make->add_option("place", flags->uri, "s3://BUCKET/PREFIX, or a folder (default: s3://ferry-ACCOUNT-REGION)")
      ->type_name("URI");
  const auto add_data = [make](const char* option, std::vector<std::string>& into, const char* meaning) {
    make->add_option(option, into, meaning)->type_name("URI")->allow_extra_args(false);
  };
  add_data("--data", flags->data, "Machines may also be let read what is there: s3://BUCKET/PATH; may be repeated");
  add_data("--write-data", flags->written_data, "The same to read and write; may be repeated");
  add_yes(make);

  auto* list = add("ls", "List the runs that stored something, or the files of one", ls);
  list->add_option("run", flags->runs, "Name of the run")->type_name("RUN")->expected(0, 1);
  add_store(list);

  add_store(add("du", "How much each run has stored, and what that costs", du));

  auto* remove = add("rm", "Remove all that runs have stored", rm);
  remove->add_option("run", flags->runs, "Names of runs")->type_name("RUN")->required();
  remove->add_flag("--force", flags->force, "Also of a run that is not over");
  add_store(remove);
  add_yes(remove);

  auto* clean = add("gc", "Remove what no manifest names, and uploads that broke off; shows it first, and asks", gc);
  clean->add_option("--older-than", flags->older_than, "Also whole runs, of which nothing was written for so long: 30d")
      ->type_name("TIME");
  clean->add_flag("--dry-run", flags->dry_run, "Only show it");
  add_store(clean);
  add_yes(clean);
}

}  // namespace ferry::cli
