#include "sandbox/sshd.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/text.h"
#include "os/env.h"
#include "os/process.h"
#include "sandbox/lent_keys.h"

namespace ferry::sandbox {

namespace {

constexpr std::string_view common_settings =
    "PidFile none\n"
    "PasswordAuthentication no\n"
    "KbdInteractiveAuthentication no\n"
    "PubkeyAuthentication yes\n"
    "UsePAM no\n"
    "UseDNS no\n"
    "PrintMotd no\n"
    "PrintLastLog no\n"
    "X11Forwarding no\n"
    "AllowTcpForwarding yes\n"
    "AllowStreamLocalForwarding yes\n"
    "StreamLocalBindUnlink yes\n"
    "MaxSessions 64\n";

os::Path config_file(const Machine& machine) { return machine.at("etc/ssh/sshd_config"); }
os::Path key_file(const Machine& machine) { return machine.at("etc/ssh/ssh_host_ed25519_key"); }
os::Path public_key_file(const Machine& machine) { return key_file(machine).string() + ".pub"; }
os::Path login_script(const Machine& machine) { return machine.at("etc/ssh/login"); }

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}
/// For options that expand %u and the like.
std::string as_it_is(const os::Path& path) {
  std::string out;
  for (const char c : path.string()) out += c == '%' ? "%%" : std::string(1, c);
  return in_quotes(out);
}

std::string sshd_config(const Machine& machine) {
  std::string text(common_settings);
  text += "HostKey " + in_quotes(key_file(machine).string()) + "\n";
  text += "AllowUsers " + machine.login_user + "\n";
  text += "SetEnv";  // sshd heeds one such line only
  for (const auto& [key, value] : machine.environment()) text += " " + in_quotes(key + "=" + value);
  text += "\n";
  if (machine.isolated()) {
    text += "PermitRootLogin no\nSubsystem sftp internal-sftp\n";
    text += "AuthorizedKeysFile .ssh/authorized_keys " + as_it_is(lent_keys_file(machine)) + "\n";
  } else {
    // The account is the computer's, so home and folder of the instance are put in place by a script.
    text += "PermitRootLogin prohibit-password\nStrictModes no\n";
    text += "AuthorizedKeysFile " + as_it_is(machine.home() / ".ssh/authorized_keys") + " " +
            as_it_is(lent_keys_file(machine)) + "\n";
    text += "ForceCommand exec /bin/sh " + shell_quoted(login_script(machine).string()) + "\n";
    for (const char* server :
         {"/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server"}) {
      if (os::exists(server)) text += std::string("Subsystem sftp ") + server + "\n";
    }
  }
  return text;
}

ferry::Status write_login_script(const Machine& machine) {
  const std::string script =
      "cd \"$HOME\" || exit 1\n"
      "if [ -n \"$SSH_ORIGINAL_COMMAND\" ]; then exec /bin/bash -c \"$SSH_ORIGINAL_COMMAND\"; fi\n"
      "exec /bin/bash -i\n";
  return os::write_file(login_script(machine), script, 0755);
}

ferry::Status run_tool(os::Argv argv) {
  const std::string tool = argv[0];
  TRY_SET(output, "", os::run_command({.argv = std::move(argv)}));
  if (output.exit.code != 0) return fail(Kind::io, tool + " failed", std::string(trim(output.err)));
  return {};
}

ferry::Status write_host_key(const Machine& machine, const HostKey& given) {
  const os::Path file = key_file(machine);
  if (os::exists(file) && os::exists(public_key_file(machine))) return {};
  if (given.private_key.empty()) {
    TRY("", os::remove_all(file));
    return run_tool(
        {"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "root@" + machine.spec.hostname, "-f", file.string()});
  }
  std::string private_key(trim(given.private_key));
  TRY("", os::write_file(file, private_key + "\n", 0600));
  std::string public_key(trim(given.public_key));
  if (public_key.empty()) {
    TRY_SET(derived, "", os::run_command({.argv = {"ssh-keygen", "-y", "-f", file.string()}}));
    if (derived.exit.code != 0)
      return fail(Kind::bad_input, "ssh_keys: not a private key", std::string(trim(derived.err)));
    public_key = trim(derived.out);
  }
  return os::write_file(public_key_file(machine), public_key + "\n");
}

}  // namespace

std::optional<os::Path> find_sshd() {
  for (const char* path : {"/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd", "/sbin/sshd"}) {
    if (os::exists(path)) return path;
  }
  return std::nullopt;
}

ferry::Status prepare_sshd(const Machine& machine, const HostKey& given) {
  TRY("", os::make_dirs(machine.at("etc/ssh")));
  if (auto done = write_host_key(machine, given); !done) {
    if (done.error().kind != Kind::bad_input) return done;
    // A machine with a bad key in its user-data still boots, with a key of its own.
    fmt::print("{}\n", describe(done.error()));
    TRY("", os::remove_all(key_file(machine)));
    TRY("", write_host_key(machine, {}));
  }
  TRY("", os::write_file(config_file(machine), sshd_config(machine)));
  if (!machine.isolated()) {
    TRY("", write_login_script(machine));
    // Compiled into sshd, and made by every service script that starts it.
    if (os::is_root()) TRY("", os::make_dirs("/run/sshd"));
  }
  const auto sshd = find_sshd();
  if (!sshd) return fail(Kind::not_found, "no sshd on this computer");
  return run_tool({sshd->string(), "-t", "-f", config_file(machine).string()});
}

Result<std::string> fingerprint(std::string_view public_key_line) {
  const auto words = split(trim(public_key_line), ' ');
  if (words.size() < 2) return fail(Kind::corrupt, "not an OpenSSH public key");
  TRY_SET(blob, "public key", from_base64(words[1]));
  std::string digest = base64(sha256(blob));
  while (digest.ends_with('=')) digest.pop_back();
  return "SHA256:" + digest;
}

Result<std::string> console_host_key(const Machine& machine) {
  TRY_SET(line, "", os::read_file(public_key_file(machine), 1 << 16));
  TRY_SET(print, "", fingerprint(line));
  const auto words = split(trim(line), ' ');
  const std::string comment = words.size() > 2 ? words[2] : "no comment";
  return fmt::format(
      "ec2: #############################################################\n"
      "ec2: -----BEGIN SSH HOST KEY FINGERPRINTS-----\n"
      "ec2: 256 {} {} (ED25519)\n"
      "ec2: -----END SSH HOST KEY FINGERPRINTS-----\n"
      "ec2: #############################################################\n"
      "-----BEGIN SSH HOST KEY KEYS-----\n"
      "{}\n"
      "-----END SSH HOST KEY KEYS-----\n",
      print, comment, trim(line));
}

ferry::Status answer_login(const Machine& machine, const os::Fd& connection) {
  const int on = 1;
  ::setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  TRY_SET(log, "", os::open_file(machine.at("var/log/auth.log"), O_WRONLY | O_CREAT | O_APPEND, 0640));
  os::SpawnOptions options;
  options.argv = {find_sshd().value_or("/usr/sbin/sshd").string(), "-i", "-e", "-f", config_file(machine).string()};
  options.env = machine.environment();
  options.clean_env = true;
  options.in_fd = options.out_fd = connection.get();
  options.err_fd = log.get();
  options.new_session = true;
  TRY_SET(sshd, "start sshd", os::Process::spawn(options));
  return {};  // the first process reaps it like everything else
}

}  // namespace ferry::sandbox
