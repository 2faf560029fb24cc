#include "fleet/volumes.h"

#include <algorithm>

#include "base/text.h"
#include "fleet/polling.h"

namespace ferry::fleet {

namespace {

constexpr Seconds free_limit{300}, attach_limit{300};
constexpr int most_tries = 5;

std::string places_of(const std::vector<cloud::Volume>& volumes) {
  std::vector<std::string> out;
  for (const auto& one : volumes) out.push_back(fmt::format("{} in {}", one.id, one.zone));
  return join(first_few(out, 6), ", ");
}

tl::unexpected<Error> none_there(const task::Volume& wanted, std::span<const std::string> regions, bool is_rehearsal) {
  const auto name = printable(wanted.name);
  const auto what = fmt::format("{}: volumes: there is no volume {} in {}", wanted.at, name,
                                join(first_few({regions.begin(), regions.end()}, 4), ", "));
  const auto& region = regions.front();
  if (cloud::is_volume_id(wanted.name))
    return fail(Kind::not_found, what, "volumes belong to one zone of one region",
                fmt::format("check its id, and the region: aws ec2 describe-volumes --region {}", region));
  return fail(Kind::not_found, what,
              "it is looked for by its tag Name. ferry makes no volume: it would cost on when the run is over",
              fmt::format("make one, once{}: aws ec2 create-volume --region {} --availability-zone {}a --size 100 "
                          "--volume-type gp3 --tag-specifications 'ResourceType=volume,Tags=[{{Key=Name,Value={}}}]'",
                          is_rehearsal ? " (rehearsals have their own; first  eval \"$(ferry rehearsal env)\")" : "",
                          region, region, name));
}

bool is_rehearsed(const task::Task& task) {
  return task.all_candidates()[0].infra.value_or(task::Infra{}).provider == task::Provider::rehearsal;
}

Status check_one_zone(const task::Task& task, const std::vector<cloud::Volume>& found) {
  for (std::size_t i = 1; i < found.size(); ++i) {
    if (found[i].zone == found[0].zone) continue;
    return fail(Kind::bad_input,
                fmt::format("{}: volumes: {} is in {}, {} in {}", task.volumes[i].at, printable(task.volumes[i].name),
                            found[i].zone, printable(task.volumes[0].name), found[0].zone),
                "a machine has the volumes of its own zone only",
                "copy one of them: a snapshot of it can become a volume in another zone (aws ec2 create-snapshot, then "
                "create-volume --snapshot-id)");
  }
  return {};
}

/// The same volume as it is now.
Result<cloud::Volume> seen_again(cloud::Cloud& cloud, const cloud::Volume& volume) {
  TRY_SET(now, "", cloud.volumes(volume.id));
  if (!now.empty()) return std::move(now.front());
  return fail(Kind::not_found, describe_volume(volume) + " is gone", "somebody deleted it meanwhile",
              "make it again, or take it out of volumes:");
}

tl::unexpected<Error> in_use(const cloud::Volume& volume, const std::string& by) {
  return fail(Kind::conflict, fmt::format("{} is {}", describe_volume(volume), by),
              "a volume is attached to one machine at a time",
              fmt::format("wait until that machine is given back (ferry ps shows yours), or take the volume from it: "
                          "aws ec2 detach-volume --region {} --volume-id {}",
                          volume.region, volume.id));
}

/// Attaches one. A look comes before each try, and after it: EC2 may have done what it did not answer.
class Attaching {
 public:
  Attaching(cloud::Cloud& cloud, const cloud::Volume& volume, const ledger::Instance& instance, std::string device)
      : cloud_(cloud), volume_(volume), instance_(instance), device_(std::move(device)) {}

  Result<bool> look() {
    auto now = seen_again(cloud_, volume_);
    if (!now && may_pass(now.error()) && ++unseen_ < most_tries) return false;
    if (!now) return tl::unexpected<Error>(std::move(now).error());
    unseen_ = 0;
    if (now->instance == instance_.id) return is_attached(*now);
    if (!now->instance.empty() && now->attachment != "detaching")
      return in_use(*now, "attached to " + now->instance + " by now");
    if (now->state != "available") return false;
    return ask();
  }

 private:
  Result<bool> is_attached(const cloud::Volume& now) const {
    if (now.attachment != "attached") return false;
    if (!now.ends_with_instance) return true;
    return fail(Kind::conflict, describe_volume(now) + " would be deleted with the machine",
                "somebody changed its DeleteOnTermination", "set it to false, and begin again");
  }

  Result<bool> ask() {
    if (tries_ == most_tries) return tl::unexpected<Error>(last_);
    ++tries_;
    auto asked = cloud_.attach_volume(volume_.id, instance_.id, device_);
    if (asked) return false;
    last_ = std::move(asked).error();
    if (may_pass(last_) || last_.kind == Kind::conflict) return false;
    if (last_.kind == Kind::denied)
      last_.advice = "allow it, as  ferry policy --all  does (ec2:AttachVolume, ec2:DescribeVolumes)";
    return tl::unexpected<Error>(last_);
  }

