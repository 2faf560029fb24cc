#include "run/node.h"

#include "os/env.h"

namespace ferry::run {

namespace {

/// How long a broken connection is tried again before the user gets the prompt back, and a follower goes
/// on.
Seconds lost_limit() { return os::env_duration("FERRY_LOST_LIMIT", Seconds(180)); }

/// A follower's tries after that come more and more seldom.
constexpr Millis first_rest{2'000}, longest_rest{30'000};
/// Beyond its own end the machine is only there if its timer failed, and the cloud out of reach, too.
constexpr Seconds beyond_its_end{3600};
/// Connections in a row over which the agent said nothing.
constexpr int most_fruitless = 10;
/// Of which so many are well themselves: then what it noted counts, or what is wanted of it. Each takes ten
/// to thirty seconds.
constexpr int most_unheard = 3;

}  // namespace

void Node::start_over() {
  connection.reset();
  cloud.reset();
  instance = {};
  seen = {};
  repeats.clear();
  fruitless_ = unheard_ = 0;
}

Status Node::connect(Seconds limit, job::MayInterrupt interruption) {
  TRY_SET(opened, "", job::Connection::open(context, *cloud, run_dir, instance, limit, interruption));
  connection.emplace(std::move(opened));
  instance = connection->instance();
  return {};
}

Status Node::reopen(job::MayInterrupt interruption) {
  connection.reset();
  const auto open = [&](Seconds limit) -> Status {
    TRY("", connect(limit, interruption));
    open_tunnels();
    return {};
  };
  auto opened = open(lost_limit());
  if (!is_patient) return opened;
  const auto its_end = instance.launched_ms + Millis(lifetime.until_power_off() + beyond_its_end).count();
  bool told = false;
  for (auto rest = first_rest; !opened; rest = std::min(rest * 2, longest_rest)) {
    const auto kind = opened.error().kind;
    const bool may_come_back = kind == Kind::lost || kind == Kind::timeout ||
                               (kind == Kind::not_found && look(instance.run) == Standing::there);
    if (!may_come_back || context.interrupt != fleet::Interrupt::go_on || context.clock.now_ms() > its_end)
      return opened;
    if (!std::exchange(told, true)) {
      context.progress.warn("connect", fmt::format("{}; the cloud does not say that it is gone, so ferry goes "
                                                   "on trying, every {} in the end",
                                                   opened.error().what, show_duration(longest_rest)));
    }
    // Whoever wants something of this run meanwhile, wants one more serious try.
    opened = open(context.sleep(rest, true) ? Seconds(0) : lost_limit());
  }
  if (told) context.progress.note(fmt::format("{} answers again", instance.id));
  return opened;
}

Status Node::connect_again(const char* phase, job::Training& training, Error lost, job::MayInterrupt interruption) {
  context.check_signals(interruption != job::MayInterrupt::any);
  if (context.letting_go) return fail(Kind::cancelled, "stopped waiting for the connection", lost.what);
  fruitless_ = training.heard() ? 0 : fruitless_ + 1;
  if (fruitless_ >= most_fruitless && !is_patient)
    return fail(Kind::lost, "the agent on the machine does not answer", lost.what);
  if (fruitless_ == 0) repeats.clear();
  const auto why = lost.why.empty() ? lost.what : lost.why;
  const auto told = repeats.tell(lost.code == job::no_agent_code
                                     ? "the agent on the machine does not answer (" + why + "); asking again"
                                     : "connection lost (" + why + "); connecting again");
  if (!told.empty()) context.progress.warn(phase, told);
  if (fruitless_ > 0) context.sleep(std::min(Millis(500) * fruitless_, longest_rest), true);
  auto opened = reopen(interruption);
  if (opened) training.is_connected_again();
  return opened;
}

bool Node::is_unheard(const Error& lost) {
  unheard_ = lost.code == job::no_agent_code ? unheard_ + 1 : 0;
  return unheard_ >= most_unheard;
}

Standing Node::look(const std::string& run) {
  const auto noted = context.ledger.instances(run);
  const auto is_released = [](const auto& one) { return one.state == ledger::Rent::released; };
  seen = {};
  if (noted && std::ranges::all_of(*noted, is_released))
    seen = {Standing::gone, "its machine is gone", {}};
  else if (noted && cloud && !instance.id.empty())
    seen = see(context, *cloud, instance).value_or(Seen{});
  return seen.standing;
}

void Node::open_tunnels() {
  constexpr int most_tries = 20, last_port = 65'535;
  const bool is_here = instance.address.starts_with("127.");  // a rehearsal: the same port may be this computer's
  for (const int port : ports) {
    const auto known = tunnels_.find(port);
    const int first = known != tunnels_.end() ? known->second : is_here ? port + 1 : port;
    Status opened;
    int local = first;
    for (; local < std::min(first + most_tries, last_port + 1); ++local) {
      opened = connection->session().forward(local, port);
      if (opened || opened.error().kind != Kind::conflict) break;
    }
    if (!opened || local > last_port) {
      context.progress.warn("setup", fmt::format("no tunnel leads to port {} of the machine: {}", port,
                                                 opened ? "none is free here" : opened.error().what));
    } else if (known == tunnels_.end() || known->second != local) {
      tunnels_[port] = local;
      context.progress.note(fmt::format("port {} of the machine is http://localhost:{} while ferry is attached{}", port,
                                        local, local == port || is_here ? "" : " (that port is taken here)"));
    }
  }
}

}  // namespace ferry::run
