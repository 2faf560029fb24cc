// The server's main: one a folder, until SIGTERM.
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "base/text.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/signals.h"
#include "rehearsal/rehearsal.h"
#include "rehearsal/server.h"
#include "rehearsal/way_out.h"

namespace ferry::rehearsal {
namespace {

constexpr std::uintmax_t log_limit = 8 << 20;

std::int64_t setting(const char* name, std::int64_t otherwise) {
  const auto text = os::env(name);
  const auto value = text ? parse_int(*text) : std::nullopt;
  return value && *value >= 0 ? *value : otherwise;
}

void start_log(const os::Path& file) {
  std::error_code ignored;
  if (std::filesystem::file_size(file, ignored) > log_limit && !ignored)
    std::filesystem::rename(file, file.string() + ".1", ignored);
}

Status serve_until_told(const os::Path& dir, int port) {
  TRY("", os::make_dirs(dir, 0700));
  // Whoever only asks whether a server is there holds the lock for a moment, too.
  constexpr int most_tries = 50;
  auto taken = os::FileLock::try_take(lock_file(dir));
  for (int i = 1; i < most_tries && taken && !*taken; ++i) {
    os::system_clock().sleep(Millis(10));
    taken = os::FileLock::try_take(lock_file(dir));
  }
  TRY_SET(lock, "", std::move(taken));
  if (!lock) return fail(Kind::conflict, "a rehearsal cloud already runs in " + dir.string());
  os::SignalQueue signals{SIGTERM, SIGINT, SIGHUP};
  os::ignore_sigpipe();
  start_log(log_file(dir));
  Store store(dir);
  SandboxMachines machines(dir / "instances");
  ServerOptions options;
  options.port = port;
  if (const auto before = read_endpoint(dir)) {
    options.last_port = static_cast<int>(before->port);
    options.last_s3_port = static_cast<int>(before->s3_port);
  }
  options.s3_dir = dir / "s3";
  options.boot_ms = setting("FERRY_REHEARSAL_BOOT_MS", options.boot_ms);
  options.keep_ms = setting("FERRY_REHEARSAL_KEEP_MS", options.keep_ms);
  options.spot_notice_ms = setting("FERRY_REHEARSAL_SPOT_NOTICE_MS", options.spot_notice_ms);
  options.log = [file = log_file(dir)](const std::string& line) {
    (void)os::append_file(file, os::iso_time(os::system_clock().now_ms(), true) + " " + line + "\n", 0600);
  };
  options.equip = [dir](sandbox::Spec& spec, const std::string& way_out) {
    spec.way_out = noted_way_out(dir, way_out);
    // Only what ferry's own runs rent: what others launch (terraform, the aws CLI) is as it comes from its image.
    if (!way_out.empty()) spec.kept = kept_folder(dir).string();
  };
  options.on_stop = [] { ::kill(::getpid(), SIGTERM); };
  TRY_SET(server, "", Server::start(store, machines, os::system_clock(), options));
  const auto key = server->access_key();
  const auto probe = machines.probe();
  Endpoint endpoint{.port = server->port(),
                    .s3_port = server->s3_port(),
                    .pid = ::getpid(),
                    .token = server->token(),
                    .access_key_id = key.id,
                    .secret_access_key = key.secret,
                    .sandbox = std::string(sandbox::name(probe.mode)),
                    .why = probe.why};
  TRY("", write_endpoint(dir, endpoint));
  options.log(fmt::format("serving on 127.0.0.1:{}, S3 on 127.0.0.1:{}, sandbox {}", server->port(), server->s3_port(),
                          endpoint.sandbox));
  while (!signals.next()) os::wait_readable(signals.fd(), Millis(-1));
  options.log("ending");
  return {};
}

}  // namespace

int serve(const os::Path& dir, int port) {
  const auto done = serve_until_told(dir, port);
  if (done) return 0;
  std::fprintf(stderr, "ferry: error: %s\n", describe(done.error()).c_str());
  return 1;
}

}  // namespace ferry::rehearsal
