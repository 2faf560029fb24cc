#pragma once
/// \file
/// Which image a machine boots: the names under which AWS and Canonical publish theirs.

#include <string>
#include <string_view>
#include <vector>

#include "aws/client.h"
#include "cloud/cloud.h"

namespace ferry::cloud {

/// One place to look for the newest image of a kind.
struct ImageSource {
  std::string parameter;       ///< SSM parameter that holds the image's id
  std::string owner;           ///< account or alias whose images are searched where the parameter cannot be read
  std::string pattern;         ///< of the image's name
  std::string framework = {};  ///< "PyTorch": of those images the one with the highest version is the newest
  std::string version = {};    ///< of it, as "2.11"; empty: any
};

/// Best first. An empty parameter: only the name is known. Ubuntu 24.04 where the task names no system, then
/// 22.04 (which gets patches until April 2027); for GPUs older than Turing, whose driver is another, 22.04 only.
/// There is no current image with TensorFlow: the base image stands for it.
std::vector<ImageSource> image_sources(const ImageQuery& query);

/// "ubuntu", "ec2-user" or "admin" (Debian), by the image's name.
std::string login_user_of(std::string_view image_name);

/// The task's own, or the first that image_sources leads to; not_found names what was looked for.
Result<Image> newest_image(aws::Client& client, const ImageQuery& query);

}  // namespace ferry::cloud
