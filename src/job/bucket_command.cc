#include "job/bucket_command.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace ferry::job {
namespace {

using Words = std::vector<std::string>;

/// "": the whole bucket; otherwise with a slash at its end.
std::string prefix_of(const BucketMount& mount) {
  return mount.key.empty() || mount.key.ends_with('/') ? mount.key : mount.key + "/";
}

Words mount_s3_words(const MountTools& tools, const BucketMount& mount) {
  Words words = {"mount-s3", mount.bucket, mount.place, "--foreground"};
  const auto add = [&](std::initializer_list<std::string> more) { words.insert(words.end(), more); };
  if (const auto prefix = prefix_of(mount); !prefix.empty()) add({"--prefix", prefix});
  if (!mount.region.empty()) add({"--region", mount.region});
  if (!mount.endpoint.empty()) add({"--endpoint-url", mount.endpoint, "--force-path-style"});
  if (mount.is_anonymous) add({"--no-sign-request"});
  mount.is_written ? add({"--allow-delete", "--allow-overwrite"}) : add({"--read-only"});
  if (tools.lets_others) add({"--allow-other"});
  add({"--uid", std::to_string(tools.uid), "--gid", std::to_string(tools.gid), "--dir-mode", "0755", "--file-mode",
       "0644"});
  return words;
}

/// A remote that no file describes, so that nothing of bucket or key is read as words of rclone's. It says an ACL in
/// any case: this one every bucket takes, also those that know no ACLs.
Words rclone_remote(const BucketMount& mount) {
  const auto set = [](const char* name, const std::string& value) {
    return fmt::format("RCLONE_CONFIG_FERRY_{}={}", name, value);
  };
  Words words = {"RCLONE_CONFIG=/dev/null",
                 set("TYPE", "s3"),
                 set("PROVIDER", mount.endpoint.empty() ? "AWS" : "Other"),
                 set("ENV_AUTH", mount.is_anonymous ? "false" : "true"),
                 set("NO_CHECK_BUCKET", "true"),
                 set("ACL", "bucket-owner-full-control")};
  if (!mount.region.empty()) words.push_back(set("REGION", mount.region));
  if (!mount.endpoint.empty()) {
    words.push_back(set("ENDPOINT", mount.endpoint));
    words.push_back(set("FORCE_PATH_STYLE", "true"));
  }
  return words;
}

Words rclone_words(const MountTools& tools, const BucketMount& mount) {
  Words words = rclone_remote(mount);
  const auto add = [&](std::initializer_list<std::string> more) { words.insert(words.end(), more); };
  add({"rclone", "mount", "ferry:" + mount.bucket + "/" + prefix_of(mount), mount.place});
  // Files that are written are whole in the cache before they go, so that they may be written in any order, and are
  // tried again; what is only read is streamed unless the task asks for a cache.
  const bool is_cached = mount.mode == task::MountMode::cached;
  add({"--vfs-cache-mode", is_cached ? "full" : mount.is_written ? "writes" : "off"});
  add({"--cache-dir", mount.cache, "--vfs-cache-max-size", std::to_string(mount.cache_bytes) + "B"});
  if (mount.is_written)
    add({"--vfs-write-back", "1s", "--s3-chunk-size", "16M", "--s3-upload-concurrency", "8"});
  else
    add({"--read-only"});
  // Others' changes are seen after that long; times are the bucket's own, which a listing has.
  add({"--dir-cache-time", "30s", "--poll-interval", "0", "--use-server-modtime"});
  if (tools.lets_others) add({"--allow-other"});
  add({"--uid", std::to_string(tools.uid), "--gid", std::to_string(tools.gid), "--umask", "022"});
  add({"--log-level", "INFO", "--stats", "10s", "--stats-one-line"});
  return words;
}

}  // namespace

MountTools mount_tools_from(std::string_view lines) {
  MountTools tools;
  tools.no_fuse = "the machine did not say what it has";
  for (const auto& line : split(lines, '\n')) {
    const auto at = line.find('=');
    if (at == line.npos) continue;
    const auto name = line.substr(0, at), value = line.substr(at + 1);
    if (name == "tool") {
      tools.has_mount_s3 |= value == "mount-s3";
      tools.has_rclone |= value == "rclone";
    }
    if (name == "no_fuse") tools.no_fuse = short_line(value, 200);
    if (name == "others") tools.lets_others = value == "1";
    if (name == "uid") tools.uid = parse_int(value).value_or(0);
    if (name == "gid") tools.gid = parse_int(value).value_or(0);
    if (name == "scratch" && value.starts_with('/')) tools.scratch = value;
    if (name == "free")
      tools.free_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(0, parse_int(value).value_or(0)));
  }
  return tools;
}

MountTool tool_for(const MountTools& tools, task::MountMode mode) {
  if (mode == task::MountMode::mount && tools.has_mount_s3) return MountTool::mount_s3;
  const bool is_mount = mode != task::MountMode::copy;
  return is_mount && tools.has_rclone ? MountTool::rclone : MountTool::none;
}

std::string why_not_mounted(const MountTools& tools, task::MountMode mode, bool is_in_container) {
  if (tool_for(tools, mode) == MountTool::none)
    return mode == task::MountMode::cached
               ? "the machine has no rclone, which MOUNT_CACHED needs; an image that has it mounts"
               : "the machine has neither mount-s3 nor rclone; an image that has one of them mounts";
  if (!tools.no_fuse.empty()) return tools.no_fuse;
  if (tools.scratch.empty()) return "the machine did not say where a cache may be";
  if (is_in_container && !tools.lets_others)
    return "a container could not see it: /etc/fuse.conf has no line user_allow_other";
  return {};
}

std::vector<std::string> mount_words(const MountTools& tools, const BucketMount& mount) {
  return tool_for(tools, mount.mode) == MountTool::mount_s3 ? mount_s3_words(tools, mount) : rclone_words(tools, mount);
}

std::string name_in_cache(const MountTools& tools, const BucketMount& mount) {
  if (!mount.is_written || tool_for(tools, mount.mode) != MountTool::rclone) return {};
  auto name = mount.bucket + "/" + prefix_of(mount);
  name.pop_back();
  return name;
}

}  // namespace ferry::job
