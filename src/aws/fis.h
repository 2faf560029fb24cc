#pragma once
/// \file
/// AWS's Fault Injection Service, as far as a notice of interruption for a spot machine goes: an experiment template,
/// an experiment made from it, how that went.

#include <cstdint>
#include <map>
#include <string>

#include "aws/client.h"

namespace ferry::aws {

struct InterruptionOrder {
  std::string instance_arn;  ///< arn:aws:ec2:us-east-1:123456789012:instance/i-…
  std::string role_arn;      ///< that FIS takes on; it needs ec2:SendSpotInstanceInterruptions
  std::string description;
  std::string client_token;  ///< another call with it answers the same template
  std::map<std::string, std::string> tags;
};
/// A template whose one action interrupts that machine two minutes after the start: the notice comes at once. Its id.
Result<std::string> create_interruption_template(Client& client, const InterruptionOrder& order);
/// Does nothing about one that is gone. What was started from it goes on.
Status delete_experiment_template(Client& client, const std::string& id);

struct Experiment {
  /// pending, initiating and running: it is under way; completed; stopping, stopped, cancelled and failed: `reason`
  /// says why.
  enum class State { under_way, completed, failed } state = State::under_way;
  std::string id, reason;
};
Result<Experiment> start_experiment(Client& client, const std::string& template_id, const std::string& client_token,
                                    const std::map<std::string, std::string>& tags);
Result<Experiment> get_experiment(Client& client, const std::string& id);

// The answers, parsed: corrupt for what is not the answer.
Result<Experiment> parse_experiment(const Json& answer);

}  // namespace ferry::aws
