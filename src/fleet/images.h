#pragma once
/// \file
/// The image a machine boots, looked up once a day.

#include "fleet/machine.h"

namespace ferry::fleet {

/// The task's own image, or the newest one that suits the offer's machine. What was found is remembered for a
/// day in data/images.json, so that the next launch asks nothing; forget_image() when the cloud does not know
/// it any more. Fails as Cloud::newest_image().
Result<cloud::Image> find_image(Context& context, cloud::Cloud& cloud, const CloudLocation& location,
                                const plan::Offer& offer, const task::Image& wanted, const std::string& framework);
void forget_image(Context& context, const std::string& id);

/// "supported until 2027-01-12"; "AWS stopped supporting this image on 2026-08-30"; empty where the cloud does not
/// say.
std::string support_words(const std::string& supported_until, std::int64_t now_ms);
/// Whether that day is over.
bool is_unsupported(const std::string& supported_until, std::int64_t now_ms);
/// A warning where the image is not supported any more.
void warn_of_support(Context& context, const cloud::Image& image, std::string_view phase);

}  // namespace ferry::fleet
