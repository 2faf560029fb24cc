// ferry data …: data sets in a store, once for all runs.
#include "base/bill.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/opened_store.h"
#include "fleet/store_access.h"
#include "job/data_set.h"
#include "job/mounts.h"
#include "store/data_set.h"
#include "watch/report.h"
#include "watch/table.h"

namespace ferry::cli {

namespace {

struct DataFlags {
  NamedStore store;
  std::string folder;
  std::vector<std::string> sets;
  bool yes = false, force = false, follow = false;
};

std::string show_month(std::uint64_t bytes) { return show(stored_month(bytes)); }
Json json_month(std::uint64_t bytes) { return static_cast<double>(stored_month(bytes).micros) / 1e6; }

Json told(const store::DataSet& set, bool costs) {
  return {{"id", set.id},
          {"name", printable(set.name)},
          {"by", printable(set.by)},
          {"files", set.files},
          {"bytes", set.bytes},
          {"made", watch::json_time(set.made_ms)},
          {"about_usd_a_month", costs ? json_month(set.bytes) : Json()}};
}

Result<int> push(Context& context, const DataFlags& flags) {
  TRY_SET(opened, "", open_named_store(context, flags.store));
  const auto& folder = flags.folder;
  if (!os::is_directory(folder))
    return fail(Kind::bad_input, "no folder: " + printable(folder), {}, "ferry data push FOLDER", mistake_code);
  std::error_code failed;
  const os::Path root = std::filesystem::canonical(folder, failed);
  TRY_SET(tree, "", job::tree_of_mount({.target = "data", .source = root, .at = "ferry data push"}, flags.follow));
  for (const auto& line : first_few(tree.skipped)) context.progress().warn("data", "not sent: " + line);
  const auto uri = opened.store->uri();
  if (flags.store.infra == "rehearsal" && opened.session)
    TRY("", fleet::make_rehearsal_bucket(context.run_context(), uri));
  const auto open = [&] {
    return fleet::open_store(context.run_context(), uri, flags.store.region, "", flags.store.infra);
  };
  TRY_SET(put, "", job::put_set(context.run_context(), open, root, std::move(tree), root.filename()));
  if (in_json()) {
    auto json = told(put.set, opened.session != nullptr);
    json["store"] = uri;
    json["sent_files"] = put.sent_files;
    json["sent_bytes"] = put.sent_bytes;
    reply("ferry.data.push/1", std::move(json));
    return 0;
  }
  fmt::print("{}  {} in {}{}\n", put.set.id, show_bytes(put.set.bytes), printable(uri),
             opened.session ? ", about " + show_month(put.set.bytes) + " a month" : "");
  fmt::print("runs with this store take it from there: file_mounts: {{/data: {}}}\n", printable(folder));
  return 0;
}

Result<int> ls(Context& context, const DataFlags& flags) {
  TRY_SET(opened, "", open_named_store(context, flags.store));
  TRY_SET(sets, "", store::list_sets(*opened.store));
  // What two sets share is there once.
  std::uint64_t bytes = 0;
  TRY("", opened.store->list(std::string(store::contents_prefix), [&](const store::Object& object) -> Status {
    bytes += object.bytes;
    return {};
  }));
  if (in_json()) {
    Json list = Json::array();
    for (const auto& set : sets) list.push_back(told(set, opened.session != nullptr));
    reply("ferry.data.ls/1", {{"store", opened.store->uri()},
                              {"sets", std::move(list)},
                              {"bytes", bytes},
                              {"about_usd_a_month", opened.session ? json_month(bytes) : Json()}});
    return 0;
  }
  watch::Table table({"SET", "NAME", ">FILES", ">SIZE", ">A MONTH", ">AGE", "BY"}, {6});
  const auto now = context.run_context().clock.now_ms();
  for (const auto& set : sets) {
    table.add({set.id, printable(set.name), std::to_string(set.files), show_bytes(set.bytes),
               opened.session ? show_month(set.bytes) : "",
               watch::show_age(Millis(std::max<std::int64_t>(0, now - set.made_ms))), printable(set.by)});
  }
  if (!sets.empty()) fmt::print("{}", table.text());
  fmt::print("{} in {}{}\n", show_bytes(bytes), printable(opened.store->uri()),
             opened.session ? ", about " + show_month(bytes) + " a month" : "");
  return 0;
}

/// By its id, the beginning of one, or the name of its folder.
Result<std::vector<store::DataSet>> chosen(const std::vector<store::DataSet>& sets, const std::string& word) {
  std::vector<store::DataSet> found;
  for (const auto& set : sets) {
    if (set.id == word || set.name == word || (word.size() >= 6 && set.id.starts_with(word))) found.push_back(set);
  }
  if (found.empty())
    return fail(Kind::not_found, "no data set is called " + printable(word), {}, "see what is there: ferry data ls");
  if (found.size() > 1)
    return fail(Kind::bad_input, fmt::format("{} data sets are called {}", found.size(), printable(word)), {},
                "name one by its id: ferry data ls");
  return found;
}

Result<int> rm(Context& context, const DataFlags& flags) {
  TRY_SET(opened, "", open_named_store(context, flags.store));
  TRY_SET(sets, "", store::list_sets(*opened.store));
  std::vector<std::string> ids, words;
  for (const auto& word : flags.sets) {
    TRY_SET(found, "", chosen(sets, word));
    ids.push_back(found.front().id);
    words.push_back(
        fmt::format("{} ({}, {})", printable(found.front().name), ids.back(), show_bytes(found.front().bytes)));
  }
  const auto what = join(words, ", ");
  TRY_SET(go, "",
          goes_ahead("Remove " + what + " from " + printable(opened.store->uri()) +
                         "? A run that has yet to take it, or to begin again with it, could not.",
                     flags.yes));
  if (!go) {
    fmt::print(stderr, "nothing was removed\n");
    return 1;
  }
  TRY_SET(removed, "", store::remove_sets(*opened.store, ids, context.run_context().clock.now_ms(), flags.force));
  if (in_json()) {
    reply("ferry.data.rm/1", {{"store", opened.store->uri()}, {"removed", ids}, {"bytes", removed.bytes}});
  } else {
    fmt::print("removed {}: {} are free\n", what, show_bytes(removed.bytes));
  }
  return 0;
}

}  // namespace

void add_data_commands(CLI::App& app, Program& program) {
  auto flags = std::make_shared<DataFlags>();
  auto* data = app.add_subcommand("data", "Data sets in a store: sent once, then taken from there by every run");
  data->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, Result<int> (*act)(Context&, const DataFlags&)) {
    auto* command = data->add_subcommand(name, help);
    command->add_option("--store", flags->store.uri, "s3://BUCKET/PREFIX or a folder (default: that of your settings)")
        ->type_name("URI");
    command->add_option("--region", flags->store.region, "Of the bucket, where S3 is not to be asked");
    command->add_option("--infra", flags->store.infra, "Whose S3 that is: aws or rehearsal")
        ->check(CLI::IsMember({"aws", "rehearsal"}));
    command->callback([&program, flags, act] {
      program.chosen = [&program, flags, act] {
        return with_context(
            program.carried, [flags, act](Context& context) { return act(context, *flags); }, true);
      };
    });
    return command;
  };
  auto* push_command =
      add("push", "Put a folder into the store, by content: what is there does not go over again", push);
  push_command->add_option("folder", flags->folder, "What to put there")->required()->type_name("FOLDER");
  push_command->add_flag("--follow", flags->follow, "Links out of the folder go as what they lead to");
  add("ls", "What is there, and about what it costs a month", ls);
  auto* rm_command = add("rm", "Remove data sets, and what no other one needs", rm);
  rm_command->add_option("set", flags->sets, "As ferry data ls names it: id or name")->required()->type_name("SET");
  rm_command->add_flag("-y,--yes", flags->yes, "Do not ask");
  rm_command->add_flag("--force", flags->force, "Even while somebody seems to put data there");
}

}  // namespace ferry::cli
