#include "job/git_workdir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "base/hash.h"
#include "base/text.h"
#include "os/env.h"
#include "os/process.h"
#include "sync/repository.h"

namespace ferry::job {

namespace {

constexpr std::chrono::hours unused_clones_stay{24 * 30};
constexpr std::size_t most_said = std::size_t{16} << 20;

bool is_hash(std::string_view text) {
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return text.size() >= 7 && text.size() <= 64 && std::ranges::all_of(text, is_digit);
}
bool is_whole_hash(std::string_view text) { return is_hash(text) && (text.size() == 40 || text.size() == 64); }

/// One repository on its way here.
class Cloning {
 public:
  Cloning(const task::GitSource& git, const CloneOptions& options)
      : git_(git), options_(options), repository_(options.cache / hex(sha256(git.url)).substr(0, 16)) {}

  Result<Clone> run() {
    if (!os::find_program("git"))
      return fail(Kind::bad_input, "the workdir is a git repository, and git is not on this computer", {},
                  "install git, or clone it elsewhere and write workdir: FOLDER");
    TRY("make the folder for clones", os::make_dirs(repository_, 0700));
    // A whole hash that is here needs no question.
    if (is_whole_hash(git_.ref) && take_known(git_.ref)) return clone(git_.ref);
    options_.tell(fmt::format("looking for {}", task::show(git_)));
    TRY_SET(name, "", find_ref());
    if (!commit_.empty() && take_known(commit_)) return clone(commit_);
    options_.tell(fmt::format("cloning {}", task::show(git_)));
    new_ = repository_ / fmt::format(".new-{}", ::getpid());
    TRY("", os::remove_all(new_));
    auto made = fetch(name);
    if (!made) {
      (void)os::remove_all(new_);
      return tl::unexpected<Error>(std::move(made).error());
    }
    auto kept = keep();
    (void)os::remove_all(new_);
    TRY("", std::move(kept));
    remove_unused();
    return clone(commit_);
  }

 private:
  struct Said {
    int code = 0;
    std::string out, err;
  };

  os::Path folder_of(const std::string& commit) const { return repository_ / commit / repository_name(git_.url); }
  Clone clone(const std::string& commit) const { return {folder_of(commit), commit}; }
  os::Path at() const { return new_ / repository_name(git_.url); }

  /// The login goes by the environment, which other users cannot read, and into no file.
  void add_login(os::SpawnOptions& options) const {
    auto login = git_.login;
    const bool is_web = lower(git_.url.substr(0, 8)).starts_with("http");
    if (login.empty() && is_web) login = os::env("GIT_TOKEN").value_or("");
    if (login.empty() || !is_web) return;
    const auto host = git_.url.find("://") + 3;
    const auto server = git_.url.substr(0, git_.url.find('/', host)) + "/";
    const auto others = parse_int(os::env("GIT_CONFIG_COUNT").value_or("0")).value_or(0);
    options.env["GIT_CONFIG_COUNT"] = std::to_string(others + 1);
    options.env[fmt::format("GIT_CONFIG_KEY_{}", others)] =
        fmt::format("url.{}{}@{}.insteadOf", server.substr(0, host), login, server.substr(host));
    options.env[fmt::format("GIT_CONFIG_VALUE_{}", others)] = server;
  }

  std::string without_secrets(std::string text) const {
    auto secrets = std::vector<std::string>{git_.login, os::env("GIT_TOKEN").value_or("")};
    if (const auto colon = git_.login.find(':'); colon != std::string::npos)
      secrets.push_back(git_.login.substr(colon + 1));
    for (const auto& secret : secrets) {
      for (auto at = text.find(secret); !secret.empty() && at != std::string::npos; at = text.find(secret, at + 3))
        text.replace(at, secret.size(), "***");
    }
    return text;
  }

