#include "fleet/held_connection.h"

#include <csignal>

#include "base/json.h"
#include "fleet/agent_programs.h"
#include "ssh/holder.h"

namespace ferry::fleet {

namespace {

constexpr Millis login_limit{30'000};

os::Path folder_of(const os::Path& data) { return data / "held"; }

std::string written(const ssh::Target& target) {
  return dump_json({{"user", target.user},
                    {"address", target.address},
                    {"port", target.port},
                    {"identity", target.identity.string()},
                    {"known_hosts", target.known_hosts.string()},
                    {"alias", target.alias},
                    {"own_config", target.own_config},
                    {"proxy", target.proxy}});
}

Result<ssh::Target> read(const std::string& text) {
  TRY_SET(json, "", parse_json(text));
  if (!json.is_object()) return fail(Kind::bad_input, "no machine is named");
  ssh::Target out;
  out.user = text_at(json, "user");
  out.address = text_at(json, "address");
  out.port = static_cast<int>(int_at(json, "port"));
  out.identity = text_at(json, "identity");
  out.known_hosts = text_at(json, "known_hosts");
  out.alias = text_at(json, "alias");
  out.own_config = json.value("own_config", Json()) == Json(true);
  out.proxy = text_at(json, "proxy");
  return out;
}

}  // namespace

void hold_connection(Context& context, const ssh::Target& target) {
  if (context.hold.count() == 0 || context.connect) return;
  os::SpawnOptions options;
  options.argv = {os::self_program().string(), "hold-connection", std::to_string(context.hold.count()),
                  written(target)};
  options.in = options.out = options.err = os::Stream::null;
  options.new_session = true;
  options.cwd = "/";
  (void)os::Process::spawn(options);
}

void let_go_of_connection(Context& context, const ssh::Target& target) {
  if (!context.connect) ssh::end_held(folder_of(context.data), target, agent_programs(context.agent));
}

std::optional<ssh::Session> held_session(Context& context, const ssh::Target& target) {
  if (context.hold.count() == 0 || context.connect) return std::nullopt;
  return ssh::use_held(folder_of(context.data), target, agent_programs(context.agent));
}

int hold_main(const std::function<std::string_view(std::string_view arch)>& agent, const os::Path& data, Seconds idle,
              const std::string& text) {
  os::ignore_sigpipe();
  std::signal(SIGHUP, SIG_IGN);
  os::SignalQueue stop({SIGTERM, SIGINT});
  const auto target = read(text);
  const auto programs = agent_programs(agent);
  const auto key = target ? ssh::held_key(*target, programs) : tl::unexpected<Error>(target.error());
  if (!key) return 1;
  const auto open = [&]() -> Result<ssh::Session> {
    TRY_SET(session, "", ssh::Session::open(*target, programs, login_limit));
    // What decides whom one reaches may have changed meanwhile: a first login notes a host's key.
    TRY_SET(now, "", ssh::held_key(*target, programs));
    if (now != *key) return fail(Kind::conflict, "another machine may be meant by now");
    return session;
  };
  return ssh::hold({folder_of(data), *key}, open, Millis(idle), stop.fd()) ? 0 : 1;
}

}  // namespace ferry::fleet
