#pragma once
/// \file
/// What the fields of a volume may say, and what is told of those that one that is there already does not heed. Inside
/// this room only.

#include <string>
#include <string_view>

#include "task/yaml.h"

namespace ferry::task {

inline constexpr std::string_view no_volumes =
    "a disk of EBS that is there already is named so:  volumes: {/mnt/data: my-volume}; data can come from "
    "file_mounts: {/data: s3://BUCKET/PATH}, and space for work is disk_size:";

Status check_volume_type(std::string_view file, const Entry& entry);
Status check_storage_type(std::string_view file, const Entry& entry);
Status check_attach_mode(std::string_view file, const Entry& entry);

std::string volume_size_words(const Entry& entry);
std::string volume_speed_words(const Entry& entry);
std::string volume_by_name_words(const Entry& entry);

}  // namespace ferry::task
