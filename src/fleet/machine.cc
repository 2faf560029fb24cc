#include "fleet/machine.h"

#include "base/text.h"
#include "fleet/agent_programs.h"
#include "fleet/labels.h"
#include "fleet/polling.h"
#include "os/env.h"

namespace ferry::fleet {

namespace {

/// What ssh runs to reach the machine through Systems Manager.
std::string session_command(const ledger::Instance& instance) {
  const os::Argv words = {
      os::self_program().string(), "ssm-connect",   instance.id,     std::to_string(instance.ssh_port),
      instance.provider,           instance.region, instance.profile};
  std::string command;
  for (const char c : shell_quoted(words)) command += c == '%' ? "%%" : std::string(1, c);
  return command;
}

/// Where ssh finds it today; empty: nowhere yet.
const std::string& address_of(const cloud::Instance& now, const ledger::Instance& instance) {
  return now.address.empty() && !instance.public_address ? now.private_address : now.address;
}

}  // namespace

void record_access(const cloud::Instance& now, ledger::Instance& instance) {
  instance.address = address_of(now, instance);
  instance.ssh_port = now.ssh_port;
  if (const auto user = now.tags.find("ferry:login-user"); user != now.tags.end()) instance.login_user = user->second;
}

Seconds TimeLimits::retention() const { return std::clamp(max_duration / 10, Seconds(30), Seconds(900)); }

Result<cloud::AwsContext> open_aws_context(Context& context, CloudLocation& location) {
  const bool rehearsing = location.provider == "rehearsal";
  auto access =
      rehearsing ? context.rehearsal() : cloud::aws_context_from_environment(location.region, location.profile);
  if (!access) return tl::unexpected<Error>(std::move(access).error());
  if (rehearsing) {
    location.endpoint = access->endpoint_url;
  } else if (const auto given = access->service_endpoints.find("ec2"); given != access->service_endpoints.end()) {
    location.endpoint = given->second;
  } else if (!location.endpoint.empty()) {
    access->service_endpoints["ec2"] = location.endpoint;  // where it was rented, though the environment forgot
  }
  location.region = access->region;
  location.profile = access->profile;
  return access;
}

Result<std::unique_ptr<cloud::Cloud>> open_cloud(Context& context, CloudLocation& location) {
  if (context.cloud) return context.cloud(location);
  if (location.provider == "ssh") return cloud::make_host_cloud(location.endpoint);
  TRY_SET(aws_context, "", open_aws_context(context, location));
  return cloud::make_ec2_cloud(aws_context, context.http, context.clock);
}

Result<ssh::Session> open_session(Context& context, const ssh::Target& target, Millis limit) {
  return context.connect ? context.connect(target, limit)
                         : ssh::Session::open(target, agent_programs(context.agent), limit);
}

Status confirm_account(cloud::Cloud& cloud, const CloudLocation& location) {
  if (location.provider != "aws" || location.account.empty()) return {};
  TRY_SET(caller, "see whose account this is", cloud.whoami());
  if (caller.account == location.account) return {};
  return fail(Kind::denied, fmt::format("the machine was rented in the AWS account {}", location.account),
              fmt::format("these credentials are of account {} ({})", caller.account, caller.arn),
              "use that account's: ferry --profile NAME …, or AWS_PROFILE");
}

std::string power_off_timer(const std::string& after, const std::string& run) {
  // systemd's timer where systemd runs the machine; otherwise a process that outlives the boot scripts.
  // (Without a dollar sign of its own, which systemd would read as its own.)
  const auto wait =
      fmt::format("while [ `cut -d. -f1 /proc/uptime` -lt `cat /run/ferry-end-{}` ]; do sleep 5; done", run);
  return fmt::format(
      "echo 0 >/run/ferry-end-{2}; if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then "
      "systemd-run --collect --unit=ferry-end --on-active={0} sh -c '{1}; systemctl poweroff'; else "
      "(setsid sh -c 'sleep '{0}'; {1}; shutdown -h now || poweroff -f' </dev/null >/dev/null 2>&1 &); fi",
      after, wait, run);
}

std::string user_data(const std::string& host_private_key, const std::string& host_public_key, Seconds power_off_after,
                      const std::string& run) {
  std::string indented;
  for (const auto& line : split(trim(host_private_key), '\n')) indented += "    " + line + "\n";
  const auto timer = power_off_timer(std::to_string(power_off_after.count()), run);
  return fmt::format(
      "#cloud-config\n"
      "ssh_deletekeys: true\n"
      "ssh_keys:\n"
      "  ed25519_private: |\n{}"
      "  ed25519_public: {}\n"
      "bootcmd:\n"
      "  - {}\n",
      indented, host_public_key, dump_json(Json::array({"sh", "-c", timer})));
}

Result<ledger::Instance> attach_host(Context& context, const ledger::Run& run, const CloudLocation& location) {
  ledger::Instance instance;
  instance.run = run.name;
  instance.provider = location.provider;
  instance.endpoint = instance.type = instance.address = location.endpoint;
  instance.token = client_token(run, 1);
  instance.intent_ms = context.clock.now_ms();
  TRY("", context.ledger.record_intent(instance));
  instance.id = "ssh/" + location.endpoint;
  instance.state = ledger::Rent::live;
  instance.launched_ms = instance.intent_ms;
  TRY("", context.ledger.record_instance(instance));
  return instance;
}

ssh::Target target_of(const RunDir& run_dir, const ledger::Instance& instance) {
  ssh::Target target;
  if (instance.provider == "ssh") {
    target.address = instance.address;
    target.own_config = true;
    return target;
  }
  target.user = instance.login_user;
  target.address = instance.address;
  target.port = instance.ssh_port;
  target.identity = instance.identity.empty() ? run_dir.identity() : os::Path(instance.identity);
  target.proxy = instance.ssh_proxy == "ssm" ? session_command(instance) : instance.ssh_proxy;
  target.known_hosts = run_dir.known_hosts();
  target.alias = instance.run;
  return target;
}

namespace {

/// Running or on its way there; otherwise what is, with what it means.
Status is_up(const cloud::Instance& now, const ledger::Instance& instance) {
  if (!now.alive())
    return fail(Kind::not_found, fmt::format("{} is {}", instance.id, name(now.state)), now.state_reason);
  if (!now.is_off()) return {};
  return fail(Kind::conflict, stopped_words(instance, now.state), now.state_reason, stopped_advice(instance.run),
              stopped_code);
}

}  // namespace

std::string stopped_words(const ledger::Instance& instance, cloud::State state) {
  const auto month = disk_month(instance.disk, instance.region);
  return fmt::format("{} is {}: nothing trains on it, its disk costs {}, and no timer ends it", instance.id,
                     name(state), month.micros > 0 ? show(month) + " a month" : "on");
}

std::string stopped_advice(const std::string& run) {
  return fmt::format(
      "ferry fetch {0} --yes starts it, brings the outputs home and releases it; without them: "
      "ferry down {0} --no-fetch",
      run);
}

Status record_power(Context& context, const cloud::Instance& now, ledger::Instance& instance) {
  if (now.is_off() == (instance.stopped_ms > 0) || !now.alive()) return {};
  auto noted = instance;
  if (now.is_off()) {
    const auto since = now.stopped_ms > 0 ? now.stopped_ms : context.clock.now_ms();
    noted.stopped_ms = std::max(since, instance.launched_ms);
  } else {
    // The cloud's launch time is that of the last start.
    const auto again = now.launched_ms > instance.stopped_ms ? now.launched_ms : context.clock.now_ms();
    noted.paused_ms += std::max<std::int64_t>(0, again - instance.stopped_ms);
    noted.stopped_ms = 0;
  }
  TRY("", context.ledger.record_instance(noted));
  instance = std::move(noted);
  return {};
}

Result<cloud::Instance> look(cloud::Cloud& cloud, const ledger::Instance& instance) {
  auto seen = cloud.describe(instance.id);
  if (!seen && seen.error().kind == Kind::not_found) TRY("", confirm_account(cloud, location_of(instance)));
  if (!seen) return tl::unexpected<Error>(std::move(seen).error());
  TRY("", is_up(*seen, instance));
  return seen;
}

Result<ledger::Instance> refresh(Context& context, cloud::Cloud& cloud, ledger::Instance instance) {
  TRY_SET(now, "", look(cloud, instance));
  TRY("", record_power(context, now, instance));
  const auto& address = address_of(now, instance);
  if (!address.empty() && (address != instance.address || now.ssh_port != instance.ssh_port)) {
    record_access(now, instance);
    TRY("", context.ledger.record_instance(instance));
  }
  return instance;
}

Result<ledger::Instance> start_again(Context& context, cloud::Cloud& cloud, ledger::Instance instance) {
  constexpr Seconds started_limit{600};
  bool asked = false;
  const auto runs = [&]() -> Result<bool> {
    TRY_SET(now, "", patiently(context, [&] { return cloud.describe(instance.id); }));
    if (!now.alive())
      return fail(Kind::not_found, fmt::format("{} is {}", instance.id, name(now.state)), now.state_reason);
    if (now.state == cloud::State::stopped && !asked) {
      TRY("start " + instance.id, patiently(context, [&] { return cloud.start(instance.id); }));
      asked = true;
    }
    return now.state == cloud::State::running && !address_of(now, instance).empty();
  };
  TRY("", poll_until(context, started_limit, true, instance.id + " was running", runs));
  return refresh(context, cloud, std::move(instance));
}

Result<ledger::Instance> stop_and_wait(Context& context, cloud::Cloud& cloud, ledger::Instance instance) {
  constexpr Seconds stopped_limit{600};
  bool asked = false;
  const auto is_stopped = [&]() -> Result<bool> {
    const auto seen = patiently(context, [&] { return cloud.describe(instance.id); });
    if (!seen && seen.error().kind == Kind::not_found) TRY("", confirm_account(cloud, location_of(instance)));
    if (!seen) return tl::unexpected<Error>(seen.error());
    if (!seen->alive())
      return fail(Kind::not_found, fmt::format("{} is {}", instance.id, name(seen->state)), seen->state_reason);
    if (seen->state == cloud::State::running && !asked) {
      TRY("stop " + instance.id, patiently(context, [&] { return cloud.stop(instance.id); }));
      asked = true;
    }
    if (seen->state != cloud::State::stopped) return false;
    TRY("", record_power(context, *seen, instance));
    return true;
  };
  TRY("", poll_until(context, stopped_limit, false, instance.id + " was stopped", is_stopped));
  return instance;
}

}  // namespace ferry::fleet
