#include "aws/machine_access.h"

namespace ferry::aws {

Status send_ssh_public_key(Client& client, const std::string& instance_id, const std::string& user,
                           const std::string& public_key) {
  const Json request = {{"InstanceId", instance_id}, {"InstanceOSUser", user}, {"SSHPublicKey", public_key}};
  TRY("",
      client.json("ec2_instance_connect", "AWSEC2InstanceConnectService", "SendSSHPublicKey", request, Repeat::freely));
  return {};
}

Result<Session> start_ssh_session(Client& client, const std::string& instance_id, int port) {
  const Json request = {{"Target", instance_id},
                        {"DocumentName", "AWS-StartSSHSession"},
                        {"Parameters", {{"portNumber", Json::array({std::to_string(port)})}}}};
  // An answer that was lost leaves a session that nobody uses; it ends by itself.
  TRY_SET(answer, "", client.json("ssm", "AmazonSSM", "StartSession", request, Repeat::freely));
  const auto id = text_at(answer, "SessionId");
  const Json words = {
      {"SessionId", id}, {"TokenValue", text_at(answer, "TokenValue")}, {"StreamUrl", text_at(answer, "StreamUrl")}};
  if (id.empty() || text_at(words, "StreamUrl").empty())
    return fail(Kind::corrupt, "SSM's answer has no session", "", "repeat the command");
  return Session{id, dump_json(words), dump_json(request)};
}

Status terminate_session(Client& client, const std::string& session_id) {
  auto ended = client.json("ssm", "AmazonSSM", "TerminateSession", Json{{"SessionId", session_id}}, Repeat::freely);
  if (!ended && ended.error().kind != Kind::not_found) return tl::unexpected<Error>(std::move(ended).error());
  return {};
}

}  // namespace ferry::aws
