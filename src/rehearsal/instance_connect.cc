// EC2 Instance Connect: a key that opens an instance for a minute.
#include "rehearsal/actions.h"
#include "rehearsal/ssh_key.h"

namespace ferry::rehearsal {
namespace {

constexpr Millis key_life{60'000};

Api<const Instance*> named_instance(const JsonCall& call) {
  const auto id = text_at(call.request, "InstanceId"), zone = text_at(call.request, "AvailabilityZone");
  if (!id.starts_with("i-")) return refuse("InvalidArgsException", "Instance ID is not valid.");
  const auto found = call.state.instances.find(id);
  if (found == call.state.instances.end() || (!zone.empty() && zone != found->second.zone))
    return refuse("EC2InstanceNotFoundException", "Instance not found: check its ID, zone and region.");
  if (found->second.phase != Phase::running)
    return refuse("EC2InstanceStateInvalidException",
                  "Unable to connect because the instance is not in a valid state. Connecting to a stopped or "
                  "terminated instance is not supported.");
  return &found->second;
}

/// The users that sshd lets in: that of the image, and where the sandbox has another, that one.
bool has_account(JsonCall& call, const Instance& instance, const std::string& user) {
  const auto* image = find_image(instance.image_id);
  return (image && image->login_user == user) || call.machines.status(instance.id).login_user == user;
}

Api<Json> send_key(JsonCall& call) {
  API_SET(instance, named_instance(call));
  const auto user = text_at(call.request, "InstanceOSUser");
  if (user.empty() || user.size() > 32) return refuse("InvalidArgsException", "InstanceOSUser is not valid.");
  const auto key = parse_public_key(text_at(call.request, "SSHPublicKey"));
  if (!key) return refuse("InvalidArgsException", "SSHPublicKey is not a valid RSA or ED25519 public key.");
  // AWS does not know the accounts of a machine either: a key for another user succeeds and opens nothing.
  if (has_account(call, *instance, user))
    if (const auto lent = call.machines.lend_key(instance->id, key->line, key_life); !lent)
      return refuse("ServiceException", lent.error().what, 500);
  return Json{{"RequestId", new_uuid()}, {"Success", true}};
}

}  // namespace

Api<Json> run_instance_connect(JsonCall& call) {
  if (call.operation == "SendSSHPublicKey") return send_key(call);
  return refuse("UnknownOperationException", "");
}

}  // namespace ferry::rehearsal
