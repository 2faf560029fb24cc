#include "ssh/holder.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <list>

#include "base/text.h"
#include "os/socket.h"

namespace ferry::ssh {

namespace {

constexpr std::size_t buffer_size = std::size_t{64} << 10;
constexpr std::int64_t between_words = 3'000, fresh = 5'000;  // milliseconds
/// A caller has so long to say what it wants, and then waits so long for the machine's word.
constexpr std::int64_t ask_limit = 2'000, word_limit = 1'000;
/// Without callers, so long without a word is the machine's end; with some, ssh's own watch decides (target.cc).
constexpr std::int64_t silence_limit = 10'000;
/// The program of a caller that is gone ends by itself, having seen the end of its input.
constexpr std::int64_t leave_limit = 5'000;

/// Goes on while the computer sleeps: what was heard before that says nothing.
std::int64_t now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

bool would_wait() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

/// Bytes on their way from one descriptor to another, a buffer at a time.
class Relay {
 public:
  bool is_empty() const { return at_ == bytes_.size(); }
  bool has_ended() const { return ended_; }
  /// What comes from now on goes nowhere.
  void drop() {
    drops_ = true;
    at_ = bytes_.size();
  }

  /// Reads once, and writes what it can.
  void move(int from, int to) {
    if (is_empty() && !ended_) {
      bytes_.resize(buffer_size);
      const ssize_t got = ::read(from, bytes_.data(), bytes_.size());
      ended_ = got == 0 || (got < 0 && !would_wait());
      bytes_.resize(static_cast<std::size_t>(std::max<ssize_t>(0, got)));
      at_ = drops_ ? bytes_.size() : 0;
    }
    while (!is_empty()) {
      const ssize_t put = ::write(to, bytes_.data() + at_, bytes_.size() - at_);
      if (put < 0 && would_wait()) return;
      if (put < 0) return drop();  // nobody reads it any more
      at_ += static_cast<std::size_t>(put);
    }
  }
  bool drops() const { return drops_; }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
  bool ended_ = false, drops_ = false;
};

/// One ferry that uses the connection.
struct Caller {
  os::Fd socket;
  std::int64_t since = 0;  // it called, or was understood, or left
  std::string said;        // until it is understood
  bool waits = false;      // it is understood, and the machine is yet to answer
  std::optional<mux::Command> program;
  Relay there, back;
  bool has_left = false;
  bool is_over = false;
};

/// A file that was made here, whatever stands at its path by now.
struct File {
  dev_t device = 0;
  ino_t number = 0;
  bool operator==(const File&) const = default;
  static File at(const os::Path& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0 ? File{info.st_dev, info.st_ino} : File{};
  }
  static File of(int fd) {
    struct stat info {};
    return ::fstat(fd, &info) == 0 ? File{info.st_dev, info.st_ino} : File{};
  }
};

/// Removes what killed holders left. A name with a dot is a socket that is being made (os::listen_unix).
void sweep(const os::Path& folder) {
  const auto names = os::list_dir(folder);
  if (!names) return;
  for (const auto& name : *names) {
    const auto lock = name.ends_with(".lock") ? name : name + ".lock";
    if (!name.starts_with('.') && !os::is_locked(folder / lock)) ::unlink((folder / name).c_str());
  }
}

class Holder {
 public:
  Holder(const HeldPlace& place, Session session, os::Fd listener, Millis idle, int stop)
      : place_(place),
        session_(std::move(session)),
        listener_(std::move(listener)),
        file_(File::at(place.socket())),
        idle_(idle.count()),
        stop_(stop),
        last_use_(now_ms()) {}

  Result<HoldEnd> serve() {
    TRY("", begin_words());
    auto end = std::optional<HoldEnd>();
    while (!end) {
      say_word();
      wait();
      end = look_around();
      if (!end && listener_ && polls_[1].revents != 0) let_call();
      for (auto& caller : callers_) attend(caller);
      std::erase_if(callers_, [](const auto& one) { return one.is_over; });
    }
    if (is_mine()) ::unlink(place_.socket().c_str());
    return *end;
  }

