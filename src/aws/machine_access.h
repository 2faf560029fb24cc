#pragma once
/// \file
/// Ways into a machine that AWS opens: EC2 Instance Connect and Systems Manager's sessions.

#include <string>

#include "aws/client.h"

namespace ferry::aws {

/// Lets `user` log in with the key (OpenSSH's one line) for the next 60 seconds. The machine must run EC2
/// Instance Connect, as Amazon Linux, Ubuntu and the Deep Learning images made from them do.
Status send_ssh_public_key(Client& client, const std::string& instance_id, const std::string& user,
                           const std::string& public_key);

/// What session-manager-plugin is given, as the aws CLI gives it.
struct Session {
  std::string id;
  std::string answer;   ///< JSON: SessionId, TokenValue, StreamUrl. A secret: whoever has it has the session
  std::string request;  ///< JSON: as it was asked
};
/// A session that forwards bytes to a port of the machine (document AWS-StartSSHSession). Fails conflict when
/// the machine's SSM agent is not connected (yet).
Result<Session> start_ssh_session(Client& client, const std::string& instance_id, int port);
/// Does nothing if it has ended.
Status terminate_session(Client& client, const std::string& session_id);

}  // namespace ferry::aws
