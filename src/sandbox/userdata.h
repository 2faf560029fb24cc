#pragma once
/// \file
/// What was given to the instance as user-data: a script, or the part of cloud-init's #cloud-config that is
/// done here.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "os/process.h"

namespace ferry::sandbox {

/// cloud-config's write_files.
struct FileToWrite {
  std::string path, content;
  std::uint32_t mode = 0644;
  std::string owner;  ///< "user:group"; empty: root
  bool append = false;
};

struct UserData {
  std::string script;  ///< of "#!" user-data, whole; else empty
  std::optional<std::string> hostname;
  std::string host_key, host_key_public;     ///< ssh_keys: ed25519_private, ed25519_public
  std::vector<std::string> authorized_keys;  ///< ssh_authorized_keys
  std::vector<os::Argv> boot_commands;       ///< bootcmd, every boot
  std::vector<os::Argv> run_commands;        ///< runcmd, first boot
  std::vector<FileToWrite> files;            ///< write_files, first boot
  std::vector<std::string> notes;            ///< what will not be done, one line each, for the console
};

/// Formats that are not done here (gzip, MIME, other cloud-config keys) become notes. Kind::corrupt for
/// broken YAML, and for known keys of the wrong shape.
Result<UserData> parse_user_data(std::string_view bytes);

}  // namespace ferry::sandbox
