#include "os/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "base/text.h"
#include "os/clock.h"
#include "os/env.h"

extern "C" char** environ;

namespace ferry::os {

namespace {

constexpr std::size_t output_limit = std::size_t{64} << 20;

/// Everything the child needs, laid out before fork: after it only async-signal-safe calls are allowed.
struct Prepared {
  std::vector<std::string> env;
  std::vector<char*> argv_pointers, env_pointers;
  Path program;
};

Result<Prepared> prepare(const SpawnOptions& options) {
  Prepared out;
  if (options.argv.empty()) return fail(Kind::bug, "spawn without a program");
  if (options.argv[0].find('/') != std::string::npos) {
    out.program = options.argv[0];
  } else if (auto found = find_program(options.argv[0])) {
    out.program = *found;
  } else {
    return fail(Kind::not_found, "program not found: " + options.argv[0], "it is in no folder of PATH",
                "install " + options.argv[0]);
  }
  if (!options.clean_env) {
    for (char** at = environ; at && *at; ++at) {
      const std::string_view entry = *at;
      if (!options.env.contains(std::string(entry.substr(0, entry.find('='))))) out.env.emplace_back(entry);
    }
  }
  for (const auto& [key, value] : options.env) out.env.push_back(key + "=" + value);
  for (const auto& word : options.argv) out.argv_pointers.push_back(const_cast<char*>(word.c_str()));
  for (auto& entry : out.env) out.env_pointers.push_back(entry.data());
  out.argv_pointers.push_back(nullptr);
  out.env_pointers.push_back(nullptr);
  return out;
}

/// Descriptors the child gets as 0, 1 and 2, and our own ends.
struct Streams {
  std::array<int, 3> child{-1, -1, -1};
  std::array<Fd, 3> held;  // child's ends, to close in the parent
  std::array<Fd, 3> ours;
};

Status open_streams(const SpawnOptions& options, Streams& streams) {
  const std::array<Stream, 3> wanted{options.in, options.out, options.err};
  const std::array<int, 3> given{options.in_fd, options.out_fd, options.err_fd};
  for (std::size_t i = 0; i < 3; ++i) {
    if (given[i] >= 0) {
      streams.child[i] = given[i];
    } else if (wanted[i] == Stream::inherit) {
      streams.child[i] = static_cast<int>(i);
    } else if (wanted[i] == Stream::null) {
      TRY_SET(fd, "", open_file("/dev/null", i == 0 ? O_RDONLY : O_WRONLY));
      streams.held[i] = std::move(fd);
      streams.child[i] = streams.held[i].get();
    } else {
      TRY_SET(pipe, "", make_pipe());
      streams.held[i] = std::move(i == 0 ? pipe.read : pipe.write);
      streams.ours[i] = std::move(i == 0 ? pipe.write : pipe.read);
      streams.child[i] = streams.held[i].get();
    }
  }
  return {};
}

[[noreturn]] void run_child(const SpawnOptions& options, Prepared& prepared, const Streams& streams, int report,
                            pid_t parent) {
  if (options.new_session) ::setsid();
  if (options.new_group) ::setpgid(0, 0);
  if (options.die_with_parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);  // it died before prctl
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number < 32; ++number) std::signal(number, SIG_DFL);
  if (options.ignore_ends) {
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) std::signal(number, SIG_IGN);
  }
  // First out of the way of 0…2, then into place.
  std::array<int, 3> high{};
  for (std::size_t i = 0; i < 3; ++i) high[i] = ::fcntl(streams.child[i], F_DUPFD_CLOEXEC, 10);
  for (std::size_t i = 0; i < 3; ++i) {
    if (high[i] < 0) {
      ::close(static_cast<int>(i));
    } else {
      ::dup2(high[i], static_cast<int>(i));
    }
  }
  for (const int fd : options.keep_fds) ::fcntl(fd, F_SETFD, 0);
  int failed = 0;
  if (!options.cwd.empty() && ::chdir(options.cwd.c_str()) < 0) failed = errno;
  if (!failed) {
    ::execve(prepared.program.c_str(), prepared.argv_pointers.data(), prepared.env_pointers.data());
    failed = errno;
  }
  if (::write(report, &failed, sizeof failed) < 0) ::_exit(126);
  ::_exit(127);
}

Exit exit_of(int status) {
  if (WIFSIGNALED(status)) return {128 + WTERMSIG(status), WTERMSIG(status)};
  return {WEXITSTATUS(status), 0};
}

}  // namespace

Result<Process> Process::spawn(const SpawnOptions& options) {
  TRY_SET(prepared, "", prepare(options));
  Streams streams;
  TRY("", open_streams(options, streams));
  TRY_SET(report, "", make_pipe());
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) run_child(options, prepared, streams, report.write.get(), parent);
  report.write.reset();
  for (auto& fd : streams.held) fd.reset();
  int failed = 0;
  ssize_t got;
  do {
    got = ::read(report.read.get(), &failed, sizeof failed);
  } while (got < 0 && errno == EINTR);
  if (got == sizeof failed) {
    ::waitpid(pid, nullptr, 0);
    return fail_errno("run " + options.argv[0], failed);
  }
  Process process;
  process.pid_ = pid;
  process.group_ = options.new_session || options.new_group;
  process.in = std::move(streams.ours[0]);
  process.out = std::move(streams.ours[1]);
  process.err = std::move(streams.ours[2]);
  return process;
}

