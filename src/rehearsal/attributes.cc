// Reading and changing single attributes of an instance.
#include "base/text.h"
#include "os/clock.h"
#include "rehearsal/actions.h"
#include "rehearsal/describe.h"
#include "rehearsal/launch.h"

namespace ferry::rehearsal {
namespace {

Api<Instance*> named_instance(Call& call) {
  API_SET(id, call.params.required("InstanceId"));
  API_TRY(check_ids({id}, instance_ids, [&](const std::string& it) { return call.state.instances.contains(it); }));
  return &call.state.instances[id];
}

/// The new value of `attribute`, given as Attribute + Value or as Attribute.Value; nothing if the request is
/// about another one.
std::optional<std::string> new_value(const Params& params, std::string_view attribute) {
  std::string wire(attribute);
  wire[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(wire[0])));
  if (params.has(wire + ".Value")) return params.get(wire + ".Value");
  if (params.get("Attribute") == attribute) return params.get("Value");
  return std::nullopt;
}

Api<bool> as_flag(const std::string& value) {
  Params params;
  params.set("Value", value);
  return params.flag("Value", false);
}

Api<std::monostate> set_flag(const Params& params, std::string_view attribute, bool& target) {
  const auto value = new_value(params, attribute);
  if (!value) return std::monostate{};
  API_SET(flag, as_flag(*value));
  target = flag;
  return std::monostate{};
}

Api<std::monostate> change_stopped(const Params& params, Instance& instance) {
  const auto type = new_value(params, "instanceType"), user_data = new_value(params, "userData");
  if (!type && !user_data) return std::monostate{};
  if (instance.phase != Phase::stopped)
    return refuse("IncorrectInstanceState",
                  fmt::format("The instance '{}' is not in the 'stopped' state.", instance.id));
  if (type) {
    if (!find_type(*type))
      return refuse("InvalidParameterValue", fmt::format("Invalid value '{}' for InstanceType.", *type));
    instance.type = *type;
  }
  if (user_data) {
    API_SET(bytes, read_user_data(*user_data));
    instance.user_data = base64(bytes);
  }
  return std::monostate{};
}

}  // namespace

Api<Xml> describe_instance_attribute(Call& call) {
  API_SET(instance, named_instance(call));
  API_SET(attribute, call.params.required("Attribute"));
  Xml xml;
  xml.text("instanceId", instance->id);
  const auto value = [&](std::string_view text) { return xml.node(attribute, [&] { xml.text("value", text); }); };
  const auto flag = [&](bool on) { return value(on ? "true" : "false"); };
  if (attribute == "instanceInitiatedShutdownBehavior")
    return value(instance->on_poweroff == OnPoweroff::stop ? "stop" : "terminate");
  if (attribute == "disableApiTermination") return flag(instance->protect_termination);
  if (attribute == "disableApiStop") return flag(instance->protect_stop);
  if (attribute == "instanceType") return value(instance->type);
  if (attribute == "ebsOptimized") return flag(instance->ebs_optimized);
  if (attribute == "sourceDestCheck") return flag(instance->check_source_dest);
  if (attribute == "enaSupport") return flag(true);
  if (attribute == "sriovNetSupport") return value("simple");
  if (attribute == "rootDeviceName") return value(instance->disks.empty() ? "" : instance->disks.front().device);
  if (attribute == "userData") return xml.node(attribute, [&] { xml.some("value", instance->user_data); });
  if (attribute == "kernel" || attribute == "ramdisk") return xml.raw("<" + attribute + "/>");
  if (attribute == "productCodes") return xml.raw("<productCodes/>");
  if (attribute == "enclaveOptions") return xml.node(attribute, [&] { xml.flag("enabled", false); });
  if (attribute == "groupSet") {
    write_groups(xml, call.state, *instance);
    return xml;
  }
  if (attribute == "blockDeviceMapping")
    return xml.list("blockDeviceMapping", instance->disks, [&](const Disk& disk) {
      xml.text("deviceName", disk.device).node("ebs", [&] {
        xml.text("volumeId", disk.volume_id)
            .text("status", "attached")
            .text("attachTime", os::iso_time(disk.attached_ms, true));
        xml.flag("deleteOnTermination", disk.delete_on_termination);
      });
    });
  return invalid_value(attribute, "attribute", "Unknown attribute.");
}

