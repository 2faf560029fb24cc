#include "job/data.h"

#include <algorithm>

#include "agent/data_order.h"
#include "base/text.h"
#include "fleet/buckets.h"
#include "job/data_order.h"
#include "job/data_set.h"
#include "job/long_command.h"
#include "job/mounts.h"
#include "job/restore.h"
#include "task/data_url.h"
#include "watch/report.h"

namespace ferry::job {
namespace {

using Is = agent::DataEvent::Is;

/// What was there before a job is no output of it: told by the times of files, which are coarse (sync/outputs.h).
constexpr Millis older_than_the_job{150};
constexpr const char* data_phase = "data";
constexpr const char* step_of_data = "bring the data";

/// One copy under way, as it is told.
class Telling {
 public:
  /// `refusals`: of each, why it is not mounted; "": it was not to be.
  Telling(fleet::Context& context, const ledger::Instance& instance, std::vector<const task::Data*> data,
          std::vector<std::string> refusals)
      : context_(context),
        instance_(instance),
        data_(std::move(data)),
        refusals_(std::move(refusals)),
        began_ms_(context.clock.steady_ms()) {}

  void hear(const agent::DataEvent& event) {
    const auto& data = *data_[event.item];
    switch (event.is) {
      case Is::found:
        found(data, refusals_[event.item], event);
        break;
      case Is::moved:
        moved_ = event.bytes;
        were_there_ = event.kept_bytes;
        break;
      case Is::done:
        files_ += event.files;
        bytes_ += event.bytes;
        kept_ += event.kept_bytes;
        kept_files_ += event.kept_files;
        break;
      case Is::skipped:
        context_.progress.warn(data_phase, fmt::format("{}: {}", shown_address(data.url), event.text));
        break;
      case Is::failed:
        break;  // carry_out() answers it
    }
    if (const auto of = of_ - std::min(were_there_, of_); of > 0)
      context_.progress.update(describe_pace(std::min(moved_, of), of, passed_ms()));
  }

  void finish() const {
    const auto fresh = bytes_ - std::min(kept_, bytes_);
    std::string text = fmt::format("{}, {}", show_bytes(bytes_), watch::counted(files_, "file"));
    if (kept_files_ > 0) text += fmt::format(" · {} were there", show_bytes(kept_));
    const auto ms = passed_ms();
    if (fresh > 0 && ms >= 1000)
      text += fmt::format(" · {}/s", show_bytes(fresh * 1000 / static_cast<std::uint64_t>(ms)));
    context_.progress.done(
        data_phase, text,
        {{"files", files_}, {"bytes", bytes_}, {"kept_files", kept_files_}, {"kept_bytes", kept_}, {"ms", ms}});
  }

 private:
  std::int64_t passed_ms() const { return context_.clock.steady_ms() - began_ms_; }

  void found(const task::Data& data, const std::string& refusal, const agent::DataEvent& event) {
    of_ += event.bytes;
    std::vector<std::string> told;
    if (event.is_anonymous) told.emplace_back("read without credentials, as it is public");
    const bool is_elsewhere = instance_.provider == "aws" && !event.region.empty() && event.region != instance_.region;
    if (is_elsewhere)
      told.push_back(
          fmt::format("the bucket is in {}, the machine in {}: AWS bills each GB that goes over, and it is slower",
                      event.region, instance_.region));
    if (!refusal.empty())
      told.push_back(fmt::format("it is copied ({}), not mounted: {}{}", show_bytes(event.bytes), refusal,
                                 data.is_written ? "; what is written there goes back when the training ends" : ""));
    for (const auto& line : told)
      context_.progress.warn(data_phase, fmt::format("{}: {}", shown_address(data.url), line));
  }

