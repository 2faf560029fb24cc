#include "aws/fis.h"

#include "base/text.h"

namespace ferry::aws {
namespace {

constexpr const char* fis_id = "fis";

std::string id_in(const Json& answer, const char* member) {
  return answer.is_object() && answer.contains(member) && answer[member].is_object() ? text_at(answer[member], "id")
                                                                                     : "";
}

}  // namespace

Result<std::string> create_interruption_template(Client& client, const InterruptionOrder& order) {
  const Json body{{"clientToken", order.client_token},
                  {"description", order.description},
                  {"roleArn", order.role_arn},
                  {"tags", order.tags},
                  {"stopConditions", Json::array({{{"source", "none"}}})},
                  {"targets",
                   {{"machine",
                     {{"resourceType", "aws:ec2:spot-instance"},
                      {"resourceArns", Json::array({order.instance_arn})},
                      {"selectionMode", "ALL"}}}}},
                  {"actions",
                   {{"interrupt",
                     {{"actionId", "aws:ec2:send-spot-instance-interruptions"},
                      {"parameters", {{"durationBeforeInterruption", "PT2M"}}},
                      {"targets", {{"SpotInstances", "machine"}}}}}}}};
  TRY_SET(answer, "",
          client.rest(fis_id, {"CreateExperimentTemplate", "POST", "/experimentTemplates"}, body, Repeat::freely));
  auto id = id_in(answer, "experimentTemplate");
  if (id.empty()) return fail(Kind::corrupt, "AWS's answer has no experiment template", "", "repeat the command");
  return id;
}

Status delete_experiment_template(Client& client, const std::string& id) {
  const auto done =
      client.rest(fis_id, {"DeleteExperimentTemplate", "DELETE", "/experimentTemplates/" + percent_encoded(id)}, Json(),
                  Repeat::freely);
  if (done || done.error().kind == Kind::not_found) return {};
  return tl::unexpected(done.error());
}

Result<Experiment> start_experiment(Client& client, const std::string& template_id, const std::string& client_token,
                                    const std::map<std::string, std::string>& tags) {
  const Json body{{"clientToken", client_token}, {"experimentTemplateId", template_id}, {"tags", tags}};
  TRY_SET(answer, "", client.rest(fis_id, {"StartExperiment", "POST", "/experiments"}, body, Repeat::freely));
  return parse_experiment(answer);
}

Result<Experiment> get_experiment(Client& client, const std::string& id) {
  TRY_SET(answer, "",
          client.rest(fis_id, {"GetExperiment", "GET", "/experiments/" + percent_encoded(id)}, Json(), Repeat::freely));
  return parse_experiment(answer);
}

Result<Experiment> parse_experiment(const Json& answer) {
  Experiment experiment{.id = id_in(answer, "experiment")};
  const Json state = experiment.id.empty() ? Json() : answer["experiment"].value("state", Json());
  const auto status = state.is_object() ? text_at(state, "status") : "";
  if (experiment.id.size() > 100 || status.empty())
    return fail(Kind::corrupt, "AWS's answer has no experiment", "", "repeat the command");
  experiment.reason = short_line(text_at(state, "reason"), 300);
  const bool goes_on = status == "pending" || status == "initiating" || status == "running";
  experiment.state = goes_on                 ? Experiment::State::under_way
                     : status == "completed" ? Experiment::State::completed
                                             : Experiment::State::failed;
  return experiment;
}

}  // namespace ferry::aws