Api<Xml> modify_instance_attribute(Call& call) {
  API_SET(instance, named_instance(call));
  const Params& params = call.params;
  API_TRY(set_flag(params, "disableApiTermination", instance->protect_termination));
  API_TRY(set_flag(params, "disableApiStop", instance->protect_stop));
  API_TRY(set_flag(params, "sourceDestCheck", instance->check_source_dest));
  API_TRY(set_flag(params, "ebsOptimized", instance->ebs_optimized));
  API_TRY(change_stopped(params, *instance));
  if (const auto behavior = new_value(params, "instanceInitiatedShutdownBehavior")) {
    if (*behavior != "stop" && *behavior != "terminate")
      return invalid_value(*behavior, "instanceInitiatedShutdownBehavior");
    instance->on_poweroff = *behavior == "stop" ? OnPoweroff::stop : OnPoweroff::terminate;
  }
  if (const auto groups = params.list("GroupId"); !groups.empty()) {
    API_TRY(check_ids(groups, group_ids, [&](const std::string& id) { return call.state.groups.contains(id); }));
    for (const auto& id : groups)
      if (call.state.groups[id].vpc_id != call.state.vpc_of(*instance)) return other_network();
    instance->groups = groups;
  }
  for (const auto& item : params.items("BlockDeviceMapping"))
    for (auto& disk : instance->disks)
      if (disk.device == params.get(item + "DeviceName")) {
        API_SET(ends, params.flag(item + "Ebs.DeleteOnTermination", disk.delete_on_termination));
        disk.delete_on_termination = ends;
      }
  return Xml().flag("return", true);
}

Api<Xml> modify_instance_metadata_options(Call& call) {
  API_SET(instance, named_instance(call));
  MetadataOptions& options = instance->metadata;
  const auto choose = [&](const std::string& member, std::string_view yes, std::string_view no,
                          bool& target) -> Api<std::monostate> {
    const auto value = call.params.get(member, target ? yes : no);
    if (value != yes && value != no) return invalid_value(value, member);
    target = value == yes;
    return std::monostate{};
  };
  API_TRY(choose("HttpTokens", "required", "optional", options.token_required));
  API_TRY(choose("HttpEndpoint", "enabled", "disabled", options.endpoint_enabled));
  API_TRY(choose("InstanceMetadataTags", "enabled", "disabled", options.tags));
  API_SET(hops, call.params.number("HttpPutResponseHopLimit", options.hop_limit));
  if (hops < 1 || hops > 64)
    return invalid_value(std::to_string(hops), "HttpPutResponseHopLimit", "Must be between 1 and 64.");
  options.hop_limit = hops;
  Xml xml;
  xml.text("instanceId", instance->id);
  write_metadata_options(xml, "instanceMetadataOptions", options);
  return xml;
}

Api<Xml> describe_instance_credit_specifications(Call& call) {
  API_SET(filters, Filters::read(call.params, {"instance-id"}));
  const auto wanted = call.params.list("InstanceId");
  API_TRY(check_ids(wanted, instance_ids, [&](const std::string& id) { return call.state.instances.contains(id); }));
  std::vector<std::string> found;
  for (const auto& [id, instance] : call.state.instances) {
    Facts facts;
    facts.add("instance-id", id);
    const bool asked =
        wanted.empty() ? instance.credits == "unlimited" : std::find(wanted.begin(), wanted.end(), id) != wanted.end();
    const auto* type = find_type(instance.type);
    if (type && type->burstable() && asked && filters.match(facts)) found.push_back(id);
  }
  Xml xml;
  return xml.list("instanceCreditSpecificationSet", found, [&](const std::string& id) {
    xml.text("instanceId", id).text("cpuCredits", call.state.instances[id].credits);
  });
}

Api<Xml> get_console_output(Call& call) {
  API_SET(instance, named_instance(call));
  auto text = call.machines.console(instance->id);
  if (text.size() > 64 << 10) text.erase(0, text.size() - (64 << 10));  // EC2 keeps the last 64 KiB
  Xml xml;
  return xml.text("instanceId", instance->id)
      .text("timestamp", os::iso_time(call.now_ms, true))
      .text("output", base64(text));
}

}  // namespace ferry::rehearsal
