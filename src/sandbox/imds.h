#pragma once
/// \file
/// The instance metadata service, version 2 (and 1 where the instance allows it), as EC2 answers at
/// 169.254.169.254. Answering is pure; serve_metadata() is the only part that touches a socket.

#include <map>
#include <string>

#include "base/json.h"
#include "os/http_server.h"

namespace ferry::sandbox {

/// What one instance's service knows.
class Imds {
 public:
  /// `tree`: path → text. `user_data` may be empty: there is none.
  Imds(const Json& tree, std::string user_data, bool token_required);

  /// What comes beside `tree` from now on, in the same form, in place of what was given so before.
  void set_live(const Json& tree);

  /// Answers at the moment `now` (seconds, any origin that does not jump).
  os::ServedReply answer(const os::ServedRequest& request, std::int64_t now) const;

 private:
  os::ServedReply give_token(const os::ServedRequest& request, std::int64_t now) const;
  bool token_is_good(const std::string& token, std::int64_t now) const;
  os::ServedReply look_up(std::string path) const;
  std::string listing(const std::string& folder) const;

  std::map<std::string, std::string> tree_;
  std::map<std::string, std::string> fixed_;  // what of it does not change
  bool token_required_;
  std::string secret_;  // tokens are signed with it, so none need be remembered
};

/// Answers one request of a client: this process would not hear what changes (set_live). Starts no thread.
void serve_metadata(const Imds& service, os::Fd connection);

}  // namespace ferry::sandbox
