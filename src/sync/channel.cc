#include "sync/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "base/text.h"
#include "os/fd.h"

namespace ferry::sync {

namespace {

constexpr std::size_t buffer_size = std::size_t{128} << 10;
constexpr std::size_t shell_noise_limit = std::size_t{64} << 10;
constexpr std::size_t job_size = std::size_t{4} << 20;  // after so many bytes the effort is chosen anew
constexpr int window_log = 24;                          // 16 MiB; a peer cannot make us hold more
constexpr int smallest_window_log = 17;
constexpr int overlap = 8;  // of jobs: half of the window
constexpr unsigned most_workers = 4;
constexpr int poll_ms = 100;
constexpr std::uint64_t least_bytes = std::uint64_t{64} << 10;  // in pace_windows times the silence
constexpr int pace_windows = 5;
constexpr auto longest_work = std::chrono::hours(12);  // that a peer may say it is at work
constexpr auto between_beats = std::chrono::seconds(5);

auto broken(std::string why = {}) {
  return fail(Kind::lost, "the connection broke while files were moving", std::move(why),
              "run the same command again; what arrived is kept");
}

}  // namespace

/// What zstd tries, from little to much. What each costs and brings, docs/benchmarks.md has: tables that cover the
/// whole window bring more than a higher level does, where files are like the ones before them.
struct Effort {
  int level, hash_log, chain_log;
};
constexpr Effort efforts[] = {{-10, 0, 0}, {1, 17, 0}, {1, 20, 0}, {3, 20, 20}, {6, 21, 20}, {8, 21, 20}};
constexpr std::size_t first_effort = 2, usual_effort = 3, least_on_slow_line = 1;
constexpr double slow_line = 64e6;  // bytes a second

struct Channel::Zstd {
  ZSTD_CCtx* out = ZSTD_createCCtx();
  ZSTD_DCtx* in = ZSTD_createDCtx();
  const std::unique_ptr<char[]> buffer = std::make_unique_for_overwrite<char[]>(buffer_size);
  bool in_bulk = false;
  int window = 0;  // in bulk
  std::size_t effort = first_effort;
  int patience = 0;  // jobs to go until more than the least is tried again on what does not shrink
  std::size_t job_in = 0, job_out = 0;
  std::string_view unsent;  // of the buffer
  Clock::duration writing{}, working{};

  explicit Zstd(int small_window) {
    ZSTD_CCtx_setParameter(out, ZSTD_c_compressionLevel, 3);
    ZSTD_CCtx_setParameter(out, ZSTD_c_windowLog, small_window);
    ZSTD_DCtx_setParameter(in, ZSTD_d_windowLogMax, window_log);
  }
  ~Zstd() {
    ZSTD_freeCCtx(out);
    ZSTD_freeDCtx(in);
  }
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;

