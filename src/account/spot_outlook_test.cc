// What is said of spot machines, of answers in the form that EC2's reference and the Spot Advisor's file have.
#include "account/spot_outlook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "account/spot_advisor.h"
#include "aws/scripted_http.h"

namespace ferry::account::spot_outlook_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const char* const advisor_file = R"({
  "global_rate": "<10%",
  "instance_types": {"g5.xlarge": {"cores": 4, "emr": true, "ram_gb": 16.0}},
  "ranges": [{"index": 0, "label": "<5%", "dots": 0, "max": 5}, {"index": 1, "label": "5-10%", "dots": 1, "max": 11},
             {"index": 4, "label": ">20%", "dots": 4, "max": 100}, {"index": 9, "label": "often"}],
  "spot_advisor": {"us-east-1": {"Linux": {"g5.xlarge": {"s": 60, "r": 4}, "g4dn.xlarge": {"s": 70, "r": 1},
                                           "g6.xlarge": {"r": 9}, "g6.2xlarge": "x"},
                                 "Windows": {"g5.xlarge": {"s": 30, "r": 0}}}}})";

TEST(SpotAdvisor, SaysHowOftenLinuxMachinesAreTakenBack) {
  const auto advisor = parse_spot_advisor(parse_json(advisor_file).value());
  ASSERT_TRUE(advisor) << describe(advisor.error());
  EXPECT_EQ(plan::show(advisor->band("us-east-1", "g5.xlarge").value()), ">20%");
  EXPECT_EQ(plan::show(advisor->band("us-east-1", "g4dn.xlarge").value()), "5-10%");
  EXPECT_FALSE(advisor->band("us-east-1", "g6.xlarge")) << "a label that is no band";
  EXPECT_FALSE(advisor->band("eu-west-1", "g5.xlarge"));
}

TEST(SpotAdvisor, AnotherFileIsNone) {
  for (const char* text :
       {"[]", "null", "{}", R"({"ranges": [], "spot_advisor": {"us-east-1": {"Linux": {"a": {"r": 0}}}}})",
        R"({"ranges": {"a": 1}, "spot_advisor": 3})"}) {
    const auto advisor = parse_spot_advisor(parse_json(text).value());
    ASSERT_FALSE(advisor) << text;
    EXPECT_EQ(advisor.error().kind, Kind::corrupt);
  }
}

TEST(SpotAdvisor, IsAskedOfAwsOnlyWhereEc2IsAwss) {
  cloud::AwsContext aws_context;
  EXPECT_THAT(spot_advisor_url(aws_context).value_or(""), HasSubstr("spot-advisor-data.json"));
  aws_context.endpoint_url = "http://127.0.0.1:9";
  EXPECT_FALSE(spot_advisor_url(aws_context));
}

std::string price(const char* zone, const char* usd, const char* time) {
  return fmt::format(
      "<item><instanceType>g5.xlarge</instanceType><availabilityZone>{}</availabilityZone><spotPrice>{}</spotPrice>"
      "<timestamp>{}</timestamp></item>",
      zone, usd, time);
}

std::string history() {
  return "<DescribeSpotPriceHistoryResponse><spotPriceHistorySet>" +
         price("us-east-1b", "0.400000", "2023-11-10T00:00:00.000Z") +
         price("us-east-1a", "0.500000", "2023-11-14T00:00:00.000Z") +
         price("us-east-1a", "0.450000", "2023-11-01T00:00:00.000Z") +
         "</spotPriceHistorySet></DescribeSpotPriceHistoryResponse>";
}

const std::string scores =
    "<GetSpotPlacementScoresResponse><spotPlacementScoreSet><item><region>us-east-1</region>"
    "<availabilityZoneId>use1-az1</availabilityZoneId><score>3</score></item><item><region>us-east-1</region>"
    "<availabilityZoneId>use1-az2</availabilityZoneId><score>8</score></item></spotPlacementScoreSet>"
    "</GetSpotPlacementScoresResponse>";
const std::string zone_list =
    "<DescribeAvailabilityZonesResponse><availabilityZoneInfo><item><zoneName>us-east-1b</zoneName>"
    "<zoneId>use1-az2</zoneId></item></availabilityZoneInfo></DescribeAvailabilityZonesResponse>";

struct World {
  aws::ScriptedHttp http;
  os::FakeClock clock;

