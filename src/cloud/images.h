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
  std::string parameter;  ///< SSM parameter that holds the image's id
  std::string owner;      ///< account or alias whose images are searched where the parameter cannot be read
  std::string pattern;    ///< of the image's name
};

/// Best first. An empty parameter: only the name is known.
std::vector<ImageSource> image_sources(const ImageWish& wish);

/// "ubuntu", "ec2-user" or "admin" (Debian), by the image's name.
std::string login_user_of(std::string_view image_name);

/// The task's own, or the first that image_sources leads to; not_found names what was looked for.
Result<Image> newest_image(aws::Client& client, const ImageWish& wish);

}  // namespace ferry::cloud
