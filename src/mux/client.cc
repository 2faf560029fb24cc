#include "mux/client.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "mux/engine.h"
#include "mux/hello.h"
#include "os/clock.h"
#include "os/socket.h"

namespace ferry::mux {

namespace {

constexpr std::size_t most_complaint = std::size_t{64} << 10;
/// What was said last has so long to leave when the connection is closed.
constexpr Millis last_words{500};
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
  Mover(os::Fd in, os::Fd out, os::Fd err, std::string first)
      : state_(std::make_shared<State>()), in_(std::move(in)), out_(std::move(out)), err_(std::move(err)) {
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
    engine_ = nullptr;
    finish(going ? Error{Kind::lost, "the connection was closed", {}, {}, {}, {}} : going.error(), !going);
  }

  Status turn() {
    polls_.assign({{state_->wake.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}});
    for (const auto& listener : listeners_) polls_.push_back({listener.socket.get(), POLLIN, 0});
    TRY("", engine_->turn(Millis(-1), polls_));
    if (polls_[0].revents != 0) {
      std::uint64_t count = 0;
      (void)!::read(state_->wake.get(), &count, sizeof count);
    }
    if (polls_[1].revents != 0) hear_complaint();
    for (std::size_t i = 0; i < listeners_.size(); ++i) {
      if (polls_[2 + i].revents != 0) accept_at(listeners_[i]);
    }
    return {};
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
    if (frame.type == Type::hello) return check_hello(frame.body);
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
  std::thread thread_;
};

Client::Client(os::Fd in, os::Fd out, os::Fd err, std::string first)
    : mover_(std::make_unique<Mover>(std::move(in), std::move(out), std::move(err), std::move(first))) {}
Client::~Client() = default;
Result<Command> Client::open(const Order& order, Lane lane) { return mover_->open(order, lane); }
Status Client::forward(os::Fd listener, int port) { return mover_->forward(std::move(listener), port); }
bool Client::alive() const { return mover_->alive(); }
Error Client::why() const { return mover_->why(); }
std::string Client::complaint() const { return mover_->complaint(); }
bool Client::close() { return mover_->close(); }

}  // namespace ferry::mux
