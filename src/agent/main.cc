#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/as_root.h"
#include "agent/client.h"
#include "agent/data.h"
#include "agent/preparation.h"
#include "agent/restore.h"
#include "agent/server.h"
#include "agent/stand_in.h"
#include "agent/store_process.h"
#include "base/text.h"
#include "base/version.h"
#include "mux/join.h"
#include "mux/server.h"
#include "os/memory_file.h"
#include "os/process.h"
#include "sync/kept_tree.h"
#include "sync/outputs.h"
#include "sync/packed.h"
#include "sync/sync.h"

namespace ferry::agent {
namespace {

constexpr int failed_code = 125, usage_code = 2;
/// With the laptop: it may be asleep or ask its owner something, and ssh tells when it is gone.
constexpr std::chrono::hours patience{24};

constexpr const char* usage =
    "usage: ferry-agent serve DIR [--orphan-s N] [--no-power-off]\n"
    "           look after one run, its files in DIR; idempotent, returns once it is served\n"
    "       ferry-agent connect DIR [--orphan-s N] [--no-power-off] [--after COMMAND]\n"
    "           standard input and output to the agent of DIR, which is started if need be;\n"
    "           --after: once the command, of sh, has ended well (preparation.h)\n"
    "       ferry-agent mux\n"
    "           serve a connection: run what it asks for (mux/server.h)\n"
    "       ferry-agent mux-join TOKEN\n"
    "           give that connection another link (mux/join.h)\n"
    "       ferry-agent send ROOT [--glob G]... [--sent FILE] [--since MS]\n"
    "           [--elsewhere DIR]... [--elsewhere-since MS] [--settle MS] [--hashes FILE] [--as-root]\n"
    "           send outputs over standard input and output: what matches a G, or all that was made since "
    "FILE\n"
    "           noted what came (receive --state); links bring what was written since MS (since 1970);\n"
    "           where nothing was made, what was written in a DIR; --as-root: do not try sudo;\n"
    "           --settle: a file that changed less than MS ago, or is being written, is only named;\n"
    "           --hashes: FILE remembers the hashes of files that have not changed since\n"
    "       ferry-agent receive ROOT [--mirror] [--state FILE] [--contents DIR]\n"
    "           receive one; FILE remembers what was received; DIR has contents of other runs (sync/content_store.h)\n"
    "       ferry-agent keep ROOT --state FILE --contents DIR\n"
    "           move what was received there, and nobody touched since, into DIR, for other runs\n"
    "       ferry-agent restore DIR [--alone]\n"
    "           bring back what a run has stored; standard input says of which (restore.h);\n"
    "           --alone: also when whoever asked is gone\n"
    "       ferry-agent stand-in DIR\n"
    "           on a machine that AWS started in the place of one that is gone: goes on with the run of which\n"
    "           standard input says (stand_in.h); started by the machine's user-data, not by hand\n"
    "       ferry-agent store DIR [--as-root --done STATUS --with NAME=VALUE...]\n"
    "           keep the store of the run in DIR; started by its agent, not by hand\n"
    "       ferry-agent data DIR\n"
    "           for the run in DIR: copy data sets of S3, as standard input says (agent/data_order.h)\n"
    "       ferry-agent unpacked PROGRAM ARGUMENT...\n"
    "           run a program; its standard input is a file that came here packed (sync/packed.h)\n"
    "       ferry-agent --version\n";

/// What follows the command, understood as far as the command allows.
struct Arguments {
  std::string target;
  std::vector<std::string> words;  ///< all of them
  std::vector<std::string> globs, elsewhere, with;
  std::string state, contents, sent, hashes, done, after;
  std::int64_t orphan_s = 1800, since_ms = 0, elsewhere_since_ms = 0, settle_ms = 0;
  bool no_power_off = false, mirror = false, as_root = false, alone = false;
};

Result<Arguments> parse(const std::vector<std::string>& words, const std::vector<std::string>& allowed) {
  Arguments out;
  out.words = words;
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
    } else if (word == "--as-root") {
      out.as_root = true;
    } else if (word == "--alone") {
      out.alone = true;
    } else if (word == "--mirror") {
      out.mirror = true;
    } else {
      if (++i == words.size()) return fail(Kind::bad_input, word + " needs a value");
      if (word == "--glob") out.globs.push_back(words[i]);
      if (word == "--state") out.state = words[i];
      if (word == "--contents") out.contents = words[i];
      if (word == "--sent") out.sent = words[i];
      if (word == "--hashes") out.hashes = words[i];
      if (word == "--done") out.done = words[i];
      if (word == "--after") out.after = words[i];
      if (word == "--with") out.with.push_back(words[i]);
      if (word == "--elsewhere") out.elsewhere.push_back(words[i]);
      if (word == "--since" || word == "--elsewhere-since") {
        const auto ms = parse_int(words[i]);
        if (!ms || *ms < 0 || *ms > std::int64_t{1} << 43)
          return fail(Kind::bad_input, word + " needs milliseconds since 1970");
        (word == "--since" ? out.since_ms : out.elsewhere_since_ms) = *ms;
      }
      if (word == "--settle") {
        const auto ms = parse_int(words[i]);
        if (!ms || *ms < 1 || *ms > 3'600'000)
          return fail(Kind::bad_input, "--settle needs milliseconds, up to an hour");
        out.settle_ms = *ms;
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
  return {.dir = arguments.target, .orphan = Seconds(arguments.orphan_s), .may_power_off = !arguments.no_power_off};
}

Status connect_as_told(const Arguments& given) {
  const auto options = serve_options(given);
  if (!given.after.empty()) TRY("", prepare(options, given.after, STDIN_FILENO, STDERR_FILENO));
  return connect(options, STDIN_FILENO, STDOUT_FILENO);
}

/// While it lives, standard output gets a line break now and then: a tree that is looked at and hashed for
/// minutes is no silence. What comes before the greeting is skipped there.
class StillAtWork {
 public:
  StillAtWork() : thread_([this] { tell(); }) {}
  ~StillAtWork() {
    {
      const std::lock_guard hold(mutex_);
      done_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  StillAtWork(const StillAtWork&) = delete;
  StillAtWork& operator=(const StillAtWork&) = delete;

 private:
  void tell() {
    std::unique_lock hold(mutex_);
    while (!changed_.wait_for(hold, std::chrono::seconds(10), [&] { return done_; }))
      (void)os::write_all(STDOUT_FILENO, "\n");
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  std::thread thread_;
};

Result<sync::Tree> collect(const Arguments& arguments) {
  std::optional<StillAtWork> telling(std::in_place);
  sync::OutputsQuery query{.globs = arguments.globs,
                           .sent = arguments.sent,
                           .since_ns = arguments.since_ms * 1'000'000,
                           .elsewhere = arguments.elsewhere,
                           .elsewhere_since_ns = arguments.elsewhere_since_ms * 1'000'000,
                           .settle_ns = arguments.settle_ms * 1'000'000};
  TRY_SET(tree, "", sync::collect_outputs(arguments.target, query));
  // (While the run goes on it is left to the fetch at its end.)
  if (!tree.left_out.empty() && ::geteuid() != 0 && arguments.settle_ms == 0) {
    // What the login user cannot read: as root where that is allowed, else by giving ourselves access to what
    // is ours.
    const auto program = os::self_program().string();
    if (!arguments.as_root && may_be_root(program)) {
      telling.reset();
      os::Argv line = {program, "send", "--as-root"};
      line.insert(line.end(), arguments.words.begin(), arguments.words.end());
      go_on_as_root(line);
      telling.emplace();
    }
    query.open_up = true;
    TRY_SET(again, "", sync::collect_outputs(arguments.target, query));
    tree = std::move(again);
  }
  TRY("", sync::hash_tree(arguments.target, tree, arguments.hashes));
  return tree;
}

Status send(const Arguments& arguments) {
  os::ignore_sigpipe();
  sync::Options options;
  options.silence = patience;
  if (!arguments.hashes.empty()) options.list_file = arguments.hashes + ".list";
  auto tree = collect(arguments);
  if (!tree) return sync::refuse_to_send(STDIN_FILENO, STDOUT_FILENO, tree.error(), options);
  TRY("", sync::send_tree(STDIN_FILENO, STDOUT_FILENO, arguments.target, *std::move(tree), options));
  return {};
}

Status receive(const Arguments& arguments) {
  os::ignore_sigpipe();
  sync::ReceiveOptions options;
  options.mirror = arguments.mirror;
  options.state_file = arguments.state;
  options.content_store = arguments.contents;
  options.forgets_entries = true;
  options.silence = patience;
  TRY("", sync::receive_tree(STDIN_FILENO, STDOUT_FILENO, arguments.target, options));
  return {};
}

Status keep(const Arguments& arguments) {
  if (arguments.state.empty() || arguments.contents.empty())
    return fail(Kind::bad_input, "keep needs --state and --contents");
  return sync::keep_run(arguments.contents, arguments.target, arguments.state);
}

struct Command {
  std::string name;
  std::vector<std::string> options;
  Status (*run)(const Arguments&);
};

const std::vector<Command>& commands() {
  static const std::vector<Command> all{
      {"serve", {"--orphan-s", "--no-power-off"}, [](const Arguments& given) { return serve(serve_options(given)); }},
      {"connect", {"--orphan-s", "--no-power-off", "--after"}, connect_as_told},
      {"send",
       {"--glob", "--sent", "--since", "--elsewhere", "--elsewhere-since", "--settle", "--hashes", "--as-root"},
       send},
      {"receive", {"--mirror", "--state", "--contents"}, receive},
      {"keep", {"--state", "--contents"}, keep},
      {"data", {}, [](const Arguments&) { return run_data(STDIN_FILENO, STDOUT_FILENO); }},
      {"restore",
       {"--alone"},
       [](const Arguments& given) { return run_restore(given.target, STDIN_FILENO, STDOUT_FILENO, given.alone); }},
      {"stand-in", {}, [](const Arguments& given) { return run_stand_in(given.target, STDIN_FILENO); }},
      {"store",
       {"--as-root", "--done", "--with"},
       [](const Arguments& given) {
         return run_store_process(
             {.dir = given.target, .done = given.done, .as_root = given.as_root, .with = given.with});
       }},
  };
  return all;
}

/// Becomes the program. A shell reads its script a byte at a time from a pipe, and in blocks from a file.
Status run_unpacked(std::vector<std::string> words) {
  constexpr std::size_t most = std::size_t{4} << 20;
  TRY_SET(packed, "", os::read_to_end(STDIN_FILENO, most));
  TRY_SET(input, "the program's input", sync::unpack(packed, most));
  TRY_SET(file, "give the program its input", os::file_in_memory("input", input));
  if (::dup2(file.get(), STDIN_FILENO) < 0) return fail_errno("give the program its input");
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  return fail_errno("run " + words[0]);
}

int complain(const Error& error, int code) {
  std::fprintf(stderr, "ferry-agent: %s\n", describe(error).c_str());
  return code;
}

int dispatch(const std::vector<std::string>& words) {
  const std::string name = words.empty() ? "" : words[0];
  if (name == "--version") return std::puts(("ferry-agent " + ferry_version()).c_str()) < 0 ? failed_code : 0;
  if (name == "--help") return std::fputs(usage, stdout) < 0 ? failed_code : 0;
  if (name == "mux" && words.size() == 1) {
    const auto served = mux::serve(STDIN_FILENO, STDOUT_FILENO);
    return served ? 0 : complain(served.error(), failed_code);
  }
  if (name == "mux-join" && words.size() == 2) {
    const auto joined = mux::join(words[1], STDIN_FILENO, STDOUT_FILENO);
    return joined ? 0 : complain(joined.error(), failed_code);
  }
  if (name == "unpacked" && words.size() > 1) {
    const auto ran = run_unpacked({words.begin() + 1, words.end()});
    return complain(ran.error(), failed_code);
  }
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
