#include "aws/ssm.h"

namespace ferry::aws {

Result<std::string> get_parameter(Client& client, const std::string& name) {
  TRY_SET(answer, "", client.json("ssm", "AmazonSSM", "GetParameter", Json{{"Name", name}}, Repeat::freely));
  const auto parameter = answer.is_object() ? answer.find("Parameter") : answer.end();
  std::string value = parameter == answer.end() ? "" : text_at(*parameter, "Value");
  if (value.empty()) {
    return fail(Kind::corrupt, "SSM's answer has no value for " + name, "", "repeat the command");
  }
  return value;
}

}  // namespace ferry::aws
