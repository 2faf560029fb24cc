// SSM sessions: beginning and ending them. The data channel itself is not served.
#include "base/hash.h"
#include "base/text.h"
#include "rehearsal/actions.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t token_bytes = 150;  // 200 characters

/// AWS's own documents for the two kinds of session there are; no document is an interactive shell.
Api<std::monostate> check_document(const Json& request) {
  const auto name = text_at(request, "DocumentName");
  if (name.empty() || name == "SSM-SessionManagerRunShell") return std::monostate{};
  if (name != "AWS-StartSSHSession")
    return refuse("InvalidDocument", fmt::format("Document with name {} does not exist.", name));
  if (!request.contains("Parameters")) return std::monostate{};
  for (const auto& [parameter, values] : request["Parameters"].items()) {
    const bool one = values.is_array() && values.size() == 1 && values[0].is_string();
    const auto port = one ? parse_int(values[0].get<std::string>()) : std::nullopt;
    if (parameter != "portNumber" || !port || *port < 1 || *port > 65535)
      return refuse("ValidationException", fmt::format("Invalid parameter of {}: {}", name, parameter));
  }
  return std::monostate{};
}

/// The agent on an instance speaks to SSM with the rights of its instance profile.
bool is_connected(const State& state, const std::string& id) {
  const auto found = state.instances.find(id);
  return found != state.instances.end() && found->second.phase == Phase::running && !found->second.iam_profile.empty();
}

}  // namespace

Api<Json> start_session(JsonCall& call) {
  const auto target = text_at(call.request, "Target");
  if (target.empty())
    return refuse("ValidationException", "Value at 'target' failed to satisfy constraint: must not be null");
  API_TRY(check_document(call.request));
  if (!is_connected(call.state, target))
    return refuse("TargetNotConnected", fmt::format("{} is not connected.", target));
  const auto id = new_id("rehearsal-");
  call.state.sessions[id] = target;
  return Json{{"SessionId", id},
              {"TokenValue", base64(random_bytes(token_bytes))},
              {"StreamUrl", fmt::format("ws://{}/v1/data-channel/{}", call.host, id)}};
}

Api<Json> terminate_session(JsonCall& call) {
  const auto id = text_at(call.request, "SessionId");
  if (call.state.sessions.erase(id) == 0) return refuse("ValidationException", "Session is not in a valid state");
  return Json{{"SessionId", id}};
}

}  // namespace ferry::rehearsal
