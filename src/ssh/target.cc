#include "ssh/target.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "os/file.h"

namespace ferry::ssh {

namespace {

bool is_of(std::string_view text, std::string_view more) {
  constexpr std::size_t longest = 255;
  return !text.empty() && text.size() <= longest && text.front() != '-' && std::ranges::all_of(text, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           more.find(c) != std::string_view::npos;
  });
}

/// Nothing of the target may be taken for an option, or for a word of the shell that runs a proxy.
Status check(const Target& target) {
  const auto refuse = [](std::string_view what, std::string_view text) {
    return fail(Kind::denied, fmt::format("ssh is not called with the {} '{}'", what, printable(text.substr(0, 80))),
                "ssh or a shell could take it for an order",
                "whoever answers for the cloud, or wrote the ledger, is not to be trusted");
  };
  if (target.own_config) {
    if (!is_host(target.address)) return refuse("host", target.address);
    return {};
  }
  if (target.address.empty()) return fail(Kind::lost, "the machine has no address at the moment");
  if (!is_address(target.address)) return refuse("address", target.address);
  if (!is_login(target.user)) return refuse("user", target.user);
  if (!is_login(target.alias)) return refuse("name", target.alias);
  if (target.port < 1 || target.port > 65535) return refuse("port", std::to_string(target.port));
  if (target.proxy.starts_with('-')) return refuse("proxy", target.proxy);
  return {};
}

/// Quicker than ssh's usual first choice (chacha20) on every processor that AWS has, and on most others.
constexpr const char* quick_ciphers =
    "Ciphers=aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com";

/// Options that decide whom we trust and as whom we come; they win over the user's own config.
Result<os::Argv> trust_options(const Target& target) {
  TRY("", check(target));
  if (target.own_config) return os::Argv{"-o", "ForwardX11=no"};
  if (!os::exists(target.known_hosts)) {
    // Otherwise ssh would take whoever answers for another machine.
    return fail(Kind::io, "the machine's host key is not known here any more",
                target.known_hosts.string() + " is gone");
  }
  TRY_SET(known_hosts, "", option_path(target.known_hosts));
  TRY_SET(identity, "", option_path(target.identity));
  return os::Argv{"-o", "UserKnownHostsFile=" + known_hosts,
                  "-o", "GlobalKnownHostsFile=/dev/null",
                  "-o", "StrictHostKeyChecking=yes",
                  "-o", "HostKeyAlias=" + target.alias,
                  "-o", "HostKeyAlgorithms=ssh-ed25519",
                  "-o", quick_ciphers,
                  "-o", "CheckHostIP=no",
                  "-o", "UpdateHostKeys=no",
                  "-o", "IdentityFile=" + identity,
                  "-o", "IdentitiesOnly=yes",
                  "-o", "PasswordAuthentication=no",
                  "-o", "KbdInteractiveAuthentication=no",
                  "-o", "ForwardAgent=no",
                  "-o", "ForwardX11=no",
                  "-o", "ControlPath=none",
                  "-p", std::to_string(target.port),
                  "-l", target.user};
}

/// Without a person to answer it, the jump host must not ask anything: no ProxyJump then.
os::Argv proxy_options(const Target& target, bool has_person) {
  if (target.proxy.empty()) return {};
  if (target.proxy.find_first_of(" %") != std::string::npos) return {"-o", "ProxyCommand=" + target.proxy};
  if (has_person) return {"-o", "ProxyJump=" + target.proxy};
  const auto comma = target.proxy.rfind(',');
  auto last = comma == std::string::npos ? target.proxy : target.proxy.substr(comma + 1);
  if (last.find(':') != std::string::npos && !last.starts_with("ssh://")) last = "ssh://" + last;
  std::string command = "ssh -o BatchMode=yes -W [%h]:%p ";
  if (comma != std::string::npos) command += "-J " + shell_quoted(target.proxy.substr(0, comma)) + " ";
  return {"-o", "ProxyCommand=" + command + "-- " + shell_quoted(last)};
}

/// What a connection without a user needs. curve25519 first: the post-quantum default costs 0.12 s of CPU a
/// login; AES-GCM first: with AES instructions it is the fastest cipher.
os::Argv batch_options() {
  return {"-o", "BatchMode=yes",
          "-o", "RemoteCommand=none",
          "-o", "RequestTTY=no",
          "-o", "PermitLocalCommand=no",
          "-o", "Compression=no",
          "-o", "ControlMaster=no",
          "-o", "LogLevel=ERROR",
          "-o", "ServerAliveInterval=10",
          "-o", "ServerAliveCountMax=3",
          "-o", "KexAlgorithms=^curve25519-sha256",
          "-o", "Ciphers=^aes128-gcm@openssh.com"};
}

void append(os::Argv& to, os::Argv more) { to.insert(to.end(), more.begin(), more.end()); }

/// True if the one who did not let us in is another than the target: "root@bastion: Permission denied (publickey)."
/// (OpenSSH 10 says nothing else of a jump host's refusal.)
bool is_refused_elsewhere(const Target& target, std::string_view complaint) {
  constexpr std::string_view words = ": Permission denied (";
  const auto at = complaint.find(words);
  if (target.proxy.empty() || at == std::string_view::npos) return false;
  const auto line = complaint.substr(0, at);
  const auto begin = line.find_last_of(" \r\n");
  return line.substr(begin == std::string_view::npos ? 0 : begin + 1) != target.user + "@" + target.address;
}

/// The file that ssh complains of, in "Bad owner or permissions on FILE" and "FILE: line 3: Bad configuration option".
std::string file_complained_of(std::string_view complaint) {
  constexpr std::string_view owner = "Bad owner or permissions on ";
  const auto at = complaint.find(owner);
  const auto begin = at != complaint.npos ? at + owner.size() : complaint.find('/');
  if (begin == complaint.npos) return "~/.ssh/config";
  const auto file = complaint.substr(begin, complaint.find_first_of(":\r\n", begin) - begin);
  const bool is_one = at != complaint.npos || complaint.substr(begin + file.size()).starts_with(": line ");
  return is_one ? printable(file) : "~/.ssh/config";
}

/// What OpenSSH says of its own words and files before it looks for anybody.
bool is_about_configuration(std::string_view complaint) {
  constexpr std::array<std::string_view, 12> signs{"Bad configuration option",
                                                   "Bad owner or permissions",
                                                   "terminating, ",
                                                   "command-line: line ",
                                                   "command-line line ",
                                                   "config line ",
                                                   "config: line ",
                                                   "extra arguments at end of",
                                                   "percent_expand: ",
                                                   "too long for Unix domain",
                                                   "ControlPath too long",
                                                   "invalid quotes"};
  return std::ranges::any_of(signs, [&](auto sign) { return complaint.find(sign) != std::string_view::npos; });
}

}  // namespace