Process::Process(Process&& from) noexcept
    : in(std::move(from.in)),
      out(std::move(from.out)),
      err(std::move(from.err)),
      pid_(std::exchange(from.pid_, -1)),
      group_(from.group_),
      exit_(from.exit_) {}

Process& Process::operator=(Process&& from) noexcept {
  std::swap(pid_, from.pid_);
  std::swap(group_, from.group_);
  std::swap(group_, from.group_);
  std::swap(exit_, from.exit_);
  std::swap(in, from.in);
  std::swap(out, from.out);
  std::swap(err, from.err);
  return *this;
}

Process::~Process() {
  if (pid_ > 0 && !exit_) ::waitpid(pid_, nullptr, WNOHANG);
}

std::optional<Exit> Process::wait(Millis limit) {
  if (exit_ || pid_ <= 0) return exit_;
  int status = 0;
  if (limit.count() < 0) {
    pid_t got;
    do {
      got = ::waitpid(pid_, &status, 0);
    } while (got < 0 && errno == EINTR);
    exit_ = got == pid_ ? exit_of(status) : Exit{127, 0};
    return exit_;
  }
  const auto end = system_clock().steady_ms() + limit.count();
  for (int nap = 1;; nap = std::min(nap * 2, 20)) {
    const pid_t got = ::waitpid(pid_, &status, WNOHANG);
    if (got == pid_ || (got < 0 && errno == ECHILD)) {
      exit_ = got == pid_ ? exit_of(status) : Exit{127, 0};
      return exit_;
    }
    const auto left = end - system_clock().steady_ms();
    if (left <= 0) return std::nullopt;
    system_clock().sleep(Millis(std::min<std::int64_t>(nap, left)));
  }
}

void Process::signal(int number) {
  if (pid_ > 0 && !exit_) ::kill(group_ ? -pid_ : pid_, number);
}

Result<bool> exchange(StandardStreams process, std::string_view input, Output& output, std::int64_t end) {
  if (input.empty()) process.in.reset();
  if (process.in) TRY("", set_nonblocking(process.in.get(), true));
  while (process.out || process.err) {
    std::array<pollfd, 3> polls{
        {{process.in.get(), POLLOUT, 0}, {process.out.get(), POLLIN, 0}, {process.err.get(), POLLIN, 0}}};
    const auto left = end - system_clock().steady_ms();
    if (left <= 0) return false;
    if (::poll(polls.data(), polls.size(), static_cast<int>(std::min<std::int64_t>(left, 1 << 30))) <= 0) continue;
    if (polls[0].revents) {
      const auto wrote = ::write(process.in.get(), input.data(), input.size());
      if (wrote > 0) input.remove_prefix(static_cast<std::size_t>(wrote));
      if (input.empty() || (wrote < 0 && errno != EAGAIN && errno != EINTR)) process.in.reset();
    }
    const std::array<std::pair<Fd*, std::string*>, 2> sources{
        {{&process.out, &output.out}, {&process.err, &output.err}}};
    for (std::size_t i = 0; i < 2; ++i) {
      if (!polls[i + 1].revents) continue;
      TRY_SET(part, "", read_some(sources[i].first->get()));
      if (part.empty()) {
        sources[i].first->reset();
      } else if (sources[i].second->size() < output_limit) {
        *sources[i].second += part;
      }
    }
  }
  return true;
}

Result<Output> run_command(SpawnOptions options, std::string_view input, Millis limit) {
  options.in = input.empty() && options.in_fd < 0 ? Stream::null : Stream::pipe;
  options.out = options.err = Stream::pipe;
  TRY_SET(process, "", Process::spawn(options));
  const auto end = system_clock().steady_ms() + limit.count();
  Output output;
  TRY_SET(finished, "", exchange({process.in, process.out, process.err}, input, output, end));
  std::optional<Exit> ended;
  if (finished) ended = process.wait(Millis(std::max<std::int64_t>(0, end - system_clock().steady_ms())));
  if (!ended) {
    process.signal(SIGKILL);
    process.wait(Millis(-1));
    return fail(Kind::timeout, fmt::format("{} did not end within {}", options.argv[0], show_duration(limit)));
  }
  output.exit = *ended;
  return output;
}

Path self_program() {
  std::error_code ignored;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", ignored);
  // The file of a program that was updated while it runs is gone; this starts the same one as long as we live.
  struct stat at_path, running;
  const bool is_in_place = ::stat(path.c_str(), &at_path) == 0 && ::stat("/proc/self/exe", &running) == 0 &&
                           at_path.st_dev == running.st_dev && at_path.st_ino == running.st_ino;
  return is_in_place ? path : Path("/proc/" + std::to_string(::getpid()) + "/exe");
}

std::optional<Path> find_program(std::string_view name) {
  for (const auto& folder : split(env("PATH").value_or("/usr/local/bin:/usr/bin:/bin"), ':')) {
    if (folder.empty()) continue;
    Path candidate = Path(folder) / name;
    if (::access(candidate.c_str(), X_OK) == 0 && !os::is_directory(candidate)) return candidate;
  }
  return std::nullopt;
}

std::uint64_t process_start_time(pid_t pid) {
  const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!stat) return 0;
  const auto close = stat->rfind(')');  // the name before it may hold anything
  if (close == std::string::npos || close + 2 > stat->size()) return 0;
  const auto fields = split(stat->substr(close + 2), ' ');
  if (fields.size() < 20) return 0;
  return static_cast<std::uint64_t>(parse_int(fields[19]).value_or(0));
}

}  // namespace ferry::os
