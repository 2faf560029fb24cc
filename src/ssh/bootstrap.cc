#include "ssh/bootstrap.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "base/text.h"
#include "os/clock.h"

namespace ferry::ssh {

namespace {

constexpr std::size_t most_talk = 60'000;  // of a login shell before it runs a command
constexpr std::size_t endless_talk = 1 << 20;
constexpr Millis upload_limit{300'000};  // of the program: 10 MB at 280 kbit/s
/// How long the process that carries a connection may take to say why it ended.
constexpr Millis last_words{2'000};
constexpr int not_run_code = 126, absent_code = 127;  // a shell's own
constexpr int no_room_code = 4;                       // of the bootstrap: the program could not be stored

std::int64_t steady_ms() { return os::system_clock().steady_ms(); }

/// What a process that ended has said on standard error. A proxy of its may still be about to say why.
std::string drain(os::Process& process) {
  std::string text;
  while (process.err && os::wait_readable(process.err.get(), Millis(300)) && text.size() < 65'536) {
    const auto part = os::read_some(process.err.get());
    if (!part || part->empty()) break;
    text += *part;
  }
  return text;
}

tl::unexpected<Error> login_shell_ended(const Target& target, int code, std::string_view complaint) {
  const auto who = login_of(target);
  const auto said = short_line(trim(complaint), 300);
  // bash and zsh name the file and the line: "/home/me/.bashrc: line 3: exec: fish: not found".
  const auto at = said.find(": line ");
  const auto begin = at == said.npos ? said.npos : said.rfind(' ', at) + 1;
  const bool names_file = begin != said.npos && said.find('/', begin) < at;
  const auto file = names_file ? said.substr(begin, at - begin)
                               : std::string(
                                     "~/.bashrc (bash), ~/.zshenv (zsh), ~/.config/fish/config.fish or what "
                                     "else that shell reads first");
  return fail(
      Kind::lost, fmt::format("the login shell of {} ended with code {} before it ran anything", who, code),
      said.empty() ? "something that it reads at its start ends it: exit, set -e, exec of what is not there" : said,
      fmt::format("look at {} there: it must leave a shell alone that has no terminal (to try:  ssh {} true)", file,
                  target.own_config ? target.address : who),
      login_shell_code);
}

/// The conversation with the bootstrap's shell.
class Talk {
 public:
  Talk(const Target& target, const Programs& programs, os::Process& carrier, Millis limit)
      : target_(target), programs_(programs), carrier_(carrier), limit_(limit), end_(steady_ms() + limit.count()) {}

  Result<Begun> hold() {
    TRY("", wait_for("ferry-arch:"));
    TRY("", check_home());
    TRY_SET(program, "", program_for(word("ferry-arch:")));
    Begun begun;
    begun.machine.home = word("ferry-home:");
    begun.machine.program = begun.machine.home + "/.ferry/bin/" + program->name;
    TRY("", wait_for("ferry-has:", "ferry-needs:"));
    if (!has_line("ferry-has:")) {
      TRY("upload the agent", send(*program));
      TRY("", wait_for("ferry-has:"));
    }
    const auto after = said_.find('\n', find("ferry-has:")) + 1;
    while (after == said_.size()) TRY("", hear());
    begun.first = said_.substr(after);
    return begun;
  }

 private:
  /// Waits for a whole line that begins with one of the two.
  Status wait_for(std::string_view one, std::string_view other = {}) {
    while (!has_line(one) && (other.empty() || !has_line(other))) TRY("", hear());
    return {};
  }

  bool has_line(std::string_view begin) const {
    const auto at = find(begin);
    return at != said_.npos && said_.find('\n', at) != said_.npos;
  }
  std::string word(std::string_view begin) const {
    const auto at = find(begin) + begin.size();
    return said_.substr(at, said_.find('\n', at) - at);
  }
  /// Where what follows "\n" begins so, after what a login shell has printed.
  std::size_t find(std::string_view begin) const {
    const auto at = begin_ == said_.npos ? said_.npos : said_.find("\n" + std::string(begin), begin_);
    return at == said_.npos ? at : at + 1;
  }

  Status hear() {
    const auto left = end_ - steady_ms();
    if (left <= 0 || !os::wait_readable(carrier_.out.get(), Millis(left)))
      return fail(Kind::timeout,
                  fmt::format("ssh to {} did not answer within {}", target_.address, show_duration(limit_)));
    const auto part = os::read_some(carrier_.out.get());
    if (!part || part->empty()) return ended();
    said_ += *part;
    // A login shell may print the words of another such conversation, or half a screen.
    if (begin_ == said_.npos) {
      begin_ = said_.rfind("\nferry-home:");
      if (begin_ == said_.npos && said_.size() > endless_talk) begin_ = said_.size();
      if (begin_ != said_.npos && begin_ > most_talk) return talks_too_much();
    }
    return {};
  }

  Status talks_too_much() const {
    return fail(Kind::corrupt,
                fmt::format("the login shell of {} says too much before it runs a command: {}", target_.address,
                            show_bytes(begin_)),
                "it begins with: " + short_line(trim(said_), 80),
                "let ~/.bashrc (or what else that shell reads first) print nothing where there is no terminal");
  }

  /// The carrier closed its output.
  Status ended() {
    auto how = carrier_.wait(last_words);  // its code tells who ended
    if (!how) {
      carrier_.signal(SIGKILL);
      how = carrier_.wait(Millis(-1));
    }
    const auto complaint = drain(carrier_);
    // ssh's own end is 255; any other code is the other end's.
    if (!how || how->signal != 0 || how->code == 255) return tl::unexpected<Error>(classify(target_, complaint));
    if (begin_ == said_.npos) return login_shell_ended(target_, how->code, complaint);
    TRY("", check_home());
    if (has_line("ferry-arch:")) TRY("", program_for(word("ferry-arch:")));
    const bool is_full = complaint.find("No space left") != std::string::npos;
    const auto why = printable(short_line(trim(complaint), 300));
    if (has_line("ferry-has:") && (how->code == not_run_code || how->code == absent_code))
      return fail(Kind::io, "the agent cannot be run on " + target_.address, why,
                  "programs must be allowed to run in the login user's ~/.ferry/bin");
    if (has_line("ferry-needs:") && how->code == no_room_code)
      return fail(is_full ? Kind::disk_full : Kind::io,
                  is_full ? "upload the agent: the machine's disk is full: the agent could not be stored"
                          : "upload the agent: the agent could not be stored on the machine",
                  why);
    return fail(Kind::lost, "the machine did not answer to its end", why);
  }

  Status check_home() const {
    if (!has_line("ferry-home:")) return {};
    const auto home = word("ferry-home:");
    if (home.empty())
      return fail(Kind::bad_input, "the login shell of " + target_.address + " has no HOME",
                  "something that it reads at its start unsets it",
                  "look at ~/.bashrc (or what else that shell reads first) there");
    if (!home.starts_with('/'))
      return fail(Kind::corrupt, "the machine's login shell does not answer as a shell does",
                  printable(trim(said_).substr(0, 300)),
                  "log in there with ssh, and look at what its shell says at its start");
    return {};
  }

  Result<const Program*> program_for(const std::string& arch) const {
    const auto at = std::ranges::find(programs_, arch, &Program::arch);
    if (at != programs_.end()) return &*at;
    std::vector<std::string> known;
    for (const auto& one : programs_) known.push_back(one.arch);
    return fail(Kind::unsupported, "this ferry carries no agent for " + printable(short_line(arch, 40)) + " machines",
                "it has one for " + join(known, " and one for "),
                "choose another instance type; a ferry of a release has both");
  }

  Status send(const Program& program) {
    TRY_SET(bytes, "", program.bytes());
    TRY("", os::set_nonblocking(carrier_.in.get(), true));
    const auto until = steady_ms() + upload_limit.count();
    const auto whole = fmt::format("{}\n", bytes.size()) + bytes;
    for (std::string_view rest = whole; !rest.empty();) {
      const auto left = until - steady_ms();
      std::array<pollfd, 2> polls{{{carrier_.in.get(), POLLOUT, 0}, {carrier_.out.get(), POLLIN, 0}}};
      if (left <= 0 || ::poll(polls.data(), polls.size(), static_cast<int>(left)) == 0)
        return fail(Kind::timeout, fmt::format("it took more than {}", show_duration(upload_limit)));
      if (polls[1].revents != 0) TRY("", hear());  // that it ended, most likely
      const ssize_t put = ::write(carrier_.in.get(), rest.data(), rest.size());
      if (put < 0 && errno != EAGAIN && errno != EINTR) return wait_for("ferry-has:");  // which tells why
      if (put > 0) rest.remove_prefix(static_cast<std::size_t>(put));
    }
    end_ = steady_ms() + limit_.count();
    return {};
  }

  const Target& target_;
  const Programs& programs_;
  os::Process& carrier_;
  const Millis limit_;
  std::int64_t end_;
  std::string said_ = "\n";
  std::size_t begin_ = std::string::npos;  // of its first word
};

}  // namespace

std::string bootstrap_line(const Programs& programs) {
  std::string known;
  for (const auto& one : programs) known += fmt::format("{}) n={};; ", one.arch, one.name);
  // No quote of ' may stand in it, and no line's end: csh has no way to write one.
  return "exec sh -c '" +
         fmt::format(
             "echo; echo \"ferry-home:${{HOME-}}\"; m=$(uname -m); echo \"ferry-arch:$m\"; "
             "case \"${{HOME-}}\" in /*) ;; *) exit 3;; esac; "
             "case \"$m\" in {}*) exit 3;; esac; "
             "cd; d=\"$HOME/.ferry/bin\"; "
             "[ -x \"$d/$n\" ] || ( echo \"ferry-needs:$n\"; read -r s; umask 077; t=\"$d/.new.$$\"; "
             "mkdir -p \"$d\" && head -c \"$s\" >\"$t\" && [ $(wc -c <\"$t\") -eq \"$s\" ] && chmod 700 \"$t\" && "
             "mv -f \"$t\" \"$d/$n\" || {{ rm -f \"$t\"; exit 1; }} ) || exit {}; "
             "echo \"ferry-has:$n\"; exec \"$d/$n\" mux",
             known, no_room_code) +
         "'";
}

std::string join_line(const std::string& name, const std::string& token) {
  return fmt::format("exec sh -c 'exec \"$HOME/.ferry/bin/{}\" mux-join {}'", name, token);
}

Result<Begun> begin_program(const Target& target, const Programs& programs, os::Process& carrier, Millis limit) {
  return Talk(target, programs, carrier, limit).hold();
}

}  // namespace ferry::ssh
