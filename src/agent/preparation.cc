#include "agent/preparation.h"

#include <poll.h>
#include <unistd.h>

#include <csignal>

#include "agent/post.h"
#include "agent/tree.h"
#include "base/text.h"
#include "mux/frame.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/memory_file.h"
#include "os/process.h"
#include "sync/packed.h"

namespace ferry::agent {

namespace {

constexpr std::size_t most_input = std::size_t{4} << 20, length_bytes = 4;
/// What was told to end may take so long.
constexpr Millis end_limit{5'000};

/// Nobody writes there any more, whatever is still to be read.
bool is_left(int in) {
  pollfd poll{in, POLLIN, 0};
  return ::poll(&poll, 1, 0) > 0 && (poll.revents & (POLLHUP | POLLERR)) != 0;
}

/// The last bytes that were written there.
Result<std::string> end_of(int file) {
  const auto size = ::lseek(file, 0, SEEK_END);
  const auto from = std::max<off_t>(0, size - static_cast<off_t>(most_preparation_said));
  if (size < 0 || ::lseek(file, from, SEEK_SET) < 0) return fail_errno("read what the preparation said");
  return os::read_to_end(file);
}

/// Held while it is prepared; and who does it, and what was said in the end, as its file has it: "GROUP BEGAN", a line,
/// then that and preparation_done. (Should the machine stop at once, the job goes with it: nothing waits for the disk.)
class Turn {
 public:
  /// Whoever has it prepares for a connection that was lost, for one ferry works on a run: he is ended.
  static Result<Turn> take(const os::Path& file) {
    TRY_SET(lock, "", os::FileLock::try_take(file));
    if (!lock) end_holder(file);
    auto taken = lock ? Result<os::FileLock>(*std::move(lock)) : os::FileLock::take(file, end_limit);
    if (!taken) return fail("wait for what an earlier connection began", std::move(taken).error());
    return Turn(file, *std::move(taken));
  }

  /// What was said by then; nothing: it is not done.
  Result<std::optional<std::string>> said() const {
    TRY_SET(noted, "", os::read_file(file_, most_preparation_said + 200));
    const auto begin = noted.find('\n');
    if (begin == noted.npos || !noted.ends_with(end_line())) return std::optional<std::string>();
    return noted.substr(begin + 1, noted.size() - end_line().size() - begin - 1);
  }
  Status begin() {
    if (::ftruncate(lock_.fd(), 0) != 0) return fail_errno("note who prepares");
    return os::write_all(lock_.fd(), fmt::format("{} {}\n", ::getpgrp(), os::process_start_time(::getpgrp())));
  }
  Status end(std::string_view said) { return os::write_all(lock_.fd(), std::string(said) + end_line()); }

 private:
  Turn(os::Path file, os::FileLock lock) : file_(std::move(file)), lock_(std::move(lock)) {}
  static std::string end_line() { return fmt::format("\n{}\n", preparation_done); }
  static void end_holder(const os::Path& file) {
    const auto noted = os::read_file(file, most_preparation_said + 200).value_or("");
    const auto words = split(noted.substr(0, noted.find('\n')), ' ');
    const auto group = words.size() == 2 ? static_cast<pid_t>(parse_int(words[0]).value_or(0)) : 0;
    if (group < 2 || group == ::getpgrp() || std::to_string(os::process_start_time(group)) != words[1]) return;
    auto& clock = os::system_clock();
    const auto end = clock.steady_ms() + end_limit.count();
    signal_group(group, SIGTERM);
    while (!group_members(group).empty() && clock.steady_ms() < end) clock.sleep(Millis(5));
    ::kill(-group, SIGKILL);
  }

  os::Path file_;
  os::FileLock lock_;
};

/// What it said. Where it fails, this process ends as it did.
Result<std::string> run(const ServeOptions& options, const std::string& command, const std::string& input, int err) {
  TRY_SET(given, "", os::file_in_memory("preparation", input));
  TRY_SET(said, "", os::file_in_memory("said", ""));
  os::SpawnOptions shell;
  shell.argv = {"sh", "-c", command};
  shell.in_fd = given.get();
  shell.out_fd = said.get();
  shell.err_fd = err;
  TRY_SET(process, "prepare the job", os::Process::spawn(shell));
  // Meanwhile. One that cannot be started is told of when it is needed.
  (void)serve(options);
  const auto ended = process.wait(Millis(-1));
  if (ended && ended->code != 0) ::_exit(ended->code);
  return end_of(said.get());
}

}  // namespace

std::string encode_preparation(std::string_view input) {
  const auto packed = sync::pack(input);
  return mux::encode_number(static_cast<std::uint32_t>(packed.size())) + packed;
}

std::string encode_said(std::string_view said) {
  return fmt::format("\n{}\n{}\n{}\n", preparation_said, said, preparation_done);
}

std::optional<std::string> said_in(std::string_view told) {
  const auto begin_line = fmt::format("\n{}\n", preparation_said), end_line = fmt::format("\n{}\n", preparation_done);
  const auto end = told.rfind(end_line);
  const auto begin = end == told.npos ? end : told.substr(0, end).rfind(begin_line);
  if (begin == told.npos) return std::nullopt;
  return std::string(told.substr(begin + begin_line.size(), end - begin - begin_line.size()));
}

Status prepare(const ServeOptions& options, const std::string& command, int in, int err) {
  os::ignore_sigpipe();
  TRY_SET(length, "", os::read_exactly(in, length_bytes));
  const std::size_t size = mux::decode_number(length);
  if (size > most_input) return fail(Kind::corrupt, "what prepares the job is too long");
  TRY_SET(packed, "", os::read_exactly(in, size));
  TRY_SET(input, "what prepares the job", sync::unpack(packed, most_input));

  TRY("", private_folder(options.dir));
  std::string told;
  {
    TRY_SET(turn, "", Turn::take(options.dir / preparation_file));
    TRY_SET(said, "", turn.said());
    if (!said) {
      TRY("", turn.begin());
      TRY_SET(now, "", run(options, command, input, err));
      TRY("", turn.end(now));
      said = std::move(now);
    }
    told = *std::move(said);
  }
  if (is_left(in)) return fail(Kind::lost, "nobody waits for the job any more");
  return os::write_all(err, encode_said(told));
}

}  // namespace ferry::agent
