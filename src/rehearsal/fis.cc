#include "rehearsal/fis.h"

#include "base/hash.h"
#include "base/text.h"
#include "rehearsal/catalog.h"
#include "rehearsal/iam_checks.h"
#include "rehearsal/roles.h"
#include "rehearsal/spot.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {
namespace {

constexpr std::string_view templates_path = "/experimentTemplates", experiments_path = "/experiments";
constexpr std::string_view interruptions = "aws:ec2:send-spot-instance-interruptions";
constexpr std::string_view spot_machine = "aws:ec2:spot-instance";
constexpr std::string_view duration_parameter = "durationBeforeInterruption";
constexpr std::int64_t least_minutes = 2, most_minutes = 15;
constexpr std::size_t most_targets = 5;

[[nodiscard]] tl::unexpected<ApiError> invalid(std::string message) {
  return refuse("ValidationException", std::move(message));
}
[[nodiscard]] tl::unexpected<ApiError> no_such(std::string_view what, const std::string& id) {
  return refuse("ResourceNotFoundException", fmt::format("{} {} not found.", what, printable(id)), 404);
}

std::string arn(std::string_view kind, const std::string& id) {
  return fmt::format("arn:aws:fis:{}:{}:{}/{}", region_name, account_id, kind, id);
}
std::string new_fis_id(std::string_view prefix) { return std::string(prefix) + new_iam_id("", 17); }
double seconds(std::int64_t ms) { return static_cast<double>(ms) / 1000.0; }

/// "PT2M": its minutes.
std::optional<std::int64_t> minutes_of(std::string_view text) {
  if (!text.starts_with("PT") || !text.ends_with("M")) return std::nullopt;
  const auto minutes = parse_int(text.substr(2, text.size() - 3));
  return minutes && *minutes >= least_minutes && *minutes <= most_minutes ? minutes : std::nullopt;
}

/// The ids of the machines that a target names.
Api<std::vector<std::string>> machines_of(const std::string& name, const Json& target) {
  if (text_at(target, "resourceType") != spot_machine)
    return invalid(
        fmt::format("Target {}: resource type {} is not offered here.", name, text_at(target, "resourceType")));
  if (target.contains("resourceTags") || target.contains("filters"))
    return invalid("Targets by tags and filters are not offered here.");
  if (text_at(target, "selectionMode") != "ALL") return invalid("Selection mode must be ALL here.");
  const auto arns = target.find("resourceArns");
  if (arns == target.end() || !arns->is_array() || arns->empty() || arns->size() > most_targets)
    return invalid(fmt::format("Target {} must name one to five resources.", name));
  std::vector<std::string> ids;
  const auto prefix = fmt::format("arn:aws:ec2:{}:{}:instance/", region_name, account_id);
  for (const Json& each : *arns) {
    const auto text = each.is_string() ? each.get<std::string>() : "";
    if (!text.starts_with(prefix) || !is_id(text.substr(prefix.size()), "i-"))
      return invalid(fmt::format("Invalid resource ARN: {}", printable(text)));
    ids.push_back(text.substr(prefix.size()));
  }
  return ids;
}

Api<std::monostate> check_template(const Json& body) {
  for (const char* member : {"clientToken", "description", "roleArn"})
    if (text_at(body, member).empty()) return invalid(fmt::format("{} must not be empty.", member));
  for (const char* member : {"stopConditions", "actions"})
    if (!body.contains(member) || body[member].empty()) return invalid(fmt::format("{} must not be empty.", member));
  const Json targets = body.value("targets", Json::object());
  if (!targets.is_object() || !body["actions"].is_object() || !body["stopConditions"].is_array())
    return invalid("The request is malformed.");
  for (const auto& [name, target] : targets.items()) {
    API_SET(ids, machines_of(name, target));
  }
  for (const auto& [name, action] : body["actions"].items()) {
    if (text_at(action, "actionId") != interruptions)
      return invalid(fmt::format("Action {}: {} is not offered here.", name, printable(text_at(action, "actionId"))));
    const Json parameters = action.value("parameters", Json::object());
    if (!parameters.is_object() || !minutes_of(text_at(parameters, std::string(duration_parameter).c_str())))
      return invalid(fmt::format("Action {}: parameter {} must be PT2M to PT15M.", name, duration_parameter));
    const Json where = action.value("targets", Json::object());
    if (!where.is_object() || !targets.contains(text_at(where, "SpotInstances")))
      return invalid(fmt::format("Action {} must have the target SpotInstances.", name));
  }
  return std::monostate{};
}

Api<Json> create_template(FisCall& call) {
  API_TRY(check_template(call.body));
  const auto token = text_at(call.body, "clientToken");
  for (const auto& [id, known] : call.state.fis_templates)
    if (text_at(known, "clientToken") == token) return Json{{"experimentTemplate", known}};
  const auto id = new_fis_id("EXT");
  Json made{{"id", id},
            {"arn", arn("experiment-template", id)},
            {"creationTime", seconds(call.now_ms)},
            {"lastUpdateTime", seconds(call.now_ms)},
            {"clientToken", token}};
  for (const char* member : {"description", "targets", "actions", "stopConditions", "roleArn", "tags"})
    made[member] = call.body.value(member, Json::object());
  call.state.fis_templates[id] = made;
  return Json{{"experimentTemplate", made}};
}

/// Why the experiment's role may not interrupt the machine; "" if it may.
std::string why_role_may_not(const State& state, const std::string& role_arn, const Instance& instance) {
  const auto slash = role_arn.rfind('/');
  const auto* role = slash == role_arn.npos ? nullptr : state.iam.role(role_arn.substr(slash + 1));
  if (!role || role->arn() != role_arn || !trusts_service(role->trust, "fis.amazonaws.com"))
    return "Unable to assume the role of the experiment.";
  const auto rights = rights_of(state, *role);
  PolicyQuestion question{"ec2:SendSpotInstanceInterruptions",
                          fmt::format("arn:aws:ec2:{}:{}:instance/{}", region_name, account_id, instance.id), role_arn,
                          rights.keys, role_arn};
  for (const auto& [key, value] : tags_of(state, instance.id)) {
    question.keys["aws:resourcetag/" + lower(key)] = value;
    question.keys["ec2:resourcetag/" + lower(key)] = value;
  }
  if (why_not_allowed(rights, question).empty()) return "";
  return "The role of the experiment is not authorized to perform ec2:SendSpotInstanceInterruptions.";
}

/// Interrupts what the template says; why it did not, or "".
std::string interrupt_targets(FisCall& call, const Json& made) {
  for (const auto& [name, action] : made["actions"].items()) {
    const auto minutes = *minutes_of(text_at(action["parameters"], std::string(duration_parameter).c_str()));
    const auto target = text_at(action["targets"], "SpotInstances");
    const auto ids = machines_of(target, made["targets"][target]);
    for (const auto& id : *ids) {
      const auto found = call.state.instances.find(id);
      if (found == call.state.instances.end() || found->second.phase != Phase::running ||
          found->second.spot_request_id.empty())
        return "Target resolution returned empty set.";
      if (const auto why = why_role_may_not(call.state, text_at(made, "roleArn"), found->second); !why.empty())
        return why;
      const auto lead = (minutes - least_minutes) * call.notice_ms / least_minutes;
      take_back(found->second, call.now_ms, lead, call.notice_ms, "by-experiment");
    }
  }
  return "";
}

Api<Json> start_experiment(FisCall& call) {
  const auto token = text_at(call.body, "clientToken"), template_id = text_at(call.body, "experimentTemplateId");
  if (token.empty()) return invalid("clientToken must not be empty.");
  const auto found = call.state.fis_templates.find(template_id);
  if (found == call.state.fis_templates.end()) return no_such("ExperimentTemplate", template_id);
  for (const auto& [id, known] : call.state.fis_experiments)
    if (text_at(known, "clientToken") == token) return Json{{"experiment", known}};
  const Json& made = found->second;
  const auto why = interrupt_targets(call, made);
  const auto id = new_fis_id("EXP");
  Json run{{"id", id}, {"arn", arn("experiment", id)}, {"experimentTemplateId", template_id}, {"clientToken", token}};
  for (const char* member : {"roleArn", "targets", "actions", "stopConditions"}) run[member] = made[member];
  for (const char* member : {"creationTime", "startTime", "endTime"}) run[member] = seconds(call.now_ms);
  run["tags"] = call.body.value("tags", Json::object());
  run["state"] = {{"status", why.empty() ? "completed" : "failed"},
                  {"reason", why.empty() ? "Experiment completed." : why}};
  for (auto& action : run["actions"])
    action["state"] = {{"status", why.empty() ? "completed" : "failed"}, {"reason", why}};
  call.state.fis_experiments[id] = run;
  // What began has not ended yet.
  run["state"] = {{"status", "initiating"}, {"reason", "Experiment is initiating."}};
  run.erase("endTime");
  return Json{{"experiment", run}};
}

Api<Json> all_of(const std::map<std::string, Json>& known, const char* name) {
  Json list = Json::array();
  for (const auto& [id, one] : known) list.push_back(one);
  return Json{{name, list}};
}

}  // namespace

