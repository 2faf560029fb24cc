#include "sync/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/text.h"
#include "os/fd.h"

namespace ferry::sync {

namespace {

constexpr std::size_t buffer_size = std::size_t{128} << 10;
constexpr std::size_t shell_noise_limit = std::size_t{64} << 10;
constexpr std::size_t largest_to_gather = std::size_t{16} << 10;  // into one write
constexpr std::size_t usual_effort = 3;
constexpr std::size_t most_unread = std::size_t{16} << 20;
constexpr std::size_t least_through = std::size_t{64} << 10;
constexpr int pipe_size = 1 << 20;
constexpr int poll_ms = 100;
constexpr std::uint64_t least_bytes = std::uint64_t{64} << 10;  // in pace_windows times the silence
constexpr int pace_windows = 5;
constexpr auto longest_work = std::chrono::hours(12);  // that a peer may say it is at work
constexpr auto between_beats = std::chrono::seconds(5);

auto broken(std::string why = {}) {
  return fail(Kind::lost, "the connection broke while files were moving", std::move(why),
              "run the same command again; what arrived is kept");
}

/// Why, the other program may tell on its standard error.
bool is_gone(int error) { return error == EPIPE || error == ECONNRESET; }

}  // namespace

Channel::Channel(int in, int out, std::function<bool()> cancelled, std::chrono::milliseconds silence)
    : in_(in),
      out_(out),
      in_flags_(::fcntl(in, F_GETFL)),
      out_flags_(::fcntl(out, F_GETFL)),
      cancelled_(std::move(cancelled)),
      silence_(silence),
      packer_(usual_effort),
      raw_(std::make_unique_for_overwrite<char[]>(buffer_size)) {
  os::ignore_sigpipe();
  ::fcntl(in_, F_SETFL, in_flags_ | O_NONBLOCK);
  ::fcntl(out_, F_SETFL, out_flags_ | O_NONBLOCK);
  ::fcntl(out_, F_SETPIPE_SZ, pipe_size);  // of a pipe, where that may be
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
  if (!greeted_ && first_word_ > silence_) return {};
  waited_ += waited;
  if (waited_ < silence_ * pace_windows) return {};
  const std::uint64_t moved = sent_ + received_ - moved_before_;
  if (moved < least_bytes) return broken("the other side hardly sends or takes anything");
  waited_ = {};
  moved_before_ = sent_ + received_;
  return {};
}

/// While something is waited for.
Status Channel::may_go_on() {
  TRY("", check_cancelled());
  if (deadline_ && Clock::now() >= *deadline_) return broken("the other side fell silent");
  if (attentive_ && greeted_ && peer_spoke()) return broken("the other side stopped");
  return {};
}

Status Channel::wait(For what) {
  const auto begin = Clock::now();
  while (true) {
    TRY("", may_go_on());
    const auto limit = greeted_ ? silence_ : std::max(silence_, first_word_);
    if (Clock::now() - begin >= limit) return broken("the other side fell silent");
    pollfd wanted[2] = {{in_, POLLIN, 0}, {out_, POLLOUT, 0}};
    const bool listens = is_ahead_ && !is_over_ && unread_.size() < most_unread;
    if (what == For::reading) wanted[1].fd = -1;
    if (what == For::writing && !(attentive_ && greeted_) && !listens) wanted[0].fd = -1;
    if (::poll(wanted, 2, poll_ms) < 0 && errno != EINTR) return fail_errno("poll");
    if (what == For::writing && listens && wanted[0].revents != 0) listen();
    if ((what == For::writing ? wanted[1] : wanted[0]).revents != 0) return check_pace(Clock::now() - begin);
  }
}

/// The peer may have to be heard before it takes more.
void Channel::listen() {
  const std::size_t before = unread_.size();
  unread_.resize(before + buffer_size);
  const ssize_t got = ::read(in_, unread_.data() + before, buffer_size);
  unread_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  is_over_ = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
  if (got > 0) received_ += static_cast<std::uint64_t>(got);
}

/// As read(2), of what was read before at first.
ssize_t Channel::read_now(char* to, std::size_t limit) {
  if (read_of_it_ == unread_.size()) {
    const ssize_t got = ::read(in_, to, limit);
    if (got > 0) received_ += static_cast<std::uint64_t>(got);
    return got;
  }
  const std::size_t taken = unread_.copy(to, limit, read_of_it_);
  read_of_it_ += taken;
  if (read_of_it_ == unread_.size()) {
    unread_ = {};
    read_of_it_ = 0;
  }
  return static_cast<ssize_t>(taken);
}

Status Channel::send(std::string_view& first, std::string_view& second, bool waits) {
  while (!first.empty() || !second.empty()) {
    TRY("", check_cancelled());
    iovec parts[2];
    std::size_t count = 0;
    for (const std::string_view part : {first, second}) {
      if (!part.empty()) parts[count++] = {const_cast<char*>(part.data()), part.size()};
    }
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = count;
    ssize_t done = ::sendmsg(out_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0 && errno == ENOTSOCK) done = ::writev(out_, parts, static_cast<int>(count));
    if (done >= 0) {
      const auto sent = static_cast<std::size_t>(done), of_first = std::min(sent, first.size());
      sent_ += sent;
      first.remove_prefix(of_first);
      second.remove_prefix(sent - of_first);
    } else if (errno == EAGAIN) {
      if (!waits) return {};
      TRY("", wait(For::writing));
    } else if (errno != EINTR) {
      return broken(is_gone(errno) ? "" : "writing failed");
    }
  }
  return {};
}

/// Never 0.
Result<std::size_t> Channel::read_into(char* to, std::size_t limit) {
  while (true) {
    const ssize_t got = read_now(to, limit);
    if (got == 0) return broken();  // as is_gone()
    if (got > 0) return static_cast<std::size_t>(got);
    if (errno == EAGAIN) {
      TRY("", wait(For::reading));
    } else if (errno != EINTR) {
      return broken(is_gone(errno) ? "" : "reading failed");
    }
  }
}

Result<std::string_view> Channel::receive() {
  TRY_SET(got, "", read_into(raw_.get(), buffer_size));
  return std::string_view(raw_.get(), got);
}

Status Channel::greet() {
  const std::string ours = std::string(greeting) + protocol_version;
  std::string_view unsent = ours, nothing;
  return send(unsent, nothing, true);
}

Status Channel::await_greeting() {
  const auto begin = Clock::now();
  TRY("", hear({}));
  while (!greeted_) {
    auto more = receive();
    if (!more) {
      Error error = std::move(more).error();
      if (error.kind == Kind::lost && !intro_.empty()) error.why = "it said: " + printable(trim(intro_.substr(0, 300)));
      return tl::unexpected(std::move(error));
    }
    TRY("", hear(*more));
    waited_ = {};
    if (Clock::now() - begin > longest_work) return broken("the other side never began");
  }
  return {};
}

/// Looks for the greeting. What is wrong is so at the next call, too.
Status Channel::hear(std::string_view bytes) {
  intro_ += bytes;
  const std::size_t at = intro_.find(greeting);
  if (std::min(at, intro_.size()) > shell_noise_limit) {
    return fail(Kind::corrupt, "the other side does not speak ferry's sync protocol",
                "it said: " + printable(trim(intro_.substr(0, 300))),
                "make its login shell print nothing when it is not interactive");
  }
  if (at == std::string::npos || intro_.size() <= at + greeting.size()) return {};
  const char version = intro_[at + greeting.size()];
  if (version != protocol_version) {
    return fail(Kind::unsupported,
                "the other side speaks version " + std::to_string(int{version}) + " of the sync protocol, we speak " +
                    std::to_string(int{protocol_version}),
                {}, "use the same version of ferry on both sides");
  }
  intro_.erase(0, at + greeting.size() + 1);
  raw_rest_ = {raw_.get(), intro_.copy(raw_.get(), buffer_size)};
  intro_ = {};
  greeted_ = true;
  begin_to_judge();  // before, the line may not have been there
  return {};
}

void Channel::put_number(std::uint64_t value) { append_number(pending_, value); }

void Channel::put_text(std::string_view text) {
  put_number(text.size());
  put(text);
}

Status Channel::pump() { return pending_.size() < buffer_size ? Status{} : pack_pending(); }

Status Channel::flush() {
  TRY("", pack_pending());
  if (packer_.has_open_block()) packer_.close_block();
  return send_blocks(Until::none_is_left);
}

Status Channel::put_through(Buffer bytes, std::size_t length) {
  const std::string_view all(bytes.get(), length);
  if (length < least_through) {
    put(all);
    return pump();
  }
  auto done = pack_pending();
  std::string_view rest = all;
  if (done && packer_.effort() > 0) {
    done = pack(rest);
  } else {
    while (done && !packer_.add_whole(bytes, length)) done = send_blocks(Until::one_went);
    if (!bytes) rest = {};
    if (done) done = send_blocks(Until::none_is_ready);
  }
  put(rest);  // if it failed: a last word must not stand among them
  return done;
}

Status Channel::pack_pending() {
  std::string_view rest = pending_;
  auto done = pack(rest);
  pending_.erase(0, pending_.size() - rest.size());
  return done;
}

/// Takes from `bytes` what was packed. If it fails it can be called again: nothing goes twice or is lost.
Status Channel::pack(std::string_view& bytes) {
  while (!bytes.empty()) {
    const std::size_t taken = packer_.add(bytes);
    bytes.remove_prefix(taken);
    TRY("", send_blocks(taken == 0 ? Until::one_went : Until::none_is_ready));
  }
  return {};
}

Status Channel::send_blocks(Until until) {
  while (packer_.has_block()) {
    const auto begin = Clock::now();
    if (!block_) {
      block_ = packer_.first(std::chrono::milliseconds(until == Until::none_is_ready ? 0 : poll_ms));
      working_ += Clock::now() - begin;
      if (!block_ && until == Until::none_is_ready) return {};
      if (!block_) TRY("", may_go_on());
      if (!block_) continue;
      if (block_->body.size() < largest_to_gather) block_->header += std::exchange(block_->body, {});
      head_ = block_->header;
      block_size_ = head_.size() + block_->body.size();
    }
    const auto middle = Clock::now();
    TRY("", send(head_, block_->body, until != Until::none_is_ready));
    writing_ += Clock::now() - middle;
    if (!head_.empty() || !block_->body.empty()) return {};
    judge(*block_, block_size_);
    block_.reset();
    packer_.drop_first();
    if (until == Until::one_went) return {};
  }
  return {};
}

/// Unpacks what was read until there is something to use; reads nothing.
Status Channel::decode() {
  while (rest_.empty() && !raw_rest_.empty()) {
    TRY_SET(block, "", unpacker_.take(raw_rest_));
    rest_ = block;
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

/// The end of the stream, and bytes that make no sense, count as a word; that the peer is at work, or near, does not.
bool Channel::peer_spoke() {
  while (true) {
    if (!decode()) return true;
    for (; rest_.starts_with('B') || rest_.starts_with('P'); rest_.remove_prefix(1)) {
      is_answered_ = is_answered_ || rest_[0] == 'P';
    }
    if (!rest_.empty()) return true;
    if (!raw_rest_.empty()) continue;
    const ssize_t got = read_now(raw_.get(), buffer_size);
    if (got < 0) return errno != EAGAIN && errno != EINTR;
    if (got == 0) return true;
    const std::string_view bytes(raw_.get(), static_cast<std::size_t>(got));
    if (greeted_)
      raw_rest_ = bytes;
    else if (!hear(bytes))
      return true;
  }
}

Result<std::string_view> Channel::some(std::size_t limit) {
  TRY("", refill());
  const std::string_view got = rest_.substr(0, limit);
  rest_.remove_prefix(got.size());
  return got;
}

Result<std::size_t> Channel::some_into(char* to, std::size_t limit) {
  const std::size_t next = rest_.empty() && raw_rest_.empty() && greeted_ ? unpacker_.plain_next() : 0;
  if (next == 0) {
    TRY_SET(got, "", some(limit));
    return got.copy(to, got.size());
  }
  TRY_SET(got, "", read_into(to, std::min(limit, next)));
  unpacker_.skip_plain(got);
  return got;
}

Result<char> Channel::byte() {
  TRY_SET(got, "", some(1));
  return got[0];
}

Result<char> Channel::letter() {
  while (true) {
    TRY_SET(got, "", byte());
    if (got != 'B' && got != 'P') {
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

Result<std::uint64_t> Channel::number(std::uint64_t max) { return read_number(*this, max); }

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