bool is_address(std::string_view text) { return is_of(text, ".:-"); }
bool is_login(std::string_view text) { return is_of(text, "._@-"); }
bool is_host(std::string_view text) {
  const auto at = text.rfind('@');
  const auto host = at == std::string_view::npos ? text : text.substr(at + 1);
  return is_of(text, "._:@%+,/[]~-") && is_of(host, "._:%+,/[]~-");
}

Result<std::string> option_path(const os::Path& path) {
  const auto& text = path.string();
  // ${NAME} is replaced by the environment's NAME, and nothing can be written in its place.
  if (text.find("${") != std::string::npos || text.find('\n') != std::string::npos) {
    return fail(Kind::bad_input, "ssh cannot be given the file " + printable(text),
                "of \"${\" or a line's end in its name", "let XDG_DATA_HOME (or --key-file) name another folder");
  }
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@:,";
  if (text.find_first_not_of(plain) == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '%') out += '%';
    out += c;
  }
  return out + "\"";
}

Error classify(const Target& target, std::string_view complaint) {
  const auto has = [&](std::string_view words) { return complaint.find(words) != std::string_view::npos; };
  const std::string where =
      target.own_config ? target.address : fmt::format("{}@{} port {}", target.user, target.address, target.port);
  const std::string why = printable(trim(complaint.substr(0, 600)));
  // What OpenSSH says when a proxy ended before the machine had said a word.
  const bool proxy_ended = !target.proxy.empty() && (has("UNKNOWN port 65535") || has("kex_exchange_identification"));
  if (has(proxy_refused)) return fail(Kind::denied, "the way to " + where + " is closed", why).value();
  if (is_refused_elsewhere(target, complaint) ||
      (proxy_ended && (has("Permission denied") || has("Host key verification failed") || has("Could not resolve")))) {
    return fail(Kind::denied, "the jump host does not let us through to " + where, why,
                "make `ssh " + target.proxy + " true` work without a question first")
        .value();
  }
  if (target.own_config && (has("Host key verification failed") || has("Permission denied"))) {
    return fail(Kind::denied, "ssh does not let us into " + where + " without questions", why,
                "make `ssh " + where + " true` work without a password first")
        .value();
  }
  if (target.own_config && has("Could not resolve hostname")) {
    return fail(Kind::not_found, "ssh does not know the host " + where, why,
                "check the name, or add it to ~/.ssh/config")
        .value();
  }
  if (is_about_configuration(complaint)) {
    return fail(Kind::bad_input, "ssh refuses its own configuration", why, "look at " + file_complained_of(complaint))
        .value();
  }
  if (has("Host key verification failed") || has("IDENTIFICATION HAS CHANGED") || has("no matching host key type")) {
    return fail(Kind::denied, "another machine answers at " + where,
                "its host key is not the one ferry gave the instance",
                "do not send anything there; give it back without its outputs: ferry down " + target.alias +
                    " --no-fetch",
                host_key_code)
        .value();
  }
  if (has("Permission denied") || has("Too many authentication failures")) {
    return fail(Kind::denied, "the ssh key was refused by " + where, why, {}, key_refused_code).value();
  }
  if (has("timed out")) return fail(Kind::timeout, where + " does not answer ssh", why).value();
  return fail(Kind::lost, "no ssh connection to " + where, why).value();
}

