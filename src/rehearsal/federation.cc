#include "rehearsal/federation.h"

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"
#include "rehearsal/catalog.h"
#include "rehearsal/s3_policy.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t most_federated = 1000;  // more are forgotten, the oldest first to end

bool is_federated_name(std::string_view text) {
  return text.size() >= 2 && text.size() <= 32 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  std::string_view("_+=,.@-").find(c) != std::string_view::npos;
         });
}

std::string new_session_key() {
  std::string id = "ASIA";
  for (const char c : random_name(16)) id += c >= 'a' ? static_cast<char>(c - 'a' + 'A') : c;
  return id;
}

void forget_some(State& state, std::int64_t now_ms) {
  std::erase_if(state.federated, [&](const auto& entry) { return entry.second.expires_ms <= now_ms; });
  while (state.federated.size() >= most_federated)
    state.federated.erase(
        std::min_element(state.federated.begin(), state.federated.end(),
                         [](const auto& a, const auto& b) { return a.second.expires_ms < b.second.expires_ms; }));
}

}  // namespace

Api<Xml> get_federation_token(const Params& params, State& state, std::int64_t now_ms) {
  const auto name = params.get("Name");
  if (!is_federated_name(name))
    return refuse("ValidationError", "Value at 'name' failed to satisfy constraint: 2 to 32 characters of [\\w+=,.@-]");
  API_SET(seconds, params.number("DurationSeconds", 43'200));
  if (seconds < 900 || seconds > 129'600)
    return refuse("ValidationError", "Value at 'durationSeconds' failed to satisfy constraint: between 900 and 129600");
  Json policy = Json::object();  // who passes none may do nothing
  if (const auto text = params.get("Policy"); !text.empty()) {
    const auto parsed = parse_policy(text, "");
    if (!parsed) return refuse("MalformedPolicyDocument", parsed.error().message);
    policy = *parsed;
  }
  forget_some(state, now_ms);
  Federated made{base64(random_bytes(30)), base64(random_bytes(90)), name, dump_json(policy), now_ms + seconds * 1000};
  const auto id = new_session_key();
  Xml xml;
  xml.node("Credentials", [&] {
    xml.text("AccessKeyId", id)
        .text("SecretAccessKey", made.secret)
        .text("SessionToken", made.token)
        .text("Expiration", os::iso_time(made.expires_ms));
  });
  xml.node("FederatedUser", [&] {
    xml.text("FederatedUserId", fmt::format("{}:{}", account_id, name))
        .text("Arn", fmt::format("arn:aws:sts::{}:federated-user/{}", account_id, name));
  });
  xml.number("PackedPolicySize", static_cast<std::int64_t>(made.policy.size() * 100 / 2048 + 1));
  state.federated[id] = std::move(made);
  return xml;
}

}  // namespace ferry::rehearsal
