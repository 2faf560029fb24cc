#include "sandbox/machine.h"

namespace ferry::sandbox {

std::map<std::string, std::string> Machine::environment() const {
  const std::string system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  std::map<std::string, std::string> out{{"PATH", isolated() ? system : shims().string() + ":" + system},
                                         {"LANG", "C.UTF-8"},
                                         {instance_marker, spec.instance_id}};
  if (!isolated()) out["HOME"] = home().string();
  const auto& way = spec.way_out;
  // Otherwise they would wait half a minute for nobody; in plain mode, reach somebody.
  if (!way.is_open) out["PIP_NO_INDEX"] = out["UV_OFFLINE"] = "1";
  if (way.is_open) {
    out.insert(way.settings.begin(), way.settings.end());
    if (isolated()) {
      const auto short_name = spec.hostname.substr(0, spec.hostname.find('.'));
      out.merge(proxy_variables({spec.hostname, short_name == spec.hostname ? "" : short_name, spec.private_ip}));
    } else {
      for (const auto& [name, value] :
           {std::pair{"http_proxy", way.http_proxy}, {"https_proxy", way.https_proxy}, {"no_proxy", way.no_proxy}})
        if (!value.empty()) out[name] = value;
    }
  }
  if (!imds_url.empty()) out["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = imds_url;
  return out;
}

}  // namespace ferry::sandbox
