#include "agent/client.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/text.h"
#include "os/clock.h"

namespace ferry::agent {
namespace {

constexpr std::size_t noise_shown = 400;
/// What may come and wait while a question is on its way: an honest agent stops at what ssh and pipes hold.
constexpr std::size_t most_waiting = std::size_t{16} << 20;
/// What is taken in while a request is being written.
constexpr std::size_t most_unread = std::size_t{4} << 20;

std::int64_t steady_ms() { return os::system_clock().steady_ms(); }

/// The end of what came instead of a hello: the shell's complaint, most likely.
std::string tail_of(std::string_view noise) {
  const auto text = trim(noise);
  return printable(text.substr(text.size() - std::min(text.size(), noise_shown)));
}

/// What an event takes in memory, about.
std::size_t weight(const Client::Event& event) { return sizeof event + (event.log ? event.log->bytes.size() : 0); }

Result<JobStatus> started(const Result<Json>& answer) {
  if (!answer && answer.error().kind == Kind::bad_input) return refused_start(answer.error());
  if (!answer) return tl::unexpected<Error>(answer.error());
  return status_from(*answer);
}

}  // namespace

bool is_answer(const Error& error) {
  return error.kind != Kind::lost && error.kind != Kind::timeout && error.kind != Kind::corrupt;
}

Result<Client> Client::connect(os::Fd in, os::Fd out, Millis limit) {
  auto client = begin(std::move(in), std::move(out), limit);
  TRY("", client.read_hello());
  return client;
}

Client Client::begin(os::Fd in, os::Fd out, Millis limit) {
  Client client(std::move(in), std::move(out));
  client.hello_limit_ = limit;
  return client;
}

Status Client::read_hello() {
  const auto end = steady_ms() + hello_limit_.count();
  while (!reader_.skip_to_hello()) {
    if (reader_.noise().size() > max_noise)
      return fail(Kind::corrupt, "the instance talks without end, and not as an agent");
    const auto left = end - steady_ms();
    if (left < 0 || !os::wait_readable(in_.get(), Millis(left)))
      return fail(Kind::lost, "the agent did not greet in time", tail_of(reader_.noise()));
    if (const auto got = receive(); !got)
      return fail(got.error().kind, "the connection ended before the agent greeted", tail_of(reader_.noise()));
  }
  TRY_SET(frame, "read the agent's hello", next_frame(Millis(std::max<std::int64_t>(0, end - steady_ms()))));
  if (!frame) return fail(Kind::lost, "the agent's hello did not come in time");
  if (frame->type != FrameType::hello) return fail(Kind::corrupt, "the agent does not begin with a hello");
  TRY_SET(hello, "the agent's hello", parse_json(frame->body));
  agent_version_ = short_line(text_at(hello, "version"), 40);
  const auto oldest = int_at(hello, "protocol"), newest = int_at(hello, "speaks", oldest);
  protocol_ = static_cast<int>(std::clamp<std::int64_t>(newest, 0, protocol_version));
  if (protocol_ < oldest_protocol || oldest > protocol_) {
    return fail(Kind::unsupported, "the agent on the instance speaks another version of the protocol",
                "its version is " + agent_version_);
  }
  has_greeted_ = true;
  return {};
}

Status Client::receive() {
  auto bytes = os::read_some(in_.get());
  if (!bytes) return fail(Kind::lost, "the connection to the agent broke", bytes.error().what);
  if (bytes->empty()) return fail(Kind::lost, "the connection to the agent ended");
  reader_.add(*bytes);
  return {};
}

Result<std::optional<Frame>> Client::read_frame(Millis limit) {
  if (!has_greeted_) TRY("", read_hello());
  return next_frame(limit);
}

Result<std::optional<Frame>> Client::next_frame(Millis limit) {
  const auto end = steady_ms() + limit.count();
  for (bool late = false;; late = steady_ms() >= end) {
    TRY_SET(frame, "", reader_.next());
    if (frame) {
      silent_ = Millis(0);
      return frame;
    }
    if (late) return std::nullopt;
    const auto now = steady_ms();
    const bool readable = os::wait_readable(in_.get(), Millis(std::max<std::int64_t>(0, end - now)));
    silent_ += Millis(steady_ms() - now);
    if (!readable) return std::nullopt;
    TRY("", receive());
  }
}

Status Client::send(std::string_view bytes) {
  // What the agent says meanwhile is taken in, or both ends might wait for each other.
  TRY("", os::set_nonblocking(out_.get(), true));
  const auto end = steady_ms() + silence_limit.count();
  while (!bytes.empty()) {
    const bool has_room = reader_.noise().size() < most_unread;
    std::array<pollfd, 2> polls{{{out_.get(), POLLOUT, 0}, {has_room ? in_.get() : -1, POLLIN, 0}}};
    const auto left = end - steady_ms();
    if (left <= 0) return fail(Kind::lost, "the agent takes nothing any more");
    if (::poll(polls.data(), polls.size(), static_cast<int>(left)) < 0) continue;
    if (polls[1].revents != 0) TRY("", receive());
    if (polls[0].revents == 0) continue;
    const ssize_t put = ::write(out_.get(), bytes.data(), bytes.size());
    if (put < 0 && errno != EAGAIN && errno != EINTR) return fail(Kind::lost, "the connection to the agent broke");
    if (put > 0) bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

Result<Json> Client::ask(Json request) {
  TRY_SET(id, "", post(std::move(request)));
  return answer_to(id);
}

/// Sends it, and returns its number.
Result<std::int64_t> Client::post(Json request) {
  const auto id = next_id_++;
  request["id"] = id;
  std::string text;
  try {
    text = request.dump();
  } catch (const Json::exception&) {
    return fail(Kind::bad_input, "a script or environment variable is not UTF-8");
  }
  if (text.size() > most_body(FrameType::request)) {
    return fail(Kind::bad_input, "setup, run and environment together are too large", "the limit is 4 MiB",
                "put long scripts into files of the workdir");
  }
  TRY("", send(encode(FrameType::request, text)));
  return id;
}

Result<Json> Client::answer_to(std::int64_t id) {
  const auto end = steady_ms() + silence_limit.count();
  while (true) {
    const auto left = end - steady_ms();
    if (left < 0) return fail(Kind::lost, "the agent does not answer", "it says other things all the time");
    TRY_SET(frame, "", read_frame(Millis(left)));
    if (!frame) return fail(Kind::lost, "the agent does not answer");
    if (frame->type != FrameType::answer) {
      TRY("", keep(*frame));
      if (waiting_bytes_ > most_waiting)
        return fail(Kind::lost, "the agent does not answer", "it sends its log without end instead");
      continue;
    }
    TRY_SET(answer, "the agent's answer", parse_json(frame->body));
    if (int_at(answer, "id") != id) return fail(Kind::corrupt, "the agent answers what was not asked");
    if (answer.contains("error")) return fail("", error_from(answer["error"]));
    return answer;
  }
}

Status Client::keep(const Frame& frame) {
  const bool known = frame.type == FrameType::log || frame.type == FrameType::state;
  if (!known || !place_) return fail(Kind::corrupt, "the agent sent what nobody asked for");
  Event event;
  if (frame.type == FrameType::log) {
    TRY_SET(chunk, "", decode_log(frame.body));
    if (chunk.offset != *place_ || chunk.bytes.empty())
      return fail(Kind::corrupt, "the agent's log does not go on where it was");
    *place_ += chunk.bytes.size();
    event.log = std::move(chunk);
  } else {
    TRY_SET(json, "the agent's state", parse_json(frame.body));
    TRY_SET(status, "the agent's state", status_from(json));
    if (status.state == JobState::done && status.log_size > *place_)
      return fail(Kind::corrupt, "the agent says that all is done, and did not send all of its log");
    event.state = std::move(status);
    if (!waiting_.empty() && waiting_.back().state) {
      waiting_.back() = std::move(event);
      return {};
    }
  }
  waiting_bytes_ += weight(event);
  waiting_.push_back(std::move(event));
  return {};
}

Result<JobStatus> Client::start(const JobSpec& spec) {
  return started(ask({{"op", "start"}, {"spec", to_json(spec)}}));
}

Result<JobStatus> Client::start_and_attach(const JobSpec& spec, std::uint64_t offset) {
  const auto begun = begin_start(spec, offset);
  return begun ? await_start(*begun) : started(tl::unexpected<Error>(begun.error()));
}

Result<Client::Begun> Client::begin_start(const JobSpec& spec, std::uint64_t offset) {
  TRY_SET(start, "", post({{"op", "start"}, {"spec", to_json(spec)}}));
  TRY_SET(attach, "", post({{"op", "attach"}, {"offset", offset}}));
  return Begun{start, attach, offset};
}

Result<JobStatus> Client::await_start(const Begun& begun) {
  auto answer = answer_to(begun.start);
  if (!answer && !is_answer(answer.error())) return tl::unexpected<Error>(std::move(answer).error());
  TRY("", be_attached(begun.attach, begun.offset));
  return started(answer);
}

Result<JobStatus> Client::status() {
  TRY_SET(answer, "", ask({{"op", "status"}}));
  return status_from(answer);
}

Status Client::cancel(Seconds grace) {
  TRY("", ask({{"op", "cancel"}, {"grace_s", grace.count()}}));
  return {};
}

Result<JobStatus> Client::extend(const Extension& extension) {
  TRY_SET(answer, "", ask({{"op", "extend"}, {"to", to_json(extension)}}));
  return status_from(answer);
}

Status Client::release(bool power_off) {
  TRY("", ask({{"op", "release"}, {"power_off", power_off}}));
  return {};
}

Status Client::attach(std::uint64_t offset) {
  TRY_SET(request, "", post({{"op", "attach"}, {"offset", offset}}));
  return be_attached(request, offset);
}

std::optional<std::uint64_t> Client::reached() const {
  const auto next = std::ranges::find_if(waiting_, [](const Event& event) { return event.log.has_value(); });
  return next == waiting_.end() ? place_ : next->log->offset;
}

Status Client::be_attached(std::int64_t request, std::uint64_t offset) {
  TRY("", answer_to(request));
  waiting_.clear();  // what came before the answer belongs to a former attachment
  waiting_bytes_ = 0;
  place_ = offset;
  return {};
}

Result<std::optional<Client::Event>> Client::next(Millis limit) {
  if (waiting_.empty()) {
    TRY_SET(frame, "", read_frame(limit));
    if (!frame) {
      if (place_ && silent_ >= silence_limit) return fail(Kind::lost, "the agent has fallen silent");
      return std::nullopt;
    }
    TRY("", keep(*frame));
  }
  Event event = std::move(waiting_.front());
  waiting_.pop_front();
  waiting_bytes_ -= weight(event);
  return event;
}

}  // namespace ferry::agent
