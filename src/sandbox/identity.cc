#include "sandbox/identity.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/text.h"

namespace ferry::sandbox {

namespace {

/// Fields of /etc/passwd and /etc/group lines that we look at.
constexpr std::size_t name_field = 0, id_field = 2;
constexpr std::int64_t first_person = 1000, nobody = 65534;

/// The computer's system accounts (or groups), without its people.
std::vector<std::vector<std::string>> system_entries(const os::Path& file, const std::string& login_user) {
  std::vector<std::vector<std::string>> out;
  for (const auto& line : split(os::read_file(file).value_or(""), '\n')) {
    auto fields = split(line, ':');
    if (fields.size() < 4 || fields[name_field] == login_user) continue;
    const auto id = parse_int(fields[id_field]);
    if (id && (*id < first_person || *id == nobody)) out.push_back(std::move(fields));
  }
  return out;
}

ferry::Status write_accounts(const Machine& machine) {
  const std::string& user = machine.spec.login_user;
  std::string passwd, shadow, group, gshadow;
  for (auto fields : system_entries("/etc/passwd", user)) {
    if (fields.size() < 7) continue;
    if (fields[name_field] == "root") fields[6] = "/bin/bash";
    passwd += join(fields, ":") + "\n";
    shadow += fields[name_field] + ":*:19000:0:99999:7:::\n";
  }
  passwd += fmt::format("{0}:x:{1}:{1}:Ubuntu:/home/{0}:/bin/bash\n", user, login_uid);
  shadow += user + ":*:19000:0:99999:7:::\n";
  bool has_sudo = false;
  for (auto fields : system_entries("/etc/group", user)) {
    const std::string& group_name = fields[name_field];
    // Without a gid for it inside a user namespace, group tty would make every terminal fail.
    if (machine.mode == Mode::user && group_name == "tty") continue;
    const bool ours = group_name == "sudo" || group_name == "adm";
    has_sudo |= group_name == "sudo";
    fields[3] = ours ? user : "";
    group += join(std::span(fields).first(4), ":") + "\n";
    gshadow += fmt::format("{}:*::{}\n", group_name, fields[3]);
  }
  if (!has_sudo) group += "sudo:x:27:" + user + "\n";
  group += fmt::format("{}:x:{}:\n", user, login_uid);
  TRY("", os::write_file(machine.at("etc/passwd"), passwd));
  TRY("", os::write_file(machine.at("etc/group"), group));
  TRY("", os::write_file(machine.at("etc/gshadow"), gshadow, 0600));
  return os::write_file(machine.at("etc/shadow"), shadow, 0600);
}

ferry::Status write_sudo_rules(const Machine& machine) {
  TRY("", os::make_dirs(machine.at("etc/sudoers.d")));
  const std::string rules = fmt::format(
      "Defaults env_reset, !use_pty\n"
      "Defaults secure_path=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"\n"
      "Defaults env_keep += \"{} AWS_EC2_METADATA_SERVICE_ENDPOINT\"\n"
      "Defaults env_keep += \"http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY\"\n"
      "Defaults env_keep += \"PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST\"\n"
      "root ALL=(ALL:ALL) ALL\n"
      "{} ALL=(ALL:ALL) NOPASSWD:ALL\n"
      "@includedir /etc/sudoers.d\n",
      instance_marker, machine.spec.login_user);
  return os::write_file(machine.at("etc/sudoers"), rules, 0440);
}

constexpr std::string_view login_profile =
    "# Settings of every login shell.\n"
    "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    "if [ \"$(id -u)\" = 0 ]; then PS1='# '; else PS1='$ '; fi\n"
    "if [ -n \"$BASH_VERSION\" ] && [ -f /etc/bash.bashrc ]; then . /etc/bash.bashrc; fi\n"
    "for script in /etc/profile.d/*.sh; do [ -r \"$script\" ] && . \"$script\"; done\n"
    "unset script\n";

ferry::Status write_settings(const Machine& machine) {
  TRY("", os::write_file(machine.at("etc/profile"), login_profile));
  TRY("", os::write_file(machine.at("etc/environment"), "PATH=\"" + machine.environment().at("PATH") + "\"\n"));
  TRY("", os::write_file(machine.at("etc/nsswitch.conf"),
                         "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: "
                         "files\nprotocols: files\n"));
  TRY("", os::write_file(machine.at("etc/fstab"), ""));
  TRY("", os::remove_all(machine.at("etc/machine-id")));
  return os::write_file(machine.at("etc/machine-id"), hex(random_bytes(16)) + "\n", 0444);
}

/// The home belongs to the login user; in user mode everything does already.
ferry::Status give_to_login_user(const Machine& machine, const os::Path& path) {
  if (machine.has_root() && ::lchown(path.c_str(), login_uid, login_uid) < 0)
    return fail_errno("chown " + path.string());
  return {};
}

ferry::Status write_first_files(const Machine& machine) {
  const os::Path home = machine.home();
  TRY("", give_to_login_user(machine, home));
  for (const char* file : {".bashrc", ".profile", ".bash_logout"}) {
    const auto text = os::read_file(os::Path("/etc/skel") / file);
    if (!text || os::exists(home / file)) continue;
    TRY("", os::write_file(home / file, *text));
    TRY("", give_to_login_user(machine, home / file));
  }
  return {};
}

}  // namespace

ferry::Status prepare_home(const Machine& machine, const std::vector<std::string>& keys) {
  TRY("", write_first_files(machine));
  const os::Path folder = machine.home() / ".ssh", file = folder / "authorized_keys";
  TRY("", os::make_dirs(folder, 0700));
  TRY("", give_to_login_user(machine, folder));
  std::string text = os::read_file(file, 1 << 20).value_or("");
  for (const auto& key : keys) {
    const std::string line(trim(key));
    if (line.empty() || text.find(line + "\n") != std::string::npos) continue;
    if (!text.empty() && text.back() != '\n') text += '\n';
    text += line + "\n";
  }
  TRY("", os::write_file(file, text, 0600));
  return give_to_login_user(machine, file);
}

ferry::Status write_identity(const Machine& machine) {
  const Spec& spec = machine.spec;
  if (::sethostname(spec.hostname.data(), spec.hostname.size()) < 0) return fail_errno("set the host name");
  TRY("", os::write_file(machine.at("etc/hostname"), spec.hostname + "\n"));
  std::string hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n169.254.169.254 instance-data\n";
  const std::string short_name = spec.hostname.substr(0, spec.hostname.find('.'));
  hosts += (spec.private_ip.empty() ? "127.0.1.1" : spec.private_ip) + " " + spec.hostname;
  hosts += (short_name == spec.hostname ? "" : " " + short_name) + "\n";
  TRY("", os::write_file(machine.at("etc/hosts"), hosts));
  TRY("", os::write_file(machine.at("etc/resolv.conf"), "# no name server\n"));
  if (!machine.fresh_disk) return {};
  TRY("", write_accounts(machine));
  if (machine.has_root()) TRY("", write_sudo_rules(machine));
  TRY("", write_settings(machine));
  if (!os::exists(machine.at("var/log/lastlog"))) TRY("", os::write_file(machine.at("var/log/lastlog"), ""));
  return {};
}

}  // namespace ferry::sandbox
