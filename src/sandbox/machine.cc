#include "sandbox/machine.h"

namespace ferry::sandbox {

std::map<std::string, std::string> Machine::environment() const {
  const std::string system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  std::map<std::string, std::string> out{{"PATH", isolated() ? system : shims().string() + ":" + system},
                                         {"LANG", "C.UTF-8"},
                                         {instance_marker, spec.instance_id}};
  if (!isolated()) out["HOME"] = home().string();
  if (!imds_url.empty()) out["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = imds_url;
  return out;
}

}  // namespace ferry::sandbox
