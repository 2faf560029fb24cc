#include "task/task.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/store_place.h"
#include "base/text.h"
#include "task/field_reader.h"
#include "task/fields.h"
#include "task/other_files.h"
#include "task/variables.h"
#include "task/yaml.h"

namespace ferry::task {
namespace {

using Type = Node::Type;

class TaskReader : FieldReader {
 public:
  TaskReader(std::string_view file, Task& task, std::vector<Error>& found, const Decided& decided)
      : FieldReader(file, task, found), decided_(decided) {}

  /// True if nothing was wrong with its resources but where they are.
  bool read(const Node& root) {
    bool hardware = true;
    for (const auto& entry : root.entries) {
      const auto before = found_.size();
      if (entry.value->type != Type::null) keep(read_field(entry));
      if (entry.name == "resources") hardware = found_.size() == before + elsewhere_;
    }
    keep(choose_container());
    keep(WorkdirReader(file_, task_, found_).check_variables(root));
    MountsReader(file_, task_, found_).check_variables();
    return hardware;
  }

 private:
  /// `image_id: docker:IMAGE` in resources means the environment of that name.
  Status choose_container() {
    if (decided_.container) return {};
    const auto& first = task_.all_candidates()[0].image.docker;
    for (const auto& candidate : task_.all_candidates()) {
      if (candidate.image.docker == first) continue;
      return fail(Kind::unsupported, candidate.at + ": image_id: every alternative must have the same container", {},
                  "write the image once, beside any_of or ordered");
    }
    auto& environment = task_.environment;
    if (first.empty() && environment.kind != "docker" && !task_.run_options.empty())
      task_.not_yet.push_back(
          fmt::format("{}: config: docker.run_options: nothing is done with them: the task has no container (image_id: "
                      "docker:IMAGE)",
                      printable(file_)));
    if (first.empty()) return {};
    const bool plain = environment.kind == "auto" || environment.kind == "none";
    if (!plain && environment.kind != "docker")
      return fail(Kind::unsupported,
                  fmt::format("{}: environment: {} inside of a container is not there yet", file_, environment.kind),
                  {}, "leave environment out, and make it in the image or in setup");
    if (plain || (environment.name.empty() && environment.file.empty()))
      environment = {.kind = "docker", .name = first};
    return {};
  }

  Status read_field(const Entry& entry) {
    if (entry.name == "name") return read_name(entry);
    if (entry.name == "workdir") return WorkdirReader(file_, task_, found_).read(entry);
    if (entry.name == "num_nodes") return read_nodes(entry);
    if (entry.name == "resources") {
      ResourcesReader reader(file_, task_, found_, decided_);
      auto read = reader.read(entry);
      elsewhere_ = reader.elsewhere();
      return read;
    }
    if (entry.name == "envs") return read_variables(entry, task_.envs, task_.missing_envs);
    if (entry.name == "secrets") return read_secrets(entry);
    if (entry.name == "setup") return read_script(entry, task_.setup);
    if (entry.name == "run") return read_script(entry, task_.run);
    if (entry.name == "event_callback") return read_callback(entry);
    if (entry.name == "outputs") return read_outputs(entry);
    if (entry.name == "checkpoints") return read_paths(entry, task_.checkpoints, checkpoint_words);
    if (entry.name == "late") return read_paths(entry, task_.late, late_words);
    if (entry.name == "store") return read_store(entry, task_.store);
    if (entry.name == "budget") return read_budget(entry);
    if (entry.name == "max_duration") return read_duration(entry, task_.max_duration);
    if (entry.name == "ends") return read_ends(entry);
    if (entry.name == "idle") return read_duration(entry, task_.idle);
    if (entry.name == "duration") return read_duration(entry, task_.duration);
    if (entry.name == "environment") return read_environment(entry);
    if (entry.name == "on_interruption") return InterruptionReader(file_, task_, found_).read(entry);
    if (entry.name == "recover") return read_recover(entry);
    if (entry.name == "config" || entry.name == "experimental") return ConfigReader(file_, task_, found_).read(entry);
    if (entry.name == "aws") return AwsReader(file_, task_, found_).read(entry);
    if (entry.name == "volumes") {
      VolumesReader(file_, task_, found_).read(entry);
      return {};
    }
    if (entry.name == "file_mounts") {
      MountsReader(file_, task_, found_).read(entry);
      return {};
    }
    return {};  // a known field that this version does not act on
  }