  /// git in `folder`. Every exit code is a value.
  Result<Said> ask(const os::Path& folder, os::Argv words) {
    const os::TempDir said("ferry-git");
    // A server that is silent for a minute is no server; a folder's submodules may be folders.
    os::Argv all = {"-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60", "-c", "advice.detachedHead=false"};
    if (is_local()) all.insert(all.end(), {"-c", "protocol.file.allow=always"});
    all.insert(all.end(), words.begin(), words.end());
    auto spawn = sync::git_command(folder, all);
    add_login(spawn);
    if (!options_.may_prompt) {
      spawn.env["GIT_TERMINAL_PROMPT"] = "0";
      spawn.env["SSH_ASKPASS_REQUIRE"] = "never";
      spawn.new_session = true;  // without a terminal, ssh cannot ask either
    }
    if (const auto key = os::env("GIT_SSH_KEY_PATH"); key && !os::env("GIT_SSH_COMMAND"))
      spawn.env["GIT_SSH_COMMAND"] = "ssh -o IdentitiesOnly=yes -i " + shell_quoted(*key);
    spawn.die_with_parent = true;
    TRY_SET(out, "", os::open_file(said.path() / "out", O_CREAT | O_WRONLY, 0600));
    TRY_SET(err, "", os::open_file(said.path() / "err", O_CREAT | O_WRONLY, 0600));
    spawn.out_fd = out.get();
    spawn.err_fd = err.get();
    TRY_SET(process, "start git", os::Process::spawn(spawn));
    std::optional<os::Exit> ended;
    while (!(ended = process.wait(Millis(100)))) {
      if (!options_.is_stopped()) continue;
      process.signal(SIGTERM);
      if (!process.wait(Millis(3000))) process.signal(SIGKILL);
      (void)process.wait(Millis(3000));
      return fail(Kind::cancelled, "not cloned: " + git_.url);
    }
    TRY_SET(told, "", os::read_file(said.path() / "out", most_said));
    TRY_SET(complained, "", os::read_file(said.path() / "err", most_said));
    return Said{ended->code, told, without_secrets(complained)};
  }

  /// The same; another exit code than 0 is a failure.
  Result<std::string> must(const os::Path& folder, const os::Argv& words) {
    TRY_SET(said, "", ask(folder, words));
    if (said.code != 0) return refused(said);
    return said.out;
  }

  bool is_local() const { return git_.url.starts_with('/') || git_.url.starts_with("file://"); }

  /// git's own words, the first that say something.
  [[nodiscard]] tl::unexpected<Error> refused(const Said& said) const {
    std::vector<std::string> lines;
    for (const auto& line : split(said.err, '\n')) {
      if (trim(line).empty() || line.starts_with("hint:") || line.starts_with("Cloning into")) continue;
      if (lines.size() < 3) lines.push_back(short_line(trim(line), 300));
    }
    const auto words = lines.empty() ? fmt::format("git exited {}", said.code) : join(lines, "; ");
    // git says by words alone what kind of failure it was.
    constexpr std::array<std::string_view, 8> passing = {
        "Failed to connect",      "Could not resolve host",
        "Connection timed out",   "Connection refused",
        "Network is unreachable", "unable to connect",
        "Operation too slow",     "Temporary failure in name resolution"};
    const bool is_out_of_reach =
        std::ranges::any_of(passing, [&](std::string_view word) { return words.find(word) != std::string::npos; });
    const auto what = fmt::format("{}: the workdir's repository cannot be cloned: {}", git_.at, printable(git_.url));
    if (is_out_of_reach) return fail(Kind::lost, what, words, "look whether this computer reaches it, and try again");
    if (is_local())
      return fail(Kind::bad_input, what, words, "write url: the folder of a git repository, or its address");
    return fail(Kind::bad_input, what, words,
                fmt::format("see what  git ls-remote {}  says here; for a private repository give git its credentials "
                            "(an ssh key, a credential helper, or export GIT_TOKEN=…)",
                            printable(git_.url)));
  }

  /// The full name of the ref, and commit_; of a commit's hash, the hash itself.
  Result<std::string> find_ref() {
    TRY_SET(text, "", must(repository_, {"ls-remote", "--", git_.url}));
    std::map<std::string, std::string> refs;
    for (const auto& line : split(text, '\n')) {
      const auto parts = split(line, '\t');
      if (parts.size() == 2 && is_whole_hash(parts[0])) refs[parts[1]] = parts[0];
    }
    if (refs.empty())
      return fail(Kind::bad_input, fmt::format("{}: there is no commit in {}", git_.at, printable(git_.url)));
    const auto wanted = git_.ref.empty() ? std::string("HEAD") : git_.ref;
    for (const auto& name : {"refs/heads/" + wanted, "refs/tags/" + wanted, wanted, "refs/" + wanted}) {
      const auto found = refs.find(name);
      if (found == refs.end()) continue;
      const auto peeled = refs.find(name + "^{}");
      commit_ = peeled != refs.end() ? peeled->second : found->second;
      return name;
    }
    if (is_hash(git_.ref)) return git_.ref;
    std::vector<std::string> names;
    for (const auto& [name, commit] : refs) {
      for (const std::string_view kind : {"refs/heads/", "refs/tags/"})
        if (name.starts_with(kind) && !name.ends_with("^{}")) names.push_back(name.substr(kind.size()));
    }
    const auto near = nearest(wanted, names);
    if (git_.ref.empty())
      return fail(Kind::bad_input,
                  fmt::format("{}: {} has no branch of its own choice (HEAD)", git_.at, printable(git_.url)),
                  "it has " + join(std::span(names).first(std::min<std::size_t>(names.size(), 5)), ", "),
                  "write workdir: {url: …, ref: BRANCH}");
    return fail(
        Kind::bad_input,
        fmt::format("{}: {} has no branch, tag or commit '{}'", git_.at, printable(git_.url), printable(git_.ref)), {},
        near ? fmt::format("did you mean '{}'?", printable(*near)) : "write ref: a branch, a tag or a commit's hash");
  }