std::string fis_id(std::string_view path) {
  const auto slash = path.find('/', 1);
  return slash == path.npos ? "" : std::string(path.substr(slash + 1));
}

std::string fis_action(std::string_view method, std::string_view path) {
  const bool is_template = path.starts_with(templates_path);
  const auto base = is_template ? templates_path : experiments_path;
  if (!path.starts_with(base) || (path.size() > base.size() && path[base.size()] != '/')) return "";
  const std::string what = is_template ? "ExperimentTemplate" : "Experiment";
  const bool one = !fis_id(path).empty();
  if (method == "POST" && !one) return (is_template ? "Create" : "Start") + what;
  if (method == "GET") return one ? "Get" + what : "List" + what + "s";
  if (method == "DELETE" && one) return (is_template ? "Delete" : "Stop") + what;
  return "?";
}

std::optional<Asked> asked_of_fis(const HttpRequest& request) {
  const auto action = fis_action(request.method, request.path);
  if (action.empty()) return std::nullopt;
  Asked asked{.service = "fis", .action = action};
  asked.needs = {asked.name()};
  if (action == "CreateExperimentTemplate") asked.needs.emplace_back("iam:PassRole");
  const auto body = parse_json(request.body);
  if (request.method == "POST" && body && body->is_object() && !body->value("tags", Json::object()).empty())
    asked.needs.emplace_back("fis:TagResource");
  return asked;
}

Api<Json> run_fis(FisCall& call) {
  auto& templates = call.state.fis_templates;
  auto& experiments = call.state.fis_experiments;
  if (call.action == "CreateExperimentTemplate") return create_template(call);
  if (call.action == "ListExperimentTemplates") return all_of(templates, "experimentTemplates");
  if (call.action == "StartExperiment") return start_experiment(call);
  if (call.action == "ListExperiments") return all_of(experiments, "experiments");
  if (call.action.ends_with("ExperimentTemplate")) {
    const auto found = templates.find(call.id);
    if (found == templates.end()) return no_such("ExperimentTemplate", call.id);
    Json out{{"experimentTemplate", found->second}};
    if (call.action.starts_with("Delete")) templates.erase(found);
    return out;
  }
  const auto found = experiments.find(call.id);
  if (!call.action.ends_with("Experiment")) return refuse("UnknownOperationException", "", 404);
  if (found == experiments.end()) return no_such("Experiment", call.id);
  if (call.action == "StopExperiment")
    return refuse("ValidationException", "The experiment is not running and cannot be stopped.");
  return Json{{"experiment", found->second}};
}

}  // namespace ferry::rehearsal