  cloud::Cloud& cloud_;
  const cloud::Volume& volume_;
  const ledger::Instance& instance_;
  std::string device_;
  Error last_{Kind::conflict, "EC2 does not attach the volume", "", "try again in a minute", ""};
  int tries_ = 0, unseen_ = 0;
};

}  // namespace

std::string describe_volume(const cloud::Volume& volume) {
  return fmt::format("the volume {}{} ({} GiB, in {})", printable(volume.name.empty() ? volume.id : volume.name),
                     volume.name.empty() ? "" : ", " + volume.id, volume.gib, volume.zone);
}

std::string device_of(std::size_t index) { return fmt::format("/dev/sd{}", static_cast<char>('f' + index)); }

Result<std::vector<cloud::Volume>> find_volumes(const task::Task& task, std::span<const std::string> regions,
                                                const OpenRegion& open) {
  std::vector<std::vector<cloud::Volume>> found(task.volumes.size());
  std::optional<Error> unasked;
  for (const auto& region : regions) {
    auto cloud = open(region);
    for (std::size_t i = 0; cloud && i < found.size(); ++i) {
      auto here = (*cloud)->volumes(task.volumes[i].name);
      if (here) std::ranges::move(*here, std::back_inserter(found[i]));
      if (!here && !unasked) unasked = std::move(here).error();
    }
    if (!cloud && !unasked) unasked = std::move(cloud).error();
  }
  std::vector<cloud::Volume> out;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto& wanted = task.volumes[i];
    if (found[i].empty() && unasked) return fail(wanted.at + ": volumes", *std::move(unasked));
    if (found[i].empty()) return none_there(wanted, regions, is_rehearsed(task));
    if (found[i].size() > 1)
      return fail(
          Kind::bad_input,
          fmt::format("{}: volumes: {} volumes are called {}", wanted.at, found[i].size(), printable(wanted.name)),
          places_of(found[i]),
          fmt::format("name the one that is meant by its id, as in  {}: {}", printable(wanted.target), found[i][0].id));
    out.push_back(std::move(found[i].front()));
  }
  TRY("", check_one_zone(task, out));
  return out;
}

std::vector<std::string> regions_of(const plan::Ranking& ranking) {
  std::vector<std::string> out;
  for (const auto& offer : ranking.offers) {
    if (std::ranges::find(out, offer.region) == out.end()) out.push_back(offer.region);
  }
  return out;
}

Result<Planned> plan_beside(const task::Task& task, std::span<const cloud::Volume> volumes, TimeLimits lifetime,
                            const os::Path& data, std::int64_t now_ms, const std::string& rehearsal_region) {
  const auto& volume = volumes.front();
  auto confined = task;
  const auto confine = [&](task::Resources& candidate) {
    auto infra = candidate.infra.value_or(task::Infra{});
    if (!infra.region.empty() && infra.region != volume.region) return;
    if (!infra.zone.empty() && infra.zone != volume.zone) return;
    infra.any_region = false;
    infra.region = infra.provider == task::Provider::rehearsal ? infra.region : volume.region;
    infra.zone = volume.zone;
    candidate.infra = infra;
  };
  confine(confined.resources);
  std::ranges::for_each(confined.candidates, confine);
  auto planned = plan_task(confined, lifetime, data, now_ms, rehearsal_region, Zone{volume.region, volume.zone});
  if (planned || planned.error().kind != Kind::not_found) return planned;
  auto error = std::move(planned).error();
  error.what = fmt::format("{}, which is where {} is", error.what, describe_volume(volume));
  return tl::unexpected<Error>(std::move(error));
}

std::string used_by(cloud::Cloud& cloud, const cloud::Volume& volume) {
  if (volume.instance.empty() || volume.attachment == "detaching") return {};
  const auto machine = cloud.describe(volume.instance);
  if (machine ? !machine->alive() : machine.error().kind == Kind::not_found) return {};
  std::string words = "attached to " + volume.instance;
  if (!machine) return words;
  const auto run = machine->tags.find("ferry:run"), name = machine->tags.find("Name");
  if (run != machine->tags.end()) return words + " (of the run " + printable(run->second) + ")";
  return name == machine->tags.end() ? words : words + " (" + printable(name->second) + ")";
}

Status await_free(Context& context, cloud::Cloud& cloud, std::span<const cloud::Volume> volumes) {
  for (const auto& volume : volumes) {
    const auto what = fmt::format("{} was free", describe_volume(volume));
    TRY("", poll_until(context, free_limit, true, what, [&]() -> Result<bool> {
          auto now = seen_again(cloud, volume);
          if (!now && may_pass(now.error())) return false;
          if (!now) return tl::unexpected<Error>(std::move(now).error());
          if (now->state == "available") return true;
          if (now->state == "error")
            return fail(Kind::conflict, describe_volume(*now) + " is in the state error", "EC2 says so",
                        "look at it in the EC2 console");
          if (const auto by = used_by(cloud, *now); !by.empty()) return in_use(*now, by);
          return false;
        }));
  }
  return {};
}

Status attach_volumes(Context& context, cloud::Cloud& cloud, std::span<const cloud::Volume> volumes,
                      const ledger::Instance& instance) {
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    Attaching one(cloud, volumes[i], instance, device_of(i));
    const auto what = fmt::format("{} was attached to {}", describe_volume(volumes[i]), instance.id);
    TRY("", poll_until(context, attach_limit, true, what, [&] { return one.look(); }));
  }
  return {};
}

}  // namespace ferry::fleet