  Status fetch(const std::string& name) {
    TRY("make the folder for the clone", os::make_dirs(at(), 0700));
    TRY("", must(at(), {"init", "--quiet"}));
    TRY("", must(at(), {"remote", "add", "--", "origin", git_.url}));
    const bool may_be_whole = name.starts_with("refs/") || name == "HEAD" || is_whole_hash(name);
    TRY_SET(shallow, "", ask(at(), {"fetch", "--quiet", "--depth=1", "--no-tags", "origin", name}));
    if (may_be_whole && shallow.code == 0) {
      TRY_SET(hash, "", must(at(), {"rev-parse", "--verify", "FETCH_HEAD^{commit}"}));
      commit_ = trim(hash);
    } else {
      TRY("", must(at(),
                   {"fetch", "--quiet", "origin", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"}));
      TRY_SET(found, "", ask(at(), {"rev-parse", "--verify", "--quiet", name + "^{commit}"}));
      commit_ = trim(found.out);
      if (found.code != 0)
        return fail(
            Kind::bad_input,
            fmt::format("{}: {} has no branch, tag or commit '{}'", git_.at, printable(git_.url), printable(name)),
            "it is on none of its branches and tags", "write ref: a branch, a tag or a commit's hash");
    }
    TRY("", check_large_files());
    TRY("", must(at(), {"checkout", "--quiet", "--detach", commit_}));
    if (!os::exists(at() / ".gitmodules")) return {};
    options_.tell("its submodules");
    os::Argv update = {"submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"};
    TRY_SET(done, "", ask(at(), update));
    if (done.code == 0) return {};
    update.pop_back();
    TRY("", must(at(), update));
    return {};
  }

  /// Without git-lfs, what goes over would be files that name other files.
  Status check_large_files() {
    TRY_SET(attributes, "", ask(at(), {"show", commit_ + ":.gitattributes"}));
    if (attributes.code != 0 || attributes.out.find("filter=lfs") == std::string::npos) return {};
    if (os::find_program("git-lfs")) return {};
    return fail(Kind::bad_input, fmt::format("{}: {} keeps large files by git-lfs", git_.at, printable(git_.url)),
                "git-lfs is not on this computer: the training would find names in their place",
                "install git-lfs (git lfs install)");
  }

  /// A clone from before, if nobody changed it.
  bool take_known(const std::string& commit) {
    const auto folder = folder_of(commit);
    if (!os::is_directory(folder)) return false;
    const auto changes = ask(folder, {"status", "--porcelain", "--ignored"});
    if (!changes || changes->code != 0 || !trim(changes->out).empty()) return false;
    std::error_code unimportant;
    std::filesystem::last_write_time(folder.parent_path(), std::filesystem::file_time_type::clock::now(), unimportant);
    return true;
  }

  Status keep() {
    const auto folder = folder_of(commit_);
    TRY("make the folder for the clone", os::make_dirs(folder.parent_path(), 0700));
    std::error_code failed;
    std::filesystem::rename(at(), folder, failed);
    if (!failed) return {};
    // There is one: another ferry's, or one that was changed.
    if (take_known(commit_)) return {};
    TRY("remove a clone that was changed", os::remove_all(folder));
    std::filesystem::rename(at(), folder, failed);
    if (failed && !take_known(commit_)) return fail_errno("keep the clone " + folder.string(), failed.value());
    return {};
  }

  void remove_unused() const {
    const auto now = std::filesystem::file_time_type::clock::now();
    const auto repositories = os::list_dir(options_.cache);
    if (!repositories) return;
    for (const auto& repository : *repositories) {
      const auto commits = os::list_dir(options_.cache / repository);
      if (!commits) continue;
      for (const auto& commit : *commits) {
        const auto folder = options_.cache / repository / commit;
        std::error_code failed;
        const auto used = std::filesystem::last_write_time(folder, failed);
        if (!failed && now - used > unused_clones_stay) (void)os::remove_all(folder);
      }
    }
  }

  const task::GitSource& git_;
  const CloneOptions& options_;
  os::Path repository_, new_;
  std::string commit_;
};

}  // namespace

std::string repository_name(const std::string& url) {
  auto name = url;
  while (name.ends_with('/')) name.pop_back();
  name = name.substr(name.find_last_of("/:") + 1);
  if (name.ends_with(".git")) name.resize(name.size() - 4);
  for (auto& c : name)
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) c = '-';
  return name.empty() || name.starts_with('.') ? "workdir" : name;
}

Result<Clone> clone_workdir(const task::GitSource& git, const CloneOptions& options) {
  return Cloning(git, options).run();
}

}  // namespace ferry::job
