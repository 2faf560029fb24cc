#pragma once
/// \file
/// Keys that open the login user's account for a while only, as EC2 Instance Connect gives them: one text
/// that lend_key() writes in the instance's folder, the host process hands inside with every connection, and
/// the first process turns into a file that sshd reads.

#include "sandbox/machine.h"

namespace ferry::sandbox {

struct LentKey {
  std::int64_t until_ms = 0;  ///< by the wall clock
  std::string line;           ///< as in authorized_keys
};
/// Those that are good at `now_ms`. Lines that are none are left out.
std::vector<LentKey> lent_keys_from(std::string_view text, std::int64_t now_ms);
std::string text_of(const std::vector<LentKey>& keys);

/// Where sshd looks for them, as it sees it.
os::Path lent_keys_file(const Machine& machine);
/// Lets in who has one of these keys, and nobody that an earlier call let in.
ferry::Status open_account(const Machine& machine, const std::vector<LentKey>& keys);

}  // namespace ferry::sandbox
