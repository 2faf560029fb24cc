#include "fleet/reservation.h"

#include "base/text.h"

namespace ferry::fleet {

namespace {

/// EC2 begins to end machines half an hour before
/// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-capacity-blocks.html); five minutes more, for what is saved then.
constexpr Seconds ended_early{2100};

}  // namespace

Result<std::optional<cloud::Reservation>> confine_to_reservation(Context& context, task::Task& task) {
  const auto& id = task.aws.capacity_reservation;
  if (id.empty()) return std::nullopt;
  const auto infra = task.all_candidates()[0].infra.value_or(task::Infra{});
  CloudLocation location{"aws", infra.region, "", "", ""};
  TRY_SET(cloud, "", open_cloud(context, location));
  TRY_SET(reservation, "", cloud->reservation(id));
  if (reservation.available < 1) {
    return fail(Kind::no_capacity, fmt::format("the capacity reservation {} is all in use", id),
                fmt::format("it holds {} {}", reservation.total, reservation.instance_type),
                "wait until one is given back, or leave the reservation out");
  }
  const auto confine = [&](task::Resources& candidate) {
    const bool fits = (candidate.instance_type.empty() || candidate.instance_type == reservation.instance_type) &&
                      (!candidate.infra || candidate.infra->zone.empty() || candidate.infra->zone == reservation.zone);
    candidate.instance_type = reservation.instance_type;
    candidate.infra = task::Infra{.region = location.region, .zone = reservation.zone};
    candidate.use_spot = false;
    return fits;
  };
  const bool outer = confine(task.resources);
  const bool had_candidates = !task.candidates.empty();
  std::erase_if(task.candidates, [&](auto& candidate) { return !confine(candidate); });
  if (had_candidates ? task.candidates.empty() : !outer) {
    return fail(
        Kind::bad_input,
        fmt::format("the capacity reservation {} is for {} in {}", id, reservation.instance_type, reservation.zone),
        "the task asks for another type or zone",
        "take instance_type and zone out of the task, or name another "
        "reservation");
  }
  return reservation;
}

Result<TimeLimits> within_block(const cloud::Reservation& block, TimeLimits lifetime, std::int64_t now_ms) {
  if (!block.is_block || block.end_ms == 0) return lifetime;
  const auto left = Seconds((block.end_ms - now_ms) / 1000) - ended_early;
  // Setup may take its quarter of an hour first. (Ten elevenths, for the retention shrinks with it.)
  while (lifetime.max_duration.count() > 0 && lifetime.until_power_off() > left)
    lifetime.max_duration -= std::max(Seconds(1), (lifetime.until_power_off() - left) * 10 / 11);
  if (lifetime.max_duration >= Seconds(60)) return lifetime;
  return fail(Kind::bad_input, fmt::format("the capacity block {} is as good as over", block.id),
              "EC2 ends its machines half an hour before its end, which is " + os::iso_time(block.end_ms),
              "train in a later block, or leave --capacity-reservation out");
}

}  // namespace ferry::fleet
