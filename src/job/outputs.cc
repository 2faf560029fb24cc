#include "job/outputs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <set>

#include "base/hash.h"
#include "base/text.h"
#include "job/local_log.h"
#include "sync/globs.h"
#include "sync/outputs.h"
#include "sync/state.h"

namespace ferry::job {

namespace {

constexpr const char* train_log = "train.log";
constexpr std::string_view own_folder = ".ferry";  // with "-" behind it where the training brought one
constexpr Seconds lock_limit{600};
/// A machine may be hostile: what its list may make us hold.
constexpr std::uint64_t most_outputs = 500'000, most_names = std::uint64_t{64} << 20;

std::vector<std::string> named_in_task(const ledger::Run& run, const char* key) {
  std::vector<std::string> names;
  if (const auto at = run.task.find(key); at != run.task.end() && at->is_array()) {
    for (const auto& one : *at) {
      if (one.is_string()) names.push_back(one.get<std::string>());
    }
  }
  return names;
}

std::vector<std::string> named_outputs(const ledger::Run& run) { return named_in_task(run, "outputs"); }

/// The user's umask(2), without a moment in which it is another: threads make files meanwhile.
std::uint32_t umask_now() {
  const auto status = os::read_file("/proc/self/status", 65536);
  const auto at = status ? status->find("Umask:") : std::string::npos;
  if (at == std::string::npos) return 022;
  return static_cast<std::uint32_t>(std::strtoul(status->c_str() + at + 6, nullptr, 8)) & 0777;
}

Result<sync::Report> pull(Connection& connection, const fleet::RunDir& run_dir, const ledger::Run& run,
                          const os::Argv& selection, const sync::Options& options) {
  os::Argv words = {"send", connection.paths().workdir};
  words.insert(words.end(), selection.begin(), selection.end());
  TRY_SET(sender, "", connection.start_agent_program(words));
  auto report =
      sync::receive_tree(sender.out.get(), sender.in.get(), run.output_dir, receive_options(run_dir, options));
  if (!report) {
    auto error =
        report.error().kind == Kind::cancelled ? std::move(report).error() : explain(sender, std::move(report).error());
    sender.signal(SIGKILL);
    return tl::unexpected<Error>(std::move(error));
  }
  return report;  // the sender has heard so, and ends by itself
}

/// Sorts what the task names: what is not there at all, and what is there only as it went over.
Status look_for(const std::vector<std::string>& named, Outputs& outputs) {
  if (named.empty()) return {};
  TRY_SET(all, "", sync::Globs::parse(named));
  TRY_SET(made, "", sync::Globs::parse(named));
  for (const auto& entry : outputs.report.entries) {
    // A link that stayed one stands for whatever it points to.
    const bool run_dir = entry.type != sync::Type::file;
    all.reach(entry.path, run_dir);
    if (!entry.as_sent && entry.type != sync::Type::folder) made.reach(entry.path, run_dir);
  }
  outputs.missing = all.unmatched();
  outputs.unmade = made.unmatched();
  std::erase_if(outputs.unmade, [&](const std::string& one) {
    return std::find(outputs.missing.begin(), outputs.missing.end(), one) != outputs.missing.end();
  });
  return {};
}

/// Adds what came first, and not a second time.
void merge(sync::Report& into, sync::Report first) {
  std::set<std::string> there;
  for (const auto& entry : into.entries) there.insert(entry.path);
  for (auto& entry : first.entries) {
    if (there.contains(entry.path)) continue;
    into.files += entry.type == sync::Type::file ? 1 : 0;
    into.bytes += entry.size;
    into.entries.push_back(std::move(entry));
  }
  into.files_moved += first.files_moved;
  into.bytes_moved += first.bytes_moved;
  into.wire_bytes += first.wire_bytes;
  const auto add = [](std::vector<std::string>& lines, std::vector<std::string>& more) {
    for (auto& line : more) {
      if (std::find(lines.begin(), lines.end(), line) == lines.end()) lines.push_back(std::move(line));
    }
  };
  add(into.notes, first.notes);
  add(into.left_out, first.left_out);
}

/// True of what has, or begins with, a name that ferry gives to something of its own at home.
bool may_stand_in_the_way(std::string_view path) {
  return path == train_log || path == record_file ||
         (path.starts_with(own_folder) && path.find('/') == std::string::npos);
}

/// Such names that the training brought, as the ledger has noted them.
std::set<std::string> noted_beside(fleet::Context& context, const std::string& run) {
  std::set<std::string> names;
  const auto objects = context.ledger.objects(run).value_or(std::vector<ledger::Object>());
  for (const auto& object : objects) {
    if (may_stand_in_the_way(object.path)) names.insert(object.path);
  }
  return names;
}

/// Outputs do not wait for an agent that cannot start (on a full disk) or does not answer. Where it noted
/// nothing either, nothing is known to be older than the run.
Result<agent::JobStatus> when_it_ran(Connection& connection) {
  auto status = connection.job();
  if (status) return status;
  const auto& error = status.error();
  const bool may_come_back = error.kind == Kind::lost || error.kind == Kind::timeout;
  return may_come_back && error.code != no_agent_code ? std::move(status) : connection.noted_job();
}

/// A file's time comes from the kernel's coarse clock, which lags by up to a tick (10 ms).
std::string moment(std::int64_t ms) { return std::to_string(ms > 50 ? ms - 50 : 0); }

os::Argv about_run(const Connection& connection, std::int64_t job_began_ms) {
  return {"--sent", connection.paths().run_dir + "-sync.state", "--since", moment(job_began_ms)};
}

/// Brings what there is; what could not come is in the report.
Result<Outputs> bring(Connection& connection, const fleet::RunDir& run_dir, const ledger::Run& run,
                      const sync::Options& options, const std::optional<agent::JobStatus>& ended) {
  const auto named = named_outputs(run);
  TRY_SET(job, "", ended ? Result<agent::JobStatus>(*ended) : when_it_ran(connection));
  Outputs outputs;
  TRY_SET(report, "", pull(connection, run_dir, run, selection_of(connection, run, job.started_ms), options));
  outputs.report = std::move(report);
  TRY("", look_for(named, outputs));
  // Nobody said what the outputs are, and outputs/ has nothing new: then it is whatever the run made.
  const bool has_some = std::ranges::any_of(outputs.report.entries, [](const auto& one) {
    return one.type == sync::Type::file && !one.as_sent && one.path.starts_with("outputs/");  // no checkpoint elsewhere
  });
  const bool unsaid = named.empty() && !has_some;
  if (outputs.missing.empty() && outputs.unmade.empty() && !unsaid) return outputs;
  auto selection = about_run(connection, job.started_ms);
  if (job.run_started_ms > 0) {
    const bool is_own = connection.instance().provider == "ssh";
    for (const auto& place : sync::usual_elsewhere(connection.paths().home, connection.paths().run_dir, is_own))
      selection.insert(selection.end(), {"--elsewhere", place});
    selection.insert(selection.end(), {"--elsewhere-since", moment(job.run_started_ms)});
  }
  TRY_SET(all, "", pull(connection, run_dir, run, selection, options));
  outputs.everything_new = true;
  merge(all, std::move(outputs.report));
  outputs.report = std::move(all);
  return outputs;
}

}  // namespace

Result<os::FileLock> lock_fetch(const fleet::RunDir& run_dir, const sync::Options& options) {
  for (auto left = Millis(lock_limit);; left -= Millis(100)) {
    auto lock = os::FileLock::take(run_dir.fetch_lock(), Millis(100));
    if (lock || lock.error().kind != Kind::timeout || left <= Millis(0)) return lock;
    if (options.cancelled && options.cancelled()) return fail(Kind::cancelled, "stopped waiting");
  }
}

os::Argv selection_of(const Connection& connection, const ledger::Run& run, std::int64_t job_began_ms) {
  auto selection = about_run(connection, job_began_ms);
  const auto named = named_outputs(run);
  for (const auto& one : named.empty() ? std::vector<std::string>{"outputs/"} : named) {
    selection.insert(selection.end(), {"--glob", one});
  }
  for (const auto& one : named_in_task(run, "checkpoints")) selection.insert(selection.end(), {"--glob", one});
  return selection;
}

sync::ReceiveOptions receive_options(const fleet::RunDir& run_dir, const sync::Options& options) {
  sync::ReceiveOptions receive;
  static_cast<sync::Options&>(receive) = options;
  receive.state_file = run_dir.outputs_state();
  receive.without_mode = umask_now();
  receive.most_entries = most_outputs;
  receive.most_list_bytes = most_names;
  return receive;
}

std::uint64_t Outputs::made() const {
  return static_cast<std::uint64_t>(std::count_if(report.entries.begin(), report.entries.end(), [](const auto& one) {
    return one.type == sync::Type::file && !one.as_sent;
  }));
}

std::vector<std::string> Outputs::from_elsewhere() const {
  std::vector<std::string> paths;
  for (const auto& entry : report.entries) {
    if (entry.type == sync::Type::file && entry.path.starts_with(sync::elsewhere_folder))
      paths.push_back(entry.path.substr(entry.path.find('/')));
  }
  return paths;
}

Result<Outputs> fetch_outputs(fleet::Context& context, Connection& connection, const fleet::RunDir& run_dir,
                              const ledger::Run& run, const sync::Options& options,
                              const std::optional<agent::JobStatus>& ended) {
  TRY_SET(lock, "another ferry is fetching this run", lock_fetch(run_dir, options));
  TRY("", os::make_dirs(run.output_dir, 0777 & ~umask_now()));
  TRY_SET(outputs, "", bring(connection, run_dir, run, options, ended));
  TRY("", record_home(context, run.name, outputs.report.entries));
  if (const auto& left = outputs.report.left_out; !left.empty()) {
    return fail(Kind::denied, "some outputs could not be brought home", join(first_few(left), "\n"),
                fmt::format("look at them: ferry ssh {0}; then: ferry fetch {0}; or give them up: ferry down {0} "
                            "--no-fetch",
                            run.name));
  }
  return outputs;
}

Status record_home(fleet::Context& context, const std::string& run, const std::vector<sync::Entry>& entries) {
  std::vector<ledger::Object> objects;
  const auto now = context.clock.now_ms();
  for (const auto& entry : entries) {
    if (entry.type != sync::Type::file && !may_stand_in_the_way(entry.path)) continue;
    objects.push_back({.path = entry.path,
                       .kind = entry.as_sent ? "sent" : "output",
                       .bytes = static_cast<std::int64_t>(entry.size),
                       .sha256 = hex(entry.sha256),
                       .home_ms = now});
  }
  return context.ledger.record_objects(run, objects);
}

std::vector<std::string> tell(const Outputs& outputs, const ledger::Run& run) {
  std::vector<std::string> lines;
  for (const auto& name : outputs.missing)
    lines.push_back(fmt::format("the output '{}' does not exist: the training did not write it", printable(name)));
  for (const auto& name : outputs.unmade)
    lines.push_back(fmt::format("the output '{}' came home as it went over: it is not of this run", printable(name)));
  const auto as_sent = std::count_if(outputs.report.entries.begin(), outputs.report.entries.end(),
                                     [](const auto& one) { return one.type == sync::Type::file && one.as_sent; });
  const auto named = named_outputs(run);
  if (named.empty() && outputs.everything_new && as_sent > 0)
    lines.emplace_back("outputs/ came home as it went over: what is in it is not of this run");
  const auto elsewhere = outputs.from_elsewhere();
  if (!elsewhere.empty()) {
    constexpr std::size_t most = 10;
    std::vector<std::string> shown;
    for (std::size_t i = 0; i < std::min(most, elsewhere.size()); ++i) shown.push_back(printable(elsewhere[i]));
    const auto more = elsewhere.size() > most ? fmt::format(" and {} more", elsewhere.size() - most) : "";
    lines.push_back(fmt::format("the run made nothing in its workdir, but wrote {}{}: below {}/ now", join(shown, ", "),
                                more, sync::elsewhere_folder));
  } else if (outputs.everything_new && outputs.made() > 0) {
    lines.emplace_back(!outputs.missing.empty() || !outputs.unmade.empty()
                           ? "so every file the run made or changed came home instead"
                       : as_sent > 0 ? "so every file that the run made or changed came home"
                                     : "the run made no outputs/, so every file it made or changed came home");
  }
  for (auto& note : first_few(outputs.report.notes)) lines.push_back(std::move(note));
  return lines;
}

std::string sent_outputs(const std::vector<std::string>& named, const sync::Tree& tree) {
  auto globs = sync::Globs::parse(named.empty() ? std::vector<std::string>{"outputs/"} : named);
  if (!globs) return {};
  std::uint64_t files = 0;
  std::string first;
  for (const auto& entry : tree.entries) {
    if (globs->reach(entry.path, entry.type == sync::Type::folder) != sync::Globs::Reach::inside ||
        entry.type == sync::Type::folder)
      continue;
    if (++files == 1) first = entry.path;
  }
  if (files == 0) return {};
  return fmt::format(
      "{} {} among the outputs already and will be sent ({}{}): what the run does not change there is "
      "not its own",
      files, files == 1 ? "file is" : "files are", printable(first), files == 1 ? "" : ", …");
}

os::Path own_place(fleet::Context& context, const ledger::Run& run, const std::string& name) {
  const os::Path home = run.output_dir;
  // The state knows of a fetch that was cut short, the ledger of one whose state is gone.
  const auto received = sync::State::load(fleet::RunDir(context.data, run.name).outputs_state());
  const auto noted = noted_beside(context, run.name);
  const auto brought = [&](const std::string& one) { return received.find(one).has_value() || noted.contains(one); };
  if (!brought(name)) return home / name;
  std::string own(own_folder);
  struct stat info;
  const auto is_taken = [&] {
    if (brought(own)) return true;
    return ::lstat((home / own).c_str(), &info) == 0 && !S_ISDIR(info.st_mode);
  };
  while (is_taken()) own += "-";
  return home / own / name;
}

Status make_home_folder(const os::Path& run_dir) { return os::make_dirs(run_dir, 0777 & ~umask_now()); }

Result<os::Path> write_train_log(fleet::Context& context, const ledger::Run& run, const LogRest& rest) {
  // A name nobody can know and O_EXCL: what the instance sent into this folder may hold a link that leads
  // elsewhere.
  const os::Path place = own_place(context, run, train_log);
  const os::Path temp = place.parent_path() / (".train.log." + random_name(8));
  TRY("", make_home_folder(place.parent_path()));
  TRY_SET(attempts, "", context.ledger.attempts(run.name));
  LogsReader reader(fleet::RunDir(context.data, run.name));
  TRY_SET(fd, "", os::open_file(temp, O_WRONLY | O_CREAT | O_EXCL, 0644));
  std::int64_t length = 0;
  const auto write = [&](std::string_view bytes) -> Status {
    TRY("", os::write_all(fd.get(), bytes));
    length += static_cast<std::int64_t>(bytes.size());
    return {};
  };
  auto written =
      reader.read(static_cast<int>(attempts.size()), [&](const agent::LogChunk& chunk) { return write(chunk.bytes); });
  if (rest) {
    rest(reader.offset(), write);
    written = {};
  }
  struct stat known;
  if (written && ::lstat(place.c_str(), &known) == 0 && S_ISREG(known.st_mode) && known.st_size > length) {
    ::unlink(temp.c_str());
    return place;
  }
  if (written && ::rename(temp.c_str(), place.c_str()) < 0) written = fail_errno("rename train.log");
  if (!written) {
    ::unlink(temp.c_str());
    return fail("write train.log", std::move(written).error());
  }
  return place;
}

std::string read_train_log(fleet::Context& context, const ledger::Run& run, std::uint64_t from) {
  const auto place = own_place(context, run, train_log);
  std::error_code missing;
  if (const auto size = std::filesystem::file_size(place, missing); missing || size <= from) return {};
  const auto text = os::read_file(place);
  return text && text->size() > from ? text->substr(from) : std::string();
}

Status make_results(const os::Path& results) {
  if (os::is_directory(results)) {
    if (::access(results.c_str(), W_OK) < 0) return fail_errno("write to " + results.string());
    return {};
  }
  TRY("", os::make_dirs(results, 0777 & ~umask_now()));
  return os::write_file(results / ".gitignore", "*\n");
}

}  // namespace ferry::job
