#include "job/buckets.h"

#include "base/text.h"
#include "job/bucket_command.h"
#include "job/data_order.h"
#include "job/environment.h"
#include "job/long_command.h"
#include "os/env.h"
#include "task/data_url.h"

extern "C" {
extern const char ferry_embed_scratch_sh[], ferry_embed_scratch_sh_end[];
extern const char ferry_embed_buckets_sh[], ferry_embed_buckets_sh_end[];
}

namespace ferry::job {
namespace {

constexpr const char* mount_phase = "data";
constexpr Seconds look_limit{300};  // disks may be formatted meanwhile

std::string_view buckets_script() { return {ferry_embed_buckets_sh, ferry_embed_buckets_sh_end}; }

/// The programs that may mount, by name; a user who wants none says so.
std::string tools_wanted() { return os::env("FERRY_MOUNT_TOOLS").value_or("mount-s3 rclone"); }

bool is_to_be_mounted(const task::Data& data) {
  return data.mode != task::MountMode::copy && data.url.starts_with("s3://");
}

/// rclone and mount-s3 make folders of keys.
bool is_a_folders_name(const std::string& key) {
  const auto parts = split(key, '/');
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const bool is_last = i + 1 == parts.size();
    if (parts[i] == "." || parts[i] == ".." || (parts[i].empty() && !is_last)) return false;
  }
  return true;
}

class Mounter {
 public:
  Mounter(fleet::Context& context, Connection& connection, const task::Task& task, const fleet::CloudLocation& location)
      : context_(context), connection_(connection), task_(task), location_(location) {}

  Result<Mounted> mount() {
    for (std::size_t i = 0; i < task_.data.size(); ++i) {
      if (is_to_be_mounted(task_.data[i])) TRY("", consider(i));
    }
    if (order_.items.empty()) return std::move(out_);
    TRY("", complete_order(context_, task_, location_, order_));
    std::vector<agent::DataEvent> found(order_.items.size());
    TRY("", carry_out(context_, connection_, order_, "look at the data", [&](const agent::DataEvent& event) -> Status {
          if (event.is == agent::DataEvent::Is::found) found[event.item] = event;
          return {};
        }));
    TRY("", bring_script());
    for (std::size_t i = 0; i < indexes_.size(); ++i) TRY("", mount(indexes_[i], order_.items[i], found[i]));
    if (out_.places.empty()) out_.script.clear();
    return std::move(out_);
  }

 private:
  const std::string& run_dir() const { return connection_.paths().run_dir; }
  std::string place_of(std::size_t index) const { return fmt::format("{}/buckets/{}", run_dir(), index); }

  Status consider(std::size_t index) {
    const auto& data = task_.data[index];
    const auto path = task::bucket_path(data.url);
    if (!tools_) TRY("", look());
    auto why = why_not_mounted(*tools_, data.mode, task_.environment.kind == "docker");
    if (why.empty() && !is_a_folders_name(path.key)) why = "no folder can be called so";
    if (!why.empty()) {
      out_.refusals[index] = why;
      return {};
    }
    indexes_.push_back(index);
    order_.items.push_back({.bucket = path.bucket,
                            .key = path.key,
                            .to = place_of(index),
                            .may_be_empty = data.is_written,
                            .only_looks = true});
    return {};
  }

  Status look() {
    context_.progress.begin(mount_phase, "looking at what can be mounted");
    const auto& instance = connection_.instance();
    const std::string rented = is_rented(instance) ? "1" : instance.provider == "ssh" ? "" : "0";
    const auto script = std::string(ferry_embed_scratch_sh, ferry_embed_scratch_sh_end) + std::string(buckets_script());
    const auto words = shell_quoted(std::vector<std::string>{"look", rented, run_dir() + "/scratch", tools_wanted()});
    TRY_SET(said, "look at what can be mounted", connection_.session().run("bash -s " + words, script, look_limit));
    out_.steps.push_back({"make room for what is mounted", "bash -s " + words, script});
    tools_ = mount_tools_from(said.out);
    return {};
  }

  Status bring_script() {
    out_.script = run_dir() + "-buckets.sh";
    out_.folder = run_dir() + "/mounted";
    const agent::StandInStep note{"mount the data", "cat >" + shell_quoted(out_.script), std::string(buckets_script())};
    TRY_SET(wrote, "", connection_.session().run(note.command, note.input, look_limit));
    out_.steps.push_back(note);
    if (wrote.exit.code != 0) return fail(Kind::io, "the machine cannot note its mounts", printable(trim(wrote.err)));
    return {};
  }

