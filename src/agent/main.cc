#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "agent/client.h"
#include "agent/server.h"
#include "base/text.h"
#include "sync/sync.h"

namespace ferry::agent {
namespace {

constexpr int failed_code = 125, usage_code = 2;

constexpr const char* usage =
    "usage: ferry-agent serve DIR [--orphan-s N] [--no-power-off]\n"
    "           look after one run, its files in DIR; idempotent, returns once it is served\n"
    "       ferry-agent connect DIR [--orphan-s N] [--no-power-off]\n"
    "           standard input and output to the agent of DIR, which is started if need be\n"
    "       ferry-agent send ROOT [--glob G]... [--ignore] [--since MS] [--state FILE]\n"
    "           send a tree of files over standard input and output; FILE remembers hashes;\n"
    "           with --since, only files written since then (milliseconds since 1970)\n"
    "       ferry-agent receive ROOT [--mirror] [--state FILE]\n"
    "           receive one; FILE remembers what was received\n"
    "       ferry-agent --version\n";

/// What follows the command, understood as far as the command allows.
struct Arguments {
  std::string target;
  std::vector<std::string> globs;
  std::string state;
  std::int64_t orphan_s = 1800, since_ms = 0;
  bool no_power_off = false, ignore = false, mirror = false;
};

Result<Arguments> parse(const std::vector<std::string>& words, const std::vector<std::string>& allowed) {
  Arguments out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!word.starts_with("--")) {
      if (!out.target.empty()) return fail(Kind::bad_input, "one argument too many: " + word);
      out.target = word;
      continue;
    }
    if (std::find(allowed.begin(), allowed.end(), word) == allowed.end())
      return fail(Kind::bad_input, "unknown option " + word);
    if (word == "--no-power-off") {
      out.no_power_off = true;
    } else if (word == "--ignore") {
      out.ignore = true;
    } else if (word == "--mirror") {
      out.mirror = true;
    } else {
      if (++i == words.size()) return fail(Kind::bad_input, word + " needs a value");
      if (word == "--glob") out.globs.push_back(words[i]);
      if (word == "--state") out.state = words[i];
      if (word == "--since") {
        const auto ms = parse_int(words[i]);
        if (!ms || *ms < 0) return fail(Kind::bad_input, "--since needs milliseconds since 1970");
        out.since_ms = *ms;
      }
      if (word == "--orphan-s") {
        const auto seconds = parse_int(words[i]);
        if (!seconds || *seconds < 1 || *seconds > 366 * 86400)
          return fail(Kind::bad_input, "--orphan-s needs seconds, up to a year");
        out.orphan_s = *seconds;
      }
    }
  }
  if (out.target.empty()) return fail(Kind::bad_input, "a folder is missing");
  return out;
}

ServeOptions serve_options(const Arguments& arguments) {
  return {.dir = arguments.target,
          .orphan = Seconds(arguments.orphan_s),
          .may_power_off = !arguments.no_power_off};
}

/// Folders whose content tools make anew: nobody's outputs.
bool is_made_by_tools(std::string_view path) {
  static const std::set<std::string, std::less<>> folders = {
      "__pycache__",  ".git",   ".venv",         "venv",
      "node_modules", ".cache", ".pytest_cache", ".ipynb_checkpoints"};
  const auto parts = split(path, '/');
  return std::any_of(parts.begin(), parts.end(), [](const auto& part) { return folders.contains(part); });
}

/// Leaves the files written since `ms` and the folders that lead to them.
void keep_only_since(sync::Tree& tree, std::int64_t ms) {
  std::set<std::string> kept;
  tree.files = tree.bytes = 0;
  for (const auto& entry : tree.entries) {
    if (entry.type != sync::Type::file || entry.mtime_ns / 1'000'000 < ms) continue;
    if (is_made_by_tools(entry.path)) continue;
    ++tree.files;
    tree.bytes += entry.size;
    kept.insert(entry.path);
    for (auto slash = entry.path.find('/'); slash != std::string::npos;
         slash = entry.path.find('/', slash + 1)) {
      kept.insert(entry.path.substr(0, slash));
    }
  }
  std::erase_if(tree.entries, [&](const sync::Entry& entry) { return !kept.contains(entry.path); });
}

Status send(const Arguments& arguments) {
  os::ignore_sigpipe();
  TRY_SET(tree, "",
          sync::scan(arguments.target, {.ignore_rules = arguments.ignore, .globs = arguments.globs}));
  if (arguments.since_ms > 0) keep_only_since(tree, arguments.since_ms);
  TRY("", sync::hash_tree(arguments.target, tree, arguments.state));
  TRY("", sync::send_tree(STDIN_FILENO, STDOUT_FILENO, arguments.target, std::move(tree)));
  return {};
}

Status receive(const Arguments& arguments) {
  os::ignore_sigpipe();
  sync::ReceiveOptions options;
  options.mirror = arguments.mirror;
  options.state_file = arguments.state;
  TRY("", sync::receive_tree(STDIN_FILENO, STDOUT_FILENO, arguments.target, options));
  return {};
}

struct Command {
  std::string name;
  std::vector<std::string> options;
  Status (*run)(const Arguments&);
};

const std::vector<Command>& commands() {
  static const std::vector<Command> all{
      {"serve",
       {"--orphan-s", "--no-power-off"},
       [](const Arguments& given) { return serve(serve_options(given)); }},
      {"connect",
       {"--orphan-s", "--no-power-off"},
       [](const Arguments& given) { return connect(serve_options(given), STDIN_FILENO, STDOUT_FILENO); }},
      {"send", {"--glob", "--ignore", "--since", "--state"}, send},
      {"receive", {"--mirror", "--state"}, receive},
  };
  return all;
}

int complain(const Error& error, int code) {
  std::fprintf(stderr, "ferry-agent: %s\n", describe(error).c_str());
  return code;
}

int dispatch(const std::vector<std::string>& words) {
  const std::string name = words.empty() ? "" : words[0];
  if (name == "--version") return std::puts("ferry-agent " FERRY_VERSION) < 0 ? failed_code : 0;
  if (name == "--help") return std::fputs(usage, stdout) < 0 ? failed_code : 0;
  for (const Command& command : commands()) {
    if (command.name != name) continue;
    const auto arguments = parse({words.begin() + 1, words.end()}, command.options);
    if (!arguments) return complain(arguments.error(), usage_code);
    const auto done = command.run(*arguments);
    return done ? 0 : complain(done.error(), failed_code);
  }
  std::fputs(usage, stderr);
  return usage_code;
}

}  // namespace

int agent_main(int argc, char** argv) {
  try {
    return dispatch({argv + std::min(argc, 1), argv + argc});
  } catch (const std::exception& bug) {  // nothing we expect arrives here
    return complain({Kind::bug, bug.what(), "", "", ""}, failed_code);
  }
}

}  // namespace ferry::agent
