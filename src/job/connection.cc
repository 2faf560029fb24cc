#include "job/connection.h"

#include "agent/preparation.h"
#include "base/text.h"
#include "fleet/access.h"
#include "fleet/held_connection.h"
#include "fleet/polling.h"
#include "ssh/keys.h"

namespace ferry::job {

namespace {

constexpr Millis first_try{15'000}, hello_limit{20'000}, longest_nap{2'000};
/// A login shell that ends at once does so for good, unless the machine is still booting.
constexpr int shells_of_own_machine = 2, shells_of_rented_machine = 20;
constexpr Millis echo_limit{10'000};
constexpr int most_noted = 65'536;       // bytes of the agent's note
constexpr Millis between_looks{30'000};  // at whom port 22 lets in

RemotePaths paths_of(const ssh::Machine& machine, const ledger::Instance& instance) {
  RemotePaths paths;
  paths.home = machine.home;
  paths.agent = machine.program;
  paths.run_dir = paths.home + "/.ferry/runs/" + instance.run;
  // On a machine of the user's own, one folder holds all that is ferry's.
  paths.workdir = paths.home + (instance.provider == "ssh" ? "/.ferry/work/" : "/ferry/") + instance.run;
  return paths;
}

}  // namespace

Result<bool> ensure_known_hosts(fleet::Context& context, const fleet::RunDir& run_dir,
                                const ledger::Instance& instance) {
  const auto file = fleet::target_of(run_dir, instance).known_hosts;
  if (file.empty()) return false;
  const auto present = os::read_file(file, 64 << 10);
  TRY_SET(run, "", context.ledger.run(instance.run));
  const auto key = text_at(run.task, "host_key");
  if (key.empty()) {
    if (present) return false;  // of an older ferry
    return fail(Kind::not_found, fmt::format("the host key of {} is gone from this computer", instance.run),
                file.string() + " is missing, and the ledger does not have it",
                "put that file back if there is a copy; ferry down " + instance.run +
                    " --no-fetch gives the machine back without its outputs");
  }
  const auto wanted = ssh::known_hosts_line(instance.run, key);
  if (present && *present == wanted) return false;
  TRY("", os::make_dirs(run_dir.path, 0700));
  TRY("", os::write_file(file, wanted, 0600));
  return true;
}

Result<Connection> Connection::open(fleet::Context& context, cloud::Cloud& cloud, const fleet::RunDir& run_dir,
                                    ledger::Instance instance, Seconds limit, MayInterrupt interruption) {
  const auto begun = context.clock.steady_ms(), end = begun + limit.count() * 1000;
  const bool can_detach = interruption != MayInterrupt::any;
  auto nap = Millis(100);
  std::int64_t next_look_at_door = 0;
  bool looked_again = false;
  int ended_shells = 0;
  TRY("", ensure_known_hosts(context, run_dir, instance));
  bool lost_key = fleet::key_is_lost(run_dir, instance);
  if (lost_key) TRY("", fleet::renew_key(context, cloud, run_dir, instance));
  while (true) {
    const auto left =
        limit.count() == 0 ? first_try : Millis(std::max<std::int64_t>(1000, end - context.clock.steady_ms()));
    const auto target = fleet::target_of(run_dir, instance);
    // One that broke is made anew, whatever is held.
    auto held = can_detach ? std::nullopt : fleet::held_session(context, target);
    auto session =
        held ? Result<ssh::Session>(*std::move(held)) : fleet::open_session(context, target, std::min(first_try, left));
    if (session) {
      if (lost_key) TRY("", fleet::keep_key(context, *session, run_dir, instance));
      auto paths = paths_of(session->machine(), instance);
      return Connection(std::move(*session), std::move(paths), std::move(instance));
    }
    if (session.error().code == ssh::key_refused_code && !std::exchange(lost_key, true)) {
      // Damaged here, as the machine that its host key says it is does not take it.
      const auto renewed = fleet::renew_key(context, cloud, run_dir, instance);
      if (renewed) continue;
      auto error = std::move(session).error();
      error.advice = fmt::format(
          "the machine is given back without its outputs by: ferry down {} --no-fetch; EC2 lets "
          "no other key in: {}",
          instance.run, renewed.error().what);
      return tl::unexpected<Error>(std::move(error));
    }
    const auto kind = session.error().kind;
    ended_shells = session.error().code == ssh::login_shell_code ? ended_shells + 1 : 0;
    if (ended_shells >= (instance.provider == "ssh" ? shells_of_own_machine : shells_of_rented_machine))
      return tl::unexpected<Error>(std::move(session).error());
    if ((session.error().code == ssh::host_key_code || kind == Kind::io) && !std::exchange(looked_again, true)) {
      // Before that is called another machine: ssh may have met a known_hosts that was damaged a moment ago.
      TRY_SET(written, "", ensure_known_hosts(context, run_dir, instance));
      if (written || kind != Kind::io) continue;
    }
    if (kind != Kind::lost && kind != Kind::timeout) return tl::unexpected<Error>(std::move(session).error());
    const auto interrupt = context.check_signals(can_detach);
    const bool gives_up = interruption == MayInterrupt::any      ? interrupt != fleet::Interrupt::go_on
                          : interruption == MayInterrupt::detach ? interrupt == fleet::Interrupt::detach
                                                                 : false;
    if (gives_up || context.letting_go) return fail(Kind::cancelled, "cancelled");
    // Nobody answers: perhaps because port 22 is open to an address that this computer had.
    if (kind == Kind::timeout && context.clock.steady_ms() >= next_look_at_door) {
      next_look_at_door = context.clock.steady_ms() + between_looks.count();
      if (const auto let_in = fleet::let_caller_in(context, cloud, instance); !let_in)
        context.progress.warn("connect", let_in.error().what);
    }
    // It may be gone, or have another address since a stop and start.
    auto now = fleet::refresh(context, cloud, instance);
    if (now) {
      instance = *now;
    } else if (now.error().kind == Kind::not_found || now.error().kind == Kind::conflict) {
      return tl::unexpected<Error>(std::move(now).error());
    }
    if (context.clock.steady_ms() >= end) {
      return fail(Kind::timeout,
                  limit.count() == 0
                      ? instance.id + " does not answer ssh"
                      : fmt::format("{} did not answer ssh within {}", instance.id, show_duration(limit)),
                  session.error().why.empty() ? session.error().what : session.error().why,
                  instance.public_address || !instance.ssh_proxy.empty() || instance.provider == "ssh"
                      ? "look at its console: aws ec2 get-console-output --instance-id " + instance.id
                      : "it has a private address only: reach that by a VPN, or say how with --ssh-proxy (a "
                        "jump host, or "
                        "ssm)");
    }
    if (nap == longest_nap) {
      context.progress.update(
          fleet::waiting_text("ssh answers at " + instance.address, Millis(context.clock.steady_ms() - begun), limit));
    }
    context.sleep(nap, can_detach);
    nap = std::min(nap * 2, longest_nap);
  }
}

std::string Connection::agent_command(const os::Argv& words) const {
  os::Argv argv = {paths_.agent};
  argv.insert(argv.end(), words.begin(), words.end());
  return shell_quoted(argv);
}

Result<mux::Command> Connection::start_agent_program(const os::Argv& words, mux::Lane lane) {
  os::Argv argv;
  if (lane == mux::Lane::background) argv = {"nice", "-n", "19"};
  argv.push_back(paths_.agent);
  argv.insert(argv.end(), words.begin(), words.end());
  return session_.start(argv, lane);
}

Result<mux::Command> Connection::start_agent(const os::Argv& more) {
  os::Argv words = {"connect", paths_.run_dir};
  if (instance_.provider == "ssh") words.push_back("--no-power-off");
  words.insert(words.end(), more.begin(), more.end());
  return start_agent_program(words, mux::Lane::talk);
}

Result<AgentChannel> Connection::agent() {
  TRY_SET(process, "", start_agent());
  auto client = agent::Client::connect(std::move(process.out), std::move(process.in), hello_limit);
  if (!client) return tl::unexpected<Error>(with_code(explain(process, std::move(client).error())));
  return AgentChannel{std::move(process), std::move(*client)};
}

Result<AgentChannel> Connection::agent_at_once() {
  if (kept_) return *std::exchange(kept_, std::nullopt);
  TRY_SET(process, "", start_agent());
  auto client = agent::Client::begin(std::move(process.out), std::move(process.in), hello_limit);
  return AgentChannel{std::move(process), std::move(client)};
}

Result<AgentChannel> Connection::agent_after(const std::string& command, std::string_view input) {
  kept_.reset();
  TRY_SET(process, "", start_agent({"--after", command}));
  // Where that fails, the program's end says why.
  (void)os::write_all(process.in.get(), agent::encode_preparation(input));
  auto client = agent::Client::begin(std::move(process.out), std::move(process.in), hello_limit);
  return AgentChannel{std::move(process), std::move(client)};
}

Error Connection::explained(AgentChannel& channel, Error error) {
  return channel.client.has_greeted() ? error : with_code(explain(channel.process, std::move(error)));
}

Error Connection::with_code(Error error) {
  const bool may_be_either = error.kind == Kind::lost || error.kind == Kind::timeout;
  const auto echo = may_be_either ? session_.run("true", {}, echo_limit) : tl::unexpected<Error>(error);
  if (echo && echo->exit.code == 0) error.code = no_agent_code;
  return error;
}

Result<agent::JobStatus> Connection::job() {
  TRY_SET(channel, "", agent_at_once());
  auto status = channel.client.status();
  if (!status && channel.client.has_greeted()) return tl::unexpected<Error>(with_code(std::move(status).error()));
  if (!status) return tl::unexpected<Error>(explained(channel, std::move(status).error()));
  return status;
}

Result<agent::JobStatus> Connection::noted_job() {
  const std::string note = paths_.run_dir + "/state.json";
  const auto look = fmt::format("head -c {} {} 2>/dev/null", most_noted, shell_quoted(note));
  TRY_SET(read, "", session_.run(look, {}, Millis(30'000)));
  const auto json = parse_json(read.out);
  const bool is_note = json && json->is_object() && json->contains("status");
  return is_note ? agent::status_from((*json)["status"]).value_or(agent::JobStatus{}) : agent::JobStatus{};
}

Error explain(mux::Command& other_end, Error error) {
  if (!other_end.err) return error;
  std::string words;
  while (words.size() < 4096 && os::wait_readable(other_end.err.get(), Millis(200))) {
    const auto part = os::read_some(other_end.err.get());
    if (!part || part->empty()) break;
    words += *part;
  }
  if (words.find("No space left") != std::string::npos) error.kind = Kind::disk_full;
  const bool known = words.find(error.what) != std::string::npos;  // it told us, too
  if (error.why.empty() && !known && !trim(words).empty()) error.why = printable(trim(words));
  return error;
}

}  // namespace ferry::job
