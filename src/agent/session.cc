#include "agent/session.h"

#include <sys/socket.h>

#include <cerrno>

#include "base/version.h"

namespace ferry::agent {
namespace {

constexpr std::size_t log_at_once = 128 * 1024, most_unsent = 256 * 1024;
/// Other clients and the job get their turn after so many parts.
constexpr int parts_a_turn = 8;

}  // namespace

Session::Session(os::Fd socket, Supervisor& supervisor)
    : socket_(std::move(socket)), supervisor_(supervisor), last_active_(os::system_clock().steady_ms()) {
  const Json hello{{"protocol", oldest_protocol},
                   {"speaks", protocol_version},
                   {"version", ferry_version()},
                   {"run", supervisor_.run()}};
  out_ = std::string(greeting) + encode(FrameType::hello, dump_json(hello));
}

bool Session::wants_input() const { return out_.size() - sent_ < most_unsent; }

bool Session::state_due() const {
  if (!place_ || version_seen_ == supervisor_.version()) return false;
  // "done" is the last word, after the last byte of the log.
  return place_->offset >= supervisor_.spool().size() || supervisor_.status().state != JobState::done;
}

bool Session::wants_output() const {
  return sent_ < out_.size() || state_due() || (place_ && place_->offset < supervisor_.spool().size());
}

bool Session::receive() {
  std::string bytes(65536, '\0');
  const ssize_t got = ::recv(fd(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  last_active_ = os::system_clock().steady_ms();
  supervisor_.touch();
  reader_.add(std::string_view(bytes).substr(0, static_cast<std::size_t>(got)));
  while (true) {
    const auto frame = reader_.next();
    if (!frame) return false;
    if (!*frame) return true;
    if ((*frame)->type != FrameType::request) return false;
    const auto request = parse_json((*frame)->body);
    if (!request) return false;
    out_ += encode(FrameType::answer, dump_json(answer(*request)));
  }
}

Json Session::answer(const Json& request) {
  Json out = act(request);
  out["id"] = int_at(request, "id");
  return out;
}

Json Session::act(const Json& request) {
  const auto failed = [](const Error& error) { return Json{{"error", to_json(error)}}; };
  const std::string op = text_at(request, "op");
  if (op == "status") return to_json(supervisor_.status());
  if (op == "start") {
    auto spec = spec_from(request.value("spec", Json()));
    return to_json(spec ? supervisor_.start(std::move(*spec)) : supervisor_.refuse(spec.error()));
  }
  if (op == "cancel") {
    supervisor_.cancel(Seconds(std::clamp<std::int64_t>(int_at(request, "grace_s"), 0, 86400)));
    return Json::object();
  }
  if (op == "extend") {
    const auto to = extension_from(request.value("to", Json()));
    if (!to) return failed(to.error());
    const auto extended = supervisor_.extend(*to);
    return extended ? to_json(*extended) : failed(extended.error());
  }
  if (op == "release") {
    const auto released = supervisor_.release(request.value("power_off", Json(false)) == Json(true));
    return released ? Json::object() : failed(released.error());
  }
  if (op == "attach") {
    place_ = Place{static_cast<std::uint64_t>(std::max<std::int64_t>(0, int_at(request, "offset"))), {}};
    version_seen_ = 0;
    return Json::object();
  }
  return failed({Kind::unsupported, "this agent cannot \"" + op + "\"", "its version is " + ferry_version(), "", ""});
}

bool Session::fill() {
  out_.clear();
  sent_ = 0;
  if (!place_) return true;
  if (!supervisor_.spool().read(*place_, log_at_once, out_)) return false;
  if (state_due()) {
    version_seen_ = supervisor_.version();
    out_ += encode(FrameType::state, dump_json(to_json(supervisor_.status())));
  }
  return true;
}

bool Session::send() {
  for (int part = 0; part < parts_a_turn; ++part) {
    if (sent_ == out_.size() && !fill()) return false;
    if (out_.empty()) return true;
    const ssize_t put = ::send(fd(), out_.data() + sent_, out_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0) return errno == EAGAIN || errno == EINTR;
    if (put > 0) last_active_ = os::system_clock().steady_ms();
    sent_ += static_cast<std::size_t>(put);
  }
  return true;
}

}  // namespace ferry::agent
