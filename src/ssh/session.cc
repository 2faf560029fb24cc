#include "ssh/session.h"

#include <fcntl.h>

#include <algorithm>
#include <csignal>

#include "base/text.h"
#include "os/clock.h"
#include "os/socket.h"
#include "ssh/bootstrap.h"

namespace ferry::ssh {

Result<Session> Session::open(const Target& target, const Programs& programs, Millis limit) {
  return begin(target, programs, limit, [=](const std::string& line, os::Stream err) -> Result<os::Process> {
    os::SpawnOptions options;
    TRY_SET(argv, "", session_argv(target, limit, line));
    options.argv = std::move(argv);
    options.in = options.out = os::Stream::pipe;
    options.err = err;
    options.new_session = true;  // Ctrl-C at the terminal is ours to answer
    return os::Process::spawn(options);
  });
}

Result<Session> Session::local(const os::Path& home, const Programs& programs,
                               const std::map<std::string, std::string>& env) {
  Target target;
  target.address = "localhost";
  constexpr Millis limit{60'000};
  return begin(target, programs, limit, [=](const std::string& line, os::Stream err) {
    os::SpawnOptions options;
    options.argv = {"sh", "-c", line};
    options.env = env;
    options.env["HOME"] = home.string();
    options.cwd = home;
    options.in = options.out = os::Stream::pipe;
    options.err = err;
    options.new_session = true;
    return os::Process::spawn(options);
  });
}

Result<Session> Session::begin(const Target& target, const Programs& programs, Millis limit, Spawn spawn) {
  TRY_SET(carrier, "", spawn(bootstrap_line(programs), os::Stream::pipe));
  auto begun = begin_program(target, programs, carrier, limit);
  if (!begun) {
    carrier.signal(SIGKILL);
    carrier.wait(Millis(-1));
    return tl::unexpected<Error>(std::move(begun).error());
  }
  const auto program = os::Path(begun->machine.program).filename().string();
  auto client =
      std::make_unique<mux::Client>(std::move(carrier.out), std::move(carrier.in), std::move(carrier.err),
                                    std::move(begun->first), [=, spawn = std::move(spawn)](const std::string& token) {
                                      return spawn(join_line(program, token), os::Stream::null);
                                    });
  return Session(target, std::move(begun->machine), std::move(carrier), std::move(client));
}

Result<Session> Session::held(const Target& target, Machine machine, os::Fd socket, std::string first) {
  os::Fd other(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 3));
  if (!other) return fail_errno("use a held connection");
  auto client = std::make_unique<mux::Client>(std::move(socket), std::move(other), os::Fd(), std::move(first));
  return Session(target, std::move(machine), std::nullopt, std::move(client));
}

Session::~Session() {
  if (!client_) return;  // moved from
  // Its end by itself takes two round trips.
  if (client_->close() && carrier_) carrier_->signal(SIGTERM);
  if (carrier_ && !carrier_->wait(Millis(500))) {
    carrier_->signal(SIGKILL);
    carrier_->wait(Millis(-1));
  }
}

Error Session::lost() const {
  auto error = client_->why();
  if (error.kind != Kind::lost) return error;  // the other end broke the protocol
  error = classify(target_, client_->complaint());
  if (error.kind == Kind::timeout) error.kind = Kind::lost;  // there was a connection
  return error;
}

Result<mux::Command> Session::start(const os::Argv& argv, mux::Lane lane) {
  auto command = client_->open({.argv = argv, .port = 0}, lane);
  if (!command && command.error().kind == Kind::lost) return tl::unexpected<Error>(lost());
  return command;
}

Result<mux::Command> Session::spawn(const std::string& command) {
  return start({"sh", "-c", command}, mux::Lane::talk);
}

Result<os::Output> Session::run(const std::string& command, std::string_view input, Millis limit) {
  TRY_SET(running, "", spawn(command));
  const auto end = os::system_clock().steady_ms() + limit.count();
  os::Output output;
  TRY_SET(finished, "", os::exchange({running.in, running.out, running.err}, input, output, end));
  std::optional<os::Exit> ended;
  if (finished) ended = running.wait(Millis(std::max<std::int64_t>(0, end - os::system_clock().steady_ms())));
  if (!ended) {
    running.signal(SIGKILL);
    return fail(Kind::timeout, fmt::format("{} did not answer within {}", target_.address, show_duration(limit)));
  }
  if (is_cut_off(ended) && !alive()) return tl::unexpected<Error>(lost());
  if (is_cut_off(ended))
    return fail(Kind::lost,
                fmt::format("a command was killed (signal {}) before {} had answered", ended->signal, target_.address));
  output.exit = *ended;
  return output;
}

Status Session::forward(int local, int remote) {
  auto listener = os::listen_tcp("127.0.0.1", local);
  if (!listener)
    return fail(Kind::conflict, fmt::format("port {} of this computer cannot be had", local), listener.error().what);
  auto led = client_->forward(std::move(*listener), remote);
  if (!led) return tl::unexpected<Error>(lost());
  return led;
}

}  // namespace ferry::ssh
