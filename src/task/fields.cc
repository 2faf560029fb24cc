#include "task/fields.h"

#include <fmt/format.h>

#include <optional>

#include "base/text.h"

namespace ferry::task {
namespace {

struct Field {
  std::string_view section, name;
  std::string_view meaning = {};  ///< empty: this version acts on it
  std::string_view inside = {};   ///< the section of the fields below it; empty: not looked at
  std::string_view no_wish = {};  ///< the value that asks for nothing
  std::string_view instead = "this version ignores it";
  /// Not empty: without it the training would be another one, so that the task is refused; what to do.
  std::string_view cure = {};
};

constexpr std::string_view no_volumes =
    "put the files below the workdir, or fetch them in setup:, and list what must come home in outputs:";

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
    {"task", "budget"},
    {"task", "max_duration"},
    {"task", "duration"},
    {"task", "environment", "", "environment"},
    {"task", "aws", "", "aws"},
    {"task", "file_mounts"},
    {"task", "checkpoint", "saving checkpoints while training", "checkpoint"},
    {"task", "guard", "watching for NaN losses, stalls and idle GPUs", "guard"},
    {"task", "metrics", "reading metrics out of the training's output"},
    {"task", "inputs", "estimated sizes of inputs"},
    {"task", "event_callback", "a command on every change of state"},
    {"task", "config", "SkyPilot's own configuration"},
    {"task", "experimental", "SkyPilot's own configuration"},
    {"task", "api_server_access", "access to SkyPilot's server"},
    {"task", "file_mounts_mapping", "SkyPilot's own bookkeeping"},
    {"task", "_metadata", "SkyPilot's own bookkeeping"},
    {.section = "task",
     .name = "managed_secrets",
     .meaning = "secrets held by a server",
     .cure = "name them under 'secrets:' and export their values"},
    {.section = "task",
     .name = "service",
     .meaning = "serving a model",
     .cure = "ferry trains; take 'service:' out to run the command once"},
    {.section = "task",
     .name = "pool",
     .meaning = "a pool of workers",
     .cure = "take 'pool:' out; every run rents a machine of its own"},
    {.section = "task", .name = "volumes", .meaning = "network volumes", .cure = no_volumes},
    {.section = "task", .name = "volume_mounts", .meaning = "network volumes", .cure = no_volumes},

    {"workdir", "url"},
    {"workdir", "ref"},

    {"resources", "infra"},
    {"resources", "cloud"},
    {"resources", "region"},
    {"resources", "zone"},
    {"resources", "instance_type"},
    {"resources", "accelerators"},
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
    {"resources", "ports", "ports open to the internet", "", "", "only ssh is open, and only to you"},
    {"resources", "autostop", "stopping when idle", "autostop", "false",
     "the machine is released when the run ends"},
    {"resources", "job_recovery", "starting again after an interruption", "job_recovery", "none"},
    {"resources", "spot_recovery", "starting again after an interruption", "", "none"},
    {"resources", "priority", "priorities between jobs"},
    {"resources", "priority_class", "priorities between jobs"},
    {"resources", "accelerator_args", "settings of TPUs"},
    {"resources", "ephemeral_storage", "scratch space on Kubernetes"},
    {.section = "resources", .name = "volumes", .meaning = "network volumes", .cure = no_volumes},

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

    {"checkpoint", "path"},
    {"checkpoint", "every"},
    {"checkpoint", "signal"},
    {"guard", "nan_loss"},
    {"guard", "stall"},
    {"guard", "gpu_idle"},
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

const Field* find_field(std::string_view section, std::string_view name) {
  for (const auto& field : fields) {
    if (field.section == section && field.name == name) return &field;
  }
  return nullptr;
}

tl::unexpected<Error> unknown(std::string_view file, const Entry& entry, std::string_view section) {
  const auto where = section == "task" ? std::string() : fmt::format(" in {}", section);
  const auto what = fmt::format("unknown field '{}'{}", printable(entry.name), where);
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
  return complain(file, entry.at, what, {}, fmt::format("it takes {}", join(names, ", ")));
}

Status check_inside(std::string_view file, const Entry& entry, const Field& field,
                    std::vector<std::string>& ignored) {
  if (entry.value->type == Node::Type::map) return check_fields(file, *entry.value, field.inside, ignored);
  if (entry.value->type != Node::Type::list) return {};
  for (const auto& item : entry.value->entries) {
    if (item.value->type == Node::Type::map) TRY("", check_fields(file, *item.value, field.inside, ignored));
  }
  return {};
}

bool asks_for_something(const Node& value, const Field& field) {
  if (value.type == Node::Type::null) return false;
  if (value.type == Node::Type::text) return !value.text.empty() && lower(value.text) != field.no_wish;
  return !value.entries.empty();
}

}  // namespace

std::string not_yet_line(std::string_view file, const Entry& entry, std::string_view meaning,
                         std::string_view instead) {
  return fmt::format("{}:{}: {}: not yet, {} ({})", printable(file), entry.at.line, printable(entry.name),
                     instead, meaning);
}

Status check_fields(std::string_view file, const Node& map, std::string_view section,
                    std::vector<std::string>& not_yet) {
  for (const auto& entry : map.entries) {
    const Field* field = find_field(section, entry.name);
    if (!field) return unknown(file, entry, section);
    std::vector<std::string> ignored;  // one line for the field speaks for what is inside it
    const bool act = field->meaning.empty();
    if (!field->inside.empty()) TRY("", check_inside(file, entry, *field, act ? not_yet : ignored));
    if (act || !asks_for_something(*entry.value, *field)) continue;
    if (!field->cure.empty()) {
      return complain(
          file, entry.at, fmt::format("'{}' is not there yet ({})", printable(entry.name), field->meaning),
          "without it this would be another training", std::string(field->cure), Kind::unsupported);
    }
    not_yet.push_back(not_yet_line(file, entry, field->meaning, field->instead));
  }
  return {};
}

}  // namespace ferry::task
