#include "task/run_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/text.h"

namespace ferry::task {

namespace {

/// docker run's options that take no value of their own.
constexpr std::array<std::string_view, 14> flags = {"detach",
                                                    "disable-content-trust",
                                                    "init",
                                                    "interactive",
                                                    "no-healthcheck",
                                                    "oom-kill-disable",
                                                    "privileged",
                                                    "publish-all",
                                                    "quiet",
                                                    "read-only",
                                                    "rm",
                                                    "sig-proxy",
                                                    "tty",
                                                    "help"};

/// And those that do.
constexpr std::array<std::string_view, 88> valued = {"add-host",
                                                     "annotation",
                                                     "attach",
                                                     "blkio-weight",
                                                     "blkio-weight-device",
                                                     "cap-add",
                                                     "cap-drop",
                                                     "cgroup-parent",
                                                     "cgroupns",
                                                     "cidfile",
                                                     "cpu-count",
                                                     "cpu-percent",
                                                     "cpu-period",
                                                     "cpu-quota",
                                                     "cpu-rt-period",
                                                     "cpu-rt-runtime",
                                                     "cpu-shares",
                                                     "cpus",
                                                     "cpuset-cpus",
                                                     "cpuset-mems",
                                                     "detach-keys",
                                                     "device",
                                                     "device-cgroup-rule",
                                                     "device-read-bps",
                                                     "device-read-iops",
                                                     "device-write-bps",
                                                     "device-write-iops",
                                                     "dns",
                                                     "dns-opt",
                                                     "dns-option",
                                                     "dns-search",
                                                     "domainname",
                                                     "entrypoint",
                                                     "env",
                                                     "env-file",
                                                     "expose",
                                                     "gpus",
                                                     "group-add",
                                                     "health-cmd",
                                                     "health-interval",
                                                     "health-retries",
                                                     "health-start-interval",
                                                     "health-start-period",
                                                     "health-timeout",
                                                     "hostname",
                                                     "io-maxbandwidth",
                                                     "io-maxiops",
                                                     "ip",
                                                     "ip6",
                                                     "ipc",
                                                     "isolation",
                                                     "kernel-memory",
                                                     "label",
                                                     "label-file",
                                                     "link",
                                                     "link-local-ip",
                                                     "log-driver",
                                                     "log-opt",
                                                     "mac-address",
                                                     "memory",
                                                     "memory-reservation",
                                                     "memory-swap",
                                                     "memory-swappiness",
                                                     "mount",
                                                     "name",
                                                     "net",
                                                     "network",
                                                     "network-alias",
                                                     "net-alias",
                                                     "oom-score-adj",
                                                     "pid",
                                                     "pids-limit",
                                                     "platform",
                                                     "publish",
                                                     "pull",
                                                     "restart",
                                                     "runtime",
                                                     "security-opt",
                                                     "shm-size",
                                                     "stop-signal",
                                                     "stop-timeout",
                                                     "storage-opt",
                                                     "sysctl",
                                                     "tmpfs",
                                                     "ulimit",
                                                     "user",
                                                     "userns",
                                                     "uts"};
constexpr std::array<std::string_view, 4> valued_too = {"volume", "volume-driver", "volumes-from", "workdir"};

struct Short {
  char letter;
  std::string_view name;
};
constexpr Short shorts[] = {{'a', "attach"},      {'c', "cpu-shares"},  {'d', "detach"}, {'e', "env"},
                            {'h', "hostname"},    {'i', "interactive"}, {'l', "label"},  {'m', "memory"},
                            {'P', "publish-all"}, {'p', "publish"},     {'q', "quiet"},  {'t', "tty"},
                            {'u', "user"},        {'v', "volume"},      {'w', "workdir"}};

/// What would break the run, and why.
struct Refused {
  std::string_view name, why;
};
constexpr Refused refused[] = {
    {"detach", "ferry starts the container in the background itself"},
    {"rm", "ferry removes the container itself when the run ends"},
    {"name", "ferry calls the container by the run's name, and finds it by that"},
    {"entrypoint", "setup and run are given to the image's shell by ferry"},
    {"cidfile", "ferry finds the container by the run's name"},
    {"workdir", "setup and run begin in the run's workdir"},
    {"restart", "the container ends with the run"},
    {"init", "the container's first process is ferry's own, and ends what is left"},
    {"pid", "when the run ends, all processes of the container are killed, which then would be the machine's"},
    {"userns", "what is written in the container must belong to the login user outside"},
    {"read-only", "setup installs into the container"},
    {"volumes-from", "there is no other container on the machine"},
    {"pull", "ferry pulls the image before"},
    {"help", "it starts no container"},
    {"detach-keys", "nobody is attached to the container"},
    {"attach", "nobody is attached to the container"},
};
/// Nothing happens without them, either.
constexpr std::array<std::string_view, 3> needless = {"interactive", "tty", "quiet"};

template <class List>
bool is_in(const List& list, std::string_view name) {
  return std::ranges::find(list, name) != list.end();
}
bool takes_value(std::string_view name) { return is_in(valued, name) || is_in(valued_too, name); }

/// Words as a shell splits them: quotes and backslashes, nothing expanded. Nothing for a quote that stays open.
std::optional<std::vector<std::string>> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool is_begun = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool is_space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (quote == 0 && is_space) {
      if (is_begun) words.push_back(std::exchange(word, {}));
      is_begun = false;
      continue;
    }
    is_begun = true;
    if (c == quote && quote != 0) {
      quote = 0;
    } else if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      if (text[++i] != '\n') word += text[i];
    } else {
      word += c;
    }
  }
  if (is_begun) words.push_back(word);
  return quote == 0 ? std::optional(words) : std::nullopt;
}

