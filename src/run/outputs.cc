#include "run/outputs.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>

#include "base/hash.h"
#include "base/text.h"
#include "run/local_log.h"
#include "sync/globs.h"

namespace ferry::run {

namespace {

constexpr Seconds lock_limit{600};

std::vector<std::string> named_outputs(const ledger::Run& run) {
  std::vector<std::string> names;
  if (const auto at = run.task.find("outputs"); at != run.task.end() && at->is_array()) {
    for (const auto& one : *at) {
      if (one.is_string()) names.push_back(one.get<std::string>());
    }
  }
  return names;
}

Result<sync::Report> pull(Link& link, const Folder& folder, const ledger::Run& run, const os::Argv& selection,
                          const sync::Options& options) {
  os::Argv words = {"send", link.paths().workdir};
  words.insert(words.end(), selection.begin(), selection.end());
  TRY_SET(sender, "", link.start_agent_program(words));
  sync::ReceiveOptions receive;
  static_cast<sync::Options&>(receive) = options;
  receive.state_file = folder.outputs_state();
  auto report = sync::receive_tree(sender.out.get(), sender.in.get(), run.home, receive);
  if (!report) {
    auto error = explain(sender, std::move(report).error());
    sender.signal(SIGKILL);
    return tl::unexpected<Error>(std::move(error));
  }
  sender.in.reset();
  sender.wait(Millis(2000));
  return report;
}

Result<std::vector<std::string>> missing_in(const std::vector<std::string>& named,
                                            const sync::Report& report) {
  if (named.empty()) return std::vector<std::string>();
  TRY_SET(globs, "", sync::Globs::parse(named));
  for (const auto& entry : report.entries) globs.reach(entry.path, entry.type == sync::Type::folder);
  return globs.unmatched();
}

}  // namespace

Result<Outputs> fetch_outputs(Doors& doors, Link& link, const Folder& folder, const ledger::Run& run,
                              const sync::Options& options) {
  TRY_SET(lock, "another ferry is fetching this run", os::FileLock::take(folder.fetch_lock(), lock_limit));
  TRY("", os::make_dirs(run.home));
  const auto named = named_outputs(run);
  os::Argv selection;
  for (const auto& one : named.empty() ? std::vector<std::string>{"outputs/"} : named) {
    selection.insert(selection.end(), {"--glob", one});
  }
  Outputs outputs;
  TRY_SET(report, "", pull(link, folder, run, selection, options));
  outputs.report = std::move(report);
  TRY_SET(missing, "", missing_in(named, outputs.report));
  outputs.missing = std::move(missing);
  // Nobody said what the outputs are, and there is no outputs/: then it is whatever the run made.
  const bool unsaid = named.empty() && outputs.report.entries.empty();
  if (!outputs.missing.empty() || unsaid) {
    // Only files that the run made or changed: everything else is on the laptop already.
    TRY_SET(channel, "", link.agent());
    TRY_SET(job, "", channel.client.status());
    if (job.started_ms > 0) {
      // A file's time comes from the kernel's coarse clock, which lags by up to a tick (10 ms).
      const auto since = std::to_string(job.started_ms - 50);
      TRY_SET(all, "", pull(link, folder, run, {"--since", since}, options));
      outputs.everything_new = true;
      outputs.report = std::move(all);
    }
  }
  Json files = Json::array();
  for (const auto& entry : outputs.report.entries) {
    if (entry.type == sync::Type::file) {
      files.push_back({{"path", entry.path}, {"bytes", entry.size}, {"sha256", hex(entry.sha256)}});
    }
  }
  TRY("", doors.ledger.add_event(run.name, "outputs", {{"files", files}, {"missing", outputs.missing}}));
  return outputs;
}

Status write_train_log(const Folder& folder, const ledger::Run& run) {
  // A name nobody can know and O_EXCL: what the instance sent into this folder may hold a link that leads
  // elsewhere.
  const os::Path home(run.home), temp = home / (".train.log." + random_name(8));
  LogReader reader(folder.log());
  TRY_SET(fd, "", os::open_file(temp, O_WRONLY | O_CREAT | O_EXCL, 0644));
  auto written =
      reader.read([&](const agent::LogChunk& chunk) { return os::write_all(fd.get(), chunk.bytes); });
  if (written && ::rename(temp.c_str(), (home / "train.log").c_str()) < 0)
    written = fail_errno("rename train.log");
  if (!written) {
    ::unlink(temp.c_str());
    return fail("write train.log", std::move(written).error());
  }
  return {};
}

Status make_results(const os::Path& results) {
  if (os::is_directory(results)) {
    if (::access(results.c_str(), W_OK) < 0) return fail_errno("write to " + results.string());
    return {};
  }
  TRY("", os::make_dirs(results));
  return os::write_file(results / ".gitignore", "*\n");
}

}  // namespace ferry::run
