#include "cli/task_options.h"

#include "account/asked_types.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/found_files.h"
#include "cli/loose.h"
#include "cli/variables.h"
#include "fleet/planning.h"
#include "job/git_workdir.h"
#include "os/env.h"
#include "plan/nearest.h"
#include "task/old_names.h"

namespace ferry::cli {

namespace {

constexpr std::size_t most_of_a_task_file = std::size_t{1} << 20;

Status lay_image(const std::string& written, task::Image& image, std::vector<std::string>& told) {
  image = {};
  if (written.starts_with("ami-")) {
    image.amis[""] = written;
    return {};
  }
  TRY_SET(named, "--image", task::named_image(written));
  if (!named)
    return fail(Kind::bad_input, "--image: not an image: " + printable(written), {},
                "give an AMI (ami-…), pytorch, tensorflow, base or docker:IMAGE");
  image = std::move(named->image);
  if (!named->note.empty() && std::ranges::find(told, "--image: " + named->note) == told.end())
    told.push_back("--image: " + named->note);
  return {};
}

Status lay_resources(const TaskOptions& options, task::Resources& resources, std::vector<std::string>& told) {
  std::string infra = options.infra;
  if (infra.empty() && !resources.infra) infra = os::env("FERRY_INFRA").value_or("");
  if (!infra.empty()) {
    TRY_SET(parsed, "--infra", task::parse_infra(infra));
    resources.infra = parsed;
    resources.places.erase("infra");
  }
  if (!options.instance_type.empty()) {
    resources.instance_type = options.instance_type;
    resources.places.erase("instance_type");
  }
  if (!options.region.empty()) {
    if (resources.infra && resources.infra->provider != task::Provider::aws)
      return fail(Kind::bad_input, "--region is for AWS", "infra is " + task::show(*resources.infra),
                  "leave --region out, or add --infra aws", mistake_code);
    TRY_SET(parsed, "--region", task::parse_infra("aws/" + options.region));
    resources.infra = parsed;
    resources.places.erase("infra");
  }
  if (options.spot) resources.use_spot = true;
  if (options.on_demand) resources.use_spot = false;
  if (!options.max_hourly_cost.empty()) {
    TRY_SET(parsed, "--max-hourly-cost", parse_usd(options.max_hourly_cost));
    resources.max_hourly_cost = parsed;
  }
  if (!options.disk.empty()) {
    const auto gib = parse_int(options.disk);
    if (!gib || *gib < 1 || *gib > 65536)
      return fail(Kind::bad_input, "--disk needs a size in GiB, from 1 to 65536",
                  "it says '" + printable(options.disk) + "'", "--disk 200", mistake_code);
    resources.disk_gib = static_cast<int>(*gib);
  }
  if (!options.image.empty() && !options.image.starts_with("docker:")) {
    TRY("", lay_image(options.image, resources.image, told));
  }
  if (!options.gpus.empty()) {
    TRY_SET(parsed, "--gpus", task::parse_accelerators(options.gpus));
    resources.accelerators = parsed;
  }
  if (!options.cpus.empty()) {
    TRY_SET(parsed, "--cpus", task::parse_cpus(options.cpus));
    resources.cpus = parsed;
    resources.places.erase("cpus");
  }
  if (!options.memory.empty()) {
    TRY_SET(parsed, "--memory", task::parse_memory(options.memory));
    resources.memory = parsed;
    resources.places.erase("memory");
  }
  return {};
}

task::Decided decided_by(const TaskOptions& options) {
  return {.place = !options.infra.empty() || !options.region.empty(),
          .image = !options.image.empty(),
          .container = options.image.starts_with("docker:"),
          .type = !options.instance_type.empty(),
          .gpus = !options.gpus.empty()};
}

/// "--ssh-from" of "ssh_from", "--security-group" of "security_group_id".
std::string flag_of(std::string field) {
  if (field.ends_with("_id")) field.resize(field.size() - 3);
  std::ranges::replace(field, '_', '-');
  return "--" + field;
}

/// What the user's settings file has, the task over it, the flags over both.
Status lay_aws(const TaskOptions& options, task::AwsSettings all, task::AwsSettings& task) {
  task::AwsSettings flags;
  for (const auto& subnet : options.subnets) TRY("--subnet", task::set_field(flags, "subnet_id", subnet));
  for (const auto& [field, text] : options.aws) {
    if (!text.empty()) TRY(flag_of(field), task::set_field(flags, field, text));
  }
  if (options.private_address) flags.public_address = false;
  lay_over(all, task);
  lay_over(all, flags);
  task = std::move(all);
  return {};
}

/// EC2's rules for tags, and none of AWS's or ferry's own.
Status lay_labels(const std::vector<std::string>& written, task::Task& task) {
  for (const auto& text : written) {
    const auto equals = text.find('=');
    const auto key = text.substr(0, equals);
    const auto value = equals == text.npos ? std::string() : text.substr(equals + 1);
    const bool own = !lower(key).starts_with("aws:") && !lower(key).starts_with("ferry:");
    if (equals == text.npos || key.empty() || key.size() > 128 || value.size() > 256 || !own)
      return fail(Kind::bad_input, "--label: not a label: '" + printable(text) + "'",
                  "KEY has 1 to 128 characters and begins with neither aws: nor ferry:, VALUE has at most 256",
                  "--label team=vision");
    task.resources.labels[key] = value;
    for (auto& candidate : task.candidates) candidate.labels[key] = value;
  }
  return {};
}

bool is_unsized(const task::Resources& candidate) {
  return candidate.accelerators.choices.empty() && candidate.instance_type.empty() && !candidate.cpus &&
         !candidate.memory;
}

/// What a task gets that says nothing. An image's own root disk has room for the system and little more; datasets,
/// packages and checkpoints want some.
void lay_defaults(bool skypilots, Described& described) {
  const int usual_gib = skypilots ? 256 : 100;
  auto& task = described.task;
  described.unsized = is_unsized(task.all_candidates()[0]);
  described.undisked = task.all_candidates()[0].disk_gib == 0;
  const auto lay = [&](task::Resources& candidate) {
    if (candidate.disk_gib == 0) candidate.disk_gib = usual_gib;
    if (!skypilots || !is_unsized(candidate)) return;
    candidate.cpus = task::Amount{8, true};
    candidate.memory = task::Amount{32, true};
  };
  lay(task.resources);
  std::ranges::for_each(task.candidates, lay);
}

/// What is wrong with one document. What cannot be had on AWS, whatever the account, is among it.
std::vector<Error> wrong_with(const TaskOptions& options, task::Reading& reading) {
  if (reading.found.empty()) return {};
  std::vector<std::string> told;
  bool laid = reading.hardware && lay_resources(options, reading.task.resources, told).has_value();
  for (auto& candidate : reading.task.candidates) laid = laid && lay_resources(options, candidate, told).has_value();
  const auto context = reading.task.all_candidates()[0].infra.value_or(task::Infra{}).provider;
  if (laid && !options.nearest && context != task::Provider::ssh) {
    if (auto exists = plan::hardware_exists(reading.task, fleet::catalog_in_force()); !exists)
      reading.found.push_back(std::move(exists).error());
  }
  return std::move(reading.found);
}

/// The file's text as tasks.
Status read_file(const TaskOptions& options, std::string_view text, const std::string& file, Described& out,
                 std::vector<task::Task>& tasks) {
  auto pipeline = task::read_tasks(text, file, decided_by(options));
  std::vector<Error> found;
  for (auto& reading : pipeline.tasks) {
    for (auto& error : wrong_with(options, reading)) found.push_back(std::move(error));
    tasks.push_back(std::move(reading.task));
  }
  if (!found.empty()) return fail(std::move(found));
  out.pipeline = pipeline.name.empty() ? os::Path(file).stem().string() : pipeline.name;
  return {};
}

}  // namespace

Result<task::Settings> personal_settings() {
  const auto file = os::config_dir() / "config.yaml";
  if (!os::exists(file)) return task::Settings();
  TRY_SET(text, "", os::read_file(file, 1 << 20));
  return task::parse_settings(text, file.string());
}

namespace {

/// What the options say, over what the file does, but for `aws:` and variables. All that fails is a mistake on the
/// command line.
Status lay_flags(const TaskOptions& options, task::Task& task) {
  if (!options.setup.empty()) task.setup = options.setup;
  if (!options.outputs.empty()) task.outputs = options.outputs;
  for (const auto& volume : options.volumes) TRY("", task::add_volume(volume, "-v", task));
  if (!options.workdir.empty()) {
    task.workdir = options.workdir;
    task.git = {};
  }
  if (!options.max_duration.empty()) {
    TRY_SET(limit, "--max-duration", parse_duration(options.max_duration));
    task.max_duration = limit;
  }
  if (!options.ends.empty()) {
    TRY_SET(ends, "--ends", task::parse_ends(options.ends));
    task.ends = ends;
  }
  if (!options.idle.empty()) {
    TRY_SET(limit, "--idle", parse_duration(options.idle));
    task.idle = limit;
  }
  if (!options.duration.empty()) {
    TRY_SET(expected, "--duration", parse_duration(options.duration));
    task.duration = expected;
  }
  if (!options.store.empty()) {
    TRY_SET(place, "--store", task::parse_store(options.store));
    task.store = place;
  }
  if (!options.recover.empty()) {
    TRY_SET(by_aws, "--recover", task::parse_recover(options.recover));
    task.recovers_by_aws = by_aws;
  }
  if (!options.budget.empty()) {
    TRY_SET(most, "--budget", parse_usd(options.budget));
    task.budget = most;
  }
  const auto has_name = [](unsigned char c) { return c >= 0x80 || std::isalnum(c); };
  if (!options.name.empty() && std::ranges::none_of(options.name, has_name))
    return fail(Kind::bad_input, "--name: no letter or digit in '" + printable(options.name) + "'",
                "runs, tags and folders are called by it", "--name digits", mistake_code);
  if (options.image.starts_with("docker:"))
    task.environment = {.kind = "docker", .name = options.image.substr(7), .file = {}};
  TRY("", lay_resources(options, task.resources, task.not_yet));
  for (auto& candidate : task.candidates) TRY("", lay_resources(options, candidate, task.not_yet));
  return lay_labels(options.labels, task);
}

}  // namespace

Status settle_hardware(const TaskOptions& options, task::Task& task) {
  if (task.all_candidates()[0].infra.value_or(task::Infra{}).provider == task::Provider::ssh) return {};
  const auto http = os::make_http_client();
  const auto asked = account::ask_about_types(task, *http, os::system_clock(), rehearsal_context);
  for (const auto& line : asked.told) fmt::print(stderr, "! {}\n", line);
  if (options.nearest) {
    for (const auto& line : plan::take_nearest(task, fleet::catalog_in_force()))
      fmt::print(stderr, "! nearest: {}\n", line);
  }
  auto exists = plan::hardware_exists(task, fleet::catalog_in_force());
  if (!exists && exists.error().kind == Kind::bad_input && !asked.why.empty()) exists.error().why = asked.why;
  return exists;
}

namespace {

/// The command behind "--" in place of what the task runs.
Status lay_command(const std::vector<std::string>& command, Described& out) {
  if (command.empty())
    return fail(Kind::bad_input, "there is no command behind --", {}, "ferry run -- python train.py", mistake_code);
  if (command[0].starts_with('-')) {
    const auto known = !out.task.run.empty() && out.task.run.find('\n') == std::string::npos
                           ? std::string(trim(out.task.run))
                           : "COMMAND";
    return fail(Kind::bad_input, "behind -- stands a whole command, and " + short_line(command[0], 60) + " begins none",
                "it takes the place of what the task runs",
                "ferry run … -- " + printable(known) + " " + as_typed(command), mistake_code);
  }
  out.task.run = shell_quoted(command);
  if (command.size() == 1) out.task.run = command[0];  // one word may be a whole shell line
  return {};
}

/// What options, settings and the environment say, over what the file does.
Status complete(const TaskOptions& options, const os::Path& file, Described& out) {
  if (const auto laid = lay_flags(options, out.task); !laid) return mistake(laid.error());
  for (auto& line : task::leave_out_old_environments(out.task)) out.task.not_yet.push_back(std::move(line));
  const auto provider = out.task.all_candidates()[0].infra.value_or(task::Infra{}).provider;
  const bool on_aws = provider == task::Provider::aws;
  task::Settings own;
  if (on_aws) {
    TRY_SET(settings, "", personal_settings());
    own = std::move(settings);
  }
  if (const auto laid = lay_aws(options, own.aws, out.task.aws); !laid) return mistake(laid.error());
  if (on_aws) lay_defaults(own.skypilot_defaults, out);
  if (!out.task.store) out.task.store = own.store;
  if (const auto laid = lay_variables(options, out.task); !laid) return mistake(laid.error());
  TRY("", task::fill_variables(out.task));
  find_sources(out.task, file);
  TRY("", find_repository(out.task.git, file));
  out.workdir = options.workdir.empty() ? find_workdir(out.task, file) : absolute_path(options.workdir);
  std::string name = !options.name.empty() ? options.name : out.task.name;
  if (name.empty() && !out.task.git.url.empty()) name = job::repository_name(out.task.git.url);
  if (name.empty()) name = out.workdir.filename().string();
  out.task.name = task::name_from(name);
  return {};
}

}  // namespace

Result<std::vector<Described>> describe_tasks(const TaskOptions& given, const std::vector<std::string>& command,
                                              bool has_command) {
  auto options = given;
  if (const auto container = task::container_named(options.image); !container.empty())
    options.image = "docker:" + container;
  Described out;
  std::vector<task::Task> tasks;
  os::Path file;
  if (options.path.empty() && !has_command && task_file(".")) options.path = ".";
  const os::Path folder = options.path.empty() ? "." : options.path;
  const bool may_be_loose = !has_command && os::is_directory(folder) && !task_file(folder.string());
  const auto script = may_be_loose ? lone_script(folder) : std::nullopt;
  if (script) {
    out.task.run = *command_for(*script);
    if (!options.path.empty()) out.task.workdir = folder;
    out.task.not_yet.push_back(fmt::format("no task file: {} is run, as by  ferry run {}", printable(*script),
                                           printable((folder == "." ? os::Path(*script) : folder / *script).string())));
  } else if (options.path == "-") {
    TRY_SET(text, "standard input", os::read_file("/dev/stdin", most_of_a_task_file));
    TRY("", read_file(options, text, "standard input", out, tasks));
  } else if (!options.path.empty()) {
    const auto found = task_file(options.path);
    if (!found) return mistake(found.error());
    file = *found;
    std::error_code unknown;
    if (const auto size = std::filesystem::file_size(file, unknown); !unknown && size > most_of_a_task_file)
      return fail(Kind::bad_input, fmt::format("{}:1:1: the file is too large to be a task", printable(file.string())),
                  fmt::format("it has {}; a task file may have 1 MiB", show_bytes(size)),
                  "keep data and code in files of the workdir, and name them in run:");
    TRY_SET(text, "", os::read_file(file, 2 * most_of_a_task_file));
    TRY("", read_file(options, text, file.string(), out, tasks));
    out.file = absolute_path(file);
  } else if (!has_command) {
    return fail(Kind::bad_input, "nothing to run", "neither a task nor a command was given",
                "ferry run examples/digits, or: ferry run -- python train.py", mistake_code);
  }
  if (tasks.size() > 1 && has_command)
    return fail(Kind::bad_input, "a command behind -- is for one task, and the file has several",
                fmt::format("{} has {} documents", printable(file.string()), tasks.size()),
                "write the document to a file of its own", mistake_code);
  if (tasks.empty()) tasks.push_back(std::move(out.task));
  std::vector<Described> all;
  for (auto& task : tasks) {
    auto& one = all.emplace_back(out);
    one.task = std::move(task);
    if (has_command) TRY("", lay_command(command, one));
    TRY("", complete(options, file, one));
  }
  return all;
}

}  // namespace ferry::cli
