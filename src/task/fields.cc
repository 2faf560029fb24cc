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
};

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
    {"task", "max_duration"},
    {"task", "budget", "a hard cap on the run's cost"},
    {"task", "checkpoint", "saving checkpoints while training", "checkpoint"},
    {"task", "guard", "watching for NaN losses, stalls and idle GPUs", "guard"},
    {"task", "environment", "choosing conda, venv, uv or docker", "environment"},
    {"task", "metrics", "reading metrics out of the training's output"},
    {"task", "file_mounts", "files and buckets on the instance besides the workdir"},
    {"task", "inputs", "estimated sizes of inputs"},
    {"task", "managed_secrets", "secrets held by a server"},
    {"task", "event_callback", "a command on every change of state"},
    {"task", "config", "SkyPilot's own configuration"},
    {"task", "experimental", "SkyPilot's own configuration"},
    {"task", "service", "serving a model"},
    {"task", "pool", "a pool of workers"},
    {"task", "volumes", "network volumes"},
    {"task", "volume_mounts", "network volumes"},
    {"task", "api_server_access", "access to SkyPilot's server"},
    {"task", "file_mounts_mapping", "SkyPilot's own bookkeeping"},
    {"task", "_metadata", "SkyPilot's own bookkeeping"},

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
    {"resources", "use_spot", "spot instances", "", "false"},
    {"resources", "disk_size", "the size of the disk"},
    {"resources", "disk_tier", "the kind of the disk"},
    {"resources", "local_disk", "a disk inside the machine"},
    {"resources", "network_tier", "faster networks (EFA)", "", "standard"},
    {"resources", "max_hourly_cost", "a cap on the price an hour"},
    {"resources", "image_id", "an image of your own"},
    {"resources", "ports", "ports open to the internet"},
    {"resources", "labels", "tags of your own"},
    {"resources", "autostop", "stopping when idle", "autostop", "false"},
    {"resources", "any_of", "alternatives", "resources"},
    {"resources", "ordered", "alternatives", "resources"},
    {"resources", "job_recovery", "starting again after an interruption", "job_recovery"},
    {"resources", "spot_recovery", "starting again after an interruption"},
    {"resources", "priority", "priorities between jobs"},
    {"resources", "priority_class", "priorities between jobs"},
    {"resources", "accelerator_args", "settings of TPUs"},
    {"resources", "ephemeral_storage", "scratch space on Kubernetes"},
    {"resources", "volumes", "network volumes"},

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
  for (const std::string_view other : {"resources", "task"}) {
    if (other == section || !find_field(other, entry.name)) continue;
    return complain(file, entry.at, what, {},
                    other == "task" ? fmt::format("'{}' belongs at the top level", entry.name)
                                    : fmt::format("'{}' belongs under 'resources:'", entry.name));
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
    const bool wish = entry.value->type != Node::Type::null &&
                      (field->no_wish.empty() || lower(entry.value->text) != field->no_wish);
    if (!act && wish) not_yet.push_back(not_yet_line(file, entry, field->meaning));
  }
  return {};
}

}  // namespace ferry::task