  Status mount(std::size_t index, const agent::DataItem& item, const agent::DataEvent& found) {
    const auto& data = task_.data[index];
    if (found.is_file) {
      out_.refusals[index] = "it is one object, and a folder is mounted";
      return {};
    }
    context_.progress.update("mounting " + short_line(shown_address(data.url), 120));
    const BucketMount wanted{
        .bucket = item.bucket,
        .key = item.key,
        .region = found.region,
        .endpoint = order_.endpoint,
        .mode = data.mode,
        .is_written = data.is_written,
        .is_anonymous = found.is_anonymous,
        .place = item.to,
        .cache = fmt::format("{}/.cache/ferry/{}-{}", tools_->scratch, connection_.instance().run, index),
        .cache_bytes = tools_->free_bytes / 10 * 8 / indexes_.size()};
    const auto state = fmt::format("{}/{}", out_.folder, index);
    auto command = fmt::format("bash {} mount {} {} --", shell_quoted(out_.script), shell_quoted(state),
                               shell_quoted(wanted.place));
    for (const auto& word : mount_words(*tools_, wanted)) command += " " + shell_quoted(word);
    TRY_SET(ended, "mount " + shown_address(data.url), run_mount(command, notes_of(wanted, data)));
    const agent::StandInStep step{"mount the data", command, notes_of(wanted, data)};
    if (ended.exit.code != 0) {
      const auto lines = split(trim(ended.err), '\n');
      out_.refusals[index] =
          "mounting failed: " + short_line(lines.empty() ? "nothing was said" : join(lines, "; "), 400);
      return {};
    }
    out_.places[index] = wanted.place;
    out_.steps.push_back(step);
    tell(data, found);
    return {};
  }

  /// For as long as it takes: what an attempt before saved may have to be put there first. The user may end it.
  Result<os::Output> run_mount(const std::string& command, const std::string& notes) {
    return run_for_long(context_, connection_.session(), command, notes, "a bucket was mounted");
  }

  /// The files of the mount's STATE, for its standard input.
  std::string notes_of(const BucketMount& mount, const task::Data& data) const {
    std::string notes;
    const auto note = [&](std::string_view name, const std::string& value) {
      notes += name;
      notes += '\0';
      notes += value;
      notes += '\0';
    };
    const auto& workdir = connection_.paths().workdir;
    note("uri", shown_address(data.url));
    if (!data.is_written) return notes;
    note("written", "");
    note("home", workdir + "/" + task::home_place(data.target));
    if (const auto name = name_in_cache(*tools_, mount); !name.empty()) {
      note("cache", mount.cache);
      note("below", name);
    }
    note("links", workdir + "/" + task::unsent_place(data.target));
    return notes;
  }

  void tell(const task::Data& data, const agent::DataEvent& found) {
    const bool is_mount_s3 = tool_for(*tools_, data.mode) == MountTool::mount_s3;
    std::string text = fmt::format("{} is mounted by {}{}", shown_address(data.url),
                                   is_mount_s3 ? "mount-s3" : "rclone", data.is_written ? "" : ", read-only");
    if (found.is_anonymous) text += ", without credentials, as it is public";
    context_.progress.done(mount_phase, text,
                           {{"mounted", data.url}, {"tool", is_mount_s3 ? "mount-s3" : "rclone"}, {"at", data.target}});
    const auto& instance = connection_.instance();
    if (instance.provider == "aws" && !found.region.empty() && found.region != instance.region)
      context_.progress.warn(
          mount_phase,
          fmt::format("{}: the bucket is in {}, the machine in {}: AWS bills each GB that goes over, and it "
                      "is slower",
                      shown_address(data.url), found.region, instance.region));
  }

  fleet::Context& context_;
  Connection& connection_;
  const task::Task& task_;
  const fleet::CloudLocation& location_;
  std::optional<MountTools> tools_;
  std::vector<std::size_t> indexes_;  // of order_.items, into the task's data
  agent::DataOrder order_;
  Mounted out_;
};

}  // namespace

std::string Mounted::before_training() const {
  if (places.empty()) return {};
  return fmt::format("bash {} watch {} &\nferry_watch=$!\n", shell_quoted(script), shell_quoted(folder));
}

std::string Mounted::after_training() const {
  if (places.empty()) return {};
  return fmt::format(
      "{{ kill $ferry_watch; wait $ferry_watch; }} 2>/dev/null\n"
      "bash {} end {} || {{ [ $ferry_code != 0 ] || ferry_code=1; }}\n",
      shell_quoted(script), shell_quoted(folder));
}

std::vector<std::string> tell_mounts(const task::Task& task) {
  std::vector<std::string> lines;
  for (const auto& data : task.data) {
    if (!is_to_be_mounted(data)) continue;
    lines.push_back(fmt::format("file_mounts: {}: {} is mounted where the machine has {} and FUSE; otherwise copied{}",
                                printable(data.target), shown_address(data.url),
                                data.mode == task::MountMode::cached ? "rclone" : "mount-s3 or rclone",
                                data.is_written ? ", and what is written goes back at the end" : ""));
  }
  return lines;
}

Result<Mounted> mount_buckets(fleet::Context& context, Connection& connection, const task::Task& task,
                              const fleet::CloudLocation& location) {
  return Mounter(context, connection, task, location).mount();
}

}  // namespace ferry::job
