// SSM: the public parameters, where the newest images are found by name.
#include "rehearsal/actions.h"

namespace ferry::rehearsal {
namespace {

std::map<std::string, const Image*> parameters() {
  std::map<std::string, const Image*> out;
  for (const auto& image : images())
    for (const auto& name : image.parameters) out[name] = &image;
  return out;
}

Json described(const std::string& name, const Image& image) {
  return {{"Name", name},
          {"Type", "String"},
          {"Value", image.id},
          {"Version", 42},
          {"DataType", "aws:ec2:image"},
          {"LastModifiedDate", 1768630355.0},
          {"ARN", fmt::format("arn:aws:ssm:{}::parameter{}", region_name, name)}};
}

Api<Json> get_one(const Json& request) {
  const auto all = parameters();
  const auto found = all.find(text_at(request, "Name"));
  if (found == all.end()) return refuse("ParameterNotFound", "");
  return Json{{"Parameter", described(found->first, *found->second)}};
}

Api<Json> get_several(const Json& request) {
  const auto all = parameters();
  Json found = Json::array(), unknown = Json::array();
  if (!request.contains("Names") || !request["Names"].is_array() || request["Names"].empty() ||
      request["Names"].size() > 10)
    return refuse("ValidationException",
                  "Value at 'names' failed to satisfy constraint: Member must have length between 1 and 10");
  for (const auto& name : request["Names"]) {
    if (!name.is_string()) return refuse("SerializationException", "Expected a string");
    const auto at = all.find(name.get<std::string>());
    if (at == all.end())
      unknown.push_back(name);
    else
      found.push_back(described(at->first, *at->second));
  }
  return Json{{"Parameters", found}, {"InvalidParameters", unknown}};
}

Api<Json> get_below(const Json& request) {
  std::string path = text_at(request, "Path");
  if (!path.starts_with('/')) return refuse("ValidationException", "The parameter path must begin with a slash");
  if (!path.ends_with('/')) path += '/';
  const bool recursive = request.contains("Recursive") && request["Recursive"] == true;
  const auto limit = int_at(request, "MaxResults", 10);
  if (limit < 1 || limit > 10)
    return refuse("ValidationException",
                  "Value at 'maxResults' failed to satisfy constraint: Member must have value between 1 and 10");
  const std::string after = text_at(request, "NextToken");
  Json found = Json::array(), answer;
  for (const auto& [name, image] : parameters()) {
    if (!name.starts_with(path) || (!recursive && name.find('/', path.size()) != name.npos) || name <= after) continue;
    if (found.size() == static_cast<std::size_t>(limit)) {
      answer["NextToken"] = found.back()["Name"];
      break;
    }
    found.push_back(described(name, *image));
  }
  answer["Parameters"] = found;
  return answer;
}

}  // namespace

Api<Json> run_ssm(JsonCall& call) {
  if (call.operation == "GetParameter") return get_one(call.request);
  if (call.operation == "GetParameters") return get_several(call.request);
  if (call.operation == "GetParametersByPath") return get_below(call.request);
  if (call.operation == "StartSession") return start_session(call);
  if (call.operation == "TerminateSession") return terminate_session(call);
  return refuse("UnknownOperationException", "");
}

}  // namespace ferry::rehearsal