  SpotOutlook ask(const std::vector<std::string>& types, const char* words = "duration: 10h") {
    auto task = task::parse_task(fmt::format("resources: {{infra: rehearsal, use_spot: true}}\n{}\n", words), "t.yaml");
    EXPECT_TRUE(task);
    fleet::Planned planned;
    planned.location.provider = "rehearsal";
    for (const auto& name : types) {
      plan::Offer offer;
      offer.type = *fleet::catalog_in_force().find(name);
      offer.region = "us-east-1";
      offer.market = plan::Market::spot;
      offer.hourly = Usd{600'000};
      planned.ranking.offers.push_back(offer);
    }
    return spot_outlook(*task, planned, http, clock, [] {
      cloud::AwsContext aws_context;
      aws_context.region = "us-east-1";
      aws_context.endpoint_url = "http://127.0.0.1:9";
      aws_context.credentials = cloud::fixed_credentials("AKID", "secret");
      aws_context.max_attempts = 1;
      return Result<cloud::AwsContext>(aws_context);
    });
  }
};

TEST(SpotOutlook, SaysPricesScoresAndWhatIsToBeExpected) {
  World world;
  for (const auto& answer : {history(), scores, zone_list}) world.http.reply(200, answer);
  const auto outlook = world.ask({"g5.xlarge", "g5.2xlarge", "g5.4xlarge", "g5.8xlarge"});
  EXPECT_THAT(outlook.problems, ElementsAre());
  EXPECT_THAT(outlook.scored_types, ElementsAre("g5.2xlarge", "g5.4xlarge", "g5.8xlarge", "g5.xlarge"));
  ASSERT_EQ(outlook.scores.size(), 2U);
  EXPECT_EQ(outlook.scores[0].zone, "us-east-1b");
  EXPECT_EQ(outlook.scores[0].score, 8);
  EXPECT_EQ(outlook.scores[1].zone, "use1-az1") << "a zone that EC2 does not name";
  ASSERT_EQ(outlook.offers.size(), 3U);
  const auto& best = outlook.offers[0];
  ASSERT_EQ(best.zones.size(), 2U);
  EXPECT_EQ(best.zones[0].zone, "us-east-1a");
  EXPECT_EQ(best.zones[0].prices.changes, 1);
  EXPECT_EQ(best.hourly, Usd{400'000}) << "the lowest of now";
  EXPECT_FALSE(best.band);
  ASSERT_TRUE(best.spot);
  EXPECT_EQ(best.spot->cost, Usd{4'033'333}) << "ten hours and five minutes, no interruption counted";
  EXPECT_GT(best.on_demand.value_or(Usd{}), best.spot->cost);
  EXPECT_EQ(outlook.offers[1].hourly, Usd{600'000}) << "the plan's where EC2 tells none";
}

TEST(SpotOutlook, WithFewerThanThreeTypesNoScoreIsAskedForAndWhyIsSaid) {
  World world;
  world.http.reply(200, history());
  const auto outlook = world.ask({"g5.xlarge", "g5.2xlarge"});
  EXPECT_THAT(outlook.problems,
              ElementsAre(HasSubstr("fewer than three types always score low, and this task takes two")));
  EXPECT_TRUE(outlook.scores.empty());
  EXPECT_EQ(outlook.offers.size(), 2U);
}

TEST(SpotOutlook, WhatMayNotBeAskedIsOneLineAndNothingElseIsLost) {
  World world;
  world.http.reply(200, history());
  world.http.reply(403,
                   "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized to "
                   "perform this operation.</Message></Error></Errors></Response>");
  const auto outlook = world.ask({"g5.xlarge", "g5.2xlarge", "g5.4xlarge"}, "max_duration: 4h");
  ASSERT_EQ(outlook.problems.size(), 1U);
  EXPECT_THAT(outlook.problems[0], HasSubstr("placement score: "));
  EXPECT_THAT(outlook.problems[0], HasSubstr("ferry policy"));
  EXPECT_FALSE(outlook.is_estimate);
  EXPECT_EQ(outlook.offers[0].zones.size(), 2U);
}

TEST(SpotOutlook, IsOfNothingWhereThereAreNoSpotOffers) {
  World world;
  EXPECT_TRUE(world.ask({}).offers.empty());
}

}  // namespace
}  // namespace ferry::account::spot_outlook_test
