#include "sandbox/cloudinit.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "os/clock.h"

namespace ferry::sandbox {

namespace {

/// What a program prints goes to the machine's log and, up to here, to its console.
constexpr std::size_t console_share = 1 << 20;

/// A child that copies what is written to the returned descriptor, for as long as anyone holds it. Programs
/// may go on printing after the step that started them is over.
Result<os::Fd> open_output(const Machine& machine) {
  TRY_SET(log, "", os::open_file(machine.at("var/log/cloud-init-output.log"), O_WRONLY | O_CREAT | O_APPEND, 0644));
  TRY_SET(pipe, "", os::make_pipe());
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid > 0) return std::move(pipe.write);
  pipe.write.reset();
  std::size_t shown = 0;
  while (true) {
    const auto part = os::read_some(pipe.read.get());
    if (!part || part->empty()) ::_exit(0);
    (void)os::write_all(log.get(), *part);
    if (shown < console_share) (void)os::write_all(STDOUT_FILENO, *part);
    shown += part->size();
  }
}

void say(const os::Fd& output, const std::string& line) {
  (void)os::write_all(output.get(), "cloud-init: " + line + "\n");
}

void run_step(const Machine& machine, const os::Fd& output, const std::string& what, os::Argv argv) {
  os::SpawnOptions options;
  options.argv = std::move(argv);
  options.env = machine.environment();
  if (machine.isolated()) options.env["HOME"] = machine.has_root() ? "/root" : machine.home().string();
  options.env["USER"] = machine.has_root() ? "root" : machine.login_user;
  options.clean_env = true;
  options.cwd = machine.isolated() ? os::Path("/") : machine.home();
  options.out_fd = options.err_fd = output.get();
  options.new_session = true;
  auto process = os::Process::spawn(options);
  if (!process) return say(output, what + ": " + describe(process.error()));
  const auto ended = process->wait(Millis(-1));
  if (ended && ended->code != 0) say(output, fmt::format("{} failed with exit code {}", what, ended->code));
}

/// Where a file of write_files goes. In plain mode the login user's home stands for itself and nothing else
/// may be written.
std::optional<os::Path> destination(const Machine& machine, const std::string& path) {
  const os::Path plain = os::Path(path).lexically_normal();
  if (machine.isolated()) return plain;
  const os::Path home = "/home/" + machine.spec.login_user;
  const os::Path below = plain.lexically_relative(home);
  if (below.empty() || *below.begin() == "..") return std::nullopt;
  return machine.home() / below;
}

ferry::Status give_to(const os::Path& path, const std::string& owner) {
  const auto names = split(owner, ':');
  const passwd* account = ::getpwnam(names[0].c_str());
  if (!account) return fail(Kind::not_found, "no user " + names[0]);
  if (::chown(path.c_str(), account->pw_uid, account->pw_gid) < 0) return fail_errno("chown " + path.string());
  return {};
}

ferry::Status write_one(const Machine& machine, const FileToWrite& file) {
  const auto path = destination(machine, file.path);
  if (!path)
    return fail(Kind::unsupported, file.path + " is outside the home, and this sandbox has no file system of its own");
  TRY("", os::make_dirs(path->parent_path()));
  if (file.append) {
    TRY("", os::append_file(*path, file.content, file.mode));
  } else {
    TRY("", os::write_file(*path, file.content, file.mode));
  }
  return file.owner.empty() || !machine.has_root() ? ferry::Status() : give_to(*path, file.owner);
}

/// True once per disk for each `step`; noted before the step, so that a machine that dies in it does not do
/// it twice.
bool first_time(const Machine& machine, const std::string& step) {
  if (!machine.spec.first_boot) return false;
  const os::Path folder = machine.at("var/lib/cloud/done");
  return os::make_dirs(folder) &&
         ::close(::open((folder / step).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) == 0;
}

}  // namespace

void run_before_login(const Machine& machine, const UserData& user_data) {
  const auto output = open_output(machine);
  if (!output) return fmt::print("cloud-init: {}\n", describe(output.error()));
  say(*output, "boot at " + os::iso_time(os::system_clock().now_ms()));
  for (const auto& note : user_data.notes) say(*output, note);
  for (const auto& argv : user_data.boot_commands) run_step(machine, *output, "bootcmd", argv);
  if (!user_data.files.empty() && first_time(machine, "write_files")) {
    for (const auto& file : user_data.files) {
      if (auto done = write_one(machine, file); !done) say(*output, "write_files: " + describe(done.error()));
    }
  }
}

void run_after_login(const Machine& machine, const UserData& user_data) {
  const auto output = open_output(machine);
  if (!output) return fmt::print("cloud-init: {}\n", describe(output.error()));
  if (!user_data.run_commands.empty() && first_time(machine, "runcmd")) {
    for (const auto& argv : user_data.run_commands) run_step(machine, *output, "runcmd", argv);
  }
  if (!user_data.script.empty() && first_time(machine, "script")) {
    const os::Path file = machine.at("var/lib/cloud/user-data-script");
    if (auto done = os::write_file(file, user_data.script, 0700); !done) {
      return say(*output, "script: " + describe(done.error()));
    }
    run_step(machine, *output, "script", {file.string()});
  }
  say(*output, "finished at " + os::iso_time(os::system_clock().now_ms()));
}

}  // namespace ferry::sandbox
