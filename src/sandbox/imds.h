#pragma once
/// \file
/// The instance metadata service, version 2 (and 1 where the instance allows it), as EC2 answers at
/// 169.254.169.254. Parsing and answering are pure; serve_metadata() is the only part that touches a socket.

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "os/fd.h"

namespace ferry::sandbox {

/// The head of one HTTP/1.x request.
struct ImdsRequest {
  std::string method, path;                                  ///< path without the query
  int minor_version = 1;                                     ///< of HTTP/1.x
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  std::string header(std::string_view name) const;           ///< the first of that name, or ""
  bool has(std::string_view name) const;
};

/// `head` is everything before the empty line. At most 8 KiB and 64 headers; anything malformed is
/// Kind::corrupt.
Result<ImdsRequest> parse_imds_request(std::string_view head);

struct ImdsReply {
  int status = 200;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

/// What one instance's service knows.
class Imds {
 public:
  /// `tree`: path → text. `user_data` may be empty: there is none.
  Imds(const Json& tree, std::string user_data, bool token_required);

  /// Answers at the moment `now` (seconds, any origin that does not jump).
  ImdsReply answer(const ImdsRequest& request, std::int64_t now) const;

 private:
  ImdsReply give_token(const ImdsRequest& request, std::int64_t now) const;
  bool token_is_good(const std::string& token, std::int64_t now) const;
  ImdsReply look_up(std::string path) const;
  std::string listing(const std::string& folder) const;

  std::map<std::string, std::string> tree_;
  bool token_required_;
  std::string secret_;  // tokens are signed with it, so none need be remembered
};

/// The bytes of an answer; `keep_alive` says whether the connection stays open.
std::string imds_reply_text(const ImdsReply& reply, bool with_body, bool keep_alive);

/// Answers one client until it leaves, stays silent for ten seconds, or sends what is no request.
void serve_metadata(const Imds& service, const os::Fd& connection);

}  // namespace ferry::sandbox
