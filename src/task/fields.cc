#include "task/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "base/units.h"
#include "task/autostop.h"
#include "task/volume_fields.h"

namespace ferry::task {
namespace {

struct Field {
  std::string_view section, name;
  std::string_view meaning = {};        ///< empty: this version acts on it
  std::string_view inside = {};         ///< the section of the fields below it; empty: not looked at
  std::string_view default_value = {};  ///< the value that asks for nothing
  std::string_view instead = "this version ignores it";
  /// Not empty: without it the training would be another one, so that the task is refused; what to do.
  std::string_view cure = {};
  /// What is not acted on must still mean something: looks at the value.
  Status (*check)(std::string_view file, const Entry& entry) = nullptr;
  /// What becomes of it instead, where that hangs on its value: for the line behind its name.
  std::string (*told)(const Entry& entry) = nullptr;
};

tl::unexpected<Error> means_nothing(std::string_view file, const Entry& entry, std::string advice) {
  return complain(file, entry.value->at,
                  fmt::format("{}: '{}' means nothing", entry.name, printable(entry.value->text)), {},
                  std::move(advice));
}

/// Text that is one of `words`, whatever its case.
Status check_word(std::string_view file, const Entry& entry, std::vector<std::string> words) {
  if (std::ranges::find(words, lower(trim(entry.value->text))) != words.end()) return {};
  return means_nothing(file, entry, fmt::format("it takes {}", join(words, ", ")));
}

/// A number from `least` to `most`.
Status check_number(std::string_view file, const Entry& entry, std::int64_t least, std::int64_t most) {
  const auto number = parse_int(trim(entry.value->text));
  if (number && *number >= least && *number <= most) return {};
  return means_nothing(file, entry, fmt::format("it takes a number from {} to {}", least, most));
}

/// Minutes, or a time with a unit. -1 is SkyPilot's "never".
Status check_idle_time(std::string_view file, const Entry& entry) {
  const auto text = trim(entry.value->text);
  if (text == "-1" || text == "0" || parse_duration(text)) return {};
  return means_nothing(file, entry, "it takes minutes (10), a time (2h), true or false");
}

/// `true`, `10`, `2h`, or {idle_minutes: 10, wait_for: jobs}.
Status check_autostop(std::string_view file, const Entry& entry) {
  if (entry.value->type == Node::Type::text) {
    const auto word = lower(trim(entry.value->text));
    for (const char* known : {"true", "false", "yes", "no", "on", "off"})
      if (word == known) return {};
    return check_idle_time(file, entry);
  }
  for (const auto& field : entry.value->entries) {
    if (field.value->type != Node::Type::text) continue;
    if (field.name == "idle_minutes") TRY("", check_idle_time(file, field));
    if (field.name == "wait_for") TRY("", check_word(file, field, {"jobs_and_ssh", "jobs", "none"}));
  }
  return {};
}

/// A strategy, or {strategy: FAILOVER, max_restarts_on_errors: 3, recover_on_exit_codes: [33]}.
Status check_recovery(std::string_view file, const Entry& entry) {
  const std::vector<std::string> strategies = {"eager_next_region", "failover", "none"};
  if (entry.value->type == Node::Type::text) return check_word(file, entry, strategies);
  for (const auto& field : entry.value->entries) {
    const bool text = field.value->type == Node::Type::text;
    if (text && field.name == "strategy") TRY("", check_word(file, field, strategies));
    if (text && field.name == "max_restarts_on_errors") TRY("", check_number(file, field, 0, 1'000'000));
    if (field.name != "recover_on_exit_codes") continue;
    if (text) TRY("", check_number(file, field, 0, 255));
    for (const auto& code : field.value->entries)
      TRY("", check_number(file, {field.name, code.at, code.value}, 0, 255));
  }
  return {};
}

constexpr Field fields[] = {
    {"task", "name"},
    {"task", "workdir", "", "workdir"},
    {"task", "num_nodes"},
    {"task", "resources", "", "resources"},
    {"task", "envs"},
    {"task", "secrets"},
    {"task", "setup"},
    {"task", "run"},
    {"task", "outputs"},
    {"task", "checkpoints"},
    {"task", "late"},
    {"task", "store"},
    {"task", "budget"},
    {"task", "max_duration"},
    {"task", "idle"},
    {"task", "ends"},
    {"task", "duration"},
    {"task", "environment", "", "environment"},
    {"task", "on_interruption", "", "on_interruption"},
    {"task", "recover"},
    {"task", "aws", "", "aws"},
    {"task", "file_mounts"},
    {"task", "checkpoint", "saving checkpoints while training", "checkpoint"},
    {"task", "guard", "watching for NaN losses, stalls and idle GPUs", "guard"},
    {"task", "metrics", "reading metrics out of the training's output"},
    {"task", "inputs", "estimated sizes of inputs"},
    {"task", "event_callback"},
    {"task", "config"},
    {"task", "experimental"},
    {"task", "api_server_access", "access to SkyPilot's server"},
    {"task", "file_mounts_mapping", "SkyPilot's own bookkeeping"},
    {"task", "_metadata", "SkyPilot's own bookkeeping"},
    {.section = "task",
     .name = "execution",
     .meaning = "tasks that run at the same time",
     .default_value = "serial",
     .cure = "leave it out: the documents of a file run one after the other; several at once are several  ferry run "
             "--detach"},
    {.section = "task",
     .name = "primary_tasks",
     .meaning = "tasks that run at the same time",
     .cure = "leave it out, with execution: parallel"},
    {"task", "termination_delay", "tasks that run at the same time"},
    {.section = "task",
     .name = "managed_secrets",
     .meaning = "secrets held by a server",
     .cure = "name them under 'secrets:' and export their values"},
    {.section = "task",
     .name = "service",
     .meaning = "serving a model",
     .cure =
         "ferry trains, and a run ends: take 'service:' out to run the command once, on a machine that is given back "
         "afterwards (ports: are reached through a tunnel meanwhile)"},
    {.section = "task",
     .name = "pool",
     .meaning = "a pool of workers",
     .cure = "take 'pool:' out: every run rents a machine of its own; several at once are several  ferry run --detach"},
    {"task", "volumes"},
    {.section = "task", .name = "volume_mounts", .meaning = "volumes of Kubernetes", .cure = no_volumes},

    {"workdir", "url"},
    {"workdir", "ref"},

    {"resources", "infra"},
    {"resources", "cloud"},
    {"resources", "region"},
    {"resources", "zone"},
    {"resources", "instance_type"},
    {"resources", "accelerators"},
    {"resources", "gpus"},
    {"resources", "cpus"},
    {"resources", "memory"},
    {"resources", "use_spot"},
    {"resources", "disk_size"},
    {"resources", "disk_tier"},
    {"resources", "local_disk"},
    {"resources", "max_hourly_cost"},
    {"resources", "image_id"},
    {"resources", "labels"},
    {"resources", "arch"},
    {"resources", "any_of", "", "resources"},
    {"resources", "ordered", "", "resources"},
    {"resources", "network_tier", "faster networks (EFA)", "", "standard"},
    {"resources", "ports"},
    {.section = "resources",
     .name = "autostop",
     .meaning = "stopping when idle",
     .inside = "autostop",
     .default_value = "false",
     .check = check_autostop,
     .told = autostop_words},
    {.section = "resources", .name = "job_recovery", .inside = "job_recovery", .check = check_recovery},
    {.section = "resources", .name = "spot_recovery", .check = check_recovery},
    {"resources", "termination_hook", "a command before a machine ends", "", "",
     "the training itself is told when a spot machine is taken back (on_interruption:)"},
    {"resources", "priority", "priorities between jobs"},
    {"resources", "priority_class", "priorities between jobs"},
    {"resources", "accelerator_args", "settings of TPUs"},
    {"resources", "_cluster_config_overrides", "SkyPilot's own bookkeeping"},
    {"resources", "ephemeral_storage", "scratch space on Kubernetes"},
    {"resources", "volumes"},

    {"volume", "name"},
    {"volume", "path"},
    {.section = "volume", .name = "attach_mode", .check = check_attach_mode},
    {.section = "volume", .name = "storage_type", .check = check_storage_type},
    {.section = "volume", .name = "type", .check = check_volume_type},
    {.section = "volume", .name = "size", .meaning = "a size", .told = volume_size_words},
    {.section = "volume", .name = "disk_tier", .meaning = "a speed", .told = volume_speed_words},
    {.section = "volume",
     .name = "use_existing",
     .meaning = "whose it is",
     .default_value = "true",
     .told = volume_by_name_words},
    {.section = "volume", .name = "labels", .meaning = "labels", .told = volume_by_name_words},
    {.section = "volume", .name = "config", .meaning = "settings of its making", .told = volume_by_name_words},
    {.section = "volume", .name = "infra", .meaning = "where it is", .told = volume_by_name_words},
    {.section = "volume",
     .name = "auto_delete",
     .meaning = "deleting a volume with its machine",
     .default_value = "false",
     .cure = "leave it out: ferry never deletes a volume; aws ec2 delete-volume --volume-id vol-… does"},

    {"aws", "subnet_id"},
    {"aws", "security_group_id"},
    {"aws", "public_address"},
    {"aws", "ssh_from"},
    {"aws", "ssh_proxy"},
    {"aws", "key_name"},
    {"aws", "key_file"},
    {"aws", "placement_group"},
    {"aws", "login_user"},
    {"aws", "capacity_reservation_id"},
    {"aws", "instance_profile"},
    {"settings", "aws", "", "aws"},
    {"settings", "rehearsal", "", "rehearsal"},
    {"rehearsal", "internet"},
    {"rehearsal", "reach"},
    {"settings", "defaults"},
    {"settings", "store"},
    {"settings", "hold_connection"},
    {"settings", "limits", "", "limits"},
    {"limits", "usd_per_day"},
    {"limits", "usd_per_month"},
    {"limits", "usd_per_hour"},
    {"limits", "machines"},

    {"storage", "name"},
    {"storage", "source"},
    {"storage", "store"},
    {"storage", "mode"},
    {"storage", "persistent"},
    {"storage", "type"},
    {"storage", "config", "", "storage config"},
    {"storage config", "mount", "", "mount config"},
    {"storage config", "mount_cached"},
    {"mount config", "read_only"},

    {"checkpoint", "path"},
    {"checkpoint", "every"},
    {"checkpoint", "signal"},
    {"guard", "nan_loss"},
    {"guard", "stall"},
    {"guard", "gpu_idle"},
    {"on_interruption", "signal"},
    {"on_interruption", "grace"},
    {"environment", "kind"},
    {"environment", "name"},
    {"environment", "file"},
    {"autostop", "idle_minutes"},
    {"autostop", "down"},
    {"autostop", "wait_for"},
    {"autostop", "hook"},
    {"autostop", "hook_timeout"},
    {"job_recovery", "strategy"},
    {"job_recovery", "max_restarts_on_errors"},
    {"job_recovery", "recover_on_exit_codes"},
};

/// What people of other tools, or in a hurry, call a field; and what to write.
struct Synonym {
  std::string_view section, name, advice;
};
constexpr std::string_view run_here = "commands go into 'run:', as text: run: python train.py";
constexpr std::string_view gpus_here = "GPUs go under 'resources:', as accelerators: A10G:1";
constexpr std::string_view spot_here = "write use_spot: true under 'resources:'";
constexpr std::string_view type_here = "a type of machine goes under 'resources:', as instance_type: g5.xlarge";
constexpr std::string_view image_here = "an image goes under 'resources:', as image_id: docker:IMAGE";
constexpr std::string_view envs_here = "variables go under 'envs:', as NAME: value";
constexpr std::string_view disk_here = "write disk_size: 256 (GiB) under 'resources:'";
constexpr Synonym synonyms[] = {
    {"task", "working_dir", "write workdir: ."},
    {"task", "working_directory", "write workdir: ."},
    {"task", "work_dir", "write workdir: ."},
    {"task", "cwd", "write workdir: ."},
    {"task", "command", run_here},
    {"task", "commands", run_here},
    {"task", "cmd", run_here},
    {"task", "script", run_here},
    {"task", "entrypoint", run_here},
    {"task", "args", run_here},
    {"task", "init", "commands that prepare the machine go into 'setup:'"},
    {"task", "install", "commands that prepare the machine go into 'setup:'"},
    {"task", "env", envs_here},
    {"task", "variables", envs_here},
    {"task", "environment_variables", envs_here},
    {"task", "image", image_here},
    {"task", "container", image_here},
    {"task", "docker", image_here},
    {"task", "docker_image", image_here},
    {"task", "gpu", gpus_here},
    {"task", "gpus", gpus_here},
    {"task", "gpu_type", gpus_here},
    {"task", "spot", spot_here},
    {"task", "type", type_here},
    {"task", "machine", type_here},
    {"task", "machine_type", type_here},
    {"task", "instance", type_here},
    {"task", "disk", disk_here},
    {"task", "timeout", "write max_duration: 2h"},
    {"task", "requirements", "requirements.txt beside the code is installed by itself; other packages: in 'setup:'"},
    {"task", "dependencies", "requirements.txt beside the code is installed by itself; other packages: in 'setup:'"},
    {"task", "nodes", "write num_nodes: 1"},
    {"task", "storage_mounts", "write file_mounts: {/data: {source: s3://BUCKET/PATH, mode: MOUNT}}"},
    {"resources", "gpu", "write accelerators: A10G:1"},
    {"resources", "gpu_type", "write accelerators: A10G:1"},
    {"resources", "spot", "write use_spot: true"},
    {"resources", "type", "write instance_type: g5.xlarge"},
    {"resources", "machine_type", "write instance_type: g5.xlarge"},
    {"resources", "image", "write image_id: docker:IMAGE"},
    {"resources", "container_image", "write image_id: docker:IMAGE"},
    {"resources", "container", "write image_id: docker:IMAGE"},
    {"resources", "disk", "write disk_size: 256 (GiB)"},
    {"resources", "ram", "write memory: 16+ (GiB)"},
    {"resources", "mem", "write memory: 16+ (GiB)"},
    {"resources", "shm_size", "leave it out: the training has the whole machine"},
    {"environment", "python", "leave it out: the machine has Python 3; another one can come from environment.yml"},
};

const Field* find_field(std::string_view section, std::string_view name) {
  for (const auto& field : fields) {
    if (field.section == section && field.name == name) return &field;
  }
  return nullptr;
}

tl::unexpected<Error> unknown(std::string_view file, const Entry& entry, std::string_view section) {
  const auto where = section == "task" ? std::string() : fmt::format(" in {}", section);
  const auto what = fmt::format("unknown field '{}'{}", printable(entry.name), where);
  for (const auto& synonym : synonyms) {
    if (synonym.section == section && synonym.name == lower(entry.name))
      return complain(file, entry.at, what, {}, std::string(synonym.advice));
  }
  std::vector<std::string> names;
  for (const auto& field : fields) {
    if (field.section == section) names.emplace_back(field.name);
  }
  if (const auto near = nearest(lower(entry.name), names)) {
    return complain(file, entry.at, what, {}, fmt::format("did you mean '{}'?", *near));
  }
  for (const std::string_view other : {"resources", "aws", "task"}) {
    if (other == section || section == "settings" || !find_field(other, entry.name)) continue;
    return complain(file, entry.at, what, {},
                    other == "task" ? fmt::format("'{}' belongs at the top level", entry.name)
                                    : fmt::format("'{}' belongs under '{}:'", entry.name, other));
  }
  if (section == "task") {
    return complain(file, entry.at, what, {},
                    "variables for the training go under 'envs:', commands into 'setup:' and 'run:'");
  }
  if (section == "environment") return complain(file, entry.at, what, {}, std::string(envs_here));
  return complain(file, entry.at, what, {}, fmt::format("it takes {}", join(names, ", ")));
}

void check_inside(std::string_view file, const Entry& entry, const Field& field, std::vector<std::string>& ignored,
                  std::vector<Error>& found) {
  if (entry.value->type == Node::Type::map) return check_fields(file, *entry.value, field.inside, ignored, found);
  if (entry.value->type != Node::Type::list) return;
  for (const auto& item : entry.value->entries) {
    if (item.value->type == Node::Type::map) check_fields(file, *item.value, field.inside, ignored, found);
  }
}

bool asks_for_something(const Node& value, const Field& field) {
  if (value.type == Node::Type::null) return false;
  if (value.type == Node::Type::text) return !value.text.empty() && lower(value.text) != field.default_value;
  return !value.entries.empty();
}

}  // namespace

std::string not_yet_line(std::string_view file, const Entry& entry, std::string_view meaning,
                         std::string_view instead) {
  return fmt::format("{}:{}: {}: not yet, {} ({})", printable(file), entry.at.line, printable(entry.name), instead,
                     meaning);
}

void check_fields(std::string_view file, const Node& map, std::string_view section, std::vector<std::string>& not_yet,
                  std::vector<Error>& found) {
  for (const auto& entry : map.entries) {
    if (found.size() >= most_found) return;
    const Field* field = find_field(section, entry.name);
    if (!field) {
      found.push_back(unknown(file, entry, section).value());
      continue;
    }
    std::vector<std::string> ignored;  // one line for the field speaks for what is inside it
    const bool act = field->meaning.empty();
    if (!field->inside.empty()) check_inside(file, entry, *field, act ? not_yet : ignored, found);
    if (!asks_for_something(*entry.value, *field)) continue;
    if (field->check) {
      if (auto checked = field->check(file, entry); !checked) found.push_back(std::move(checked).error());
    }
    if (act) continue;
    if (!field->cure.empty()) {
      found.push_back(complain(file, entry.at,
                               fmt::format("'{}' is not there yet ({})", printable(entry.name), field->meaning),
                               "without it this would be another training", std::string(field->cure), Kind::unsupported)
                          .value());
      continue;
    }
    if (field->told)
      not_yet.push_back(
          fmt::format("{}:{}: {}: {}", printable(file), entry.at.line, printable(entry.name), field->told(entry)));
    else
      not_yet.push_back(not_yet_line(file, entry, field->meaning, field->instead));
  }
}

bool is_field(std::string_view section, std::string_view name) { return find_field(section, name) != nullptr; }

namespace {

/// What stands behind the `index`-th colon after the file's name, as a number; 0: none.
std::int64_t number_in(const Error& error, std::string_view file, std::size_t index) {
  const auto head = printable(file).size() + 1;
  if (error.what.size() <= head) return 0;
  const auto parts = split(std::string_view(error.what).substr(head, 32), ':');
  return index < parts.size() ? parse_int(parts[index]).value_or(0) : 0;
}

}  // namespace

std::int64_t line_of(const Error& error, std::string_view file) { return number_in(error, file, 0); }

void in_order(std::vector<Error>& found, std::string_view file) {
  std::ranges::stable_sort(
      found, {}, [&](const Error& error) { return std::pair(number_in(error, file, 0), number_in(error, file, 1)); });
}

}  // namespace ferry::task