/// Where in the container a volume is to be: "/b" of "a:/b:ro", "type=bind,src=a,dst=/b".
std::string target_of(std::string_view name, const std::string& value) {
  if (name == "mount") {
    for (const auto& part : split(value, ',')) {
      for (const std::string_view key : {"dst=", "destination=", "target="})
        if (part.starts_with(key)) return part.substr(key.size());
    }
    return {};
  }
  const auto parts = split(value, ':');
  return name == "tmpfs" || parts.size() == 1 ? parts[0] : parts[1];
}

/// A place that holds, or may lie in, the folders that ferry has in the container under their own names.
bool covers_ferrys(std::string_view target) {
  while (target.size() > 1 && target.ends_with('/')) target.remove_suffix(1);
  const auto parts = split(target, '/');  // the first is empty
  if (target == "/" || target == "/home" || target == "/proc" || target == "/sys" || target == "/dev") return true;
  if (parts.size() == 3 && parts[1] == "home") return true;
  return parts.size() > 3 && parts[1] == "home" && (parts[3] == "ferry" || parts[3] == ".ferry");
}

class Options {
 public:
  explicit Options(std::vector<std::string> words) : words_(std::move(words)) {}

  Result<std::vector<std::string>> read() {
    while (at_ < words_.size()) {
      const auto word = words_[at_++];
      if (word.starts_with("--")) {
        TRY("", read_long(word));
      } else if (word.starts_with('-') && word.size() > 1) {
        TRY("", read_short(word));
      } else {
        return fail(Kind::bad_input, fmt::format("'{}' is no option of docker run", printable(word)),
                    "docker would take it for the image",
                    "options begin with '-'; the image is image_id: docker:IMAGE");
      }
    }
    return std::move(out_);
  }

 private:
  Status read_long(const std::string& word) {
    const auto equals = word.find('=');
    const auto name = word.substr(2, equals == word.npos ? word.npos : equals - 2);
    const auto value = equals == word.npos ? std::nullopt : std::optional(word.substr(equals + 1));
    if (!is_in(flags, name) && !takes_value(name)) {
      std::vector<std::string> names(flags.begin(), flags.end());
      names.insert(names.end(), valued.begin(), valued.end());
      names.insert(names.end(), valued_too.begin(), valued_too.end());
      const auto near = nearest(name, names);
      return fail(Kind::bad_input, fmt::format("docker run has no option '--{}'", printable(name)), {},
                  near ? fmt::format("did you mean '--{}'?", *near) : "docker run --help lists what it has");
    }
    return take(name, value);
  }

  /// `-it`, `-v a:b`, `-va:b`.
  Status read_short(const std::string& word) {
    for (std::size_t i = 1; i < word.size(); ++i) {
      const auto* known = std::ranges::find(shorts, word[i], &Short::letter);
      if (known == std::end(shorts))
        return fail(Kind::bad_input, fmt::format("docker run has no option '-{}'", printable(word.substr(i, 1))), {},
                    "docker run --help lists what it has");
      if (!takes_value(known->name)) {
        TRY("", take(known->name, std::nullopt));
        continue;
      }
      auto rest = word.substr(i + 1);
      if (rest.starts_with('=')) rest.erase(0, 1);
      return take(known->name, rest.empty() ? std::nullopt : std::optional(rest));
    }
    return {};
  }

  Status take(std::string_view name, std::optional<std::string> value) {
    for (const auto& one : refused) {
      const bool is_harmless = name == "userns" && (value ? *value : next()) == "host";
      if (one.name == name && !is_harmless)
        return fail(Kind::bad_input, fmt::format("--{} cannot be had in a run's container", name), std::string(one.why),
                    "leave it out");
    }
    if (!takes_value(name)) {
      if (!is_in(needless, name)) out_.push_back(fmt::format("--{}{}", name, value ? "=" + *value : ""));
      return {};
    }
    if (!value) {
      if (at_ >= words_.size()) return fail(Kind::bad_input, fmt::format("--{} needs a value", name));
      value = words_[at_++];
    }
    if (name == "user") return check_user(*value);
    if (name == "volume" || name == "mount" || name == "tmpfs") TRY("", check_target(name, *value));
    out_.push_back(fmt::format("--{}={}", name == "net" ? "network" : name, *value));
    return {};
  }

  std::string next() const { return at_ < words_.size() ? words_[at_] : std::string(); }

  /// ferry's container is root's, as this asks for.
  static Status check_user(const std::string& user) {
    if (user == "root" || user == "0" || user == "0:0" || user == "root:root") return {};
    return fail(Kind::bad_input, fmt::format("--user={} cannot be had in a run's container", printable(user)),
                "setup installs as root there, and what is written belongs to the login user afterwards",
                "leave it out");
  }

  static Status check_target(std::string_view name, const std::string& value) {
    const auto target = target_of(name, value);
    if (!target.starts_with('/'))
      return fail(Kind::bad_input, fmt::format("--{}: '{}' names no place in the container", name, printable(value)),
                  {}, "write -v HOST:CONTAINER, where CONTAINER begins with /");
    if (target.find("..") == target.npos && !covers_ferrys(target)) return {};
    return fail(Kind::bad_input,
                fmt::format("--{}: '{}' would cover what ferry has in the container", name, printable(target)),
                "the run's workdir and ferry's own folder are there under their own names",
                "mount it at a place of its own, such as /data");
  }

  std::vector<std::string> words_;
  std::size_t at_ = 0;
  std::vector<std::string> out_;
};

}  // namespace

Result<std::vector<std::string>> parse_run_options(std::string_view text) {
  auto words = words_of(text);
  if (!words) return fail(Kind::bad_input, "a quote is not closed", {}, "close it");
  return Options(*std::move(words)).read();
}

}  // namespace ferry::task
