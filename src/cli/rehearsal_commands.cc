#include "base/text.h"
#include "cli/command.h"
#include "cli/way_out.h"
#include "run/run.h"

namespace ferry::cli {

namespace {

int say(std::string_view schema, Json object, std::string_view text) {
  if (in_json()) {
    reply(schema, std::move(object));
  } else {
    fmt::print("{}\n", text);
  }
  return 0;
}

int start(std::int64_t boot_ms) {
  if (boot_ms >= 0) ::setenv("FERRY_REHEARSAL_BOOT_MS", std::to_string(boot_ms).c_str(), 1);
  const auto info = rehearsal::ensure_running(rehearsal::default_dir());
  if (!info) return report(info.error());
  if (boot_ms >= 0) {  // it may have been running already, with another setting
    const auto set = rehearsal::inject_fault(rehearsal::default_dir(), {{"kind", "settings"}, {"boot_ms", boot_ms}});
    if (!set) return report(set.error());
  }
  return say("ferry.rehearsal.start/1",
             {{"endpoint_url", info->endpoint_url},
              {"s3_endpoint_url", info->s3_endpoint_url},
              {"region", info->region},
              {"pid", info->pid},
              {"sandbox", info->sandbox}},
             fmt::format("the rehearsal cloud answers at {} (region {}, pid {}, sandbox {})\n"
                         "point any AWS client at it:  eval \"$(ferry rehearsal env)\"",
                         info->endpoint_url, info->region, info->pid, info->sandbox));
}

int status() {
  const auto found = rehearsal::status(rehearsal::default_dir());
  if (!found) return report(found.error());
  if (in_json()) {
    reply("ferry.rehearsal.status/1", *found);
    return 0;
  }
  fmt::print("endpoint   {}  (region {}, pid {})\n", text_at(*found, "endpoint_url"), text_at(*found, "region"),
             int_at(*found, "pid"));
  const auto s3 = found->value("s3", Json::object());
  fmt::print("s3         {}  ({} in {})\n", text_at(*found, "s3_endpoint_url"),
             show_bytes(static_cast<std::uint64_t>(int_at(s3, "bytes"))), text_at(s3, "folder"));
  const auto why = text_at(*found, "why");
  fmt::print("sandbox    {}{}\n", text_at(*found, "sandbox"), why.empty() ? "" : "  (" + why + ")");
  fmt::print("wall       {}\n", text_at(*found, "wall"));
  fmt::print("internet   {}\n", internet_line(text_at(*found, "sandbox")));
  if (const auto kept = found->value("kept", Json::object()); int_at(kept, "bytes") > 0)
    fmt::print("kept       {} of environments and caches, in {}  (removed by: ferry rehearsal stop --forget)\n",
               show_bytes(static_cast<std::uint64_t>(int_at(kept, "bytes"))), text_at(kept, "folder"));
  const auto instances = found->value("instances", Json::array());
  const auto faults = found->value("faults", Json::array());
  fmt::print("instances  {}\n", instances.size());
  for (const auto& one : instances) {
    fmt::print("  {}  {:<13} {:<12} {}{}  {}\n", text_at(one, "id"), text_at(one, "state"), text_at(one, "type"),
               text_at(one, "address"), int_at(one, "port") ? fmt::format(" port {}", int_at(one, "port")) : "",
               text_at(one, "name"));
  }
  for (const auto& fault : faults) fmt::print("fault      {}\n", dump_json(fault));
  return 0;
}

int env_lines() {
  const auto info = rehearsal::ensure_running(rehearsal::default_dir());
  if (!info) return report(info.error());
  if (in_json()) {
    reply("ferry.rehearsal.env/1",
          {{"variables", rehearsal::env_of(*info)}, {"unset", {"AWS_SESSION_TOKEN", "AWS_PROFILE"}}});
  } else {
    fmt::print("{}", rehearsal::env_lines(*info));
  }
  return 0;
}

int fault(const std::vector<std::string>& words) {
  Json fault = {{"kind", words.front()}};
  for (std::size_t i = 1; i < words.size(); ++i) {
    const auto equals = words[i].find('=');
    if (equals == std::string::npos) {
      return report(Error{Kind::bad_input, "not KEY=VALUE: " + words[i], {}, "ferry rehearsal fault --help", {}});
    }
    const auto value = words[i].substr(equals + 1);
    const auto number = parse_int(value);
    fault[words[i].substr(0, equals)] = number ? Json(*number) : Json(value);
  }
  if (const auto noted = rehearsal::inject_fault(rehearsal::default_dir(), fault); !noted) return report(noted.error());
  return say("ferry.rehearsal.fault/1", {{"fault", fault}}, "noted");
}

constexpr const char* fault_footer =
    "Examples:\n"
    "  ferry rehearsal fault capacity type=t3.medium count=2\n"
    "  ferry rehearsal fault throttle action=RunInstances count=3\n"
    "  ferry rehearsal fault error action=DescribeInstances code=InternalError status=500 count=1\n"
    "  ferry rehearsal fault drop action=RunInstances count=1     (acts, then closes the connection)\n"
    "  ferry rehearsal fault slow-boot ms=5000\n"
    "  ferry rehearsal fault small-disk mib=16 count=1            (the next machine's home is that small)\n"
    "  ferry rehearsal fault interrupt instance=i-…               (a spot machine: notice now, gone in two minutes)\n"
    "  ferry rehearsal fault interruptions per_hour=60            (all spot machines, when they ran a minute)\n"
    "  ferry rehearsal fault market seed=7                        (spot prices move; who bid less is taken back)\n"
    "  ferry rehearsal fault settings spot_notice_ms=5000         (five seconds in place of two minutes)\n"
    "  ferry rehearsal fault caller address=203.0.113.9           (you moved to another network)\n"
    "  ferry rehearsal fault die instance=i-0123456789abcdef0\n"
    "  ferry rehearsal fault permission action=ec2:RunInstances   (no policy allows it; under DryRun "
    "neither)\n"
    "  ferry rehearsal fault expired-token count=1\n"
    "  ferry rehearsal fault clock ms=600000                      (the cloud's clock is off)\n"
    "  ferry rehearsal fault no-default-vpc\n"
    "  ferry rehearsal fault quota bucket=g limit=0\n"
    "  ferry rehearsal fault quota-answer status=APPROVED after_ms=5000   (of requests for more; or DENIED)\n"
    "  ferry rehearsal fault slow-down percent=20                 (S3: 503 SlowDown for every fifth request)\n"
    "  ferry rehearsal fault cut-upload action=UploadPart bytes=1000000 count=1\n"
    "  ferry rehearsal fault cut-answer action=GetObject bytes=1000000 count=1\n"
    "  ferry rehearsal fault late-error count=1                   (CompleteMultipartUpload: 200, and then an Error)\n"
    "  ferry rehearsal fault conflict count=1                     (409 for a write with a condition)\n"
    "  ferry rehearsal fault latency action=s3:* ms=2000\n"
    "  ferry rehearsal fault plain-http                           (policies see aws:SecureTransport false)\n"
    "  ferry rehearsal fault clear\n";

}  // namespace

void add_rehearsal_commands(CLI::App& app, Program& program) {
  auto* rehearsal = app.add_subcommand("rehearsal", "The local cloud: real instances on this computer, no AWS account");
  rehearsal->require_subcommand(1);
  const auto choose = [&program](CLI::App* command, std::function<int()> act) {
    command->callback([&program, act] { program.chosen = act; });
  };

  auto boot_ms = std::make_shared<std::int64_t>(-1);
  auto* start_command = rehearsal->add_subcommand("start", "Start it (--infra rehearsal does so by itself)");
  start_command->add_option("--boot-ms", *boot_ms, "How long instances take to boot, in milliseconds");
  choose(start_command, [boot_ms] { return start(*boot_ms); });

  auto* status_command =
      rehearsal->add_subcommand("status", "Whether it runs, how strong its sandbox is, its instances");
  choose(status_command, [] { return status(); });

  auto keep = std::make_shared<bool>(false), forget = std::make_shared<bool>(false);
  auto* stop_command = rehearsal->add_subcommand("stop", "Terminate its instances and stop it");
  stop_command->add_flag("--keep-instances", *keep, "Leave the instances running");
  stop_command->add_flag("--forget", *forget, "Remove the environments and caches that outlive its machines, too")
      ->excludes("--keep-instances");
  choose(stop_command, [keep, forget] {
    auto stopped = rehearsal::stop(rehearsal::default_dir(), *keep);
    if (stopped && *forget) stopped = rehearsal::forget_kept(rehearsal::default_dir());
    if (!stopped) return report(stopped.error());
    return say("ferry.rehearsal.stop/1", {{"instances_go_on", *keep}},
               *keep ? "stopped; instances go on" : "stopped; no instance is left");
  });

  choose(rehearsal->add_subcommand("env", "Print export lines that point any AWS client at it"),
         [] { return env_lines(); });

  auto words = std::make_shared<std::vector<std::string>>();
  auto* fault_command = rehearsal->add_subcommand("fault", "Make it misbehave: KIND [KEY=VALUE …]");
  fault_command->footer(fault_footer);
  fault_command
      ->add_option("fault", *words,
                   "capacity, quota, throttle, error, drop, permission, expired-token, clock, "
                   "no-default-vpc, slow-boot, "
                   "small-disk, die, clear …")
      ->required();
  choose(fault_command, [words] { return fault(*words); });

  auto port = std::make_shared<int>(0);
  auto dir = std::make_shared<std::string>();
  auto* serve_command = rehearsal->add_subcommand("serve", "Be the server, in the foreground");
  serve_command->add_option("--port", *port, "Port on 127.0.0.1 (0: as before, else any)");
  serve_command->add_option("--dir", *dir, "Its folder");
  choose(serve_command,
         [port, dir] { return rehearsal::serve(dir->empty() ? rehearsal::default_dir() : os::Path(*dir), *port); });
}

}  // namespace ferry::cli
