#include "agent/served.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>

#include "os/clock.h"
#include "os/env.h"
#include "os/socket.h"

namespace ferry::agent {

Variable::Variable(const char* name, const std::string& value) : name_(name), before_(os::env(name)) {
  ::setenv(name, value.c_str(), 1);
}

Variable::~Variable() {
  if (before_) {
    ::setenv(name_, before_->c_str(), 1);
  } else {
    ::unsetenv(name_);
  }
}

Served::Served(Seconds orphan, bool may_power_off) : temp_("agent") {
  options = {.dir = temp_.path() / "run",
             .orphan = orphan,
             .may_power_off = may_power_off,
             .term_grace = Millis(500),
             .drain = Millis(300),
             .patience = {.quiet = Millis(1500), .small = Millis(6000), .large = Millis(12000)},
             .farewell = Millis(400),
             .program = os::env("FERRY_AGENT").value_or(""),
             .elsewhere = std::vector<std::string>()};
  const os::Path hook = path("power-off");
  EXPECT_TRUE(os::write_file(hook, "#!/bin/sh\necho off >> '" + path("offs").string() + "'\n", 0755));
  ::setenv("FERRY_AGENT_POWEROFF", hook.c_str(), 1);
  serve();
}

Served::~Served() {
  if (const pid_t agent = pid(); agent > 0) ::kill(agent, SIGTERM);
  eventually([&] { return !running(); });
}

void Served::serve() {
  const auto served = agent::serve(options);
  ASSERT_TRUE(served) << describe(served.error());
}

Client Served::client() {
  auto socket = os::connect_unix(dir() / "sock");
  if (!socket) throw std::runtime_error(describe(socket.error()));
  os::Fd out(::dup(socket->get()));
  auto client = Client::connect(std::move(*socket), std::move(out), Millis(5000));
  if (!client) throw std::runtime_error(describe(client.error()));
  return std::move(*client);
}

pid_t Served::pid() {
  const auto socket = os::connect_unix(dir() / "sock");
  if (!socket) return 0;
  ucred peer{};
  socklen_t size = sizeof peer;
  ::getsockopt(socket->get(), SOL_SOCKET, SO_PEERCRED, &peer, &size);
  return peer.pid;
}

void Served::kill_agent() {
  ASSERT_GT(pid(), 0);
  ::kill(pid(), SIGKILL);
  eventually([&] { return !running(); });
}

JobSpec Served::spec(const std::string& command, const std::string& setup) const {
  return {.run = "digits-7k2",
          .workdir = path("work"),
          .setup = setup,
          .command = command,
          .max_duration_s = 60,
          .retention_s = 0};
}

std::size_t Served::power_offs() const {
  const auto text = os::read_file(path("offs"));
  return text ? static_cast<std::size_t>(std::count(text->begin(), text->end(), '\n')) : 0;
}

void Seen::add(const Client::Event& event) {
  if (event.log) {
    EXPECT_EQ(event.log->offset, offset);
    offset = event.log->offset + event.log->bytes.size();
    (event.log->stream == LogStream::out ? out : err) += event.log->bytes;
    all += event.log->bytes;
    chunks.push_back(*event.log);
  }
  if (event.state && event.state->state == JobState::done) done = event.state;
}

Seen follow(Client& client, std::uint64_t offset) {
  Seen seen{.offset = offset};
  EXPECT_TRUE(client.attach(offset));
  while (!seen.done) {
    const auto event = client.next(Millis(15'000));
    if (!event || !*event) {
      ADD_FAILURE() << "no event: " << (event ? "silence" : describe(event.error()));
      break;
    }
    seen.add(**event);
  }
  return seen;
}

Seen follow_until(Client& client, const std::string& wanted) {
  Seen seen;
  EXPECT_TRUE(client.attach(0));
  while (seen.all.find(wanted) == std::string::npos) {
    const auto event = client.next(Millis(15'000));
    if (!event || !*event) {
      ADD_FAILURE() << "no event before " << wanted;
      break;
    }
    seen.add(**event);
  }
  return seen;
}

Seen run_job(Served& served, const JobSpec& spec) {
  auto client = served.client();
  const auto started = client.start(spec);
  EXPECT_TRUE(started) << describe(started.error());
  return follow(client);
}

void eventually(const std::function<bool()>& condition) {
  auto& clock = os::system_clock();
  const auto end = clock.steady_ms() + 10'000;
  while (!condition()) {
    ASSERT_LT(clock.steady_ms(), end) << "it never happened";
    clock.sleep(Millis(5));
  }
}

bool process_exists(pid_t pid) {
  const auto text = os::read_file("/proc/" + std::to_string(pid) + "/stat");
  return text && text->find(") Z ") == text->npos;
}

}  // namespace ferry::agent