Result<os::Argv> interactive_argv(const Target& target, const os::Argv& command) {
  TRY_SET(trust, "", trust_options(target));
  os::Argv argv = {"ssh"};
  append(argv, std::move(trust));
  append(argv, proxy_options(target, true));
  append(argv, {"-o", "LogLevel=ERROR", "-o", "ServerAliveInterval=15", "-o", "ControlPath=none"});
  append(argv, {"--", target.address});
  if (!command.empty()) argv.push_back(command.size() == 1 ? command[0] : shell_quoted(command));
  return argv;
}

Result<os::Argv> session_argv(const Target& target, Millis connect_limit, const std::string& command) {
  TRY_SET(trust, "", trust_options(target));
  os::Argv argv = {"ssh"};
  append(argv, std::move(trust));
  append(argv, proxy_options(target, false));
  append(argv, batch_options());
  const auto seconds = std::max<std::int64_t>(1, connect_limit.count() / 1000);
  append(argv, {"-o", "ConnectTimeout=" + std::to_string(seconds), "--", target.address, command});
  return argv;
}

std::string login_of(const Target& target) {
  if (!target.own_config) return target.user + "@" + target.address;
  if (target.address.find('@') != std::string::npos) return target.address;
  os::SpawnOptions options;
  options.argv = {"ssh", "-G", "--", target.address};
  const auto told = os::run_command(options, {}, Millis(5'000));
  if (told && told->exit.code == 0) {
    for (const auto& line : split(told->out, '\n'))
      if (line.starts_with("user ")) return short_line(line.substr(5), 64) + "@" + target.address;
  }
  return target.address;
}

}  // namespace ferry::ssh
