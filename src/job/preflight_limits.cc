// What can be told from the task alone: outputs that would match nothing, and what Linux would not start.
#include "agent/protocol.h"
#include "base/text.h"
#include "job/preflight.h"

namespace ferry::job {

namespace {

/// How long the JSON text is; nothing if it holds text that is not UTF-8.
std::optional<std::size_t> measured(const Json& json) {
  try {
    return json.dump().size();
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

}  // namespace

Status check_outputs(const task::Task& task) {
  auto named = task.outputs;
  named.insert(named.end(), task.checkpoints.begin(), task.checkpoints.end());
  for (const auto& output : named) {
    const auto open = output.find('{');
    const bool has_braces = open != std::string::npos && output.find(',', open) != std::string::npos;
    const bool is_unclosed = output.find('[') != std::string::npos && output.find(']') == std::string::npos;
    if (has_braces || is_unclosed)
      return fail(Kind::bad_input, fmt::format("the output '{}' would match nothing", printable(output)),
                  has_braces ? "{a,b} is the shell's own; outputs know *, ?, [ab] and **" : "a [ is never closed",
                  has_braces ? "name each one: -o A -o B, or outputs: [A, B]" : "close it, or write \\[ for itself");
    const os::Path path = output;
    if (!path.is_absolute() && !output.starts_with('~') && std::ranges::count(path, os::Path("..")) == 0) continue;
    return fail(Kind::bad_input, fmt::format("the output '{}' is outside the workdir", printable(output)),
                "only what the training writes below its working folder comes home",
                "write it below the folder that the training starts in, as in outputs/model.pt");
  }
  return {};
}

Status check_start(const task::Task& task) {
  // execve(2): MAX_ARG_STRLEN for one string, and a quarter of the stack's usual 8 MiB for all, in which the
  // machine's own variables and a program's arguments must have room, too.
  constexpr std::size_t most_one = 131'072, most_all = 2'097'152, own_room = 131'072, most_names = 100'000;
  constexpr auto cure = "write it into a file of the workdir, and let the training read that";
  std::size_t all = own_room, names = 0;
  agent::JobSpec spec{.run = "r", .workdir = "/w", .setup = task.setup, .command = task.run};
  const auto add = [&](const auto& variables, auto& into, std::string_view kind) -> Status {
    for (const auto& [name, value] : variables) {
      const auto size = name.size() + value.size() + 2;  // "NAME=value" and its end
      if (size > most_one)
        return fail(Kind::bad_input,
                    fmt::format("the {} {} is too large: {} bytes", kind, short_line(name, 100), value.size()),
                    "Linux starts no program with a variable of more than 131071 bytes, its name included", cure);
      all += size + sizeof(char*);
      names += name.size() + 1;
      into.emplace_back(name, value);
    }
    return {};
  };
  TRY("", add(task.envs, spec.env, "variable"));
  TRY("", add(task.secrets, spec.secrets, "secret"));
  if (all > most_all || names > most_names)
    return fail(Kind::bad_input, fmt::format("variables and secrets together are too large: {} bytes", all - own_room),
                "Linux starts no program with more than 2 MiB of variables and arguments", cure);
  const auto json = agent::to_json(spec);
  TRY("the training could not be started", agent::spec_from(json));
  constexpr std::size_t added = 256 * 1024;  // what ferry puts around the scripts
  const auto size = measured(json);
  if (!size) return fail(Kind::bad_input, "setup, run or a variable is not UTF-8", {}, "save the task file as UTF-8");
  if (*size + added > agent::most_body(agent::FrameType::request))
    return fail(Kind::bad_input, "setup, run and variables together are too large", "the limit is 4 MiB",
                "put long scripts into files of the workdir");
  return {};
}

}  // namespace ferry::job