  Status read_ends(const Entry& entry) {
    TRY_SET(text, "", text_of(entry));
    const auto ends = parse_ends(text);
    if (!ends) return fail(show(file_, entry.value->at), ends.error());
    task_.ends = *ends;
    return {};
  }

  Status read_name(const Entry& entry) {
    TRY_SET(name, "", text_of(entry));
    if (!is_name(name)) {
      return complain_at(entry.value->at, fmt::format("'{}' cannot be a task's name", printable(name)),
                         "names are letters and digits, with '.', '_' or '-' between them",
                         fmt::format("name: {}", name_from(name)));
    }
    task_.name = name;
    return {};
  }

  Status read_recover(const Entry& entry) {
    TRY_SET(text, "", text_of(entry));
    const auto by_aws = parse_recover(text);
    if (!by_aws) return complain_at(entry.value->at, by_aws.error().what, by_aws.error().why, by_aws.error().advice);
    task_.recovers_by_aws = *by_aws;
    return {};
  }

  Status read_nodes(const Entry& entry) {
    TRY_SET(text, "", text_of(entry));
    const auto count = parse_int(text);
    if (!count || *count < 1) {
      return complain_at(entry.value->at,
                         fmt::format("'num_nodes' must be a whole number from 1, not '{}'", printable(text)), {},
                         "write num_nodes: 1, or leave it out");
    }
    constexpr int most = 1000;
    if (*count > most)
      return complain_at(entry.value->at, fmt::format("'num_nodes' must be at most {}, not {}", most, *count), {},
                         "write the number of machines, each with the resources that the task names");
    task_.num_nodes = static_cast<int>(*count);
    if (*count > 1) task_.nodes_at = show(file_, entry.value->at);
    return {};
  }

  Status read_script(const Entry& entry, std::string& script) {
    if (entry.value->type == Type::list)
      return wrong_type(entry, "text", fmt::format("write '{}: |' and one command a line", entry.name));
    TRY_SET(text, "", text_of(entry));
    script = text;
    return {};
  }

  Status read_callback(const Entry& entry) {
    TRY("", read_script(entry, task_.event_callback));
    // All else that a task names runs on the machine.
    if (!trim(task_.event_callback).empty())
      task_.not_yet.push_back(
          fmt::format("{}:{}: event_callback: this command runs on this computer, when the run's state changes",
                      printable(file_), entry.at.line));
    return {};
  }

  Status read_duration(const Entry& entry, std::optional<Seconds>& into) {
    TRY_SET(text, "", text_of(entry));
    const auto duration = parse_duration(text);
    if (!duration) return complain_in(entry, duration.error());
    into = *duration;
    return {};
  }

  Status read_budget(const Entry& entry) {
    TRY_SET(text, "", text_of(entry));
    const auto budget = parse_usd(trim(text));
    if (!budget) return complain_in(entry, budget.error());
    if (budget->micros <= 0) return complain_at(entry.value->at, "'budget' must be above zero");
    task_.budget = *budget;
    return {};
  }

  /// `conda`, or `{kind: conda, name: base, file: environment.yml}`.
  Status read_environment(const Entry& entry) {
    constexpr std::array<std::string_view, 6> kinds = {"auto", "conda", "venv", "uv", "docker", "none"};
    if (entry.value->type != Type::map) {
      TRY_SET(kind, "", choice_of(entry, kinds));
      task_.environment.kind = kind;
      return {};
    }
    for (const auto& field : entry.value->entries) {
      if (field.value->type == Type::null) continue;
      TRY_SET(text, "", field.name == "kind" ? choice_of(field, kinds) : text_of(field));
      if (field.name == "kind") task_.environment.kind = text;
      if (field.name == "name") task_.environment.name = text;
      if (field.name == "file") task_.environment.file = text;
    }
    return {};
  }

  Status read_variables(const Entry& entry, std::map<std::string, std::string>& values,
                        std::vector<std::string>& missing) {
    if (entry.value->type != Type::map) {
      return wrong_type(entry, "a mapping", "write one 'NAME: value' a line below it");
    }
    for (const auto& variable : entry.value->entries) {
      keep(check_variable(variable.name, variable.at, entry.name));
      switch (variable.value->type) {
        case Type::null:
          missing.push_back(variable.name);
          break;
        case Type::text:
          keep(check_blank(variable));
          values[variable.name] = variable.value->text;
          break;
        default:
          keep(wrong_type(variable, "text", "put the value in quotes"));
      }
    }
    return {};
  }

