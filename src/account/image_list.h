#pragma once
/// \file
/// The images that runs of a region boot, by what they are for: `ferry images`, and what `ferry catalog update`
/// keeps of them.

#include "aws/client.h"
#include "cloud/cloud.h"

namespace ferry::account {

struct ListedImage {
  std::string region;
  std::string kind;  ///< "gpu", "pytorch", "neuron" or "cpu"
  std::string arch;
  cloud::Image image;
};

/// The newest image of each kind in the client's region; kinds that have none there are left out. Fails as the
/// calls do.
Result<std::vector<ListedImage>> list_images(aws::Client& client);

/// Keeps what was listed in the cache folder, in the place of what was kept about the same regions. `today`: the
/// day on which it was asked for.
Status store_images(const std::vector<ListedImage>& images, const std::string& today);

struct KnownImage {
  cloud::Image image;
  std::string seen;  ///< the day on which it was the newest
};
/// What was kept about the kind of image that the offer's machine boots; nothing where the task names another, or
/// none is known. A run looks for the newest again.
std::optional<KnownImage> known_image(const plan::Offer& offer, const task::Image& wanted);

}  // namespace ferry::account
