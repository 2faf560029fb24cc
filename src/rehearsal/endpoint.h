#pragma once
/// \file
/// How a server and those who control it find each other: DIR/server.json (0600) and DIR/server.lock, held
/// while the server lives.

#include "base/json.h"
#include "os/file.h"

namespace ferry::rehearsal {

struct Endpoint {
  std::int64_t port = 0, s3_port = 0, pid = 0;
  std::string token;  ///< bearer token of the control requests
  std::string access_key_id, secret_access_key, sandbox, why;
};

os::Path lock_file(const os::Path& dir);
os::Path log_file(const os::Path& dir);
/// What the last server wrote; not_found if there never was one.
Result<Endpoint> read_endpoint(const os::Path& dir);
Status write_endpoint(const os::Path& dir, const Endpoint& endpoint);

/// POST /_ferry/VERB with a JSON body. The answer's JSON; lost if nobody answers, denied if the token is
/// wrong, else the error it names.
Result<Json> control(const Endpoint& endpoint, std::string_view verb, const Json& body, Millis limit);

}  // namespace ferry::rehearsal
