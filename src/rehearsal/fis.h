#pragma once
/// \file
/// The Fault Injection Service, as far as the interruption of spot machines goes: experiment templates whose actions
/// are aws:ec2:send-spot-instance-interruptions on machines named by their ARNs, and experiments that run at once.
/// REST with JSON.

#include <optional>
#include <string>

#include "rehearsal/asked.h"
#include "rehearsal/model.h"

namespace ferry::rehearsal {

/// "CreateExperimentTemplate" and the like; "" for a request that is none of this service's.
std::string fis_action(std::string_view method, std::string_view path);
/// As read_asked().
std::optional<Asked> asked_of_fis(const HttpRequest& request);

struct FisCall {
  std::string action;
  std::string id;    ///< what the path names behind the collection; "" for none
  const Json& body;  ///< an object
  State& state;      ///< a copy, as in Call (actions.h)
  std::int64_t now_ms = 0;
  std::int64_t notice_ms = 0;  ///< how long before its end a spot machine is told
};
/// What the path names behind the collection.
std::string fis_id(std::string_view path);
Api<Json> run_fis(FisCall& call);

}  // namespace ferry::rehearsal
