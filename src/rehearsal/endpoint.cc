#include "rehearsal/endpoint.h"

#include "base/text.h"
#include "os/clock.h"
#include "os/socket.h"

namespace ferry::rehearsal {

os::Path lock_file(const os::Path& dir) { return dir / "server.lock"; }
os::Path log_file(const os::Path& dir) { return dir / "server.log"; }

Result<Endpoint> read_endpoint(const os::Path& dir) {
  const auto file = dir / "server.json";
  if (!os::exists(file)) return fail(Kind::not_found, "no rehearsal cloud was ever started in " + dir.string());
  TRY_SET(text, "", os::read_file(file, 1 << 16));
  TRY_SET(json, file.string(), parse_json(text));
  Endpoint endpoint;
  endpoint.port = int_at(json, "port");
  endpoint.s3_port = int_at(json, "s3_port");
  endpoint.pid = int_at(json, "pid");
  endpoint.token = text_at(json, "token");
  endpoint.access_key_id = text_at(json, "access_key_id");
  endpoint.secret_access_key = text_at(json, "secret_access_key");
  endpoint.sandbox = text_at(json, "sandbox");
  endpoint.why = text_at(json, "why");
  return endpoint;
}

Status write_endpoint(const os::Path& dir, const Endpoint& endpoint) {
  const Json json = {{"port", endpoint.port},
                     {"s3_port", endpoint.s3_port},
                     {"pid", endpoint.pid},
                     {"token", endpoint.token},
                     {"access_key_id", endpoint.access_key_id},
                     {"secret_access_key", endpoint.secret_access_key},
                     {"sandbox", endpoint.sandbox},
                     {"why", endpoint.why}};
  return os::write_file(dir / "server.json", dump_json(json), 0600);
}

Result<Json> control(const Endpoint& endpoint, std::string_view verb, const Json& body, Millis limit) {
  TRY_SET(connection, "rehearsal cloud", os::connect_tcp("127.0.0.1", static_cast<int>(endpoint.port), Millis(2000)));
  const auto text = dump_json(body);
  TRY("rehearsal cloud",
      os::write_all(connection.get(),
                    fmt::format("POST /_ferry/{} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
                                "{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
                                verb, endpoint.token, text.size(), text)));
  if (!os::wait_readable(connection.get(), limit))
    return fail(Kind::timeout, "the rehearsal cloud did not answer in time");
  TRY_SET(answer, "rehearsal cloud", os::read_to_end(connection.get(), 64 << 20));
  const auto end = answer.find("\r\n\r\n");
  const auto status = parse_int(std::string_view(answer).substr(std::min<std::size_t>(9, answer.size()), 3));
  if (!answer.starts_with("HTTP/1.1 ") || end == answer.npos || !status)
    return fail(Kind::lost, "the rehearsal cloud's answer broke off");
  if (*status == 403) return fail(Kind::denied, "the rehearsal cloud refused the control token");
  TRY_SET(json, "rehearsal cloud", parse_json(std::string_view(answer).substr(end + 4)));
  if (*status != 200)
    return fail(Kind::bad_input, text_at(json, "what", "refused"), text_at(json, "why"), text_at(json, "advice"));
  return json;
}

}  // namespace ferry::rehearsal
