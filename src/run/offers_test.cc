// Renting, by table: what each answer of the cloud leads to. Whatever happens, there are never two machines,
// no machine that the ledger did not note, and release_all() gives back whatever was made.
#include <gtest/gtest.h>

#include <csignal>

#include "base/text.h"
#include "fleet/launch.h"
#include "run/stage.h"
#include "ssh/keys.h"

namespace ferry::run {
namespace {

plan::Offer offer_of(const std::string& type, const std::string& region, int vcpus, std::int64_t cents,
                     const std::string& zone = {}) {
  plan::Offer offer;
  offer.type.name = type;
  offer.type.vcpus = vcpus;
  offer.type.arch = "x86_64";
  offer.region = region;
  offer.zone = zone;
  offer.hourly = Usd{cents * 10'000};
  return offer;
}

/// A run that is about to rent one of three offers.
class Offers {
 public:
  Offers() {
    noted.name = noted.task_name = "t-offers";
    noted.infra = "aws";
    noted.output_dir = (stage.data() / "home").string();
    noted.created_ms = stage.clock.now_ms();
    static const auto key =
        ssh::make_key(stage.data(), "one for all").value();  // making one takes longer than all the rest
    const fleet::RunDir run_dir(stage.data(), noted.name);
    EXPECT_TRUE(os::make_dirs(run_dir.path));
    EXPECT_TRUE(os::write_file(run_dir.identity(), key.private_text, 0600));
    EXPECT_TRUE(os::write_file(run_dir.identity().string() + ".pub", key.public_line + "\n"));
    EXPECT_TRUE(stage.ledger().add_run(noted));
    EXPECT_TRUE(stage.ledger().move(noted.name, ledger::Phase::launching));
  }

  Result<fleet::Launched> launch() {
    auto here = stage.context();
    const fleet::LaunchOrder request{.run = noted,
                                     .location = {"aws", "us-east-1", "", "", ""},
                                     .offers = offers,
                                     .candidates = candidates,
                                     .framework = framework,
                                     .lifetime = fleet::TimeLimits{Seconds(3600)},
                                     .aws = settings};
    return fleet::launch(here, request);
  }

  /// Gives everything back, as a process does to which the world is kind again. Empty if that worked.
  std::string give_back() {
    stage.cloud.heal();
    stage.refuse_write = nullptr;
    auto here = stage.context();
    if (const auto released = fleet::release_all(here, noted); !released) return describe(released.error());
    const auto left = stage.cloud.left();
    return left.empty() ? "" : "left: " + join(left, ", ");
  }

  /// The machines there are, as "TYPE ZONE".
  std::vector<std::string> rented() {
    std::vector<std::string> all;
    for (const auto& one : stage.cloud.machines()) {
      if (one.ended_ms == 0) all.push_back(one.now.type + " " + one.now.zone);
    }
    return all;
  }

  Stage stage;
  ledger::Run noted;
  std::vector<plan::Offer> offers = {offer_of("g5.2xlarge", "us-east-1", 8, 100),
                                     offer_of("g5.2xlarge", "eu-west-1", 8, 110),
                                     offer_of("c5.large", "us-east-1", 2, 120)};
  std::vector<task::Resources> candidates = {{}};
  std::string framework;
  task::AwsSettings settings;
};

std::optional<Error> no_room_in(const cloud::LaunchRequest& request, const std::set<std::string>& places) {
  const auto& offer = request.offer;
  const auto place = offer.type.name + " " + (offer.zone.empty() ? offer.region : offer.zone);
  if (!places.contains(place)) return std::nullopt;
  return failure(Kind::no_capacity, "InsufficientInstanceCapacity");
}

struct Walk {
  const char* what;
  std::function<void(Offers&)> aws_context;
  std::string rented;  ///< "TYPE ZONE"; empty: nothing
  Kind kind;           ///< of the failure, when nothing was
  int launches;        ///< calls that may have rented
};

const std::set<std::string> g5_in_us = {"g5.2xlarge us-east-1", "g5.2xlarge us-east-1a", "g5.2xlarge us-east-1b",
                                        "g5.2xlarge us-east-1c"};

const std::vector<Walk> walks = {
    {"all is well: the first offer", [](Offers&) {}, "g5.2xlarge us-east-1a", {}, 1},
    {"no room where the cloud chose: every zone is tried",
     [](Offers& it) {
       it.stage.cloud.refuse = [](const auto& request) {
         return no_room_in(request, {"g5.2xlarge us-east-1", "g5.2xlarge us-east-1a"});
       };
     },
     "g5.2xlarge us-east-1b",
     {},
     3},
    {"no room in a region: the next region",
     [](Offers& it) { it.stage.cloud.refuse = [](const auto& request) { return no_room_in(request, g5_in_us); }; },
     "g5.2xlarge eu-west-1a",
     {},
     5},
    {"no room anywhere",
     [](Offers& it) { it.stage.cloud.refuse = [](const auto&) { return failure(Kind::no_capacity); }; }, "",
     Kind::no_capacity, 12},
    {"a quota: what is no smaller of the same limit is not tried there, another limit is",
     [](Offers& it) {
       it.offers.insert(it.offers.begin() + 1, offer_of("g5.4xlarge", "us-east-1", 16, 105));
       it.offers.erase(it.offers.begin() + 2);
       it.stage.cloud.refuse = [](const auto& request) -> std::optional<Error> {
         if (request.offer.type.name.starts_with("g5")) return failure(Kind::quota, "VcpuLimitExceeded");
         return std::nullopt;
       };
     },
     "c5.large us-east-1a",
     {},
     2},
    {"quotas everywhere",
     [](Offers& it) { it.stage.cloud.refuse = [](const auto&) { return failure(Kind::quota, "VcpuLimitExceeded"); }; },
     "", Kind::quota, 3},
    {"a type that the region does not have",
     [](Offers& it) {
       it.stage.cloud.refuse = [](const auto& request) -> std::optional<Error> {
         if (request.offer.type.name == "c5.large") return std::nullopt;
         return failure(Kind::unsupported, "Unsupported");
       };
     },
     "c5.large us-east-1a",
     {},
     3},
    {"a region without a default network: another region",
     [](Offers& it) {
       it.stage.cloud.add({.call = "ensure_group", .error = failure(Kind::bad_input, "VPCIdNotSpecified")});
     },
     "g5.2xlarge eu-west-1a",
     {},
     1},
    {"another region that the account has not enabled: the next offer",
     [](Offers& it) {
       std::swap(it.offers[0], it.offers[1]);
       it.stage.cloud.add({.call = "import_key", .error = failure(Kind::denied, "AuthFailure")});
     },
     "g5.2xlarge us-east-1a",
     {},
     1},
    {"credentials that are refused at home stop it",
     [](Offers& it) {
       it.stage.cloud.add({.call = "import_key", .error = failure(Kind::denied, "AuthFailure"), .times = -1});
     },
     "", Kind::denied, 0},
    {"a permission that is missing stops it",
     [](Offers& it) {
       it.stage.cloud.refuse = [](const auto&) { return failure(Kind::denied, "UnauthorizedOperation"); };
     },
     "", Kind::denied, 1},
    {"the cloud ends the machine while it starts: the next offer",
     [](Offers& it) {
       it.stage.cloud.boot = Millis(10'000);
       it.stage.clock.in(Millis(100),
                         [&] { it.stage.cloud.end(it.stage.machine_id(), "Server.InsufficientInstanceCapacity"); });
     },
     "g5.2xlarge us-east-1a",
     {},
     2},
    {"somebody ends the machine while it starts: nothing else is rented behind their back",
     [](Offers& it) {
       it.stage.cloud.boot = Millis(10'000);
       it.stage.clock.in(Millis(100), [&] {
         it.stage.cloud.end(it.stage.machine_id(), "Client.UserInitiatedShutdown: User initiated shutdown");
       });
     },
     "", Kind::lost, 1},
    {"an image that was withdrawn is looked up again, once",
     [](Offers& it) {
       it.stage.cloud.add({.call = "launch", .error = failure(Kind::not_found, "InvalidAMIID.NotFound")});
     },
     "g5.2xlarge us-east-1a",
     {},
     2},
    {"an image that is never there stops it",
     [](Offers& it) {
       it.stage.cloud.add({.call = "launch", .error = failure(Kind::not_found, "InvalidAMIID.NotFound"), .times = -1});
     },
     "", Kind::not_found, 2},
    {"the person cancels while it starts",
     [](Offers& it) {
       it.stage.cloud.boot = Millis(60'000);
       it.stage.clock.in(Millis(1'000), [] { ::raise(SIGTERM); });
     },
     "g5.2xlarge us-east-1a", Kind::cancelled, 1},
    {"a machine that never runs", [](Offers& it) { it.stage.cloud.boot = Millis(3'600'000); }, "g5.2xlarge us-east-1a",
     Kind::timeout, 1},
};

TEST(OffersWalk, LeadsToTheMachineThatCanBeHadOrToNoneAndAllIsGivenBack) {
  for (const auto& walk : walks) {
    SCOPED_TRACE(walk.what);
    Offers it;
    walk.aws_context(it);
    const auto launched = it.launch();
    const auto all = it.rented();
    EXPECT_LE(all.size(), 1U);
    EXPECT_EQ(join(all, ", "), walk.rented);
    EXPECT_EQ(it.stage.cloud.count("launch"), walk.launches);
    EXPECT_EQ(it.stage.broken_promise({}), "");
    if (launched) {
      EXPECT_EQ(launched->instance.id, it.stage.machine_id());
      EXPECT_EQ(launched->location.region, launched->instance.region);
      EXPECT_TRUE(launched->instance.zone.starts_with(launched->location.region));
    } else {
      EXPECT_EQ(launched.error().kind, walk.kind) << describe(launched.error());
    }
    EXPECT_EQ(it.give_back(), "") << it.stage.everything_shown();
  }
}

TEST(OffersWalk, AnyCallThatFailsInAnyWayLeavesNothingThatIsNotNoted) {
  struct Way {
    Kind kind;
    bool took_effect;
  };
  const std::vector<Way> ways = {
      {Kind::denied, false}, {Kind::throttled, false}, {Kind::lost, false}, {Kind::lost, true}};
  int calls = 0;
  {
    Offers it;
    ASSERT_TRUE(it.launch());
    calls = static_cast<int>(it.stage.cloud.calls().size());
  }
  ASSERT_GE(calls, 6);
  for (const auto& way : ways) {
    for (int at = 0; at < calls; ++at) {
      Offers it;
      it.stage.cloud.add({.error = failure(way.kind), .after = at, .took_effect = way.took_effect});
      const auto launched = it.launch();
      const auto where = fmt::format("{} {} {}", it.stage.cloud.calls()[static_cast<std::size_t>(at)], name(way.kind),
                                     way.took_effect ? "after it took effect" : "");
      EXPECT_LE(it.rented().size(), 1U) << where;
      EXPECT_EQ(it.stage.broken_promise({}), "") << where;
      EXPECT_EQ(it.give_back(), "") << where << it.stage.everything_shown();
    }
  }
}

TEST(OffersWalk, AnyWriteThatTheLedgerRefusesLeavesNothingThatIsNotNoted) {
  for (int at = 1;; ++at) {
    ASSERT_LT(at, 50);
    Offers it;
    int writes = 0;
    it.stage.refuse_write = [&](const std::string&) -> std::optional<Error> {
      if (++writes < at) return std::nullopt;
      return failure(Kind::disk_full);
    };
    const auto launched = it.launch();
    EXPECT_EQ(it.stage.broken_promise({}), "") << "write " << at;
    const bool was_refused = writes >= at;
    EXPECT_EQ(launched.has_value(), !was_refused);
    EXPECT_EQ(it.give_back(), "") << "write " << at << it.stage.everything_shown();
    if (!was_refused) return;
  }
}

TEST(OffersWalk, AProcessThatIsKilledAnywhereLeavesNothingThatIsNotNoted) {
  for (int step = 1;; ++step) {
    ASSERT_LT(step, 200);
    Offers it;
    it.stage.kill_at(step);
    bool is_rented = false;
    const bool lived = it.stage.process([&](fleet::Context&) { is_rented = it.launch().has_value(); });
    EXPECT_LE(it.rented().size(), 1U);
    EXPECT_EQ(it.stage.broken_promise({}), "") << "step " << step;
    EXPECT_EQ(it.give_back(), "") << "step " << step << it.stage.everything_shown();
    if (lived) {
      EXPECT_TRUE(is_rented);
      return;
    }
  }
}

}  // namespace
}  // namespace ferry::run
