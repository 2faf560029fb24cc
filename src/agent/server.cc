#include "agent/server.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "agent/bridge.h"
#include "agent/loop.h"
#include "agent/post.h"
#include "base/text.h"
#include "os/file.h"
#include "os/socket.h"

namespace ferry::agent {
namespace {

constexpr Millis start_limit{10'000}, between_starts{100};

/// At its post it is the only one; ends when there is nothing left to do.
Status serve_here(const ServeOptions& options, os::Fd& ready) {
  TRY_SET(post, "", Post::take(options.dir));
  if (!post) return {};  // someone else was faster
  TRY_SET(supervisor, "", Supervisor::open(options));
  TRY("", post->listen());
  os::ignore_sigpipe();
  (void)os::write_all(ready.get(), "+");  // who started us may be gone; another may want us
  std::signal(SIGPIPE, SIG_DFL);
  ready.reset();
  serve_loop(*post, *supervisor);
  post->leave();
  return {};
}

/// Nothing of the session that started us may stay open: ssh would wait for it.
void leave_session(const os::Path& dir, int keep) {
  ::setsid();
  if (::chdir("/") != 0) return;
  if (const auto names = os::list_dir("/proc/self/fd")) {
    for (const auto& each : *names) {
      const auto fd = static_cast<int>(parse_int(each).value_or(-1));
      if (fd > STDERR_FILENO && fd != keep) ::close(fd);
    }
  }
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  const int log = ::open((dir / "agent.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  ::dup2(null, STDIN_FILENO);
  ::dup2(null, STDOUT_FILENO);
  ::dup2(log < 0 ? null : log, STDERR_FILENO);
  for (const int number : {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD}) std::signal(number, SIG_DFL);
}

[[noreturn]] void become_server(const ServeOptions& options, int ready_fd) {
  os::Fd ready(ready_fd);
  int code = 0;
  try {
    if (const auto served = serve_here(options, ready); !served) {
      const std::string text = describe(served.error()) + "\n";
      (void)os::write_all(ready ? ready.get() : STDERR_FILENO, text);
      code = 125;
    }
  } catch (const std::exception& bug) {  // nothing we expect arrives here
    (void)os::write_all(STDERR_FILENO, std::string("bug: ") + bug.what() + "\n");
    code = 125;
  }
  ::_exit(code);
}

Result<os::Fd> socket_of(const os::Path& dir) { return os::connect_unix(dir / "sock"); }

/// Forks twice, so that init (or whoever reaps for it) becomes the server's parent. Returns what the server
/// said before it served: "+" when it listens, "" when another one does, or an error.
Result<std::string> fork_server(const ServeOptions& options) {
  TRY_SET(pipe, "", os::make_pipe());
  os::Fd high(::fcntl(pipe.write.get(), F_DUPFD_CLOEXEC, 10));
  pipe.write.reset();
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("fork");
  if (child == 0) {
    leave_session(options.dir, high.get());
    const pid_t server = ::fork();
    if (server == 0) become_server(options, high.get());
    ::_exit(server < 0 ? 1 : 0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  high.reset();
  std::string said;
  while (said != "+") {
    if (!os::wait_readable(pipe.read.get(), start_limit)) return fail(Kind::timeout, "the agent did not start");
    TRY_SET(part, "", os::read_some(pipe.read.get()));
    if (part.empty()) break;
    said += part;
  }
  return said;
}

/// Whoever holds the lock answers in a moment, or is ending, and then the next one may have it.
Result<os::Fd> served_socket(ServeOptions options) {
  options.dir = std::filesystem::absolute(options.dir);
  TRY("", private_folder(options.dir));
  auto& clock = os::system_clock();
  const auto end = clock.steady_ms() + start_limit.count();
  for (std::int64_t next_start = 0;; clock.sleep(Millis(2))) {
    auto socket = socket_of(options.dir);
    const auto now = clock.steady_ms();
    if (socket) return socket;
    if (now >= end) return fail("the agent does not answer", socket.error());
    if (now < next_start) continue;
    TRY_SET(said, "start the agent", fork_server(options));
    if (!said.empty() && said != "+") return fail(Kind::io, "the agent did not start", std::string(trim(said)));
    next_start = clock.steady_ms() + between_starts.count();
  }
}

}  // namespace

Status serve(const ServeOptions& options) {
  TRY_SET(socket, "", served_socket(options));
  return {};
}

Status connect(const ServeOptions& options, int in, int out) {
  TRY_SET(socket, "", served_socket(options));
  return bridge(in, out, socket.get());
}

}  // namespace ferry::agent
