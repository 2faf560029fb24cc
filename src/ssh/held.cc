#include "ssh/held.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/socket.h"

namespace ferry::ssh {

namespace {

constexpr Millis answer_limit{2'000}, end_limit{1'000};
constexpr std::size_t most_asked = 256, most_welcome = 16'384;
constexpr std::size_t most_trusted = std::size_t{4} << 20;  // bytes of a known_hosts
constexpr std::string_view asked_begin = "ferry-hold 1 ", use_word = "use", end_word = "end";
constexpr std::string_view home_begin = "ferry-home:", program_begin = "ferry-program:";
constexpr std::size_t key_length = 32;  // hexadecimal digits: 128 bits

/// Adds what has a length of its own, so that no two lists of such are the same bytes.
void add(Sha256& hash, std::string_view bytes) {
  hash.add(fmt::format("{}:", bytes.size()));
  hash.add(bytes);
}

/// A file that is not there is something else than an empty one.
Status add_file(Sha256& hash, const os::Path& path) {
  add(hash, path.native());
  if (!os::exists(path)) {
    add(hash, "absent");
    return {};
  }
  TRY_SET(bytes, "", os::read_file(path, most_trusted));
  add(hash, "there");
  add(hash, bytes);
  return {};
}

/// What the user's own ssh config makes of a host, and whom it trusts to be that.
Status add_config(Sha256& hash, const Target& target) {
  os::SpawnOptions options;
  options.argv = {"ssh", "-G", "--", target.address};
  options.err = os::Stream::null;
  TRY_SET(told, "", os::run_command(options, {}, Millis(2'000)));
  if (told.exit.code != 0) return fail(Kind::bad_input, "ssh does not say what it makes of " + target.address);
  add(hash, told.out);
  for (const auto& line : split(told.out, '\n')) {
    if (!line.starts_with("userknownhostsfile ") && !line.starts_with("globalknownhostsfile ")) continue;
    for (const auto& file : split(line.substr(line.find(' ') + 1), ' ')) TRY("", add_file(hash, file));
  }
  return {};
}

/// Connected, and it is this user's process that listens.
Result<os::Fd> call(const HeldPlace& place) {
  if (!is_private(place.folder)) return fail(Kind::denied, place.folder.string() + " is not this user's alone");
  TRY_SET(socket, "", os::connect_unix(place.socket(), answer_limit));
  if (os::peer_user(socket.get()) != ::geteuid())
    return fail(Kind::denied, "somebody else listens at " + place.socket().string());
  TRY("", os::set_nonblocking(socket.get(), true));
  return socket;
}

/// The socket that is there for them, if it is: most often none is.
std::optional<HeldPlace> place_of(const os::Path& folder, const Target& target, const Programs& programs) {
  const auto there = os::list_dir(folder);
  if (!there || there->empty()) return std::nullopt;
  auto key = held_key(target, programs);
  if (!key) return std::nullopt;
  HeldPlace place{folder, *std::move(key)};
  if (!os::exists(place.socket())) return std::nullopt;
  return place;
}

Result<Welcome> ask_in(const HeldPlace& place, int socket) {
  TRY("", os::write_all(socket, ask_line({.is_end = false, .key = place.key})));
  const auto end = os::system_clock().steady_ms() + answer_limit.count();
  std::string said;
  while (true) {
    const auto left = end - os::system_clock().steady_ms();
    if (left <= 0 || !os::wait_readable(socket, Millis(left)))
      return fail(Kind::timeout, "whoever holds the connection does not answer");
    TRY_SET(part, "", os::read_some(socket));
    if (part.empty()) return fail(Kind::lost, "whoever holds the connection lets nobody in");
    said += part;
    TRY_SET(welcome, "", read_welcome(said));
    if (welcome) return *std::move(welcome);
  }
}

}  // namespace

os::Path HeldPlace::socket() const { return folder / key; }
os::Path HeldPlace::lock() const { return folder / (key + ".lock"); }

Result<std::string> held_key(const Target& target, const Programs& programs) {
  Sha256 hash;
  add(hash, "1");
  TRY_SET(argv, "", session_argv(target, Millis(1'000), ""));
  for (const auto& word : argv) add(hash, word);
  for (const auto& one : programs) {
    add(hash, one.arch);
    add(hash, one.name);
  }
  if (target.own_config) {
    TRY("", add_config(hash, target));
  } else {
    TRY("", add_file(hash, target.known_hosts));
    TRY("", add_file(hash, target.identity));
  }
  return hex(hash.finish()).substr(0, key_length);
}

bool is_private(const os::Path& folder) {
  struct stat info {};
  return ::lstat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == ::geteuid() &&
         (info.st_mode & 0077) == 0;
}

std::optional<Session> use_held(const os::Path& folder, const Target& target, const Programs& programs) {
  const auto place = place_of(folder, target, programs);
  if (!place) return std::nullopt;
  auto socket = call(*place);
  if (!socket) {
    // Nobody has the lock: it was killed.
    if (socket.error().kind == Kind::lost && !os::is_locked(place->lock())) ::unlink(place->socket().c_str());
    return std::nullopt;
  }
  auto welcome = ask_in(*place, socket->get());
  if (!welcome) return std::nullopt;
  auto session = Session::held(target, std::move(welcome->machine), *std::move(socket), std::move(welcome->first));
  if (!session) return std::nullopt;
  return *std::move(session);
}

void end_held(const os::Path& folder, const Target& target, const Programs& programs) {
  const auto place = place_of(folder, target, programs);
  const auto socket = place ? call(*place) : tl::unexpected<Error>(Error{});
  if (!socket || !os::write_all(socket->get(), ask_line({.is_end = true, .key = place->key}))) return;
  (void)os::wait_readable(socket->get(), end_limit);  // it closes the socket when it has heard
}

std::string ask_line(const Asked& asked) {
  return fmt::format("{}{} {}\n", asked_begin, asked.key, asked.is_end ? end_word : use_word);
}

Result<std::optional<Asked>> read_asked(std::string_view said) {
  const auto wrong = [] { return fail(Kind::corrupt, "a caller does not say what it wants"); };
  const auto end = said.find('\n');
  if (end == said.npos && said.size() < most_asked) return std::optional<Asked>();
  if (end == said.npos || end + 1 != said.size() || !said.starts_with(asked_begin)) return wrong();
  const auto words = split(said.substr(asked_begin.size(), end - asked_begin.size()), ' ');
  if (words.size() != 2 || (words[1] != use_word && words[1] != end_word)) return wrong();
  return Asked{words[1] == end_word, words[0]};
}

std::string welcome_lines(const Machine& machine) {
  return fmt::format("{}{}\n{}{}\n", home_begin, machine.home, program_begin, machine.program);
}

Result<std::optional<Welcome>> read_welcome(std::string_view said) {
  const auto home_end = said.find('\n');
  const auto end = home_end == said.npos ? said.npos : said.find('\n', home_end + 1);
  if (end == said.npos && said.size() < most_welcome) return std::optional<Welcome>();
  Welcome out;
  if (end != said.npos && said.starts_with(home_begin) && said.substr(home_end + 1).starts_with(program_begin)) {
    out.machine.home = said.substr(home_begin.size(), home_end - home_begin.size());
    const auto begin = home_end + 1 + program_begin.size();
    out.machine.program = said.substr(begin, end - begin);
    out.first = said.substr(end + 1);
  }
  if (!out.machine.home.starts_with('/') || !out.machine.program.starts_with('/'))
    return fail(Kind::corrupt, "whoever holds the connection does not answer as a ferry does");
  return out;
}

}  // namespace ferry::ssh