  Status check_variable(std::string_view name, Place at, std::string_view field) const {
    const auto checked = check_variable_name(name);
    if (checked) return {};
    return complain_at(at, fmt::format("{}: {}", field, checked.error().what), checked.error().why);
  }

  /// A mapping like envs, or a list of names that someone must supply (`secrets:NAME`).
  Status read_secrets(const Entry& entry) {
    if (entry.value->type != Type::list) return read_variables(entry, task_.secrets, task_.missing_secrets);
    for (const auto& item : entry.value->entries) {
      if (item.value->type != Type::text) {
        return complain_at(item.at, "a list of secrets holds names only", {}, "write 'NAME: value' lines instead");
      }
      std::string_view name = item.value->text;
      if (name.starts_with("secrets:")) name.remove_prefix(8);
      TRY("", check_variable(name, item.at, entry.name));
      task_.missing_secrets.emplace_back(name);
    }
    return {};
  }

  Status read_outputs(const Entry& entry) {
    if (entry.value->type == Type::map) {
      not_yet(entry, "estimated sizes of outputs");
      return {};
    }
    return read_paths(entry, task_.outputs, output_words);
  }

  /// How complaints speak of a field that lists paths and patterns.
  struct PathWords {
    const char *one, *advice, *outside, *cure;
  };
  static constexpr PathWords output_words = {"an output", "outputs: [outputs/, '*.log']",
                                             "only what the training writes below its working folder comes home",
                                             "write it below the folder that 'run' starts in, as in outputs/model.pt"};
  static constexpr PathWords checkpoint_words = {"a checkpoint", "checkpoints: [checkpoints/, '*.ckpt']",
                                                 output_words.outside, output_words.cure};
  static constexpr PathWords late_words = {"what is late", "late: [data/, '*.tar']", "it is a part of the workdir",
                                           "write it relative to the workdir, as in data/"};

  Status read_paths(const Entry& entry, std::vector<std::string>& paths, const PathWords& words) {
    if (entry.value->type == Type::map)
      return complain_at(entry.at, fmt::format("{}: it takes paths or patterns", entry.name), {}, words.advice);
    if (entry.value->type == Type::text) return add_path(*entry.value, paths, words);
    for (const auto& item : entry.value->entries) keep(add_path(*item.value, paths, words));
    return {};
  }

  Status add_path(const Node& node, std::vector<std::string>& paths, const PathWords& words) {
    if (node.type != Type::text || trim(node.text).empty())
      return complain_at(node.at, fmt::format("{} must be a path or a pattern", words.one), {}, words.advice);
    const std::filesystem::path path = node.text;
    if (path.is_absolute() || node.text.starts_with('~') || std::find(path.begin(), path.end(), "..") != path.end()) {
      const std::string_view one = words.one;
      const auto noun = one.substr(one.starts_with("a") ? one.find(' ') + 1 : 0);
      return complain_at(node.at, fmt::format("{} '{}' is outside the workdir", noun, printable(node.text)),
                         words.outside, words.cure);
    }
    paths.push_back(node.text);
    return {};
  }