  fleet::Context& context_;
  const ledger::Instance& instance_;
  std::vector<const task::Data*> data_;
  std::vector<std::string> refusals_;
  std::int64_t began_ms_;
  std::uint64_t of_ = 0, were_there_ = 0, moved_ = 0, files_ = 0, bytes_ = 0, kept_ = 0, kept_files_ = 0;
};

/// `data`: whose the order's items are.
Status copy_buckets(fleet::Context& context, Connection& connection, std::vector<const task::Data*> data,
                    const agent::DataOrder& order, std::vector<std::string> refusals) {
  Telling telling(context, connection.instance(), std::move(data), std::move(refusals));
  TRY("", carry_out(context, connection, order, "copy the data", [&](const agent::DataEvent& event) -> Status {
        telling.hear(event);
        return {};
      }));
  telling.finish();
  return {};
}

/// Shell words that fetch one file of the web. What curl has of it is gone on with.
std::string fetching(const task::Data& data, const std::string& to) {
  const auto place = shell_quoted(to), part = shell_quoted(to + ".ferry-part");
  return fmt::format(
      "[ -e {0} ] && exit 0; mkdir -p {3} && command -v curl >/dev/null || {{ echo 'the machine has no curl' >&2; exit "
      "1; }}; "
      "curl -fsSL --retry 5 --retry-delay 2 --connect-timeout 30 --speed-time 120 --speed-limit 1 -C - -o {1} {2} && "
      "mv {1} {0}",
      place, part, shell_quoted(data.url), shell_quoted(os::Path(to).parent_path().string()));
}

Status fetch_file(fleet::Context& context, Connection& connection, const task::Data& data, const std::string& line) {
  context.progress.update("fetching " + short_line(shown_address(data.url), 120));
  TRY_SET(ended, "", run_for_long(context, connection.session(), line, {}, "a file was fetched"));
  const int code = ended.exit.code;
  if (code == 0) return {};
  const auto kind = code == 22 ? Kind::not_found : code == 23 ? Kind::disk_full : Kind::io;
  return fail(kind, fmt::format("{}: file_mounts: {} cannot be fetched", data.at, shown_address(data.url)),
              short_line(trim(ended.err)), "check the address, as by  curl -I; or fetch it in setup:");
}

/// Shell text for the end of a training: puts back what was written, and then takes away the links by which it would
/// come home.
std::string going_back(const Connection& connection, const task::Task& task, const Mounted& mounted,
                       const std::string& order_file) {
  std::string links, names;
  for (std::size_t i = 0; i < task.data.size(); ++i) {
    const auto& data = task.data[i];
    if (!data.is_written || mounted.places.contains(i)) continue;
    links += " " + shell_quoted(task::home_place(data.target));
    names += (names.empty() ? "" : ", ") + data.url;
  }
  return fmt::format(
      "if ferry_said=$({0} data {6} <{1} 2>&1 >/dev/null); then\n"
      "  echo {2} >&2\n"
      "  cd {3} && for link in{4}; do [ ! -L \"$link\" ] || rm -f \"$link\"; done\n"
      "else printf '%s\\n' {5} \"$ferry_said\" >&2; fi\n",
      shell_quoted(connection.paths().agent), shell_quoted(order_file),
      shell_quoted("ferry: what was written there is in " + names), shell_quoted(connection.paths().workdir), links,
      shell_quoted("ferry: what was written could not be put into " + names + "; it comes home:"),
      shell_quoted(connection.paths().run_dir));
}

/// A folder of this computer, from the run's store.
Status take_set(fleet::Context& context, Connection& connection, const task::Data& data,
                const agent::RestoreOrder& order) {
  const auto began = context.clock.steady_ms();
  auto taken = restore_stored(context, connection, order);
  if (!taken) {
    auto error = std::move(taken).error();
    error.what = fmt::format("{}: file_mounts: {} does not come from the store: {}", data.at, printable(data.source),
                             error.what);
    return tl::unexpected<Error>(std::move(error));
  }
  const auto ms = std::max<std::int64_t>(1, context.clock.steady_ms() - began);
  context.progress.done(
      data_phase,
      fmt::format("{}, {}, from the store · {}/s", watch::counted(taken->files, "file"), show_bytes(taken->bytes),
                  show_bytes(taken->bytes * 1000 / static_cast<std::uint64_t>(ms))),
      {{"set", data.set}, {"files", taken->files}, {"bytes", taken->bytes}, {"ms", ms}});
  return {};
}

}  // namespace

Status look_for_data(fleet::Context& context, const task::Task& task) {
  // Of a rehearsal it is that cloud's own S3.
  const auto infra = task.all_candidates()[0].infra.value_or(task::Infra{});
  const bool is_rehearsal = infra.provider == task::Provider::rehearsal;
  std::vector<Error> found;
  for (const auto& data : task.data) {
    if (!data.url.starts_with("s3://") || infra.provider == task::Provider::ssh) continue;
    const auto path = task::bucket_path(data.url);
    const auto seen =
        fleet::look_at(context, is_rehearsal ? "rehearsal" : "aws", {path.bucket, path.key, data.is_written});
    const bool is_missing = seen == fleet::Seen::no_bucket || (seen == fleet::Seen::nothing && !data.is_written);
    if (!is_missing) continue;
    found.push_back(
        fail(Kind::not_found, fmt::format("{}: file_mounts: there is nothing at {}", data.at, shown_address(data.url)),
             seen == fleet::Seen::no_bucket ? "S3 knows no such bucket (NoSuchBucket)"
                                            : "the bucket has no object that begins so",
             is_rehearsal
                 ? fmt::format("rehearsals have an S3 of their own; to fill it: eval \"$(ferry rehearsal env)\"; "
                               "aws s3 mb s3://{}; aws s3 cp --recursive FOLDER {}",
                               path.bucket, as_typed(data.url))
                 : "check the name, as by  aws s3 ls")
            .value());
  }
  return found.empty() ? Status() : fail(std::move(found));
}

Status bring_data(fleet::Context& context, Connection& connection, const task::Task& task,
                  const fleet::CloudLocation& location, const agent::StoreSpec& store, Environment& made) {
  const auto& mounted = made.mounted;
  if (task.data.empty()) return {};
  context.progress.begin(data_phase, "looking at the data");
  std::erase_if(made.steps, [](const auto& step) { return step.what == step_of_data; });  // of a try that broke off
  agent::DataOrder order, back;
  std::vector<const task::Data*> copied;
  std::vector<std::string> refusals;
  for (std::size_t i = 0; i < task.data.size(); ++i) {
    if (mounted.places.contains(i)) continue;
    const auto& data = task.data[i];
    const auto to = place_of_data(made.scratch(connection), i);
    if (!data.source.empty()) {
      const agent::RestoreOrder wanted{
          .run = connection.instance().run, .workdir = to, .set = data.set, .store = store};
      TRY("", take_set(context, connection, data, wanted));
      made.steps.push_back({step_of_data, connection.agent_command({"restore", connection.paths().run_dir, "--alone"}),
                            dump_json(to_json(wanted)) + "\n"});
      continue;
    }
    if (!data.url.starts_with("s3://")) {
      const auto line = fetching(data, to);
      TRY("", fetch_file(context, connection, data, line));
      made.steps.push_back({step_of_data, line, ""});
      continue;
    }
    const auto path = task::bucket_path(data.url);
    order.items.push_back({path.bucket, path.key, to, data.is_written});
    copied.push_back(&data);
    refusals.push_back(mounted.refusals.contains(i) ? mounted.refusals.at(i) : "");
    if (data.is_written) back.items.push_back(order.items.back());
  }
  if (order.items.empty()) {
    context.clock.sleep(older_than_the_job);
    const auto fetched = task.data.size() - mounted.places.size();
    if (fetched > 0) context.progress.done(data_phase, watch::counted(fetched, "file"));
    return {};
  }
  TRY("", complete_order(context, task, location, order));
  TRY("", copy_buckets(context, connection, std::move(copied), order, std::move(refusals)));
  made.steps.push_back(
      {step_of_data, connection.agent_command({"data", connection.paths().run_dir}), dump_json(to_json(order))});
  context.clock.sleep(older_than_the_job);
  if (back.items.empty()) return {};
  back.goes_back = true;
  back.endpoint = order.endpoint;
  back.region = order.region;
  const auto file = connection.paths().run_dir + "-data.json";  // its time says what was written since
  const agent::StandInStep note{step_of_data, "cat >" + shell_quoted(file), dump_json(to_json(back))};
  TRY_SET(wrote, "", connection.session().run(note.command, note.input));
  made.steps.push_back(note);
  if (wrote.exit.code != 0) return fail(Kind::io, "the machine cannot note its data", printable(trim(wrote.err)));
  made.back = going_back(connection, task, mounted, file);
  return {};
}

}  // namespace ferry::job
