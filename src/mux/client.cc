#include "mux/client.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "mux/engine.h"
#include "mux/hello.h"
#include "mux/join.h"
#include "mux/widening.h"
#include "os/clock.h"
#include "os/socket.h"

namespace ferry::mux {

namespace {

constexpr std::size_t most_complaint = std::size_t{64} << 10;
/// What was said last has so long to leave when the connection is closed.
constexpr Millis last_words{500};
/// A login, which has taken seconds if it was far away.
constexpr std::int64_t link_limit = 20'000;
constexpr os::Exit cut_off{128 + SIGHUP, SIGHUP};

}  // namespace

struct Command::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<os::Exit> ended;
  std::function<void(int)> kill;

  void end(os::Exit how) {
    const std::lock_guard hold(mutex);
    if (!ended) ended = how;
    changed.notify_all();
  }
};

std::optional<os::Exit> Command::wait(Millis limit) {
  std::unique_lock hold(shared_->mutex);
  const auto is_over = [&] { return shared_->ended.has_value(); };
  if (limit.count() < 0)
    shared_->changed.wait(hold, is_over);
  else
    shared_->changed.wait_for(hold, limit, is_over);
  return shared_->ended;
}

void Command::signal(int number) { shared_->kill(number); }

/// What the connection's thread does. Its state outlives the Client as long as a Command may ask something of it.
class Client::Mover {
 public:
  Mover(os::Fd in, os::Fd out, os::Fd err, std::string first, LinkOpener opener)
      : state_(std::make_shared<State>()),
        in_(std::move(in)),
        out_(std::move(out)),
        err_(std::move(err)),
        opener_(std::move(opener)) {
    state_->wake = os::Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    // Signals are the other threads' to answer.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this, first = std::move(first)] { move(first); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  ~Mover() {
    if (thread_.joinable()) close();
    for (auto& carrier : carriers_) end_process(carrier);
  }
  bool close() {
    state_->ask([](State& state) { state.stop = true; });
    thread_.join();
    return was_unused_;
  }

  Result<Command> open(const Order& order, Lane lane) {
    TRY_SET(body, "", encode_order(order));
    TRY_SET(in, "", os::make_pipe());
    TRY_SET(out, "", os::make_pipe());
    TRY_SET(err, "", os::make_pipe());
    if (lane != Lane::talk) {
      (void)::fcntl(in.read.get(), F_SETPIPE_SZ, pipe_bytes);
      (void)::fcntl(out.read.get(), F_SETPIPE_SZ, pipe_bytes);
    }
    Opening opening;
    opening.body = std::move(body);
    opening.lane = lane;
    opening.shared = std::make_shared<Command::Shared>();
    opening.in = std::move(in.read);
    opening.out = std::move(out.write);
    opening.err = std::move(err.write);
    Command command(opening.shared);
    command.in = std::move(in.write);
    command.out = std::move(out.read);
    command.err = std::move(err.read);
    const std::lock_guard hold(state_->mutex);
    if (state_->over) return tl::unexpected<Error>(state_->why);
    opening.id = state_->next_id++;
    opening.shared->kill = [state = std::weak_ptr(state_), id = opening.id](int number) {
      if (const auto there = state.lock()) there->ask([&](State& now) { now.kills.emplace_back(id, number); });
    };
    state_->openings.push_back(std::move(opening));
    state_->poke();
    return command;
  }

  Status forward(os::Fd listener, int port) {
    TRY("", os::set_nonblocking(listener.get(), true));
    const std::lock_guard hold(state_->mutex);
    if (state_->over) return tl::unexpected<Error>(state_->why);
    state_->listeners.push_back({std::move(listener), port});
    state_->poke();
    return {};
  }

  bool alive() const {
    const std::lock_guard hold(state_->mutex);
    return !state_->over;
  }
  Error why() const {
    const std::lock_guard hold(state_->mutex);
    return state_->why;
  }
  std::string complaint() const {
    const std::lock_guard hold(state_->mutex);
    return state_->complaint;
  }

 private:
  struct Opening {
    std::uint32_t id = 0;
    std::string body;
    Lane lane = Lane::talk;
    os::Fd in, out, err;  // the thread's ends; of a port in and out alone
    std::shared_ptr<Command::Shared> shared;
  };
  struct Listener {
    os::Fd socket;
    int port = 0;
  };
  struct State {
    mutable std::mutex mutex;
    os::Fd wake;
    std::uint32_t next_id = 1;
    std::vector<Opening> openings;
    std::vector<std::pair<std::uint32_t, int>> kills;
    std::vector<Listener> listeners;
    std::string complaint;
    bool stop = false, over = false;
    Error why{Kind::lost, "the connection ended", {}, {}, {}, {}};

    template <class Do>
    void ask(Do what) {
      const std::lock_guard hold(mutex);
      what(*this);
      poke();
    }
    void poke() const {
      const std::uint64_t one = 1;
      (void)!::write(wake.get(), &one, sizeof one);
    }
  };

