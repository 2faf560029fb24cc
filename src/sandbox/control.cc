#include "sandbox/control.h"

#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <csignal>

#include "base/text.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/process.h"
#include "sandbox/door.h"
#include "sandbox/folder.h"
#include "sandbox/lent_keys.h"
#include "sandbox/mounts.h"
#include "sandbox/sshd.h"

namespace ferry::sandbox {

namespace {

/// For what the kernel does by itself once a host process is dead.
constexpr Millis patience{10'000};

/// Brings the record of an instance whose host process is gone up to date, after its last process is gone
/// too. Call with the lock.
Result<Record> settle(const Folder& folder, const std::string& ended) {
  auto record = read_record(folder);
  if (!record && record.error().kind != Kind::not_found) return record;
  if (!record) record = Record{};
  if (record->state == State::stopped) return record;
  for (const Identity& process : {record->host, record->init}) {
    send_signal(process, SIGKILL);
    if (!wait_gone(process, patience)) return fail(Kind::timeout, fmt::format("process {} does not end", process.pid));
  }
  if (record->mode == Mode::plain && !sweep(record->instance_id, patience)) {
    return fail(Kind::timeout, "processes of " + record->instance_id + " do not end");
  }
  record->state = State::stopped;
  record->ended = ended;
  record->address.clear();
  record->port = 0;
  TRY("", write_record(folder, *record));
  return record;
}

Status shown(const Record& record) {
  return {.state = record.state,
          .address = record.address,
          .port = record.port,
          .login_user = record.login_user,
          .pid = record.state == State::stopped ? 0 : record.host.pid,
          .ended = record.state == State::stopped ? record.ended : "",
          .why = record.state == State::stopped ? record.why : ""};
}

ferry::Status start_host(const Folder& folder, const Spec& spec, const os::FileLock& lock) {
  os::SpawnOptions options;
  options.argv = {os::self_program().string(), "rehearsal-instance", folder.dir.string()};
  // The server's own environment, with its keys, is none of the instance's business.
  options.clean_env = true;
  options.env = {{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
                 {"LANG", "C.UTF-8"},
                 {instance_marker, spec.instance_id},
                 {lock_variable, std::to_string(lock.fd())}};
  options.keep_fds = {lock.fd()};
  options.cwd = "/";
  options.new_session = true;
  options.out = os::Stream::null;
  options.err = os::Stream::pipe;
  TRY_SET(process, "start the instance's host process", os::Process::spawn(options));
  const auto said = os::read_to_end(process.err.get(), 1 << 16);
  const auto ended = process.wait(patience);
  if (!ended) return fail(Kind::timeout, "the instance's host process does not start");
  if (ended->code != 0)
    return fail(Kind::io, "the instance's host process did not start", std::string(trim(said.value_or(""))));
  return {};
}

/// Kills it all and says why in the record.
ferry::Status end_by_force(const Folder& folder, const std::string& ended) {
  if (const auto record = read_record(folder)) send_signal(record->host, SIGKILL);
  TRY_SET(lock, "", os::FileLock::take(folder.lock(), patience));
  TRY("", settle(folder, ended));
  return {};
}

}  // namespace

ferry::Status check_own_account() {
  const passwd* account = ::getpwuid(::geteuid());
  const std::string shell = account ? os::Path(account->pw_shell).filename().string() : "";
  if (account && shell != "nologin" && shell != "false") return {};
  return fail(Kind::unsupported, "a plain rehearsal instance needs an account that can log in",
              account ? fmt::format("the shell of {} is {}", account->pw_name, account->pw_shell)
                      : fmt::format("uid {} has no entry in /etc/passwd", ::geteuid()),
              "run ferry as another user, or where user namespaces are allowed");
}

Status status(const os::Path& dir) {
  const Folder folder{std::filesystem::absolute(dir)};
  if (!os::exists(folder.record())) return {};
  const auto record = read_record(folder);
  if (!record) return {.state = State::stopped, .ended = "died", .why = describe(record.error())};
  if (record->state == State::stopped || os::is_locked(folder.lock())) return shown(*record);
  // It died. Whoever sees it first cleans up.
  auto lock = os::FileLock::try_take(folder.lock());
  if (!lock || !*lock) return shown(*read_record(folder));
  const auto settled = settle(folder, "died");
  if (!settled) return {.state = State::stopped, .ended = "died", .why = describe(settled.error())};
  return shown(*settled);
}

ferry::Status boot(const os::Path& dir, const Spec& given) {
  const Folder folder{std::filesystem::absolute(dir)};
  Spec spec = given;
  if (!mode_named(spec.mode)) spec.mode = name(probe(folder.dir).mode);
  if (!find_sshd()) {
    return fail(Kind::not_found, "no sshd on this computer",
                "a rehearsal instance is reached through a real OpenSSH server",
                "install it: sudo apt-get install openssh-server");
  }
  if (spec.mode == name(Mode::plain)) TRY("", check_own_account());
  TRY("", os::make_dirs(folder.dir, 0700));
  if (const auto now = sandbox::status(folder.dir); now.state == State::booting || now.state == State::running) {
    return fail(Kind::conflict, spec.instance_id + " runs already");
  }
  // status() above and others like it hold the lock for a moment.
  auto lock = os::FileLock::take(folder.lock(), Millis(2'000));
  if (!lock) return fail(Kind::conflict, spec.instance_id + " runs already");
  TRY("", settle(folder, "died"));
  TRY("", os::write_file(folder.spec(), dump_json(to_json(spec)) + "\n", 0600));
  TRY_SET(console, "", os::open_file(folder.console(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
  return start_host(folder, spec, *lock);
}

ferry::Status stop(const os::Path& dir, Millis grace) {
  const Folder folder{std::filesystem::absolute(dir)};
  const auto now = sandbox::status(folder.dir);
  if (now.state == State::absent || now.state == State::stopped) return {};
  const auto record = read_record(folder);
  if (!record) return fail("", record.error());
  send_signal(record->host, SIGTERM);
  if (grace.count() > 0) wait_gone(record->host, grace);
  return end_by_force(folder, "stopped");
}

ferry::Status destroy(const os::Path& dir) {
  const Folder folder{std::filesystem::absolute(dir)};
  if (!os::exists(folder.dir)) return {};
  TRY("", stop(folder.dir, Millis(500)));
  TRY("", unmount_below(folder.dir));
  return os::remove_all(folder.dir);
}

ferry::Status crash(const os::Path& dir) {
  const Folder folder{std::filesystem::absolute(dir)};
  const auto now = sandbox::status(folder.dir);
  if (now.state == State::absent || now.state == State::stopped) return {};
  return end_by_force(folder, "died");
}

ferry::Status lend_key(const os::Path& dir, const std::string& key, Millis limit) {
  const Folder folder{std::filesystem::absolute(dir)};
  const auto now = os::system_clock().now_ms();
  auto keys = lent_keys_from(os::read_file(folder.lent_keys(), 1 << 20).value_or(""), now);
  keys.push_back({now + limit.count(), key});
  return os::write_file(folder.lent_keys(), text_of(keys), 0600);
}

ferry::Status set_door(const os::Path& dir, const Door& door) {
  const Folder folder{std::filesystem::absolute(dir)};
  const auto text = text_of(door);
  if (os::read_file(folder.door(), 1 << 20).value_or("") == text) return {};
  return os::write_file(folder.door(), text, 0600);
}

ferry::Status tell(const os::Path& dir, const Live& live) {
  const Folder folder{std::filesystem::absolute(dir)};
  const auto text = dump_json(to_json(live)) + "\n";
  if (os::read_file(folder.live(), 1 << 20).value_or("") != text) TRY("", os::write_file(folder.live(), text, 0600));
  // The file first: a host process that begins only now reads it by itself. It is told even of what stands there
  // already, for whoever wrote that may have died before this line.
  if (const auto record = read_record(folder); record && record->state != State::stopped)
    send_signal(record->host, news_signal);
  return {};
}

}  // namespace ferry::sandbox