 private:
  /// A shell that says after us what it hears, as long as the program is there that callers need.
  Status begin_words() {
    const auto program = shell_quoted(session_.machine().program);
    TRY_SET(words, "", session_.spawn("while read -r n && [ -x " + program + " ]; do echo $n; done"));
    words_.emplace(std::move(words));
    return os::set_nonblocking(words_->out.get(), true);
  }

  void say_word() {
    const auto now = now_ms();
    const bool is_awaited = std::ranges::any_of(callers_, [](const auto& one) { return one.waits; });
    if (is_said_ || (now - said_ms_ < between_words && !is_awaited)) return;
    said_ms_ = now;
    is_said_ = true;
    (void)os::write_all(words_->in.get(), "1\n");  // one at a time: the pipe has room
  }

  bool is_fresh() const { return heard_ms_ > 0 && now_ms() - heard_ms_ <= fresh; }
  bool is_mine() const { return File::at(place_.socket()) == file_; }

  void wait() {
    polls_.clear();
    polls_.push_back({stop_, POLLIN, 0});
    polls_.push_back({callers_.size() < most_callers && listener_ ? listener_.get() : -1, POLLIN, 0});
    polls_.push_back({words_->out.get(), POLLIN, 0});
    const auto add = [&](int fd, bool reads, bool writes) {
      // One of which nothing is wanted would report its end again and again.
      const int events = (reads ? POLLIN : 0) | (writes ? POLLOUT : 0);
      if (events != 0) polls_.push_back({fd, static_cast<short>(events), 0});
    };
    bool is_hurried = false;
    for (const auto& one : callers_) {
      const bool talks = !one.program;
      is_hurried = is_hurried || talks || one.has_left;
      add(one.socket.get(), talks ? !one.waits : !one.has_left && one.there.is_empty(), !one.back.is_empty());
      if (!one.program) continue;
      add(one.program->in.get(), false, !one.there.is_empty());
      add(one.program->out.get(), one.back.is_empty(), false);
      add(one.program->err.get(), true, false);
    }
    constexpr std::int64_t hurried = 100;
    const auto until_idle =
        callers_.empty() ? std::max<std::int64_t>(0, idle_ - (now_ms() - last_use_)) : between_words;
    const auto limit = callers_.empty() && !listener_ ? 0 : is_hurried ? hurried : std::min(between_words, until_idle);
    (void)::poll(polls_.data(), polls_.size(), static_cast<int>(limit));
  }

  std::optional<HoldEnd> look_around() {
    const auto now = now_ms();
    if (polls_[0].revents != 0) return HoldEnd::asked;
    if (polls_[2].revents != 0 && !hear_word()) return HoldEnd::lost;
    if (callers_.empty() && is_said_ && now - said_ms_ > silence_limit) return HoldEnd::lost;
    if (now - looked_ms_ >= between_words) {
      looked_ms_ = now;
      if (listener_ && !is_mine()) return HoldEnd::replaced;
    }
    if (!callers_.empty()) last_use_ = now;
    if (callers_.empty() && !listener_) return HoldEnd::asked;
    if (now - last_use_ >= idle_) return HoldEnd::idle;
    return std::nullopt;
  }

  /// False when there is nobody to say anything.
  bool hear_word() {
    std::array<char, 64> part;
    const ssize_t got = ::read(words_->out.get(), part.data(), part.size());
    if (got < 0 && would_wait()) return true;
    if (got <= 0) return false;
    is_said_ = false;
    heard_ms_ = said_ms_;
    return true;
  }

  void let_call() {
    auto socket = os::accept_one(listener_.get(), Millis(0));
    if (!socket || os::peer_user(socket->get()) != ::geteuid()) return;
    if (!os::set_nonblocking(socket->get(), true)) return;
    callers_.emplace_back();
    callers_.back().socket = *std::move(socket);
    callers_.back().since = now_ms();
  }

