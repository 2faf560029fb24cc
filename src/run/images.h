#pragma once
/// \file
/// The image a machine boots, looked up once a day. Internal to this room.

#include "run/machine.h"

namespace ferry::run {

/// The task's own image, or the newest one that suits the offer's machine. What was found is remembered for a
/// day in data/images.json, so that the next launch asks nothing; forget_image() when the cloud does not know
/// it any more. Fails as Cloud::newest_image().
Result<cloud::Image> find_image(Doors& doors, cloud::Cloud& cloud, const Place& place,
                                const plan::Offer& offer, const task::Image& wanted,
                                const std::string& framework);
void forget_image(Doors& doors, const std::string& id);

}  // namespace ferry::run