  void move(const std::string& first) {
    Engine engine(in_.get(), out_.get(), [this](const Frame& frame) { return hear(frame); });
    engine_ = &engine;
    engine.send(0, Type::hello, our_hello());
    auto going = engine.feed(first);
    while (going && begin_what_was_asked()) going = turn();
    was_unused_ = going && engine.size() == 0;
    if (going) engine.flush(last_words);
    kept_ = engine.take_links();
    if (coming_) end_process(coming_->process);
    engine_ = nullptr;
    finish(going ? Error{Kind::lost, "the connection was closed", {}, {}, {}, {}} : going.error(), !going);
  }

  Status turn() {
    const int coming = coming_ ? coming_->process.out.get() : -1;
    polls_.assign({{state_->wake.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}, {coming, POLLIN, 0}});
    for (const auto& listener : listeners_) polls_.push_back({listener.socket.get(), POLLIN, 0});
    TRY("", engine_->turn(until_next_look(), polls_));
    if (polls_[0].revents != 0) {
      std::uint64_t count = 0;
      (void)!::read(state_->wake.get(), &count, sizeof count);
    }
    if (polls_[1].revents != 0) hear_complaint();
    for (std::size_t i = 0; i < listeners_.size(); ++i) {
      if (polls_[3 + i].revents != 0) accept_at(listeners_[i]);
    }
    if (coming_) TRY("", hear_coming(polls_[2].revents != 0));
    look_whether_it_is_full();
    return {};
  }

  bool may_widen() const { return opener_ && version_ >= striping_version && !widening_.is_over(); }
  std::uint64_t moved() const { return engine_->sent() + engine_->received(); }

  /// Where nothing moves there is nothing to be looked at.
  Millis until_next_look() const {
    if (!coming_ && (!may_widen() || moved() == looked_at_)) return Millis(-1);
    return Millis(std::max<std::int64_t>(1, looked_ms_ + Widening::look_every_ms - os::system_clock().steady_ms()));
  }

  void look_whether_it_is_full() {
    const auto now = os::system_clock().steady_ms();
    if (!may_widen() || now < looked_ms_ + Widening::look_every_ms) return;
    looked_ms_ = now;
    looked_at_ = moved();
    switch (widening_.look(now, engine_->sent(), engine_->received(), engine_->is_held_up())) {
      case Widening::Do::open:
        is_asked_ = true;
        engine_->send(0, Type::join, {});
        break;
      case Widening::Do::leave:
        engine_->leave_link();
        break;
      case Widening::Do::nothing:
        if (widening_.is_watching()) ping();
    }
  }

  void ping() {
    if (pinged_ms_ != 0) return;
    pinged_ms_ = os::system_clock().steady_ms();
    engine_->send(0, Type::ping, {});
  }

  /// The machine has said how another link may join, or that none may.
  void open_link(std::string_view token) {
    auto process = is_token(token) ? opener_(std::string(token)) : fail(Kind::lost, "no other link may join");
    if (!process || !os::set_nonblocking(process->out.get(), true)) return widening_.failed();
    coming_.emplace(Coming{*std::move(process), joined_line(token), {}, os::system_clock().steady_ms() + link_limit});
  }

  /// A link that is being opened: before its line comes what a login shell may say.
  Status hear_coming(bool has_said) {
    std::array<char, 4096> part;
    auto& process = coming_->process;
    const ssize_t got = has_said ? ::read(process.out.get(), part.data(), part.size()) : -1;
    if (got > 0) coming_->said.append(part.data(), static_cast<std::size_t>(got));
    const auto at = coming_->said.find(coming_->line);
    if (at != std::string::npos) {
      const auto first = coming_->said.substr(at + coming_->line.size());
      TRY("", engine_->add_link({std::move(process.out), std::move(process.in), os::Fd()}, first, true));
      carriers_.push_back(std::move(process));
      coming_.reset();
      widening_.opened();
      return {};
    }
    const bool is_over = (has_said && got == 0) || coming_->said.size() > most_complaint ||
                         os::system_clock().steady_ms() > coming_->end_ms;
    if (!is_over) return {};
    end_process(process);
    coming_.reset();
    widening_.failed();
    return {};
  }

  static void end_process(os::Process& process) {
    process.signal(SIGKILL);
    process.wait(Millis(-1));
  }

  /// False when the connection is to be closed.
  bool begin_what_was_asked() {
    std::unique_lock hold(state_->mutex);
    auto openings = std::exchange(state_->openings, {});
    const auto kills = std::exchange(state_->kills, {});
    for (auto& listener : state_->listeners) listeners_.push_back(std::move(listener));
    state_->listeners.clear();
    const bool goes_on = !state_->stop;
    hold.unlock();
    for (auto& opening : openings) begin(opening);
    for (const auto& [id, number] : kills) kill(id, number);
    return goes_on;
  }

  void kill(std::uint32_t id, int number) {
    if (!engine_->has(id)) return;
    engine_->send(id, Type::kill, std::string(1, static_cast<char>(number)));
    if (number == SIGKILL) end(id, {128 + SIGKILL, SIGKILL});
  }