  void attend(Caller& caller) {
    if (caller.program) return relay(caller);
    if (caller.waits) {
      if (is_fresh()) return let_in(caller);
      caller.is_over = now_ms() - caller.since > word_limit;
      return;
    }
    std::array<char, 512> part;
    const ssize_t got = ::read(caller.socket.get(), part.data(), part.size());
    if (got < 0 && would_wait()) {
      caller.is_over = now_ms() - caller.since > ask_limit;
      return;
    }
    caller.said.append(part.data(), static_cast<std::size_t>(std::max<ssize_t>(0, got)));
    const auto asked = read_asked(caller.said);
    caller.is_over = got <= 0 || !asked || (*asked && (*asked)->key != place_.key);
    if (caller.is_over || !*asked) return;
    if ((*asked)->is_end) {
      if (is_mine()) ::unlink(place_.socket().c_str());
      listener_.reset();
      caller.is_over = true;
      return;
    }
    caller.waits = true;
    caller.since = now_ms();
    if (is_fresh()) let_in(caller);
  }

  void let_in(Caller& caller) {
    caller.waits = false;
    auto program = session_.start({session_.machine().program, "mux"}, mux::Lane::work);
    const bool is_well = program && os::set_nonblocking(program->in.get(), true) &&
                         os::set_nonblocking(program->out.get(), true) &&
                         os::set_nonblocking(program->err.get(), true) &&
                         os::write_all(caller.socket.get(), welcome_lines(session_.machine()));
    if (!is_well) {
      caller.is_over = true;
      return;
    }
    caller.program.emplace(*std::move(program));
  }

  void relay(Caller& caller) {
    auto& program = *caller.program;
    if (program.in) caller.there.move(caller.socket.get(), program.in.get());
    caller.back.move(program.out.get(), caller.socket.get());
    std::array<char, 4096> complaint;  // of a program that is about to end: its end is told by its output's
    if (program.err && ::read(program.err.get(), complaint.data(), complaint.size()) == 0) program.err.reset();
    const bool is_gone = caller.there.has_ended() || caller.there.drops() || caller.back.drops();
    if (is_gone && !caller.has_left) {
      caller.has_left = true;
      caller.since = now_ms();
      caller.back.drop();
    }
    // What it said last still goes over.
    if (caller.has_left && caller.there.is_empty()) program.in.reset();
    caller.is_over = (caller.back.has_ended() && caller.back.is_empty()) ||
                     (caller.has_left && now_ms() - caller.since > leave_limit);
  }

  const HeldPlace& place_;
  Session session_;
  os::Fd listener_;
  const File file_;
  const std::int64_t idle_;
  const int stop_;
  std::int64_t last_use_, looked_ms_ = 0;
  std::optional<mux::Command> words_;
  bool is_said_ = false;
  std::int64_t said_ms_ = 0;   // the last word
  std::int64_t heard_ms_ = 0;  // when the last one that came back was said
  std::list<Caller> callers_;
  std::vector<pollfd> polls_;
};

}  // namespace

Result<HoldEnd> hold(const HeldPlace& place, const std::function<Result<Session>()>& open, Millis idle, int stop) {
  TRY("", os::make_dirs(place.folder, 0700));
  if (!is_private(place.folder)) return fail(Kind::denied, place.folder.string() + " is not this user's alone");
  sweep(place.folder);
  TRY_SET(lock, "", os::FileLock::try_take(place.lock()));
  if (!lock) return HoldEnd::others;
  auto session = open();
  auto listener = session ? os::listen_unix(place.socket()) : tl::unexpected<Error>(session.error());
  auto ended = listener ? Holder(place, *std::move(session), *std::move(listener), idle, stop).serve()
                        : tl::unexpected<Error>(listener.error());
  // Whoever has opened it meanwhile gets a lock on a file that is gone, and another may make one of its own. Of two
  // that listen, the one whose socket's file is not its own ends.
  if (File::of(lock->fd()) == File::at(place.lock())) ::unlink(place.lock().c_str());
  return ended;
}

}  // namespace ferry::ssh
