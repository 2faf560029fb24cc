// volumes: disks of EBS that are there already, by name; in SkyPilot's forms, of today and of before.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "task/field_reader.h"
#include "task/fields.h"
#include "task/variables.h"
#include "task/volume_fields.h"

namespace ferry::task {
namespace {

using Type = Node::Type;

bool is_given(const Entry* entry) { return entry && entry->value->type != Type::null; }

constexpr std::size_t longest_name = 256;  // of a tag's value

constexpr std::string_view name_it =
    "write the name of a volume that is there, as in  volumes: {/mnt/data: my-volume}; ferry makes none: aws ec2 "
    "create-volume --availability-zone us-east-1a --size 100 --volume-type gp3 --tag-specifications "
    "'ResourceType=volume,Tags=[{Key=Name,Value=my-volume}]'";

}  // namespace

/// EBS's are the only ones.
Status check_volume_type(std::string_view file, const Entry& entry) {
  const auto word = lower(trim(entry.value->text));
  if (word == "aws-ebs" || word == "ebs") return {};
  return complain(file, entry.value->at, fmt::format("volumes: no '{}' can be had", printable(entry.value->text)),
                  "a volume is a disk of EBS that is there already, by its name", std::string(no_volumes),
                  Kind::unsupported);
}

Status check_storage_type(std::string_view file, const Entry& entry) {
  const auto word = lower(trim(entry.value->text));
  if (word == "network") return {};
  return complain(
      file, entry.value->at,
      fmt::format("volumes: storage_type: '{}' is none that outlives a machine", printable(entry.value->text)), {},
      "leave it out, or write network; the machine's own disks are asked for by local_disk: 100+ under "
      "'resources:', and are scratch space there (FERRY_SCRATCH)",
      Kind::unsupported);
}

Status check_attach_mode(std::string_view file, const Entry& entry) {
  const auto word = lower(trim(entry.value->text));
  if (word == "read_only" || word == "read_write") return {};
  return complain(file, entry.value->at, fmt::format("attach_mode: '{}' means nothing", printable(entry.value->text)),
                  {}, "it takes read_only, read_write");
}

std::string volume_size_words(const Entry&) { return "the volume is there already, and keeps the size that it has"; }
std::string volume_speed_words(const Entry&) { return "the volume is there already, and keeps the speed that it has"; }
std::string volume_by_name_words(const Entry&) { return "nothing is done with it: the volume is found by its name"; }

Status ResourcesReader::read_volumes(const Entry& entry) {
  if (reads_candidates_)
    return complain_at(entry.at, "volumes are the same for every alternative",
                       "each lies in one zone, which all are in", "write volumes: once, at the top level",
                       Kind::unsupported);
  VolumesReader(file_, task_, found_).read_list(entry);
  return {};
}

void VolumesReader::read(const Entry& volumes) {
  if (volumes.value->type == Type::text && trim(volumes.value->text).empty()) return;
  if (volumes.value->type != Type::map) return keep(wrong_type(volumes, "a mapping", std::string(name_it)));
  for (const auto& volume : volumes.value->entries) {
    if (volume.value->type == Type::text)
      keep(add(volume, volume.name, *volume.value));
    else if (volume.value->type == Type::map)
      keep(read_fields(*volume.value, volume, volume.name));
    else
      keep(wrong_type(volume, "text or a mapping", std::string(name_it)));
  }
}

void VolumesReader::read_list(const Entry& volumes) {
  if (volumes.value->type == Type::text && trim(volumes.value->text).empty()) return;
  if (volumes.value->type != Type::list)
    return keep(wrong_type(volumes, "a list", "write  volumes: [{path: /mnt/data, name: my-volume}]"));
  for (const auto& item : volumes.value->entries) {
    if (item.value->type != Type::map) {
      keep(complain_at(item.at, "volumes: an entry is a mapping", {}, "write  - {path: /mnt/data, name: my-volume}"));
      continue;
    }
    const auto* path = item.value->find("path");
    if (!is_given(path)) {
      keep(complain_at(item.at, "volumes: one has no path", {}, "write  - {path: /mnt/data, name: my-volume}"));
      continue;
    }
    const auto place = text_of(*path);
    keep(place ? read_fields(*item.value, item, *place) : tl::unexpected<Error>(place.error()));
  }
}

Status VolumesReader::read_fields(const Node& map, const Entry& volume, const std::string& path) {
  const auto before = found_.size();
  check_fields(file_, map, "volume", task_.not_yet, found_);
  if (found_.size() > before) return {};
  const auto* name = map.find("name");
  if (!is_given(name))
    return complain_at(volume.at, fmt::format("volumes: '{}' has no name", printable(path)),
                       "a volume is used that is there already, and outlives the run", std::string(name_it),
                       Kind::unsupported);
  bool read_only = false;
  if (const auto* mode = map.find("attach_mode"); is_given(mode)) {
    TRY_SET(word, "", text_of(*mode));
    read_only = lower(trim(word)) == "read_only";
  }
  return add(volume, path, *name->value, read_only);
}

Status VolumesReader::add(const Entry& volume, const std::string& path, const Node& name, bool read_only) {
  if (name.type != Type::text || trim(name.text).empty())
    return complain_at(name.at, fmt::format("volumes: '{}' names no volume", printable(path)), {},
                       std::string(name_it));
  const std::string written(trim(name.text));
  if (written.size() > longest_name)
    return complain_at(name.at,
                       fmt::format("volumes: the name at '{}' is longer than {} bytes", printable(path), longest_name),
                       "it is the volume's tag Name", std::string(name_it));
  std::string target(trim(path));
  if (target.find('$') == target.npos) {
    auto place = mount_target(target);
    if (!place) return complain_at(volume.at, "volumes: " + place.error().what, {}, place.error().advice);
    target = *std::move(place);
  }
  task_.volumes.push_back({target, written, show(file_, volume.at), read_only});
  return {};
}

Status check_volumes(const Task& task) {
  if (task.volumes.empty()) return {};
  const auto refuse = [&](std::string what, std::string why, std::string advice) -> Status {
    return fail(Kind::unsupported, fmt::format("{}: volumes: {}", task.volumes.front().at, what), std::move(why),
                std::move(advice));
  };
  for (const auto& candidate : task.all_candidates()) {
    if (candidate.infra && candidate.infra->provider == Provider::ssh)
      return refuse("not on a machine of your own", "volumes are EBS's, and are attached to machines of EC2",
                    "leave volumes: out: a path of that machine can be read as it is");
  }
  if (task.recovers_by_aws)
    return refuse("not with recover: aws", "a machine that AWS starts by itself has nobody who attaches them",
                  "recover: ferry, which attaches them to the next machine, too");
  if (task.num_nodes > 1)
    return refuse("not with several machines", "a volume is attached to one machine at a time",
                  "num_nodes: 1; or let data come from a bucket: file_mounts: {/data: s3://BUCKET/PATH}");
  if (task.ends == Ends::stop)
    return refuse("not with ends: stop", "a machine that is stopped keeps its volumes, and no other run can have them",
                  "leave ends: out: what is on a volume outlives the machine");
  for (std::size_t i = 0; i < task.volumes.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      if (task.volumes[i].name != task.volumes[k].name) continue;
      return fail(Kind::bad_input,
                  fmt::format("{}: volumes: {} is there twice", task.volumes[i].at, printable(task.volumes[i].name)),
                  "a volume has one place", "name it once; another path can be a link: ln -s");
    }
  }
  return {};
}

}  // namespace ferry::task
