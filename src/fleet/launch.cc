#include "fleet/launch.h"

#include <deque>

#include "aws/quotas.h"
#include "base/text.h"
#include "fleet/access.h"
#include "fleet/capacity.h"
#include "fleet/images.h"
#include "fleet/labels.h"
#include "fleet/launch_errors.h"
#include "fleet/planning.h"
#include "fleet/polling.h"
#include "fleet/store_role.h"
#include "ssh/keys.h"

namespace ferry::fleet {

namespace {

/// EC2 reaches running in well under a minute; ten are a failure.
constexpr Seconds running_limit{600};
/// A public address is there when a machine runs, or a moment later.
constexpr Seconds address_limit{20};
/// IAM's own estimate for what was just made to be known everywhere is seconds.
constexpr Seconds profile_known_within{60};
constexpr int most_attempts = 60;

/// A region where something is to be rented: its cloud, with the run's key and group in it.
struct Site {
  CloudLocation location;
  std::unique_ptr<cloud::Cloud> cloud;
  std::string group;
  std::vector<cloud::Subnet> subnets;  // of the user's own; empty: the default ones
};

std::string where(const plan::Offer& offer) {
  return offer.type.name + " " + (offer.zone.empty() ? offer.region : offer.zone) +
         (offer.market == plan::Market::spot ? " spot" : "");
}

class Launcher {
 public:
  Launcher(Context& context, const LaunchOrder& request)
      : context_(context),
        request_(request),
        run_dir_(context.data, request.run.name),
        memory_(context.data / "capacity.json", context.clock.now_ms()),
        waiting_(request.offers.begin(), request.offers.end()) {}

  Result<Launched> run();

 private:
  Status prepare_keys();
  Status prepare_role();
  Result<Site*> site_in(const std::string& region);
  Status find_group(Site& site, const std::string& name);
  Status record_resource(const Site& site, const char* kind, const std::string& name, bool released = false);
  /// A refusal of what was noted just now: nothing is there to be given back.
  tl::unexpected<Error> not_made(const Site& site, const char* kind, const std::string& name, Error why);
  /// The addresses that may reach port 22, as a range; empty: none need to.
  Result<std::string> allowed_cidr(Site& site, const std::string& vpc_id);
  /// Of what is made for the machine.
  cloud::Tags tags_of_made() const;
  bool is_for_caller() const;  ///< the user's own address, which may be another one tomorrow
  /// True if the offer can be tried as it is: with subnets of one's own it has the zone of one of them.
  bool stands_in_a_subnet(const plan::Offer& offer, const Site& site);
  /// The rented instance, or nothing when the next offer is to be tried.
  Result<std::optional<ledger::Instance>> attempt(const plan::Offer& offer, Site& site);
  Result<cloud::Instance> rent(const plan::Offer& offer, Site& site, ledger::Instance& instance);
  /// Asks again while EC2 does not know the profile that was made for it a moment ago.
  Result<cloud::Instance> launch_with_role(Site& site, const cloud::LaunchRequest& launch);
  void move_on(const plan::Offer& offer, Site& site, const Error& why);
  /// Remembers it, the whole region only once every zone was tried; leads on to the zones.
  void note_shortage(const plan::Offer& offer, Site& site);
  void tell_next(const plan::Offer& offer, const Error& why);
  bool is_hopeless(const plan::Offer& offer) const;
  Status wait_until_running(Site& site, ledger::Instance& instance);

