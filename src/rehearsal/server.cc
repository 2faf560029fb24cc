#include "rehearsal/server.h"

#include "base/hash.h"
#include "base/text.h"
#include "rehearsal/catalog.h"
#include "rehearsal/doors.h"
#include "rehearsal/identity.h"
#include "rehearsal/tagging.h"
#include "rehearsal/way_out.h"

namespace ferry::rehearsal {
namespace {

constexpr std::string_view control_prefix = "/_ferry/";
constexpr Millis end_limit{60'000};                                 // for all instances to end
constexpr os::ServerLimits http_limits{.silence = Millis(60'000)};  // clients keep connections open between calls

HttpReply json_reply(int status, const Json& body) {
  HttpReply reply;
  reply.status = status;
  reply.content_type = "application/json";
  reply.body = dump_json(body);
  return reply;
}

bool is_gone(const Instance& instance) { return instance.phase == Phase::terminated; }

/// "ec2:RunInstances 200 4 ms"; then what else it needed permission for.
std::string log_line(const Asked& asked, const HttpReply& reply, std::int64_t ms) {
  std::string line = fmt::format("{} {}{}{} {} ms", printable(asked.name().substr(0, 80)), reply.status,
                                 asked.dry_run ? " (dry run)" : "", reply.drop ? " (dropped)" : "", ms);
  if (asked.needs.size() > 1) line += " with " + join(std::span(asked.needs).subspan(1), " ");
  return line;
}

}  // namespace

Result<std::unique_ptr<Server>> Server::start(Store& store, Machines& machines, os::Clock& clock,
                                              ServerOptions options) {
  TRY_SET(state, "", store.load(std::string(region_name)));
  const int port = options.port, last_port = options.last_port;
  std::unique_ptr<Server> server(new Server(std::move(state), store, machines, clock, std::move(options)));
  const auto handler = [it = server.get()](const os::ServedRequest& request, os::BodyReader& body) {
    const auto message = whole_message(request, body);
    return message ? served(it->handle(*message)) : refusal(message.error());
  };
  auto http = os::HttpServer::start(port != 0 ? port : last_port, handler, http_limits);
  if (!http && port == 0 && last_port != 0) http = os::HttpServer::start(0, handler, http_limits);
  if (!http) return fail("rehearsal cloud", http.error());
  server->http_ = *std::move(http);
  server->api_port_ = server->http_->port();
  TRY("rehearsal cloud", server->start_s3());
  set_doors(server->state_, machines, server->service_.caller());  // the last server's faults are forgotten
  server->worker_ = std::thread([it = server.get()] { it->lifecycle_.run(); });
  return server;
}

Server::Server(State state, Store& store, Machines& machines, os::Clock& clock, ServerOptions options)
    : options_(std::move(options)),
      clock_(clock),
      machines_(machines),
      token_(hex(random_bytes(24))),
      state_(std::move(state), store),
      service_(state_, clock, options_.boot_ms, machines),
      roles_(state_, machines,
             {.now_ms = [this] { return service_.server_ms(); },
              .session_ms = [this] { return service_.session_ms(); },
              .s3_port = [this] { return s3_port_.load(); },
              .api_port = [this] { return api_port_.load(); },
              .machine_ms = [this] { return clock_.now_ms(); }}),
      lifecycle_(state_, machines, clock,
                 {.keep_ms = options_.keep_ms,
                  .executor = {},
                  .log = options_.log,
                  .before_pass =
                      [this] {
                        service_.interrupt_spot();
                        const auto again = service_.scale_groups();
                        roles_.pass();
                        return again;
                      },
                  .set_door = [this](const std::string& id) { set_doors(state_, machines_, service_.caller(), id); },
                  .equip = options_.equip}) {
  service_.set_spot_notice_ms(options_.spot_notice_ms);
}

Status Server::start_s3() {
  if (options_.s3_dir.empty()) return {};
  TRY_SET(store, "", S3Store::open(options_.s3_dir));
  auto world = service_.s3_world();
  world.log = options_.log;
  s3_ = std::make_unique<S3Service>(std::move(store), std::move(world));
  const auto handler = [it = s3_.get()](const os::ServedRequest& request, os::BodyReader& body) {
    return it->handle(request, body);
  };
  auto http = os::HttpServer::start(options_.last_s3_port, handler);
  if (!http && options_.last_s3_port != 0) http = os::HttpServer::start(0, handler);
  if (!http) return fail("", http.error());
  s3_http_ = *std::move(http);
  s3_port_ = s3_http_->port();
  return {};
}

Server::~Server() {
  s3_http_.reset();
  http_.reset();
  lifecycle_.end();
  if (worker_.joinable()) worker_.join();
}

AccessKey Server::access_key() const {
  AccessKey key;
  state_.look([&](const State& state) { key = {state.access_key_id, state.secret_access_key}; });
  return key;
}

void Server::log(const std::string& line) const {
  if (options_.log) options_.log(line);
}

HttpReply Server::handle(const HttpRequest& request) {
  if (request.path.starts_with(control_prefix)) return handle_control(request);
  if (request.path == "/checkip") {
    HttpReply reply;
    reply.content_type = "text/plain";
    reply.body = service_.caller() + "\n";
    return reply;
  }
  const auto began = clock_.steady_ms();
  auto reply = service_.handle(request);
  log(log_line(read_asked(request), reply, clock_.steady_ms() - began));
  return reply;
}

HttpReply Server::handle_control(const HttpRequest& request) {
  if (request.path == identity_path) {  // knows nothing of tokens: it is for those who are not sure of us
    const auto proof = http_ ? identity_proof(token_, http_->port(), request.body) : std::string();
    return {.status = proof.empty() ? 400 : 200, .content_type = "text/plain", .headers = {}, .body = proof};
  }
  if (sha256(request.header("authorization")) != sha256("Bearer " + token_))
    return json_reply(403, {{"what", "wrong token"}});
  const auto body = parse_json(request.body);
  if (!body) return json_reply(400, {{"what", body.error().what}});
  const auto answer = run_verb(std::string_view(request.path).substr(control_prefix.size()), *body);
  if (!answer)
    return json_reply(400,
                      {{"what", answer.error().what}, {"why", answer.error().why}, {"advice", answer.error().advice}});
  return json_reply(200, *answer);
}

Result<Json> Server::run_verb(std::string_view verb, const Json& body) {
  if (verb == "info") return Json::object();
  if (verb == "status") return describe();
  if (verb == "fault") {
    TRY("", take_fault(body));
    return Json{{"faults", service_.faults()}};
  }
  if (verb == "settings") {
    if (const auto ms = int_at(body, "boot_ms", -1); ms >= 0) service_.set_boot_ms(ms);
    if (const auto ms = int_at(body, "spot_notice_ms", -1); ms >= 0) service_.set_spot_notice_ms(ms);
    return Json::object();
  }
  if (verb == "stop") {
    Json left = {{"left", 0}};
    if (!body.value("keep_instances", false)) {
      TRY_SET(ended, "", terminate_all());
      left = ended;
    }
    if (options_.on_stop) options_.on_stop();
    return left;
  }
  return fail(Kind::bad_input, "no such control verb: " + printable(verb));
}

Status Server::take_fault(const Json& fault) {
  if (!fault.is_object()) return fail(Kind::bad_input, "a fault is a JSON object");
  const auto kind = text_at(fault, "kind");
  if (kind != "die" && kind != "no-sshd" && kind != "interrupt") return service_.add_fault(fault);
  const auto id = text_at(fault, "instance");
  bool exists = false;
  state_.look([&](const State& state) { exists = state.instances.contains(id); });
  if (!exists) return fail(Kind::bad_input, "no such instance: " + printable(id));
  if (kind == "interrupt") {
    TRY("", service_.interrupt(id, int_at(fault, "after_ms", 0)));
    return {};
  }
  if (kind == "no-sshd") return machines_.break_sshd(id, text_at(fault, "on", "true") != "false");
  lifecycle_.crash_at(id, clock_.now_ms() + int_at(fault, "after_ms", 0));
  return {};
}

Json Server::describe() {
  Json list = Json::array();
  const auto now = clock_.now_ms();
  state_.look([&](const State& state) {
    for (const auto& [id, instance] : state.instances) {
      const auto& tags = tags_of(state, id);
      const auto named = tags.find("Name"), way = tags.find(way_out_tag);
      list.push_back({{"id", id},
                      {"state", name(instance.phase)},
                      {"type", instance.type},
                      {"zone", instance.zone},
                      {"address", instance.address},
                      {"port", instance.ssh_port},
                      {"name", named == tags.end() ? "" : named->second},
                      {"internet", way != tags.end() && way->second != "closed"},
                      {"age", (now - instance.launched_ms) / 1000},
                      {"reason", instance.reason_message}});
    }
  });
  return {{"instances", list}, {"faults", service_.faults()}};
}

Result<Json> Server::terminate_all() {
  const auto now = clock_.now_ms();
  state_.update([&](State& state) {
    for (auto& [name, group] : state.scaling_groups) {  // none is to be replaced
      group.is_going = true;
      group.min = group.max = group.desired = 0;
    }
    for (auto& [id, instance] : state.instances)
      if (!is_gone(instance) && instance.phase != Phase::shutting_down) {
        instance.phase = Phase::shutting_down;
        instance.phase_ms = now;
      }
    return true;
  });
  const auto deadline = clock_.steady_ms() + end_limit.count();
  std::int64_t left = 1;
  while (left > 0 && clock_.steady_ms() < deadline) {
    state_.look([&](const State& state) {
      left = std::count_if(state.instances.begin(), state.instances.end(),
                           [](const auto& entry) { return !is_gone(entry.second); });
    });
    if (left > 0) clock_.sleep(Millis(20));
  }
  if (left > 0)
    return fail(Kind::timeout, fmt::format("{} instances did not end within {} s", left, end_limit.count() / 1000), "",
                "see server.log");
  return Json{{"left", left}};
}

}  // namespace ferry::rehearsal