  void end(std::uint32_t id, os::Exit how) {
    engine_->close(id);
    const auto at = commands_.find(id);
    if (at == commands_.end()) return;
    at->second->end(how);
    commands_.erase(at);
  }

  void begin(Opening& opening) {
    engine_->join(opening.id, opening.lane);
    engine_->send(opening.id, Type::open, opening.body);
    engine_->read_from(opening.id, Type::data, std::move(opening.in));
    engine_->write_to(opening.id, Type::data, std::move(opening.out));
    if (opening.err) engine_->write_to(opening.id, Type::error, std::move(opening.err));
    if (opening.shared) commands_[opening.id] = std::move(opening.shared);
  }

  void accept_at(const Listener& listener) {
    auto caller = os::accept_one(listener.socket.get(), Millis(0));
    if (!caller) return;
    Opening opening;
    opening.body = *encode_order({.argv = {}, .port = listener.port});
    opening.lane = Lane::work;
    opening.out = os::Fd(::fcntl(caller->get(), F_DUPFD_CLOEXEC, 3));
    opening.in = *std::move(caller);
    {
      const std::lock_guard hold(state_->mutex);
      opening.id = state_->next_id++;
    }
    begin(opening);
  }

  Status hear(const Frame& frame) {
    if (frame.type == Type::hello) {
      TRY_SET(version, "", check_hello(frame.body));
      version_ = version;
      if (may_widen()) ping();
      return {};
    }
    if (frame.type == Type::ping && pinged_ms_ != 0) {
      widening_.answered(os::system_clock().steady_ms() - std::exchange(pinged_ms_, 0));
      return {};
    }
    if (frame.type == Type::join && std::exchange(is_asked_, false)) {
      open_link(frame.body);
      return {};
    }
    if (frame.type != Type::exit || frame.body.size() != 8)
      return fail(Kind::corrupt, "the machine asks for what only this end may ask for");
    if (engine_->has(frame.stream))
      end(frame.stream,
          {static_cast<int>(decode_number(frame.body)), static_cast<int>(decode_number(frame.body.substr(4)))});
    return {};
  }

  void hear_complaint() {
    std::array<char, 4096> part;
    const ssize_t got = ::read(err_.get(), part.data(), part.size());
    if (got <= 0) return err_.reset();
    const std::lock_guard hold(state_->mutex);
    state_->complaint.append(part.data(), static_cast<std::size_t>(got));
    if (state_->complaint.size() > most_complaint)
      state_->complaint.erase(0, state_->complaint.size() - most_complaint);
  }

  /// `is_broken`: whoever carried the connection may be about to say why.
  void finish(const Error& why, bool is_broken) {
    in_.reset();
    out_.reset();
    const auto end = os::system_clock().steady_ms() + last_words.count();
    for (auto left = last_words; is_broken && err_ && left.count() > 0;) {
      if (os::wait_readable(err_.get(), left)) hear_complaint();
      left = Millis(end - os::system_clock().steady_ms());
    }
    std::unique_lock hold(state_->mutex);
    state_->over = true;
    state_->why = why;
    const auto never_begun = std::exchange(state_->openings, {});
    hold.unlock();
    listeners_.clear();
    for (const auto& [id, shared] : commands_) shared->end(cut_off);
    for (const auto& opening : never_begun) opening.shared->end(cut_off);
    commands_.clear();
  }

  std::shared_ptr<State> state_;
  os::Fd in_, out_, err_;
  // Of the thread alone:
  Engine* engine_ = nullptr;
  std::vector<Listener> listeners_;
  std::map<std::uint32_t, std::shared_ptr<Command::Shared>> commands_;
  std::vector<pollfd> polls_;
  bool was_unused_ = false;  // when it was closed
  struct Coming {
    os::Process process;
    std::string line, said;
    std::int64_t end_ms = 0;
  };
  const LinkOpener opener_;
  Widening widening_;
  int version_ = 1;
  std::int64_t looked_ms_ = 0, pinged_ms_ = 0;
  std::uint64_t looked_at_ = 0;  // moved() then
  bool is_asked_ = false;
  std::optional<Coming> coming_;
  std::vector<os::Process> carriers_;  // of links that joined
  std::vector<Joined> kept_;           // those links, until whoever carries the first has ended
  std::thread thread_;
};

Client::Client(os::Fd in, os::Fd out, os::Fd err, std::string first, LinkOpener opener)
    : mover_(std::make_unique<Mover>(std::move(in), std::move(out), std::move(err), std::move(first),
                                     std::move(opener))) {}
Client::~Client() = default;
Result<Command> Client::open(const Order& order, Lane lane) { return mover_->open(order, lane); }
Status Client::forward(os::Fd listener, int port) { return mover_->forward(std::move(listener), port); }
bool Client::alive() const { return mover_->alive(); }
Error Client::why() const { return mover_->why(); }
std::string Client::complaint() const { return mover_->complaint(); }
bool Client::close() { return mover_->close(); }

}  // namespace ferry::mux
