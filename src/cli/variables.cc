#include "cli/variables.h"

#include "base/text.h"
#include "cli/command.h"
#include "os/env.h"

namespace ferry::cli {

namespace {

constexpr std::size_t most_of_an_env_file = std::size_t{2} << 20;

/// What is left open in the file is taken from the environment; names still open stay in `missing`.
void fill_from_environment(std::vector<std::string>& missing, std::map<std::string, std::string>& values) {
  std::erase_if(missing, [&](const std::string& key) {
    if (values.contains(key)) return true;
    const auto value = os::env(key.c_str());
    if (value) values[key] = *value;
    return value.has_value();
  });
}

/// The lines of an --env-file or --secrets-file: KEY=VALUE, export KEY=VALUE, KEY='VALUE', KEY alone (from this
/// environment); empty lines and those that begin with # say nothing.
Status lay_env_file(const std::string& flag, const std::string& path, std::map<std::string, std::string>& values,
                    std::vector<std::string>& missing) {
  if (!os::exists(path))
    return fail(Kind::bad_input, fmt::format("{}: no such file: {}", flag, printable(path)),
                "it is looked for from this folder", "write KEY=VALUE lines into it, or leave the option out",
                mistake_code);
  TRY_SET(text, flag, os::read_file(path, most_of_an_env_file));
  std::size_t number = 0;
  for (const auto& written : split(text, '\n')) {
    ++number;
    auto line = trim(written);
    if (line.empty() || line.starts_with('#')) continue;
    if (line.starts_with("export ")) line = trim(line.substr(7));
    const auto equals = line.find('=');
    const std::string key(trim(line.substr(0, equals)));
    TRY(fmt::format("{} {}:{}", flag, printable(path), number), task::check_variable_name(key));
    if (equals == line.npos) {
      missing.push_back(key);
      continue;
    }
    auto value = trim(line.substr(equals + 1));
    const bool quoted = value.size() > 1 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0];
    if (quoted) value = value.substr(1, value.size() - 2);
    values[key] = value;
  }
  return {};
}

}  // namespace

Status lay_variables(const TaskOptions& options, task::Task& task) {
  for (const auto& path : options.env_files) TRY("", lay_env_file("--env-file", path, task.envs, task.missing_envs));
  for (const auto& path : options.secrets_files)
    TRY("", lay_env_file("--secrets-file", path, task.secrets, task.missing_secrets));
  for (const auto& one : options.envs) {
    const auto equals = one.find('=');
    const auto key = one.substr(0, equals);
    if (key.empty())
      return fail(Kind::bad_input, "--env needs KEY=VALUE, not '" + printable(one) + "'", {}, "--env LR=0.1",
                  mistake_code);
    if (equals != std::string::npos) {
      task.envs[key] = one.substr(equals + 1);
    } else {
      task.missing_envs.push_back(key);
    }
    TRY("--env", task::check_variable_name(key));
  }
  for (const auto& key : options.secrets) {
    if (key.empty() || key.find('=') != std::string::npos) {
      return fail(Kind::bad_input, "--secret takes the name of an environment variable, not a value",
                  "words of a command line can be read by every user of this computer",
                  "export the value, then pass --secret NAME");
    }
    TRY("--secret", task::check_variable_name(key));
    task.missing_secrets.push_back(key);
  }
  fill_from_environment(task.missing_envs, task.envs);
  fill_from_environment(task.missing_secrets, task.secrets);
  return {};
}

}  // namespace ferry::cli