  /// With threads this is possible at any moment.
  void use(std::size_t chosen_effort) {
    effort = chosen_effort;
    const Effort& chosen = efforts[effort];
    ZSTD_CCtx_setParameter(out, ZSTD_c_compressionLevel, chosen.level);
    ZSTD_CCtx_setParameter(out, ZSTD_c_hashLog, std::min(chosen.hash_log, window));
    ZSTD_CCtx_setParameter(out, ZSTD_c_chainLog, std::min(chosen.chain_log, window));
  }
};

Channel::Channel(int in, int out, std::function<bool()> cancelled, std::chrono::milliseconds silence, int window)
    : in_(in),
      out_(out),
      in_flags_(::fcntl(in, F_GETFL)),
      out_flags_(::fcntl(out, F_GETFL)),
      cancelled_(std::move(cancelled)),
      silence_(silence),
      zstd_(std::make_unique<Zstd>(window)),
      raw_(std::make_unique_for_overwrite<char[]>(buffer_size)),
      plain_(std::make_unique_for_overwrite<char[]>(buffer_size)) {
  os::ignore_sigpipe();
  ::fcntl(in_, F_SETFL, in_flags_ | O_NONBLOCK);
  ::fcntl(out_, F_SETFL, out_flags_ | O_NONBLOCK);
}

Channel::~Channel() {
  ::fcntl(out_, F_SETFL, out_flags_);
  ::fcntl(in_, F_SETFL, in_flags_);
}

Status Channel::check_cancelled() const {
  if (cancelled_ && cancelled_()) return fail(Kind::cancelled, "moving files was cancelled");
  return {};
}

/// After a wait that brought something: too little in too long is no better than nothing.
Status Channel::check_pace(Clock::duration waited) {
  waited_ += waited;
  if (waited_ < silence_ * pace_windows) return {};
  const std::uint64_t moved = sent_ + received_ - moved_before_;
  if (moved < least_bytes) return broken("the other side hardly sends or takes anything");
  waited_ = {};
  moved_before_ = sent_ + received_;
  return {};
}

Status Channel::wait(For what) {
  const auto begin = Clock::now();
  while (true) {
    TRY("", check_cancelled());
    const auto now = Clock::now();
    if ((deadline_ && now >= *deadline_) || now - begin >= silence_) return broken("the other side fell silent");
    if (what == For::writing && attentive_ && peer_spoke()) return broken("the other side stopped");
    pollfd wanted[2] = {{in_, POLLIN, 0}, {out_, POLLOUT, 0}};
    if (what == For::reading) wanted[1].fd = -1;
    if (what == For::writing && !attentive_) wanted[0].fd = -1;
    if (::poll(wanted, 2, poll_ms) < 0 && errno != EINTR) return fail_errno("poll");
    if ((what == For::writing ? wanted[1] : wanted[0]).revents != 0) return check_pace(Clock::now() - begin);
  }
}

Status Channel::send(std::string_view& bytes) {
  while (!bytes.empty()) {
    TRY("", check_cancelled());
    ssize_t done = ::send(out_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0 && errno == ENOTSOCK) done = ::write(out_, bytes.data(), bytes.size());
    if (done >= 0) {
      sent_ += static_cast<std::uint64_t>(done);
      bytes.remove_prefix(static_cast<std::size_t>(done));
    } else if (errno == EAGAIN) {
      TRY("", wait(For::writing));
    } else if (errno != EINTR) {
      return broken("writing failed");
    }
  }
  return {};
}

Result<std::string_view> Channel::receive() {
  while (true) {
    const ssize_t got = ::read(in_, raw_.get(), buffer_size);
    if (got == 0) return broken();  // why, the other program may tell on its standard error
    if (got > 0) {
      received_ += static_cast<std::uint64_t>(got);
      return std::string_view(raw_.get(), static_cast<std::size_t>(got));
    }
    if (errno == EAGAIN) {
      TRY("", wait(For::reading));
    } else if (errno != EINTR) {
      return broken("reading failed");
    }
  }
}

Status Channel::greet() {
  const std::string ours = std::string(greeting) + protocol_version;
  std::string_view unsent = ours;
  return send(unsent);
}

Status Channel::await_greeting() {
  std::string heard;
  std::size_t at = std::string::npos;
  const auto begin = Clock::now();
  while (at == std::string::npos || heard.size() <= at + greeting.size()) {
    auto more = receive();
    if (!more) {
      Error error = std::move(more).error();
      if (error.kind == Kind::lost && !heard.empty()) error.why = "it said: " + printable(trim(heard.substr(0, 300)));
      return tl::unexpected(std::move(error));
    }
    heard += *more;
    waited_ = {};
    if (Clock::now() - begin > longest_work) return broken("the other side never began");
    at = heard.find(greeting);
    if (std::min(at, heard.size()) > shell_noise_limit) {
      return fail(Kind::corrupt, "the other side does not speak ferry's sync protocol",
                  "it said: " + printable(trim(heard.substr(0, 300))),
                  "make its login shell print nothing when it is not interactive");
    }
  }
  const char version = heard[at + greeting.size()];
  if (version != protocol_version) {
    return fail(Kind::unsupported,
                "the other side speaks version " + std::to_string(int{version}) + " of the sync protocol, we speak " +
                    std::to_string(int{protocol_version}),
                {}, "use the same version of ferry on both sides");
  }
  heard.erase(0, at + greeting.size() + 1);
  raw_rest_ = {raw_.get(), heard.copy(raw_.get(), buffer_size)};
  greeted_ = true;
  return {};
}

void Channel::put_number(std::uint64_t value) {
  do {
    pending_ += static_cast<char>((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value >>= 7;
  } while (value != 0);
}

void Channel::put_text(std::string_view text) {
  put_number(text.size());
  put(text);
}

Status Channel::pump() { return pending_.size() < buffer_size ? Status{} : compress_pending(ZSTD_e_continue); }

Status Channel::flush() { return compress_pending(ZSTD_e_flush); }

Status Channel::put_through(std::string_view bytes) {
  if (bytes.size() < buffer_size / 8) {
    put(bytes);
    return pump();
  }
  auto done = compress_pending(ZSTD_e_continue);
  if (done) done = compress(bytes, ZSTD_e_continue);
  if (!done) put(bytes);  // a last word must not stand among them
  return done;
}

Status Channel::begin_bulk(std::uint64_t bytes) {
  TRY("", compress_pending(ZSTD_e_end));
  Zstd& z = *zstd_;
  z.in_bulk = bytes > job_size;
  ZSTD_CCtx_reset(z.out, ZSTD_reset_session_and_parameters);
  z.window = smallest_window_log;
  while (z.window < window_log && std::uint64_t{1} << z.window < bytes) ++z.window;
  ZSTD_CCtx_setParameter(z.out, ZSTD_c_windowLog, z.window);
  if (z.in_bulk) {
    // An error says that this zstd has no threads, and it goes on without.
    const auto workers = std::clamp(std::thread::hardware_concurrency(), 1U, most_workers);
    ZSTD_CCtx_setParameter(z.out, ZSTD_c_nbWorkers, static_cast<int>(workers));
    ZSTD_CCtx_setParameter(z.out, ZSTD_c_jobSize, job_size);
    ZSTD_CCtx_setParameter(z.out, ZSTD_c_overlapLog, overlap);
  }
  z.use(z.in_bulk ? first_effort : usual_effort);
  return {};
}

/// If it fails it can be called again: nothing is compressed twice or lost.
Status Channel::compress_pending(int how) {
  std::string_view rest = pending_;
  auto done = compress(rest, how);
  pending_.erase(0, pending_.size() - rest.size());
  return done;
}

/// Takes from `bytes` what was compressed.
Status Channel::compress(std::string_view& bytes, int how) {
  Zstd& z = *zstd_;
  std::size_t left = 1;
  while (how == ZSTD_e_continue ? !bytes.empty() : left != 0) {
    TRY("", send(z.unsent));
    ZSTD_inBuffer in{bytes.data(), std::min(bytes.size(), buffer_size), 0};
    ZSTD_outBuffer out{z.buffer.get(), buffer_size, 0};
    const bool all = in.size == bytes.size();
    const auto begin = Clock::now();
    left = ZSTD_compressStream2(z.out, &out, &in, all ? static_cast<ZSTD_EndDirective>(how) : ZSTD_e_continue);
    if (ZSTD_isError(left) != 0) return fail(Kind::bug, std::string("zstd: ") + ZSTD_getErrorName(left));
    if (!all) left = 1;
    const auto middle = Clock::now();
    bytes.remove_prefix(in.pos);
    z.job_in += in.pos;
    z.job_out += out.pos;
    z.unsent = {z.buffer.get(), out.pos};
    TRY("", send(z.unsent));
    z.working += middle - begin;
    z.writing += Clock::now() - middle;
    if (z.in_bulk && z.job_in >= job_size) choose_effort();
  }
  return {};
}

/// More effort while the line is what we wait for, less while the processor is, hardly any for what does not shrink.
/// On a slow line little effort is never right: if it seems so, the line has only paused.
void Channel::choose_effort() {
  Zstd& z = *zstd_;
  const std::chrono::duration<double> took = z.writing + z.working;
  const bool is_slow = static_cast<double>(z.job_out) < slow_line * took.count();
  const bool shrinks = z.job_out < z.job_in / 100 * 97;
  std::size_t next = z.effort;
  if (z.job_out == 0) {
    // the first are still being compressed
  } else if (z.patience > 0) {
    if (--z.patience == 0) next = 1;
  } else if (!shrinks) {
    next = 0;
    z.patience = 8;
  } else if (z.writing > z.working) {
    next = std::min(next + 1, std::size(efforts) - 1);
  } else {
    next = std::max(next - std::min<std::size_t>(next, 1), is_slow ? least_on_slow_line : 0);
  }
  z.use(next);
  z.job_in = z.job_out = 0;
  z.working = z.writing = {};
}

/// Decompresses what was read until there is something to use; reads nothing.
Status Channel::decode() {
  while (rest_.empty() && (more_inside_ || !raw_rest_.empty())) {
    ZSTD_inBuffer in{raw_rest_.data(), raw_rest_.size(), 0};
    ZSTD_outBuffer out{plain_.get(), buffer_size, 0};
    const std::size_t left = ZSTD_decompressStream(zstd_->in, &out, &in);
    if (ZSTD_isError(left) != 0) {
      return fail(Kind::corrupt, "what the other side sent cannot be decompressed", ZSTD_getErrorName(left));
    }
    raw_rest_.remove_prefix(in.pos);
    rest_ = {plain_.get(), out.pos};
    more_inside_ = out.pos == out.size;
  }
  return {};
}

Status Channel::refill() {
  if (!greeted_) TRY("", await_greeting());
  TRY("", decode());
  while (rest_.empty()) {
    TRY_SET(more, "", receive());
    raw_rest_ = more;
    TRY("", decode());
  }
  return {};
}

/// The end of the stream, and bytes that make no sense, count as a word; that the peer is at work does not.
bool Channel::peer_spoke() {
  while (true) {
    if (!decode()) return true;
    while (rest_.starts_with('B')) rest_.remove_prefix(1);
    if (!rest_.empty()) return true;
    if (more_inside_ || !raw_rest_.empty()) continue;
    const ssize_t got = ::read(in_, raw_.get(), buffer_size);
    if (got < 0) return errno != EAGAIN && errno != EINTR;
    if (got == 0) return true;
    received_ += static_cast<std::uint64_t>(got);
    raw_rest_ = std::string_view(raw_.get(), static_cast<std::size_t>(got));
  }
}

Result<std::string_view> Channel::some(std::size_t limit) {
  TRY("", refill());
  const std::string_view got = rest_.substr(0, limit);
  rest_.remove_prefix(got.size());
  return got;
}

Result<char> Channel::byte() {
  TRY_SET(got, "", some(1));
  return got[0];
}

Result<char> Channel::letter() {
  while (true) {
    TRY_SET(got, "", byte());
    if (got != 'B') {
      at_work_since_.reset();
      return got;
    }
    waited_ = {};
    if (!at_work_since_) at_work_since_ = Clock::now();
    if (Clock::now() - *at_work_since_ > longest_work) return broken("the other side never came to an end");
  }
}

Status Channel::beat() {
  TRY("", check_cancelled());
  if (Clock::now() - beaten_ < between_beats) return {};
  beaten_ = Clock::now();
  put("B");
  return flush();
}

Result<std::uint64_t> Channel::number(std::uint64_t max) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    TRY_SET(group, "", byte());
    const std::uint64_t bits = static_cast<unsigned char>(group) & 0x7f;
    if (shift == 63 && bits > 1) break;
    value |= bits << shift;
    if ((group & 0x80) != 0) continue;
    if (value > max) break;
    return value;
  }
  return fail(Kind::corrupt, "the other side sent a number that is too large");
}

Result<std::string> Channel::text(std::size_t max) {
  TRY_SET(size, "", number(max));
  std::string whole;
  while (whole.size() < size) {
    TRY_SET(part, "", some(size - whole.size()));
    whole += part;
  }
  return whole;
}

void Channel::put_error(const Error& error) {
  put_text(name(error.kind));
  for (const std::string* part : {&error.what, &error.why, &error.advice, &error.code}) {
    put_text(std::string_view(*part).substr(0, 4000));
  }
}

Result<Error> Channel::error() {
  Error read;
  TRY_SET(kind, "", text(64));
  read.kind = Kind::corrupt;
  for (int i = 0; i <= static_cast<int>(Kind::bug); ++i) {
    if (name(static_cast<Kind>(i)) == kind) read.kind = static_cast<Kind>(i);
  }
  for (std::string* part : {&read.what, &read.why, &read.advice, &read.code}) {
    TRY_SET(words, "", text(4096));
    *part = printable(words);
  }
  return read;
}

void Channel::tell(const Error& error) {
  cancelled_ = nullptr;
  // Who was told to stop does not wait for a peer that does not listen.
  deadline_ = Clock::now() + std::chrono::milliseconds(error.kind == Kind::cancelled ? 300 : 3000);
  attentive_ = false;
  put("E");
  put_error(error);
  (void)flush();
}

Error Channel::last_words(Error ours) {
  if (ours.kind != Kind::lost) return ours;
  cancelled_ = nullptr;
  attentive_ = false;
  deadline_ = Clock::now() + std::chrono::seconds(3);
  const auto tag = letter();
  if (!tag && !greeted_ && !tag.error().why.empty()) return tag.error();
  if (!tag || *tag != 'E') return ours;
  auto theirs = error();
  return theirs ? *std::move(theirs) : ours;
}

}  // namespace ferry::sync