  Context& context_;
  const LaunchOrder& request_;
  RunDir run_dir_;
  CapacityMemory memory_;
  std::deque<plan::Offer> waiting_;
  std::map<std::string, Site> sites_;
  std::set<std::string> closed_regions_;
  std::map<std::string, std::size_t> zones_left_;  // of a type in a region, once they are tried one by one
  std::vector<plan::Offer> over_quota_;
  Access access_;
  std::string user_data_, host_key_;
  std::string role_;            // made for this run; empty: none
  std::int64_t role_made_ = 0;  // steady
  std::optional<Error> last_;
  cloud::Image image_;          // of the last attempt
  cloud::LaunchRequest order_;  // the same
  Usd wasted_;                  // by launches that came to nothing
  int attempts_ = 0, tokens_before_ = 0;
  bool image_looked_up_again_ = false;
};

Status Launcher::prepare_keys() {
  TRY_SET(own, "", prepare_key(run_dir_, request_.run, request_.aws));
  access_ = std::move(own);
  TRY_SET(host, "", ssh::make_key(run_dir_.path, "ferry-host-" + request_.run.name));
  TRY("", os::write_file(run_dir_.known_hosts(), ssh::known_hosts_line(request_.run.name, host.public_line), 0600));
  // known_hosts can be written anew from it.
  host_key_ = host.public_line;
  auto noted = request_.run;
  noted.task["host_key"] = host_key_;
  TRY("", context_.ledger.update(noted));
  user_data_ = user_data(host.private_text, host.public_line, request_.lifetime.until_power_off(), request_.run.name);
  return {};
}

Status Launcher::prepare_role() {
  const auto& run = request_.run;
  const bool needs_one = run.store.starts_with("s3://") || !buckets_of(run).empty();
  if (!needs_one || !request_.aws.instance_profile.empty()) return {};
  context_.progress.update("making the machine's role");
  auto made = ensure_store_role(context_, run, request_.location);
  if (!made && made.error().kind == Kind::denied && needs_no_role(context_, request_.location, run)) return {};
  if (!made) return tl::unexpected(std::move(made).error());
  role_ = *std::move(made);
  role_made_ = context_.clock.steady_ms();
  return {};
}

Result<Site*> Launcher::site_in(const std::string& region) {
  if (const auto known = sites_.find(region); known != sites_.end()) return &known->second;
  Site site;
  site.location = request_.location;
  site.location.region = region;
  TRY_SET(cloud, "", open_cloud(context_, site.location));
  site.cloud = std::move(cloud);
  if (const auto& subnets = request_.aws.subnets_in(region); !subnets.empty()) {
    TRY_SET(found, "", site.cloud->subnets(subnets));
    site.subnets = std::move(found);
  }
  const auto name = resource_name(request_.run);
  TRY("", find_key(*site.cloud, request_.aws, run_dir_, access_));
  if (access_.key_name.empty()) {
    TRY("", record_resource(site, "key-pair", name));
    auto imported = site.cloud->import_key(name, access_.public_key, tags_of_made());
    if (!imported)
      return not_made(site, "key-pair", name, fail("import the ssh key", std::move(imported).error()).value());
  }
  TRY("", find_group(site, name));
  return &sites_.emplace(region, std::move(site)).first->second;
}

Status Launcher::record_resource(const Site& site, const char* kind, const std::string& name, bool released) {
  return context_.ledger.record_resource({request_.run.name, site.location.provider, site.location.region,
                                          site.location.endpoint, kind, name, released, site.location.account,
                                          site.location.profile});
}

tl::unexpected<Error> Launcher::not_made(const Site& site, const char* kind, const std::string& name, Error why) {
  const bool is_certain = why.kind == Kind::denied || why.kind == Kind::not_found || why.kind == Kind::unsupported;
  if (is_certain) (void)record_resource(site, kind, name, true);
  return tl::unexpected<Error>(std::move(why));
}

Status Launcher::find_group(Site& site, const std::string& name) {
  site.group = request_.aws.security_group;
  if (!site.group.empty()) return {};
  const std::string vpc = site.subnets.empty() ? "" : site.subnets.front().vpc_id;
  TRY_SET(cidr, "find the address to open port 22 for", allowed_cidr(site, vpc));
  TRY("", record_resource(site, "security-group", name));
  auto group = site.cloud->ensure_group(name, cidr, tags_of_made(), vpc);
  if (!group) {
    const bool none_made = is_about_the_region(group.error());  // other refusals may be of what follows its making
    Error error = fail("make the security group", std::move(group).error()).value();
    return none_made ? not_made(site, "security-group", name, std::move(error)) : tl::unexpected(std::move(error));
  }
  site.group = group->id;
  return is_for_caller() ? record_door(context_, request_.run, {site.location.region, vpc, cidr}) : Status();
}

cloud::Tags Launcher::tags_of_made() const {
  auto tags = tags_of(request_.run);
  tags[made_tag] = os::iso_time(context_.clock.now_ms());
  return tags;
}

bool Launcher::is_for_caller() const {
  const auto& aws = request_.aws;
  return aws.ssh_from.empty() && aws.ssh_proxy.empty() && aws.public_address != false;
}

Result<std::string> Launcher::allowed_cidr(Site& site, const std::string& vpc_id) {
  const auto& aws = request_.aws;
  if (!aws.ssh_from.empty()) return aws.ssh_from;
  if (aws.ssh_proxy == "ssm") return std::string();  // the machine calls out
  // A jump host, or a VPN's end, stands in the VPC.
  return is_for_caller() ? site.cloud->caller_cidr() : site.cloud->vpc_cidr(vpc_id);
}

bool Launcher::stands_in_a_subnet(const plan::Offer& offer, const Site& site) {
  if (site.subnets.empty()) return true;
  if (!offer.zone.empty()) {
    return std::ranges::any_of(site.subnets, [&](const auto& one) { return one.zone == offer.zone; });
  }
  std::set<std::string> seen;
  std::vector<plan::Offer> there;
  for (const auto& subnet : site.subnets) {
    if (!seen.insert(subnet.zone).second) continue;
    there.push_back(offer);
    there.back().zone = subnet.zone;
  }
  waiting_.insert(waiting_.begin(), there.begin(), there.end());
  return false;
}

Result<cloud::Instance> Launcher::rent(const plan::Offer& offer, Site& site, ledger::Instance& instance) {
  const auto& candidate = request_.candidates[offer.candidate];
  TRY_SET(image, "find an image",
          find_image(context_, *site.cloud, site.location, offer, candidate.image, request_.framework));
  image_ = image;
  instance.run = request_.run.name;
  instance.provider = site.location.provider;
  instance.region = site.location.region;
  instance.endpoint = site.location.endpoint;
  instance.account = site.location.account;
  instance.profile = site.location.profile;
  instance.token = client_token(request_.run, tokens_before_ + ++attempts_);
  instance.type = offer.type.name;
  instance.zone = offer.zone;
  instance.hourly = offer.hourly.value_or(Usd{});
  instance.market = plan::name(offer.market);
  instance.disk = plan::disk_of(candidate.disk_tier, std::max(candidate.disk_gib, image.root_size_gib));
  const auto subnet = std::ranges::find_if(site.subnets, [&](const auto& one) { return one.zone == offer.zone; });
  const bool own_subnet = subnet != site.subnets.end();
  instance.public_address = request_.aws.public_address.value_or(!own_subnet || subnet->gives_public_address);
  instance.login_user = request_.aws.login_user.empty() ? image.login_user : request_.aws.login_user;
  instance.ssh_proxy = request_.aws.ssh_proxy;
  if (access_.is_own) instance.identity = access_.identity.string();
  instance.intent_ms = context_.clock.now_ms();
  TRY("", context_.ledger.record_intent(instance));
  if (!keeps_budget(request_.budget, offer, candidate.disk_tier, instance.disk.gib, request_.lifetime, wasted_))
    return fail(Kind::unsupported,
                fmt::format("with the {} GiB of its image's disk it may cost more than {}", instance.disk.gib,
                            show_at_most(*request_.budget)),
                "a disk is as large as its image's at least, and costs as long as the machine",
                "give a larger --budget, a shorter --max-duration, or another image");
  auto tags = tags_of(request_.run, candidate.labels);
  tags.merge(tags_for_recovery(request_.run, host_key_));
  if (!role_.empty()) tags[role_tag] = role_;
  order_ = {.offer = offer,
            .image = image,
            .client_token = instance.token,
            .key_name = access_.key_name.empty() ? resource_name(request_.run) : access_.key_name,
            .security_group = site.group,
            .user_data = user_data_,
            .disk_gib = candidate.disk_gib,
            .disk_tier = candidate.disk_tier,
            .tags = tags,
            .subnet_id = own_subnet ? subnet->id : "",
            .public_address = request_.aws.public_address,
            .instance_profile = role_.empty() ? request_.aws.instance_profile : role_,
            .placement_group = request_.aws.placement_group,
            .capacity_reservation_id = request_.aws.capacity_reservation,
            .stops_itself = ends_by_stop(request_.run),
            .capacity_block = request_.capacity_block,
            .spot_max_price = offer.market == plan::Market::spot ? candidate.max_hourly_cost : std::nullopt};
  return launch_with_role(site, order_);
}

Result<cloud::Instance> Launcher::launch_with_role(Site& site, const cloud::LaunchRequest& launch) {
  while (true) {
    auto rented = site.cloud->launch(launch);
    const bool is_early = !role_.empty() && !rented && is_young_profile(rented.error()) &&
                          context_.clock.steady_ms() - role_made_ < profile_known_within.count() * 1000;
    if (!is_early) return rented;
    context_.progress.update("EC2 does not know the machine's role yet; asking again");
    context_.sleep(Millis(2000), false);
    if (context_.interrupt == Interrupt::cancel) return fail(Kind::cancelled, "cancelled");
  }
}

Status Launcher::wait_until_running(Site& site, ledger::Instance& instance) {
  std::int64_t running_since = 0;  // steady
  const auto rented = context_.clock.steady_ms();
  auto pending_until = rented;  // for certain
  TRY("", poll_until(context_, running_limit, true, instance.id + " was running", [&]() -> Result<bool> {
        const auto asked = context_.clock.steady_ms();
        TRY_SET(now, "", site.cloud->describe(instance.id));
        if (!now.alive()) {
          instance.released_ms =
              std::max(now.ended_ms > 0 ? now.ended_ms : context_.clock.now_ms(), instance.launched_ms);
          const bool ran = instance.running_ms > 0 || now.state_reason.starts_with("Client.InstanceInitiatedShutdown");
          if (!ran) instance.running_ms = instance.released_ms;
          // Somebody called TerminateInstances: who ends a machine does not candidate for another one.
          if (now.state_reason.starts_with("Client.UserInitiatedShutdown"))
            return fail(Kind::lost, instance.id + " was ended while it started", now.state_reason,
                        "if that was not you, ask who else may end machines in this account; run it again");
          return fail(Kind::no_capacity, instance.id + " ended while starting", now.state_reason,
                      "try again; it may be the cloud's own trouble");
        }
        record_access(now, instance);
        if (now.state == cloud::State::pending) pending_until = asked;
        if (now.state != cloud::State::running) return false;
        // From the cloud's launch time on, by our clock's pace: the two may show different times.
        if (instance.running_ms == 0) instance.running_ms = instance.launched_ms + pending_until - rented;
        if (!instance.address.empty()) return true;
        if (running_since == 0) running_since = context_.clock.steady_ms();
        if (context_.clock.steady_ms() - running_since < address_limit.count() * 1000) return false;
        return fail(Kind::bad_input, instance.id + " has no public address", "its subnet gives none",
                    "write aws: public_address: true to ask for one, or --private to reach it at its private "
                    "address");
      }));
  return context_.ledger.record_instance(instance);
}

Result<std::optional<ledger::Instance>> Launcher::attempt(const plan::Offer& offer, Site& site) {
  ledger::Instance instance;
  auto rented = rent(offer, site, instance);
  if (!rented) {
    if (!instance.token.empty() && is_refusal(rented.error())) {
      instance.state = ledger::Rent::released;  // nothing exists under this token
      TRY("", context_.ledger.record_instance(instance));
    }
    if (is_about_the_image(rented.error()) && !image_looked_up_again_) {
      image_looked_up_again_ = true;  // a remembered one may have been withdrawn
      forget_image(context_, image_.id);
      waiting_.push_front(offer);
      return std::optional<ledger::Instance>();
    }
    const auto kind = rented.error().kind;
    const bool another_may_do = kind == Kind::no_capacity || kind == Kind::quota || kind == Kind::unsupported;
    if (!another_may_do || instance.token.empty()) return fail("launch " + where(offer), std::move(rented).error());
    move_on(offer, site, rented.error());
    return std::optional<ledger::Instance>();
  }
  instance.id = rented->id;
  instance.zone = rented->zone;
  instance.state = ledger::Rent::live;
  // The cloud's time: a repeated call may be answered long after the machine began.
  instance.launched_ms = rented->launched_ms > 0 ? rented->launched_ms : context_.clock.now_ms();
  TRY("", context_.ledger.record_instance(instance));
  context_.progress.update(fmt::format("{} is starting", instance.id));
  auto running = wait_until_running(site, instance);
  if (!running && running.error().kind == Kind::no_capacity) {
    // EC2 may take the order and end the machine at once when there is no room after all.
    instance.state = ledger::Rent::released;
    wasted_ = wasted_ + ledger::spent(instance, context_.clock.now_ms()).value_or(Usd{});
    TRY("", context_.ledger.record_instance(instance));
    move_on(offer, site, running.error());
    return std::optional<ledger::Instance>();
  }
  TRY("", std::move(running));
  return std::optional(std::move(instance));
}

bool Launcher::is_hopeless(const plan::Offer& offer) const {
  if (closed_regions_.contains(offer.region) || !offer.not_taken.empty()) return true;
  if (request_.ceiling && offer.hourly && *offer.hourly > *request_.ceiling) return true;
  // Limits count the vCPUs of several families: what is no smaller meets the same one.
  const auto limit = [](const plan::Offer& one) {
    return aws::vcpu_quota_of(one.type.name, one.market == plan::Market::spot);
  };
  return std::any_of(over_quota_.begin(), over_quota_.end(), [&](const auto& over) {
    return over.region == offer.region && limit(over) == limit(offer) &&
           (limit(offer) || over.type.name == offer.type.name) && offer.type.vcpus >= over.type.vcpus;
  });
}

void Launcher::tell_next(const plan::Offer& offer, const Error& why) {
  std::erase_if(waiting_, [&](const auto& one) { return is_hopeless(one); });
  std::string next = " → nothing else fits";
  if (!waiting_.empty() && attempts_ < most_attempts) {
    const auto& then = waiting_.front();
    next = " → " + (then.type.name == offer.type.name && !then.zone.empty() ? then.zone : where(then));
    if (then.hourly && then.hourly != offer.hourly) next += " " + show_hourly(*then.hourly) + "/h";
  }
  context_.progress.warn("launch", where(offer) + ": " + why.what + next);
}

void Launcher::note_shortage(const plan::Offer& offer, Site& site) {
  // What a reservation or a placement group has no room for says nothing about others.
  const bool is_general = request_.aws.capacity_reservation.empty() && request_.aws.placement_group.empty();
  const auto remember = [&](const plan::Offer& one) {
    if (is_general) memory_.note(one, context_.clock.now_ms());
  };
  auto whole_region = offer;
  whole_region.zone.clear();
  if (!offer.zone.empty()) {
    remember(offer);
    const auto left = zones_left_.find(where(whole_region));
    if (left == zones_left_.end() || --left->second > 0) return;
  } else {
    // The cloud chose a zone by itself. There may be room in another one.
    const auto zones = site.cloud->zones_with(offer.type.name).value_or(std::vector<std::string>());
    for (auto zone = zones.rbegin(); zone != zones.rend(); ++zone) {
      auto there = offer;
      there.zone = *zone;
      waiting_.push_front(std::move(there));
    }
    zones_left_[where(whole_region)] = zones.size();
    if (!zones.empty()) return;
  }
  remember(whole_region);
}

void Launcher::move_on(const plan::Offer& offer, Site& site, const Error& why) {
  // What may pass by itself is the answer, whatever was said of the others: who waits for room goes by it.
  if (!last_ || !may_work_later(last_->kind) || may_work_later(why.kind)) last_ = why;
  if (why.kind == Kind::quota) over_quota_.push_back(offer);
  if (why.kind == Kind::no_capacity) note_shortage(offer, site);
  tell_next(offer, why);
}

Result<Launched> Launcher::run() {
  TRY_SET(before, "", context_.ledger.instances(request_.run.name));
  tokens_before_ = static_cast<int>(before.size());  // no token is ever used again
  TRY("", prepare_keys());
  TRY("", prepare_role());
  while (!waiting_.empty() && attempts_ < most_attempts) {
    const auto offer = waiting_.front();
    waiting_.pop_front();
    if (is_hopeless(offer)) continue;
    if (context_.check_signals(false) == Interrupt::cancel) return fail(Kind::cancelled, "cancelled");
    auto site = site_in(offer.region);
    if (!site &&
        (is_about_the_region(site.error()) || is_not_enabled(site.error(), offer.region != request_.location.region))) {
      last_ = site.error();
      closed_regions_.insert(offer.region);
      tell_next(offer, site.error());
      continue;
    }
    if (!site) return tl::unexpected<Error>(std::move(site).error());
    if (!stands_in_a_subnet(offer, **site)) continue;
    TRY_SET(instance, "", attempt(offer, **site));
    if (!instance) continue;
    return Launched{
        std::move(*instance), std::move((*site)->cloud), (*site)->location, offer, image_, order_, host_key_};
  }
  if (!last_ && !request_.aws.subnets.empty())
    return fail(Kind::not_found, "none of your subnets is in a zone that has such a machine", {},
                "name subnets of other zones (subnet_id takes several), or choose another type");
  if (!last_) return fail(Kind::not_found, "there is no offer to launch");
  if (attempts_ == 0) return tl::unexpected<Error>(std::move(*last_));
  last_->what = fmt::format("no machine could be rented after {} {}; the last answer: {}", attempts_,
                            attempts_ == 1 ? "try" : "tries", last_->what);
  return tl::unexpected<Error>(std::move(*last_));
}

}  // namespace

Result<Launched> launch(Context& context, const LaunchOrder& request) { return Launcher(context, request).run(); }

}  // namespace ferry::fleet
