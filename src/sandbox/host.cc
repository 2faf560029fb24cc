#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <deque>

#include "base/text.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/process.h"
#include "os/signals.h"
#include "os/socket.h"
#include "sandbox/control.h"
#include "sandbox/door.h"
#include "sandbox/ids.h"
#include "sandbox/init.h"
#include "sandbox/kept.h"
#include "sandbox/listener.h"
#include "sandbox/namespaces.h"
#include "sandbox/proxy.h"

namespace ferry::sandbox {

namespace {

constexpr std::size_t most_left_waiting = 64;

/// A socket that listens inside, and the process that leads from there to a service of the cloud.
struct ServiceDoor {
  os::Fd listener;
  pid_t pid = 0;
};

/// A service of the cloud around the machine, that moves when its server is started again.
struct Service {
  std::set<int> ports;  ///< that this boot was told of
  int port = 0;         ///< the last of them: where it is now
  std::deque<ServiceDoor> doors;
};

/// The host process: outside the instance, its only link to the computer.
class Host {
 public:
  Host(Folder folder, Spec spec, Mode mode)
      : folder_(std::move(folder)), spec_(std::move(spec)), signals_({SIGCHLD, SIGTERM, news_signal}), mode_(mode) {}

  /// The first record, so that everyone can find this process.
  ferry::Status introduce();
  /// Boots until the machine stays off.
  void run();

 private:
  ferry::Status boot_once();
  void watch();
  void on_signals();
  void on_connection();
  bool is_let_in(const os::Fd& connection) const;
  void on_inside();
  void pass_on_news();
  void open_way_out(std::string_view door, os::Fd listener);
  void lead_to(int port, ServiceDoor& door);
  void close_ways_out();
  void open_if_due();
  int nap() const;
  void end(State state, std::string ended, std::string why);

