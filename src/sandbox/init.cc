#include "sandbox/init.h"

#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "os/clock.h"
#include "os/signals.h"
#include "os/socket.h"
#include "sandbox/cloudinit.h"
#include "sandbox/identity.h"
#include "sandbox/ids.h"
#include "sandbox/imds.h"
#include "sandbox/kept.h"
#include "sandbox/lent_keys.h"
#include "sandbox/namespaces.h"
#include "sandbox/power.h"
#include "sandbox/rootfs.h"
#include "sandbox/sshd.h"
#include "sandbox/wall.h"

namespace ferry::sandbox {

namespace {

/// How long programs get to end by themselves before SIGKILL.
constexpr std::int64_t poweroff_grace_ms = 5'000, stop_grace_ms = 60'000;
constexpr std::size_t most_metadata_clients = 64;
/// A scheduled shutdown follows the wall clock, which may jump.
constexpr std::int64_t longest_nap_ms = 10'000;

class Init {
 public:
  Init(Machine machine, Channel host)
      : machine_(std::move(machine)), host_(std::move(host)), signals_({SIGCHLD, SIGUSR1, SIGTERM}) {}

  int run();

 private:
  ferry::Status set_up();
  void loop();
  ferry::Status serve_imds();
  ferry::Status hear_first();
  ferry::Status hear(const os::Fd& file);
  void open_service(int port);
  ferry::Status open_way_out();
  void start_child(pid_t& slot, void (*step)(const Machine&, const UserData&));
  void on_host();
  void take_lent_keys(std::string_view text);
  void on_signals();
  void on_metadata_client();
  void reap();
  void obey_power_request();
  void begin_end(std::string_view how, std::int64_t grace_ms);
  void signal_everyone(int number) const;
  int nap() const;

