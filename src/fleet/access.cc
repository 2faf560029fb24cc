#include "fleet/access.h"

#include "aws/machine_access.h"
#include "base/text.h"
#include "cloud/aws_client.h"
#include "fleet/labels.h"
#include "os/env.h"
#include "ssh/keys.h"

namespace ferry::fleet {

namespace {

constexpr const char* session_plugin = "session-manager-plugin";
constexpr const char* door_event = "door";  ///< of the ledger: whom the run's security group lets in

os::Path at_home(const std::string& file) {
  return file.starts_with("~/") ? os::home_dir() / file.substr(2) : os::Path(std::filesystem::absolute(file));
}

/// Where the private half of a key pair usually lies.
std::vector<os::Path> usual_files(const std::string& key_name) {
  const auto run_dir = os::home_dir() / ".ssh";
  std::vector<os::Path> files;
  if (key_name.find('/') == std::string::npos) files = {run_dir / key_name, run_dir / (key_name + ".pem")};
  for (const char* name : {"id_ed25519", "id_rsa", "id_ecdsa"}) files.push_back(run_dir / name);
  return files;
}

/// The ssh agent's key that is the same, as it writes it.
std::optional<std::string> in_agent(const std::string& public_key) {
  const auto listed = os::run_command({.argv = {"ssh-add", "-L"}}, {}, Millis(5'000));
  if (!listed || listed->exit.code != 0) return std::nullopt;
  for (const auto& line : split(listed->out, '\n')) {
    if (ssh::same_key(line, public_key)) return line;
  }
  return std::nullopt;
}

/// The plugin takes the session's secret from a variable from this version on, as the aws CLI does it; older
/// ones want it on their command line.
bool takes_variable(std::string_view version) {
  const std::vector<std::int64_t> last_without = {1, 2, 497, 0};
  std::vector<std::int64_t> numbers;
  for (const auto& part : split(trim(version), '.')) numbers.push_back(parse_int(part).value_or(-1));
  if (numbers.empty() || std::ranges::count(numbers, -1) > 0) return false;
  numbers.resize(4);
  return numbers > last_without;
}

}  // namespace

bool is_instance_id(std::string_view text) {
  const auto digits = text.substr(std::min<std::size_t>(2, text.size()));
  return text.starts_with("i-") && digits.size() >= 8 && digits.size() <= 17 &&
         digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<Access> prepare_key(const RunDir& run_dir, const ledger::Run& run, const task::AwsSettings& settings) {
  Access access;
  access.key_name = settings.key_name;
  if (!settings.key_file.empty()) {
    access.identity = at_home(settings.key_file);
    access.is_own = true;
    TRY_SET(half, "", ssh::public_half(access.identity));
    access.public_key = std::move(half);
    return access;
  }
  if (!settings.key_name.empty()) return access;
  TRY_SET(key, "", ssh::ensure_key(run_dir.identity(), "ferry-" + run.name));
  access.public_key = key.public_line;
  access.identity = run_dir.identity();
  return access;
}

Status find_key(cloud::Cloud& cloud, const task::AwsSettings& settings, const RunDir& run_dir, Access& access) {
  if (access.key_name.empty()) return {};
  TRY_SET(theirs, "", cloud.public_key(access.key_name));
  if (theirs.empty() && !access.public_key.empty()) return {};  // an endpoint that does not tell: ssh will see
  if (ssh::same_key(theirs, access.public_key)) return {};
  if (!settings.key_file.empty()) {
    return fail(Kind::denied,
                fmt::format("{} is not the private half of the key pair {}", access.identity.string(),
                            printable(access.key_name)),
                "their public halves differ",
                "give the right file with --key-file, or leave key_name out: ferry makes a key pair for each run");
  }
  const auto files = usual_files(access.key_name);
  for (const auto& file : files) {
    const auto half = os::exists(file) ? ssh::public_half(file) : Result<std::string>();
    if (!half || !ssh::same_key(*half, theirs)) continue;
    access.identity = file;
    access.is_own = true;
    access.public_key = theirs;
    return {};
  }
  if (const auto line = in_agent(theirs)) {
    // ssh takes the public half for the file where an agent holds the private one.
    access.identity = run_dir.path / "agent_key.pub";
    access.is_own = true;
    access.public_key = theirs;
    return os::write_file(access.identity, *line + "\n", 0600);
  }
  return fail(Kind::denied,
              fmt::format("the private half of the key pair {} is not on this computer", printable(access.key_name)),
              fmt::format("neither {} nor the ssh agent has it", join(
                                                                     [&] {
                                                                       std::vector<std::string> names;
                                                                       for (const auto& file : files)
                                                                         names.push_back(file.string());
                                                                       return names;
                                                                     }(),
                                                                     ", ")),
              "give its file with --key-file, or leave key_name out: ferry makes a key pair for each run");
}

Status check_access(const task::AwsSettings& settings) {
  if (!settings.key_file.empty()) TRY("", ssh::public_half(at_home(settings.key_file)));
  if (settings.ssh_proxy == "ssm" && !os::find_program(session_plugin)) {
    return fail(Kind::not_found, fmt::format("ssh_proxy: ssm needs {}, which is not on this computer", session_plugin),
                {},
                "install it (docs.aws.amazon.com/systems-manager: install the Session Manager plugin), or "
                "choose a jump "
                "host: --ssh-proxy me@bastion");
  }
  return {};
}

bool key_is_lost(const RunDir& run_dir, const ledger::Instance& instance) {
  const auto identity = target_of(run_dir, instance).identity;
  return !identity.empty() && !os::exists(identity);  // a host of the user's own ssh config has none
}

bool key_is_unreadable(const RunDir& run_dir, const ledger::Instance& instance) {
  if (key_is_lost(run_dir, instance)) return true;
  if (instance.provider == "ssh" || !instance.identity.empty()) return false;
  const auto read =
      os::run_command({.argv = {"ssh-keygen", "-y", "-P", "", "-f", run_dir.identity().string()}}, {}, Millis(10'000));
  return read && read->exit.code != 0;
}

Status renew_key(Context& context, cloud::Cloud& cloud, const RunDir& run_dir, ledger::Instance& instance) {
  const auto lost = target_of(run_dir, instance).identity.string();
  const bool is_gone = !os::exists(lost);
  context.progress.warn("connect",
                        fmt::format("{} ({}); asking EC2 to let a new one in",
                                    is_gone ? "the private key of " + instance.run + " is gone from this computer"
                                            : instance.id + " does not take the private key of " + instance.run,
                                    lost));
  auto renewed = instance;
  renewed.identity.clear();
  TRY("", os::make_dirs(run_dir.path, 0700));
  // One process at a time: a follower and `ferry ssh` may both find that it is gone.
  constexpr Millis most_renewal{60'000};
  TRY_SET(renewal, "make a new key", os::FileLock::take(run_dir.key_lock(), most_renewal));
  if (is_gone && os::exists(run_dir.identity())) {
    instance = std::move(renewed);
    return context.ledger.record_instance(instance);
  }
  TRY_SET(key, "", ssh::make_key(run_dir.path, "ferry-" + instance.run));
  if (auto sent = cloud.send_key(instance.id, instance.login_user, key.public_line); !sent) {
    auto error = std::move(sent).error();
    if (!is_gone) return tl::unexpected<Error>(std::move(error));
    error.advice = fmt::format(
        "put {} back if there is a copy, or allow ec2-instance-connect:SendSSHPublicKey; "
        "`ferry down {} --no-fetch` gives the machine back without its outputs",
        lost, instance.run);
    return fail(Kind::denied, fmt::format("{} cannot be entered: its private key is lost", instance.id),
                error.what + (error.why.empty() ? "" : ": " + error.why), error.advice);
  }
  // ssh, which may look at any moment, would not take a private key with another one's public half beside it.
  const os::Path half = run_dir.identity().string() + ".pub";
  TRY("", os::remove_all(half));
  TRY("", os::write_file(run_dir.identity(), key.private_text, 0600));
  TRY("", os::write_file(half, key.public_line + "\n", 0644));
  instance = std::move(renewed);
  return context.ledger.record_instance(instance);
}

Status keep_key(Context& context, ssh::Session& session, const RunDir& run_dir, const ledger::Instance& instance) {
  TRY_SET(half, "", ssh::public_half(run_dir.identity()));
  TRY_SET(done, "", session.run("umask 077; mkdir -p ~/.ssh && cat >>~/.ssh/authorized_keys", half + "\n"));
  if (done.exit.code != 0)
    return fail(Kind::io, "the new key could not be stored on " + instance.id, printable(trim(done.err)),
                "log in with a key of your own, if you gave one, and look at ~/.ssh there");
  context.progress.note(fmt::format("{} has a new key", instance.run));
  return {};
}

Status record_door(Context& context, const ledger::Run& run, const Door& door) {
  return context.ledger.add_event(run.name, door_event,
                                  {{"region", door.region}, {"vpc", door.vpc_id}, {"cidr", door.cidr}});
}

Status let_caller_in(Context& context, cloud::Cloud& cloud, const ledger::Instance& instance) {
  if (instance.provider == "ssh") return {};
  TRY_SET(events, "", context.ledger.events(instance.run));
  const auto noted = std::find_if(events.rbegin(), events.rend(), [&](const auto& event) {
    return event.kind == door_event && text_at(event.data, "region") == instance.region;
  });
  if (noted == events.rend()) return {};
  TRY_SET(run, "", context.ledger.run(instance.run));
  TRY_SET(cidr, "find the address to open port 22 for", cloud.caller_cidr());
  const Door door{instance.region, text_at(noted->data, "vpc"), cidr};
  TRY("", cloud.ensure_group(resource_name(run), cidr, tags_of(run), door.vpc_id));
  const auto before = text_at(noted->data, "cidr");
  if (cidr == before) return {};
  context.progress.note(
      fmt::format("this computer has moved: port 22 of {} is open to {} now, not to {}", instance.id, cidr, before));
  return record_door(context, run, door);
}

Result<int> ssm_connect(Context& context, const CloudLocation& location, const std::string& instance_id, int port) {
  // It comes from a cloud's answer, by way of the ledger, and goes to a program's command line.
  if (!is_instance_id(instance_id))
    return fail(Kind::denied, "no instance is called " + printable(instance_id.substr(0, 80)));
  auto reached = location;
  TRY_SET(aws_context, "", open_aws_context(context, reached));
  auto client = cloud::aws_client(aws_context, context.http, context.clock);
  const auto version = os::run_command({.argv = {session_plugin, "--version"}}, {}, Millis(10'000));
  if (!version) {
    return fail(Kind::not_found, fmt::format("{} is not on this computer", session_plugin), {},
                "docs.aws.amazon.com/systems-manager: install the Session Manager plugin");
  }
  TRY_SET(session, "", aws::start_ssh_session(client, instance_id, port));
  constexpr const char* variable = "AWS_SSM_START_SESSION_RESPONSE";
  os::SpawnOptions plugin;
  plugin.in = os::Stream::inherit;
  const bool hidden = takes_variable(version->out);
  if (hidden) plugin.env[variable] = session.answer;
  plugin.argv = {
      session_plugin,  hidden ? variable : session.answer,      aws_context.region, "StartSession", aws_context.profile,
      session.request, aws::endpoint_of(client.config(), "ssm")};
  TRY_SET(running, "", os::Process::spawn(plugin));
  const auto ended = running.wait(Millis(-1));
  (void)aws::terminate_session(client, session.id);
  return ended ? ended->code : 1;
}

}  // namespace ferry::fleet