  Folder folder_;
  Spec spec_;
  Record record_;
  os::SignalQueue signals_;
  Mode mode_;
  std::optional<Listener> listener_;
  std::optional<FirstProcess> inside_;
  std::int64_t open_at_ms_ = 0;  // on the steady clock
  bool ready_ = false, open_ = false;
  std::string ending_, failure_;  // what the inside said last
  std::optional<int> exit_status_;
  std::vector<pid_t> ways_out_;  // processes that serve this boot's
  Service s3_, api_;
  std::deque<os::Fd> left_waiting_;  // connections that the door does not let in, newest last
};

ferry::Status Host::introduce() {
  record_.state = State::booting;
  record_.instance_id = spec_.instance_id;
  record_.mode = mode_;
  record_.login_user = mode_ == Mode::plain ? os::user_name() : spec_.login_user;
  record_.host = identity_of(::getpid());
  return write_record(folder_, record_);
}

void Host::run() {
  while (true) {
    if (auto booted = boot_once(); !booted) return end(State::stopped, "died", describe(booted.error()));
    watch();
    const int status = *exit_status_;
    close_ways_out();
    // A program inside may also have called reboot(2): then the kernel ends the first process with one of
    // these.
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) ending_ = "poweroff";
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP) ending_ = "reboot";
    if (mode_ == Mode::plain) sweep(spec_.instance_id, Millis(10'000));
    if (ending_ == "stop") return end(State::stopped, "stopped", "");
    if (ending_ == "poweroff") return end(State::stopped, "poweroff", "");
    if (ending_ != "reboot") return end(State::stopped, "died", failure_);
    if (auto paused = listener_->pause(); !paused) return end(State::stopped, "died", describe(paused.error()));
  }
}

void Host::end(State state, std::string ended, std::string why) {
  record_.state = state;
  record_.ended = std::move(ended);
  record_.why = std::move(why);
  record_.address.clear();
  record_.port = 0;
  if (auto written = write_record(folder_, record_); !written) fmt::print("{}\n", describe(written.error()));
}

ferry::Status Host::boot_once() {
  open_at_ms_ = os::system_clock().steady_ms() + spec_.boot_ms;
  ready_ = open_ = false;
  ending_.clear();
  failure_.clear();
  exit_status_.reset();
  if (!listener_) {
    TRY_SET(listener, "", Listener::bind(spec_.listen_address));
    listener_ = std::move(listener);
  }
  record_.state = State::booting;
  record_.address = listener_->address();
  record_.port = listener_->port();
  Machine machine{.spec = spec_,
                  .mode = mode_,
                  .folder = folder_,
                  .root = folder_.root(),
                  .login_user = record_.login_user,
                  .address = record_.address,
                  .imds_url = {},
                  .fresh_disk = !os::exists(folder_.disk() / "prepared"),
                  .first_id = mode_ == Mode::root ? first_id_for(spec_.instance_id) : 0};
  TRY("", os::make_dirs(folder_.disk(), 0700));
  TRY("", os::make_dirs(folder_.root()));
  TRY("", make_kept(machine));
  os::Fd network;
  if (mode_ == Mode::root) {
    TRY_SET(made, "", make_id_space(machine.first_id));
    network = std::move(made);
  }
  TRY_SET(inside, "", start_first_process(mode_, [&](Channel host, os::Fd passed) {
            machine.network = std::move(passed);
            return init_main(std::move(machine), std::move(host));
          }));
  inside_.emplace(std::move(inside));
  // Recorded before it does anything, so that a kill -9 of this process leaves nobody unknown.
  record_.init = identity_of(inside_->pid);
  TRY("", write_record(folder_, record_));
  inside_->channel.send("go", network.get());
  pass_on_news();
  return {};
}

void Host::watch() {
  while (!exit_status_) {
    std::array<pollfd, 3> polls{
        {{signals_.fd(), POLLIN, 0}, {inside_->channel.fd(), POLLIN, 0}, {open_ ? listener_->fd() : -1, POLLIN, 0}}};
    ::poll(polls.data(), polls.size(), nap());
    if (polls[1].revents) on_inside();
    if (polls[0].revents) on_signals();
    if (polls[2].revents) on_connection();
    open_if_due();
  }
}

int Host::nap() const {
  if (!ready_ || open_) return -1;
  return static_cast<int>(std::clamp<std::int64_t>(open_at_ms_ - os::system_clock().steady_ms(), 0, 1 << 30));
}

void Host::on_signals() {
  while (const auto number = signals_.next()) {
    if (*number == SIGTERM) inside_->channel.send(word::stop);
    if (*number == news_signal) pass_on_news();
    int status = 0;
    if (*number == SIGCHLD) std::erase_if(ways_out_, [](pid_t pid) { return ::waitpid(pid, nullptr, WNOHANG) == pid; });
    if (*number == SIGCHLD && ::waitpid(inside_->pid, &status, WNOHANG) == inside_->pid) {
      while (os::wait_readable(inside_->channel.fd(), Millis(0)) && inside_->channel.fd() >= 0)
        on_inside();  // its last words
      exit_status_ = status;
    }
  }
}

void Host::on_inside() {
  auto message = inside_->channel.receive();
  if (!message) {
    inside_->channel.close();  // its end follows as a signal
  } else if (message->text == word::ready) {
    ready_ = true;
  } else if (message->text.starts_with(word::ended)) {
    ending_ = message->text.substr(word::ended.size());
  } else if (message->text.starts_with(word::failed)) {
    failure_ = message->text.substr(word::failed.size());
  } else if (message->text.starts_with(word::way_out)) {
    open_way_out(std::string_view(message->text).substr(word::way_out.size()), std::move(message->passed));
  }
}

/// What tell() told: to the inside with the first message of a boot, and whenever it changed.
void Host::pass_on_news() {
  const auto file = os::open_file(folder_.live(), O_RDONLY);
  const auto json = parse_json(file ? os::read_to_end(file->get(), 1 << 20).value_or("") : "");
  const auto live = json ? live_from(*json) : Result<Live>(Live{});
  const auto move = [this](Service& service, int port) {
    if (port == 0 || port == service.port) return;
    service.port = port;
    service.ports.insert(port);
    for (auto& door : service.doors) lead_to(port, door);
  };
  if (live) move(s3_, live->s3_port);
  if (live) move(api_, live->api_port);
  if (file) ::lseek(file->get(), 0, SEEK_SET);
  inside_->channel.send(word::live, file ? file->get() : -1);
}

/// Also one that was opened before the service moved.
void Host::lead_to(int port, ServiceDoor& door) {
  if (std::erase(ways_out_, door.pid) > 0) {  // not reaped yet
    ::kill(door.pid, SIGKILL);
    ::waitpid(door.pid, nullptr, 0);
  }
  const Target service{"127.0.0.1", port};
  const auto pid = start_way_out(door.listener, {.is_open = true, .named = {service}}, service);
  door.pid = pid.value_or(0);
  if (pid) ways_out_.push_back(*pid);
  if (!pid) fmt::print("{}\n", describe(pid.error()));
}

void Host::open_way_out(std::string_view door, os::Fd listener) {
  // What comes from inside is a wish; whether it is granted, the spec says, and what was told since.
  constexpr std::size_t most_ways_out = 64;
  const auto target = target_from(trim(door));
  if (!listener || (!target && !door.empty()) || ways_out_.size() >= most_ways_out) return;
  for (Service* service : {&s3_, &api_}) {
    if (!target || target->host != "127.0.0.1" || !service->ports.contains(target->port)) continue;
    service->doors.push_back({std::move(listener), 0});
    return lead_to(service->port, service->doors.back());
  }
  const auto pid = start_way_out(listener, spec_.way_out, target);
  if (pid) ways_out_.push_back(*pid);
  if (!pid) fmt::print("{}\n", describe(pid.error()));
}

void Host::close_ways_out() {
  for (const pid_t pid : ways_out_) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  ways_out_.clear();
  s3_ = {};
  api_ = {};
}

void Host::open_if_due() {
  if (!ready_ || open_ || os::system_clock().steady_ms() < open_at_ms_) return;
  auto done = os::write_file(folder_.disk() / "prepared", "");
  if (done) done = listener_->start();
  record_.state = State::running;
  if (done) done = write_record(folder_, record_);
  if (!done) {
    failure_ = describe(done.error());
    ::kill(inside_->pid, SIGKILL);
  }
  open_ = true;
  inside_->channel.send(word::open);
}

bool Host::is_let_in(const os::Fd& connection) const {
  const auto text = os::read_file(folder_.door(), 1 << 20);
  if (!text) return !os::exists(folder_.door());
  const auto door = door_from(*text);
  sockaddr_in peer{};
  socklen_t size = sizeof peer;
  std::array<char, INET_ADDRSTRLEN> address{};
  if (!door || ::getpeername(connection.get(), reinterpret_cast<sockaddr*>(&peer), &size) < 0 ||
      !::inet_ntop(AF_INET, &peer.sin_addr, address.data(), address.size()))
    return false;
  return lets_in(*door, address.data(), record_.address);
}

void Host::on_connection() {
  auto connection = os::accept_one(listener_->fd(), Millis(0));
  if (!connection) return;
  if (os::exists(folder_.fault_no_sshd())) {
    const linger reset{1, 0};
    ::setsockopt(connection->get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    return;
  }
  if (!is_let_in(*connection)) {
    left_waiting_.push_back(std::move(*connection));
    if (left_waiting_.size() > most_left_waiting) left_waiting_.pop_front();
    return;
  }
  // In this order, so that sshd knows the keys when the client shows its own.
  if (const auto keys = os::open_file(folder_.lent_keys(), O_RDONLY)) inside_->channel.send(word::keys, keys->get());
  inside_->channel.send(word::login, connection->get());
}

/// The lock that boot() took and passed on, or one of our own.
Result<os::FileLock> hold_lock(const Folder& folder) {
  if (const auto inherited = parse_int(os::env(lock_variable).value_or(""))) {
    const int fd = static_cast<int>(*inherited);
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    return os::FileLock::adopt(os::Fd(fd));
  }
  TRY_SET(lock, "", os::FileLock::try_take(folder.lock()));
  if (!lock) return fail(Kind::conflict, "the instance runs already: " + folder.dir.string());
  return std::move(*lock);
}

/// Session, terminal and standard streams of its own.
ferry::Status detach(const Folder& folder) {
  ::setsid();
  TRY_SET(console, "", os::open_file(folder.console(), O_WRONLY | O_CREAT | O_APPEND, 0600));
  TRY_SET(nothing, "", os::open_file("/dev/null", O_RDONLY));
  ::dup2(nothing.get(), STDIN_FILENO);
  ::dup2(console.get(), STDOUT_FILENO);
  ::dup2(console.get(), STDERR_FILENO);
  return {};
}

/// The life of the host process. `recorded` is called once everyone can find it.
ferry::Status live(const Folder& folder, const std::function<void()>& recorded) {
  TRY_SET(text, "", os::read_file(folder.spec()));
  TRY_SET(json, folder.spec().string(), parse_json(text));
  TRY_SET(spec, "", spec_from(json));
  TRY("", detach(folder));
  const Mode mode = mode_named(spec.mode).value_or(Mode::plain);
  Host host(folder, std::move(spec), mode);
  TRY("", host.introduce());
  recorded();
  host.run();
  return {};
}

}  // namespace

int instance_main(const os::Path& dir) {
  const Folder folder{std::filesystem::absolute(dir)};
  auto lock = hold_lock(folder);
  auto news = os::make_pipe();
  if (!lock || !news) {
    fmt::print(stderr, "ferry: error: {}\n", describe(lock ? news.error() : lock.error()));
    return 1;
  }
  const pid_t pid = ::fork();
  if (pid < 0) return 1;
  if (pid > 0) {
    news->write.reset();
    return os::read_some(news->read.get()).value_or("").empty() ? 1 : 0;
  }
  news->read.reset();
  const auto lived = live(folder, [&] {
    (void)os::write_all(news->write.get(), "recorded");
    news->write.reset();
  });
  if (!lived) fmt::print(stderr, "{}\n", describe(lived.error()));
  std::fflush(nullptr);
  ::_exit(lived ? 0 : 1);
}

}  // namespace ferry::sandbox