  Machine machine_;
  Channel host_;
  os::SignalQueue signals_;
  UserData user_data_;
  std::unique_ptr<Imds> imds_;
  os::Fd imds_listener_;
  std::set<pid_t> metadata_children_;
  std::vector<LentKey> lent_keys_;
  std::set<int> service_ports_;  // at which services of the cloud are reached inside
  pid_t before_login_ = 0, after_login_ = 0;
  std::string ending_;             // "poweroff", "reboot" or "stop" once everything is being ended
  std::int64_t kill_at_ms_ = 0;    // on the steady clock
  std::int64_t power_due_s_ = -1;  // wall clock; -1: nothing scheduled
  bool all_gone_ = false;
};

ferry::Status Init::set_up() {
  ::setsid();
  ::umask(022);
  os::ignore_sigpipe();
  auto parsed = parse_user_data(machine_.spec.user_data);
  if (parsed) {
    user_data_ = std::move(*parsed);
  } else {
    user_data_.notes.push_back(describe(parsed.error()));
  }
  if (user_data_.hostname) machine_.spec.hostname = *user_data_.hostname;
  if (machine_.isolated()) {
    TRY("", open_disk(machine_));
    TRY("", make_skeleton(machine_));
    TRY("", mount_system(machine_));
    TRY("", write_identity(machine_));
    TRY("", enter_system(machine_));
    machine_.root = "/";
    TRY("", raise_network(machine_.spec.private_ip));
    if (machine_.owner) TRY("", enter_id_space(machine_.owner));
    if (machine_.has_root()) TRY("", raise_wall());
  } else {
    TRY("", make_skeleton(machine_));
    show_kept(machine_, {});
    TRY("", clear_power_request(machine_));
  }
  if (machine_.fresh_disk || machine_.spec.disk_mib > 0) {
    auto keys = machine_.spec.authorized_keys;
    keys.insert(keys.end(), user_data_.authorized_keys.begin(), user_data_.authorized_keys.end());
    TRY("", prepare_home(machine_, keys));
  }
  TRY("", serve_imds());
  TRY("", hear_first());
  TRY("", open_way_out());
  TRY("", write_power_commands(machine_, ::getpid()));
  TRY("", open_account(machine_, {}));
  TRY("", prepare_sshd(machine_, {user_data_.host_key, user_data_.host_key_public}));
  TRY_SET(key, "", console_host_key(machine_));
  fmt::print("{} {}\n{}", machine_.spec.instance_id, machine_.spec.hostname, key);
  std::fflush(stdout);
  return {};
}

ferry::Status Init::serve_imds() {
  Json tree = machine_.spec.metadata;
  if (machine_.spec.has_public_ip) {
    tree["latest/meta-data/public-ipv4"] = machine_.address;
    tree["latest/meta-data/public-hostname"] = machine_.address;
  }
  tree["latest/meta-data/local-ipv4"] = machine_.spec.private_ip.empty() ? machine_.address : machine_.spec.private_ip;
  imds_ = std::make_unique<Imds>(tree, machine_.spec.user_data, machine_.spec.imds_token_required);
  auto listener = machine_.isolated() ? os::listen_tcp("169.254.169.254", 80) : os::listen_tcp("127.0.0.1", 0);
  if (!listener) return fail("serve metadata", std::move(listener).error());
  imds_listener_ = std::move(*listener);
  if (!machine_.isolated())
    machine_.imds_url = fmt::format("http://127.0.0.1:{}", os::local_port(imds_listener_.get()));
  return {};
}

/// What the host process says of its own accord, first of all: before any program of the machine asks.
ferry::Status Init::hear_first() {
  const auto message = host_.receive();
  if (!message || message->text != word::live) return fail(Kind::lost, "the host process is gone");
  return hear(message->passed);
}

/// Takes what tell() told; nothing was told yet where there is no file.
ferry::Status Init::hear(const os::Fd& file) {
  if (!file) return {};
  TRY_SET(text, "", os::read_to_end(file.get(), 1 << 20));
  TRY_SET(json, "", parse_json(text));
  TRY_SET(live, "", live_from(json));
  imds_->set_live(live.metadata);
  for (const int port : {live.s3_port, live.api_port})
    if (port != 0) open_service(port);
  return {};
}

/// Asks the host process to serve what comes to that port of this machine's own loopback. Ports that were told before
/// go on: programs inside may know no other.
void Init::open_service(int port) {
  if (!machine_.isolated() || service_ports_.contains(port)) return;
  const auto door = os::listen_tcp("127.0.0.1", port);
  if (!door) return fmt::print("the cloud is not reached at port {}: {}\n", port, describe(door.error()));
  service_ports_.insert(port);
  host_.send(fmt::format("{} 127.0.0.1:{}", word::way_out, port), door->get());
}

ferry::Status Init::open_way_out() {
  const auto& way = machine_.spec.way_out;
  if (!machine_.isolated() || !way.is_open) return {};
  TRY_SET(proxy, "open the way to the internet", os::listen_tcp(proxy_address, proxy_port));
  host_.send(word::way_out, proxy.get());
  // What is named of the computer itself is at the same place inside, where no program asks a proxy for it.
  for (const auto& target : way.named) {
    if (!is_loopback(target.host) || service_ports_.contains(target.port)) continue;
    const auto door = os::listen_tcp(target.host.starts_with("127.") ? target.host : "127.0.0.1", target.port);
    if (door) host_.send(fmt::format("{} {}", word::way_out, target.text()), door->get());
    if (!door) fmt::print("{} is not reached: {}\n", target.text(), describe(door.error()));
  }
  return {};
}

void Init::start_child(pid_t& slot, void (*step)(const Machine&, const UserData&)) {
  slot = ::fork();
  if (slot > 0) return;
  if (slot < 0) {  // a machine that cannot make a process is of no use
    host_.send(std::string(word::failed) + "fork: " + std::strerror(errno));
    ::_exit(1);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  host_.close();
  step(machine_, user_data_);
  std::fflush(stdout);
  ::_exit(0);
}

int Init::run() {
  if (auto done = set_up(); !done) {
    fmt::print("{}\n", describe(done.error()));
    std::fflush(stdout);
    host_.send(std::string(word::failed) + describe(done.error()));
    return 1;
  }
  start_child(before_login_, run_before_login);
  loop();
  host_.send(std::string(word::ended) + ending_);
  return 0;
}

void Init::loop() {
  while (!all_gone_) {
    std::array<pollfd, 3> polls{
        {{signals_.fd(), POLLIN, 0}, {host_.fd(), POLLIN, 0}, {imds_listener_.get(), POLLIN, 0}}};
    ::poll(polls.data(), polls.size(), nap());
    if (polls[0].revents) on_signals();
    if (polls[1].revents) on_host();
    if (polls[2].revents) on_metadata_client();
    if (power_due_s_ >= 0 && os::system_clock().now_ms() / 1000 >= power_due_s_) obey_power_request();
    const auto now = os::system_clock().now_ms();
    if (std::any_of(lent_keys_.begin(), lent_keys_.end(), [&](const LentKey& key) { return key.until_ms <= now; }))
      take_lent_keys(text_of(lent_keys_));
    if (!ending_.empty()) {
      reap();
      if (os::system_clock().steady_ms() >= kill_at_ms_) signal_everyone(SIGKILL);
    }
  }
}

int Init::nap() const {
  std::int64_t wait = -1;
  const auto sooner = [&](std::int64_t ms) {
    wait = wait < 0 ? std::max<std::int64_t>(ms, 0) : std::clamp<std::int64_t>(ms, 0, wait);
  };
  if (power_due_s_ >= 0) sooner(std::min(power_due_s_ * 1000 - os::system_clock().now_ms(), longest_nap_ms));
  for (const auto& key : lent_keys_) sooner(std::min(key.until_ms - os::system_clock().now_ms(), longest_nap_ms));
  // While ending, also look again now and then: SIGKILL may meet a process that was just being made.
  if (!ending_.empty()) sooner(std::max<std::int64_t>(kill_at_ms_ - os::system_clock().steady_ms(), 20));
  return static_cast<int>(wait);
}

void Init::on_host() {
  auto message = host_.receive();
  if (!message) {
    // The host process is gone, and with it the reason to live. (In namespaces the kernel is quicker.)
    signal_everyone(SIGKILL);
    ::_exit(1);
  }
  if (message->text == word::login && ending_.empty()) {
    if (auto done = answer_login(machine_, message->passed); !done) fmt::print(stderr, "{}\n", describe(done.error()));
  } else if (message->text == word::keys) {
    take_lent_keys(os::read_to_end(message->passed.get(), 1 << 20).value_or(""));
  } else if (message->text == word::live) {
    if (auto done = hear(message->passed); !done) fmt::print(stderr, "{}\n", describe(done.error()));
  } else if (message->text == word::open) {
    start_child(after_login_, run_after_login);
  } else if (message->text == word::stop) {
    begin_end("stop", stop_grace_ms);
  }
}

/// Those of them that are still good open the account from now on.
void Init::take_lent_keys(std::string_view text) {
  lent_keys_ = lent_keys_from(text, os::system_clock().now_ms());
  if (auto done = open_account(machine_, lent_keys_); !done) fmt::print(stderr, "{}\n", describe(done.error()));
}

void Init::on_signals() {
  while (const auto number = signals_.next()) {
    if (*number == SIGCHLD) reap();
    if (*number == SIGUSR1) obey_power_request();
    if (*number == SIGTERM && !machine_.isolated()) begin_end("stop", 0);
  }
}

void Init::reap() {
  while (true) {
    const pid_t pid = ::waitpid(-1, nullptr, WNOHANG);
    if (pid <= 0) {
      all_gone_ = !ending_.empty() && pid < 0;
      return;
    }
    metadata_children_.erase(pid);
    if (pid == before_login_) {
      before_login_ = 0;
      host_.send(word::ready);
    }
  }
}

void Init::on_metadata_client() {
  auto client = os::accept_one(imds_listener_.get(), Millis(0));
  if (!client || metadata_children_.size() >= most_metadata_clients) return;
  const pid_t pid = ::fork();
  if (pid > 0) metadata_children_.insert(pid);
  if (pid != 0) return;
  host_.close();
  if (machine_.has_root() && (::setgid(65534) < 0 || ::setuid(65534) < 0)) ::_exit(1);
  serve_metadata(*imds_, std::move(*client));
  ::_exit(0);
}

void Init::obey_power_request() {
  power_due_s_ = -1;
  const auto request = read_power_request(machine_);
  if (!request || !ending_.empty()) return;
  if (request->due > os::system_clock().now_ms() / 1000) {
    power_due_s_ = request->due;
    return;
  }
  (void)clear_power_request(machine_);
  begin_end(request->action, poweroff_grace_ms);
}

void Init::begin_end(std::string_view how, std::int64_t grace_ms) {
  if (!ending_.empty()) return;
  ending_ = how;
  kill_at_ms_ = os::system_clock().steady_ms() + grace_ms;
  fmt::print("machine ends: {}\n", how);
  std::fflush(stdout);
  signal_everyone(SIGTERM);
  reap();
}

void Init::signal_everyone(int number) const {
  if (machine_.isolated()) {
    ::kill(-1, number);
    return;
  }
  for (const pid_t pid : descendants(::getpid())) ::kill(pid, number);
}

}  // namespace

int init_main(Machine machine, Channel host) {
  Init init(std::move(machine), std::move(host));
  return init.run();
}

}  // namespace ferry::sandbox
