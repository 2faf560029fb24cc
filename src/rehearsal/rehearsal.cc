#include "rehearsal/rehearsal.h"

#include <fcntl.h>

#include "base/text.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/process.h"
#include "rehearsal/catalog.h"
#include "rehearsal/endpoint.h"
#include "rehearsal/way_out.h"
#include "sandbox/sandbox.h"

namespace ferry::rehearsal {
namespace {

constexpr Millis start_limit{60'000};
constexpr Millis stop_limit{90'000};

Info info_of(const Endpoint& endpoint) {
  Info info;
  info.endpoint_url = fmt::format("http://127.0.0.1:{}", endpoint.port);
  info.s3_endpoint_url = fmt::format("http://127.0.0.1:{}", endpoint.s3_port);
  info.region = region_name;
  info.access_key_id = endpoint.access_key_id;
  info.secret_access_key = endpoint.secret_access_key;
  info.pid = endpoint.pid;
  info.sandbox = endpoint.sandbox;
  info.why = endpoint.why;
  return info;
}

/// The endpoint of the server that runs in `dir` and answers.
Result<Endpoint> answering(const os::Path& dir) {
  if (!os::is_locked(lock_file(dir)))
    return fail(Kind::not_found, "the rehearsal cloud does not run", "", "start it with: ferry rehearsal start");
  TRY_SET(endpoint, "", read_endpoint(dir));
  TRY_SET(answer, "", control(endpoint, "info", Json::object(), Millis(5000)));
  return endpoint;
}

Result<os::Process> spawn_server(const os::Path& dir) {
  TRY_SET(log, "", os::open_file(log_file(dir), O_WRONLY | O_CREAT | O_APPEND, 0600));
  os::SpawnOptions options;
  options.argv = {os::env("FERRY_PROGRAM").value_or(os::self_program().string()), "rehearsal", "serve", "--dir",
                  dir.string()};
  options.cwd = "/";
  options.out_fd = options.err_fd = log.get();
  options.new_session = true;
  return os::Process::spawn(options);
}

std::string log_tail(const os::Path& dir) {
  const auto text = os::read_file(log_file(dir)).value_or("");
  const auto line = trim(text);
  const auto from = line.find_last_of('\n');
  return std::string(from == line.npos ? line : line.substr(from + 1));
}

Result<Endpoint> start_server(const os::Path& dir) {
  TRY_SET(server, "start the rehearsal cloud", spawn_server(dir));
  auto& clock = os::system_clock();
  const auto deadline = clock.steady_ms() + start_limit.count();
  while (clock.steady_ms() < deadline) {
    auto endpoint = answering(dir);
    if (endpoint && endpoint->pid == server.pid()) return endpoint;
    if (const auto exit = server.wait(Millis(5)))
      return fail(Kind::io, fmt::format("the rehearsal cloud ended at once with code {}", exit->code), log_tail(dir),
                  "see " + log_file(dir).string());
  }
  return fail(Kind::timeout, "the rehearsal cloud did not answer in time", "", "see " + log_file(dir).string());
}

}  // namespace

os::Path default_dir() { return os::data_dir() / "rehearsal"; }

Result<Info> ensure_running(const os::Path& dir) {
  if (const auto endpoint = answering(dir)) return info_of(*endpoint);
  TRY("", os::make_dirs(dir, 0700));
  TRY_SET(starting, "another start of the rehearsal cloud", os::FileLock::take(dir / "start.lock", start_limit));
  const auto deadline = os::system_clock().steady_ms() + start_limit.count();
  while (os::is_locked(lock_file(dir)) &&
         os::system_clock().steady_ms() < deadline) {  // someone ran `serve`, or an old server is just ending
    if (const auto endpoint = answering(dir)) return info_of(*endpoint);
    os::system_clock().sleep(Millis(10));
  }
  TRY_SET(endpoint, "", start_server(dir));
  return info_of(endpoint);
}

Result<Info> running(const os::Path& dir) {
  TRY_SET(endpoint, "", answering(dir));
  return info_of(endpoint);
}

Status stop(const os::Path& dir, bool keep_instances) {
  if (!os::is_directory(dir)) return {};
  TRY_SET(starting, "a start of the rehearsal cloud", os::FileLock::take(dir / "start.lock", start_limit));
  if (os::is_locked(lock_file(dir))) {
    TRY_SET(endpoint, "", read_endpoint(dir));
    TRY_SET(left, "", control(endpoint, "stop", {{"keep_instances", keep_instances}}, stop_limit));
    TRY_SET(ended, "the rehearsal cloud is still ending", os::FileLock::take(lock_file(dir), start_limit));
    return keep_instances ? Status() : os::remove_all(ways_out(dir));
  }
  if (keep_instances) return {};
  // No server: end what it left. The next one finds their folders gone and lists them as terminated.
  if (!os::is_directory(dir / "instances")) return {};
  TRY_SET(ids, "", os::list_dir(dir / "instances"));
  for (const auto& id : ids) TRY("", sandbox::destroy(dir / "instances" / id));
  return {};
}

Status forget_kept(const os::Path& dir) {
  if (os::is_locked(lock_file(dir)))
    return fail(Kind::conflict, "the rehearsal cloud runs: its machines may be using what is kept", "",
                "ferry rehearsal stop --forget");
  return os::remove_all(kept_folder(dir));
}

namespace {

/// Bytes of the files below a folder, links not followed; what cannot be read counts nothing.
std::uint64_t bytes_below(const os::Path& folder) {
  std::uint64_t bytes = 0;
  std::error_code failed;
  auto at = std::filesystem::recursive_directory_iterator(
      folder, std::filesystem::directory_options::skip_permission_denied, failed);
  for (; !failed && at != std::filesystem::recursive_directory_iterator(); at.increment(failed)) {
    std::error_code gone;
    if (at->is_symlink(gone) || !at->is_regular_file(gone)) continue;
    if (const auto size = at->file_size(gone); !gone) bytes += size;
  }
  return bytes;
}

}  // namespace

Result<Json> status(const os::Path& dir) {
  TRY_SET(endpoint, "", answering(dir));
  TRY_SET(json, "", control(endpoint, "status", Json::object(), Millis(10'000)));
  const auto info = info_of(endpoint);
  json["endpoint_url"] = info.endpoint_url;
  json["s3_endpoint_url"] = info.s3_endpoint_url;
  json["s3"] = {{"folder", (dir / "s3").string()}, {"bytes", bytes_below(dir / "s3" / "data")}};
  json["region"] = info.region;
  json["access_key_id"] = info.access_key_id;
  json["pid"] = info.pid;
  json["sandbox"] = info.sandbox;
  json["why"] = info.why;
  json["wall"] = sandbox::wall_of(sandbox::mode_named(info.sandbox).value_or(sandbox::Mode::plain));
  json["dir"] = dir.string();
  json["kept"] = {{"folder", kept_folder(dir).string()}, {"bytes", bytes_below(kept_folder(dir))}};
  return json;
}

std::string region() { return std::string(region_name); }

std::map<std::string, std::string> env_of(const Info& info) {
  return {
      {"AWS_ENDPOINT_URL", info.endpoint_url},
      {"AWS_ENDPOINT_URL_S3", info.s3_endpoint_url},
      {"AWS_ACCESS_KEY_ID", info.access_key_id},
      {"AWS_SECRET_ACCESS_KEY", info.secret_access_key},
      {"AWS_REGION", info.region},
      {"AWS_DEFAULT_REGION", info.region},
      {"AWS_EC2_METADATA_DISABLED", "true"},
  };
}

std::string env_lines(const Info& info) {
  std::string out;
  for (const auto& [name, value] : env_of(info)) out += fmt::format("export {}={}\n", name, shell_quoted(value));
  return out + "unset AWS_SESSION_TOKEN AWS_PROFILE\n";
}

Status inject_fault(const os::Path& dir, const Json& fault) {
  TRY_SET(endpoint, "", answering(dir));
  const bool settings = text_at(fault, "kind") == "settings";
  TRY_SET(answer, "", control(endpoint, settings ? "settings" : "fault", fault, Millis(10'000)));
  return {};
}

}  // namespace ferry::rehearsal
