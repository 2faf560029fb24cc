#pragma once
/// \file
/// By which program, and with which words, a machine mounts a bucket of S3. Pure. mount-s3 (mountpoint-s3) is for
/// MOUNT; rclone for MOUNT_CACHED, and where there is no mount-s3. Internal to this room.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "task/task.h"

namespace ferry::job {

/// What a machine has to mount buckets with, as buckets.sh tells it.
struct MountTools {
  bool has_mount_s3 = false, has_rclone = false;
  std::string no_fuse;       ///< why FUSE cannot be used; "": it can
  bool lets_others = false;  ///< others than who mounts may see it: a container's root
  std::int64_t uid = 0, gid = 0;
  std::string scratch;           ///< absolute
  std::uint64_t free_bytes = 0;  ///< there
};
/// Reads lines NAME=VALUE; others are a login shell's noise.
MountTools mount_tools_from(std::string_view lines);

enum class MountTool { none, mount_s3, rclone };
MountTool tool_for(const MountTools& tools, task::MountMode mode);
/// Why it is copied in place of being mounted, and what to do about that; "": it can be mounted.
std::string why_not_mounted(const MountTools& tools, task::MountMode mode, bool is_in_container);

/// One bucket, or what is below a key of it, at its place on the machine.
struct BucketMount {
  std::string bucket, key;
  std::string region;
  std::string endpoint;  ///< "": AWS's
  task::MountMode mode = task::MountMode::mount;
  bool is_written = false;
  bool is_anonymous = false;      ///< public, and read without credentials
  std::string place, cache;       ///< absolute
  std::uint64_t cache_bytes = 0;  ///< what may be kept there beside what is to be put
};
/// VARIABLE=VALUE…, the program and its arguments, which stays in the foreground: words for env(1).
std::vector<std::string> mount_words(const MountTools& tools, const BucketMount& mount);
/// What rclone's cache calls the mount: BUCKET/PREFIX; "" where nothing waits there to be put into the bucket.
std::string name_in_cache(const MountTools& tools, const BucketMount& mount);

}  // namespace ferry::job