  const Decided& decided_;
  std::size_t elsewhere_ = 0;  // complaints about places on other clouds
};

bool may_be_skypilots(const Node& root) {
  constexpr std::array<std::string_view, 13> own = {"budget",      "max_duration", "idle",        "duration", "ends",
                                                    "environment", "checkpoint",   "checkpoints", "guard",    "metrics",
                                                    "aws",         "store",        "late"};
  constexpr std::array<std::string_view, 5> theirs = {"resources", "setup", "num_nodes", "file_mounts", "envs"};
  const auto has = [&](std::string_view name) { return root.find(name) != nullptr; };
  const auto* outputs = root.find("outputs");
  if (outputs && outputs->value->type != Type::map) return false;
  return std::ranges::none_of(own, has) && std::ranges::any_of(theirs, has);
}

}  // namespace

Result<bool> parse_recover(std::string_view text) {
  if (text == "aws" || text == "ferry") return text == "aws";
  return fail(Kind::bad_input, fmt::format("nobody called '{}' begins a run's next attempt", printable(text)), {},
              "recover: aws (AWS starts the next machine by itself), or ferry (this computer does, or another that "
              "has ferry)");
}

Result<Ends> parse_ends(std::string_view text) {
  const auto word = lower(trim(text));
  if (word == "terminate") return Ends::terminate;
  if (word == "stop") return Ends::stop;
  return fail(Kind::bad_input, "ends: neither terminate nor stop: '" + printable(text) + "'", {},
              "ends: stop keeps the machine's disk, which costs on; ends: terminate, or nothing, keeps nothing");
}

Status check_ends(const Task& task) {
  if (task.ends != Ends::stop) return {};
  const auto refuse = [](std::string what, std::string why, std::string advice) -> Status {
    return fail(Kind::unsupported, "ends: stop: " + what, std::move(why), std::move(advice));
  };
  if (!task.aws.capacity_reservation.empty())
    return refuse("not of a machine in reserved capacity",
                  "EC2 ends those of a capacity block with it, and one that is stopped is not in the reservation",
                  "leave ends: out, and give a store: for what is to stay");
  for (const auto& candidate : task.all_candidates()) {
    if (candidate.infra && candidate.infra->provider == Provider::ssh)
      return refuse("a machine of your own is never ended", "it runs on when the run is over", "leave ends: out");
    if (candidate.use_spot)
      return refuse("not of a spot machine",
                    "a one-time spot request cannot be stopped, and AWS takes the machine when it wants",
                    "use_spot: false, or leave ends: out and give a store: for what is to stay");
    if (candidate.local_disk)
      return refuse("not with local_disk", "what is on a machine's own disks is lost when it stops",
                    "leave local_disk out (the root disk stays: disk_size), or leave ends: out");
  }
  return {};
}

Result<std::string> parse_store(std::string_view text) {
  if (lower(trim(text)) == "none") return std::string();
  TRY_SET(place, "", parse_store_place(trim(text)));
  return uri_of(place);
}

Result<Task> parse_task(std::string_view yaml, std::string_view file, const Decided& decided) {
  auto reading = read_task(yaml, file, decided);
  if (!reading.found.empty()) return fail(std::move(reading.found));
  return std::move(reading.task);
}

namespace {

Reading not_read(Error error) { return Reading{{}, {std::move(error)}, false}; }

Reading read_root(const Node& root, std::string_view yaml, std::string_view file, const Decided& decided) {
  if (root.type == Type::null) {
    return not_read(
        complain(file, root.at, "the task file is empty", {}, "the least it needs is 'run: python train.py'").value());
  }
  if (root.type != Type::map) {
    return not_read(complain(file, root.at,
                             fmt::format("a task file is a mapping of fields, not {}", called(root.type)), {},
                             "write 'name: value' lines, with a space after the colon")
                        .value());
  }
  if (auto other = other_tools_file(root, file)) return not_read(*std::move(other));
  Reading out;
  check_fields(file, root, "task", out.task.not_yet, out.found);
  out.hardware = TaskReader(file, out.task, out.found, decided).read(root);
  out.task.may_be_skypilots = may_be_skypilots(root);
  in_order(out.found, file);
  explain_blanks(out.found, yaml, file);
  return out;
}

}  // namespace

Reading read_task(std::string_view yaml, std::string_view file, const Decided& decided) {
  auto all = read_tasks(yaml, file, decided);
  if (all.tasks.size() == 1) return std::move(all.tasks.front());
  return not_read(read_yaml(yaml, file).error());
}

Pipeline read_tasks(std::string_view yaml, std::string_view file, const Decided& decided) try {
  const auto only = [](Error error) { return Pipeline{"", {not_read(std::move(error))}}; };
  const auto read = read_documents(yaml, file);
  if (!read || read->roots.front()->type != Type::map || file.ends_with("Makefile")) {
    if (auto other = other_kind_of_file(yaml, file)) return only(*std::move(other));
  }
  if (!read) return only(unfilled_template(yaml, file).value_or(read.error()));
  Pipeline out{read->name, {}};
  for (const auto& root : read->roots) out.tasks.push_back(read_root(*root, yaml, file, decided));
  return out;
} catch (const std::exception& e) {
  return {"", {not_read(complain(file, {}, "the task file cannot be read", e.what()).value())}};
}

}  // namespace ferry::task
