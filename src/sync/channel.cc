#include "sync/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zstd.h>

#include <cerrno>

#include "base/text.h"
#include "os/fd.h"

namespace ferry::sync {

namespace {

constexpr std::size_t buffer_size = std::size_t{128} << 10;
constexpr std::size_t shell_noise_limit = std::size_t{64} << 10;
constexpr std::size_t frame_size = std::size_t{4} << 20;  // after so many bytes the level is chosen anew
constexpr int largest_window_log = 23;                    // a peer cannot make us hold more than 8 MiB
constexpr int highest_level = 5;
constexpr int barely_compressing = -50;
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

struct Channel::Zstd {
  ZSTD_CCtx* out = ZSTD_createCCtx();
  ZSTD_DCtx* in = ZSTD_createDCtx();
  const std::unique_ptr<char[]> buffer = std::make_unique_for_overwrite<char[]>(buffer_size);
  int level = 3, patience = 0;
  std::size_t frame_in = 0, frame_out = 0;
  std::size_t taken = 0;    // of the pending bytes
  std::string_view unsent;  // of the buffer
  Clock::duration writing{}, working{};

  explicit Zstd(int window_log) {
    ZSTD_CCtx_setParameter(out, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(out, ZSTD_c_windowLog, window_log);
    ZSTD_DCtx_setParameter(in, ZSTD_d_windowLogMax, largest_window_log);
  }
  ~Zstd() {
    ZSTD_freeCCtx(out);
    ZSTD_freeDCtx(in);
  }
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;
};

Channel::Channel(int in, int out, std::function<bool()> cancelled, std::chrono::milliseconds silence, int window_log)
    : in_(in),
      out_(out),
      in_flags_(::fcntl(in, F_GETFL)),
      out_flags_(::fcntl(out, F_GETFL)),
      cancelled_(std::move(cancelled)),
      silence_(silence),
      zstd_(std::make_unique<Zstd>(window_log)),
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
  TRY("", send(unsent));
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

Status Channel::pump() { return pending_.size() < buffer_size ? Status{} : compress(false); }

Status Channel::flush() { return compress(true); }

/// If it fails it can be called again: nothing is compressed twice or lost.
Status Channel::compress(bool flush) {
  Zstd& z = *zstd_;
  const bool frame_full = z.frame_in + pending_.size() >= frame_size;
  const ZSTD_EndDirective how = frame_full ? ZSTD_e_end : flush ? ZSTD_e_flush : ZSTD_e_continue;
  std::size_t left = 1;
  while (how == ZSTD_e_continue ? z.taken < pending_.size() : left != 0) {
    TRY("", send(z.unsent));
    ZSTD_inBuffer in{pending_.data(), pending_.size(), z.taken};
    ZSTD_outBuffer out{z.buffer.get(), buffer_size, 0};
    const auto begin = Clock::now();
    left = ZSTD_compressStream2(z.out, &out, &in, how);
    if (ZSTD_isError(left) != 0) return fail(Kind::bug, std::string("zstd: ") + ZSTD_getErrorName(left));
    const auto middle = Clock::now();
    z.taken = in.pos;
    z.frame_out += out.pos;
    z.unsent = {z.buffer.get(), out.pos};
    TRY("", send(z.unsent));
    z.working += middle - begin;
    z.writing += Clock::now() - middle;
  }
  z.frame_in += pending_.size();
  z.taken = 0;
  pending_.clear();
  if (frame_full) choose_level();
  return {};
}

/// More effort while the line is what we wait for, less while the processor is, hardly any for what does not
/// shrink.
void Channel::choose_level() {
  Zstd& z = *zstd_;
  const bool shrinks = z.frame_out < z.frame_in / 100 * 97;
  if (z.level == barely_compressing) {
    if (--z.patience <= 0) z.level = 1;
  } else if (!shrinks) {
    z.level = barely_compressing;
    z.patience = 8;
  } else if (z.writing > z.working) {
    z.level = std::min(z.level + 1, highest_level);
  } else {
    z.level = std::max(z.level - 1, 1);
  }
  ZSTD_CCtx_setParameter(z.out, ZSTD_c_compressionLevel, z.level);
  z.frame_in = z.frame_out = 0;
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
  TRY("", decode());
  while (rest_.empty()) {
    TRY_SET(more, "", receive());
    raw_rest_ = more;
    TRY("", decode());
  }
  return {};
}

/// The end of the stream, and bytes that make no sense, count as a word.
bool Channel::peer_spoke() {
  if (!decode()) return true;
  while (rest_.empty()) {
    const ssize_t got = ::read(in_, raw_.get(), buffer_size);
    if (got < 0) return errno != EAGAIN && errno != EINTR;
    if (got == 0) return true;
    received_ += static_cast<std::uint64_t>(got);
    raw_rest_ = std::string_view(raw_.get(), static_cast<std::size_t>(got));
    if (!decode()) return true;
  }
  return true;
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
  if (!tag || *tag != 'E') return ours;
  auto theirs = error();
  return theirs ? *std::move(theirs) : ours;
}

}  // namespace ferry::sync
