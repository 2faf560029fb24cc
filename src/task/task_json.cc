#include "task/task_json.h"

namespace nlohmann {

template <class T>
struct adl_serializer<std::optional<T>> {
  static void to_json(ferry::Json& json, const std::optional<T>& value) {
    json = value ? ferry::Json(*value) : ferry::Json();
  }
  static void from_json(const ferry::Json& json, std::optional<T>& value) {
    value = json.is_null() ? std::nullopt : std::optional<T>(json.get<T>());
  }
};

template <>
struct adl_serializer<ferry::Usd> {
  static void to_json(ferry::Json& json, const ferry::Usd& money) { json = money.micros; }
  static void from_json(const ferry::Json& json, ferry::Usd& money) { json.get_to(money.micros); }
};

template <>
struct adl_serializer<ferry::Seconds> {
  static void to_json(ferry::Json& json, const ferry::Seconds& time) { json = time.count(); }
  static void from_json(const ferry::Json& json, ferry::Seconds& time) { time = ferry::Seconds(json.get<int64_t>()); }
};

}  // namespace nlohmann

namespace ferry::task {

// A member that is missing here is lost on the way: task_json_test.cc fills each.
NLOHMANN_JSON_SERIALIZE_ENUM(Provider,
                             {{Provider::aws, "aws"}, {Provider::rehearsal, "rehearsal"}, {Provider::ssh, "ssh"}})
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Infra, provider, region, zone, host, any_region)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Amount, value, at_least)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Accelerator, name, count, part, at)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Accelerators, choices, ordered)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Image, docker, flavour, version, system, amis)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Recovery, is_wanted, other_region_first, restarts_on_errors, exit_codes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Resources, infra, instance_type, accelerators, cpus, memory, local_disk,
                                                arch, use_spot, recovery, max_hourly_cost, disk_gib, disk_tier, image,
                                                ports, labels, at, places)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Environment, kind, name, file)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(OnInterruption, signal, grace)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(GitSource, url, ref, at)  // no login: that is a secret
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Mount, target, source, at, comes_home, is_whole)
NLOHMANN_JSON_SERIALIZE_ENUM(MountMode,
                             {{MountMode::copy, "copy"}, {MountMode::mount, "mount"}, {MountMode::cached, "cached"}})
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Data, target, url, mode, is_written, at, source, set)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(StoredOutputs, run, attempt, manifest)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(OutputFolder, target, bucket, at)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Volume, target, name, at, read_only)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(AwsSettings, subnets, security_group, public_address, ssh_from,
                                                ssh_proxy, key_name, key_file, login_user, placement_group,
                                                capacity_reservation, instance_profile)
NLOHMANN_JSON_SERIALIZE_ENUM(Ends, {{Ends::terminate, "terminate"}, {Ends::stop, "stop"}})
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Task, name, workdir, git, num_nodes, nodes_at, resources, candidates,
                                                ordered, envs, missing_envs, missing_secrets, setup, run,
                                                event_callback, checkpoints, outputs, late, store, budget, max_duration,
                                                idle, ends, duration, environment, run_options, mounts, data, taken,
                                                output_folders, volumes, aws, may_be_skypilots, on_interruption,
                                                recovers_by_aws, not_yet)

Json to_json(const Task& task) {
  Json json;
  to_json(json, task);
  json["secrets"] = Json::array();
  for (const auto& [name, value] : task.secrets) json["secrets"].push_back(name);
  return json;
}

Result<Task> task_from(const Json& json) {
  try {
    auto task = json.get<Task>();
    for (const auto& name : json.value("secrets", std::vector<std::string>())) task.secrets[name];
    return task;
  } catch (const Json::exception& why) {
    return fail(Kind::corrupt, "a task that was kept cannot be read", why.what());
  }
}

}  // namespace ferry::task
