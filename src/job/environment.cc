#include "job/environment.h"

#include "agent/preparation.h"
#include "base/text.h"
#include "job/long_command.h"
#include "job/mounts.h"
#include "job/requirements.h"

extern "C" {
extern const char ferry_embed_scratch_sh[], ferry_embed_scratch_sh_end[];
extern const char ferry_embed_container_sh[], ferry_embed_container_sh_end[];
extern const char ferry_embed_environment_facts_sh[], ferry_embed_environment_facts_sh_end[];
extern const char ferry_embed_environment_key_sh[], ferry_embed_environment_key_sh_end[];
extern const char ferry_embed_environment_sh[], ferry_embed_environment_sh_end[];
extern const char ferry_embed_queue_sh[], ferry_embed_queue_sh_end[];
}

namespace ferry::job {

namespace {

constexpr std::string_view answer_mark = "ferry-env:", scratch_mark = "ferry-scratch:";

std::string last_lines(std::string_view text, std::size_t count) {
  auto lines = split(trim(text), '\n');
  // pip tells each of its tries at length: none of them is why it failed.
  const auto is_retry = [](const std::string& line) { return line.find("Retrying (Retry(") != line.npos; };
  std::erase_if(lines, is_retry);
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
  std::string out;
  for (const auto& line : lines) out += (out.empty() ? "" : "\n        ") + short_line(line);
  return out;
}

/// What the user may do when it failed.
std::string advice(const std::string& kind) {
  if (kind == "docker") return "mend what is named there, or write  environment: auto";
  return "mend what the workdir asks for, install it in setup, or write  environment: none";
}

/// The names of the task's variables; their values may be secrets.
std::string variable_names(const task::Task& task) {
  std::vector<std::string> names;
  for (const auto* variables : {&task.envs, &task.secrets}) {
    for (const auto& [name, value] : *variables) names.push_back(name);
  }
  return join(names, " ");
}

/// The JSON of the answer's last line; null where that is none.
Json facts_in(std::string_view answer) {
  const auto at = answer.rfind(answer_mark);
  if (at == answer.npos) return {};
  const auto line = answer.substr(at + answer_mark.size());
  const auto facts = parse_json(trim(line.substr(0, line.find('\n'))));
  return facts && facts->is_object() ? *facts : Json();
}

/// FOLDER TAB BYTES TAB NOTE, from the answer's line about scratch space.
void note_scratch(fleet::Context& context, std::string_view answer, Json& facts) {
  const auto at = answer.find(scratch_mark);
  if (at == answer.npos) return;
  const auto line = answer.substr(at + scratch_mark.size());
  const auto parts = split(line.substr(0, line.find('\n')), '\t');
  if (parts.size() != 3) return;
  facts["scratch"] = {{"folder", parts[0]}, {"bytes", parse_int(parts[1]).value_or(0)}};
  if (!parts[2].empty()) context.progress.warn("setup", short_line(parts[2]) + "; scratch is on the root disk");
}

}  // namespace

bool is_rented(const ledger::Instance& instance) {
  return instance.provider == "aws" && !instance.address.starts_with("127.") && instance.address != "localhost";
}

std::string Environment::setup(const std::string& script) const {
  return activate + (container ? "ferry_inside " + shell_quoted(links + script) + "\n" : links + script);
}

std::string Environment::training(const std::string& script) const {
  const auto text =
      activate + (container ? "ferry_inside " + shell_quoted(links + script) + " last\n" : links + script);
  if (back.empty() && mounted.places.empty()) return text;
  // Whoever ends the training asks this shell, too, which then has its grace for what follows.
  return std::string(agent::outlives_its_end) + mounted.before_training() + "bash -c " + shell_quoted(text) +
         "\nferry_code=$?\n" + mounted.after_training() + back + "exit $ferry_code\n";
}

std::string Environment::scratch(const Connection& connection) const {
  const auto at = facts.find("scratch");
  const auto folder = at == facts.end() ? std::string() : text_at(*at, "folder");
  return folder.starts_with('/') ? folder : connection.paths().run_dir + "/scratch";
}

Status check_environment(const task::Task& task, const os::Path& workdir) {
  const auto& interrupt = task.environment;
  if (interrupt.kind == "docker" || interrupt.kind == "none") return {};
  const auto made_by_setup = [&](const std::string& file) {
    return task.setup.find(os::Path(file).filename().string()) != std::string::npos;
  };
  if (!interrupt.file.empty()) {
    if (os::Path(interrupt.file).is_absolute() || interrupt.file.starts_with('~') || made_by_setup(interrupt.file) ||
        os::exists(workdir / interrupt.file))
      return {};
    return fail(Kind::bad_input, "the file that environment names does not exist: " + printable(interrupt.file),
                "it was looked for in " + workdir.string(), "check the name, or the workdir");
  }
  // As find_requirements() looks for them.
  static const std::map<std::string, std::vector<std::string>> files = {
      {"uv", {"uv.lock", "pyproject.toml", "setup.py"}},
      {"venv", {"requirements.txt", "pyproject.toml", "setup.py"}},
      {"conda", {"conda-lock.yml", "environment.yml", "environment.yaml"}}};
  const auto known = files.find(interrupt.kind);
  if (known == files.end() || !interrupt.name.empty()) return {};
  for (const auto& file : known->second)
    if (os::exists(workdir / file) || made_by_setup(file)) return {};
  return fail(Kind::bad_input, "environment: " + interrupt.kind + " has nothing to be made from",
              fmt::format("{} has no {}", workdir.string(), join(known->second, ", no ")),
              interrupt.kind == "conda" ? "add one; or name an environment that the machine has: {kind: conda, name: …}"
                                        : "add one, or leave environment out");
}

std::string queue_line(int gpus) {
  return fmt::format("ferry_wanted={}\n{}", gpus, std::string_view(ferry_embed_queue_sh, ferry_embed_queue_sh_end));
}

std::string describe_environment(const Json& facts) {
  std::vector<std::string> parts;
  if (const auto python = text_at(facts, "python"); !python.empty()) parts.push_back("python " + python);
  if (facts.contains("packages") && facts["packages"].is_object()) {
    for (const char* name : {"torch", "tensorflow", "jax", "xgboost", "scikit-learn"}) {
      if (parts.size() > 2) break;
      if (const auto version = text_at(facts["packages"], name); !version.empty())
        parts.push_back(std::string(name) + " " + version);
    }
  }
  if (const auto cuda = text_at(facts, "cuda"); !cuda.empty()) parts.push_back("CUDA " + cuda);
  if (const auto driver = text_at(facts, "driver"); !driver.empty()) parts.push_back("driver " + driver);
  if (const auto made = text_at(facts, "made"); !made.empty()) parts.push_back(made);
  if (facts.contains("scratch")) {
    const auto bytes = int_at(facts["scratch"], "bytes");
    if (bytes > 0)
      parts.push_back(fmt::format("scratch {} at {}", show_bytes(static_cast<std::uint64_t>(bytes)),
                                  text_at(facts["scratch"], "folder")));
  }
  return short_line(join(parts, " · "));
}

EnvironmentPlan plan_environment(const Connection& connection, const task::Task& task,
                                 const std::string& requirements_file, const std::string& installers, Mounted mounted) {
  EnvironmentPlan plan;
  const auto& wish = task.environment;
  plan.kind = wish.kind == "auto" && installs_itself(task.setup) ? "present" : wish.kind;
  const std::string activate = connection.paths().run_dir + "-env.sh";
  plan.task = &task;
  std::vector<std::string> given = {plan.kind,
                                    wish.name,
                                    wish.file,
                                    activate,
                                    is_rented(connection.instance()) ? "1" : "0",
                                    variable_names(task),
                                    requirements_file,
                                    installers};
  given.insert(given.end(), task.run_options.begin(), task.run_options.end());
  const auto words = shell_quoted(given);
  const auto command = fmt::format("cd {} && exec bash -s {}", shell_quoted(connection.paths().workdir), words);
  agent::StandInStep step{.what = "make the environment", .command = command};
  for (const auto script : {std::string_view(ferry_embed_scratch_sh, ferry_embed_scratch_sh_end),
                            std::string_view(ferry_embed_container_sh, ferry_embed_container_sh_end),
                            std::string_view(ferry_embed_environment_key_sh, ferry_embed_environment_key_sh_end),
                            std::string_view(ferry_embed_environment_facts_sh, ferry_embed_environment_facts_sh_end),
                            std::string_view(ferry_embed_environment_sh, ferry_embed_environment_sh_end)})
    step.input += script;
  auto& made = plan.made;
  made.container = plan.kind == "docker";
  made.activate = ". " + shell_quoted(activate) + "\n";
  made.links = link_line(task, made.scratch(connection), mounted.places, mounted.volumes);
  made.steps = mounted.steps;
  made.steps.push_back(std::move(step));
  made.mounted = std::move(mounted);
  return plan;
}

Result<Environment> made_environment(fleet::Context& context, const Connection& connection, EnvironmentPlan plan,
                                     const os::Output& said) {
  if (said.exit.code != 0 || said.out.find(answer_mark) == std::string::npos) {
    const auto why = last_lines(said.err, 8);
    return fail(said.err.find("No space left") != std::string::npos ? Kind::disk_full : Kind::bad_input,
                "the training's environment cannot be had on this machine", why, advice(plan.kind));
  }
  auto made = std::move(plan.made);
  made.facts = facts_in(said.out);
  note_scratch(context, said.out, made.facts);
  made.summary = describe_environment(made.facts);
  made.links = link_line(*plan.task, made.scratch(connection), made.mounted.places, made.mounted.volumes);
  return made;
}

Json noted_facts(Connection& connection) {
  constexpr std::size_t most_noted = agent::most_preparation_said + 200;
  const auto look =
      fmt::format("head -c {} {} 2>/dev/null", most_noted,
                  shell_quoted(fmt::format("{}/{}", connection.paths().run_dir, agent::preparation_file)));
  const auto noted = connection.session().run(look, {}, Millis(30'000));
  return noted ? facts_in(noted->out) : Json();
}

Result<Environment> prepare_environment(fleet::Context& context, Connection& connection, EnvironmentPlan plan) {
  context.progress.begin("setup", "looking at the environment");
  const auto show = [&](std::string_view line) { context.progress.update(short_line(line, 200)); };
  TRY_SET(said, "",
          run_for_long(context, connection.session(), plan.step().command, plan.step().input,
                       "the environment was made", show));
  return made_environment(context, connection, std::move(plan), said);
}

}  // namespace ferry::job
