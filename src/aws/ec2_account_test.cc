#include "aws/ec2_account.h"

#include <gtest/gtest.h>

#include "aws/errors.h"
#include "aws/machine_access.h"
#include "aws/scripted_http.h"

namespace ferry::aws {
namespace {

TEST(Ec2Account, AKeyPairsPublicHalfIsRead) {
  const auto page = parse_describe_key_pairs(
      "<DescribeKeyPairsResponse><keySet><item><keyName>mine</keyName><keyType>rsa</"
      "keyType><publicKey>ssh-rsa AAAA mine\n"
      "</publicKey><tagSet><item><key>a</key><value>b</value></item></tagSet></item><item/></keySet></"
      "DescribeKeyPairsResponse>");
  ASSERT_TRUE(page) << describe(page.error());
  ASSERT_EQ(page->items.size(), 1u);
  EXPECT_EQ(page->items[0].name, "mine");
  EXPECT_EQ(page->items[0].public_key, "ssh-rsa AAAA mine");
  EXPECT_EQ(page->items[0].tags, (Tags{{"a", "b"}}));
}

TEST(Ec2Account, AReservationTellsItsTypeItsZoneAndWhatIsLeft) {
  const auto page = parse_describe_capacity_reservations(
      "<DescribeCapacityReservationsResponse><capacityReservationSet><item><capacityReservationId>cr-1</"
      "capacityReservationId>"
      "<instanceType>p5.48xlarge</instanceType><availabilityZone>us-east-2a</availabilityZone><state>active</"
      "state>"
      "<totalInstanceCount>4</totalInstanceCount><availableInstanceCount>1</availableInstanceCount>"
      "<reservationType>capacity-block</reservationType><endDate>2026-11-24T11:30:00.000Z</endDate></item>"
      "</capacityReservationSet></DescribeCapacityReservationsResponse>");
  ASSERT_TRUE(page) << describe(page.error());
  const auto& one = page->items.at(0);
  EXPECT_EQ(one.instance_type, "p5.48xlarge");
  EXPECT_EQ(one.zone, "us-east-2a");
  EXPECT_EQ(one.available, 1);
  EXPECT_TRUE(one.is_block);
  EXPECT_EQ(one.end_ms, 1795519800000);
}

TEST(Ec2Account, ACapacityBlockIsOfferedForAFeeInDollars) {
  const auto item = [](const char* id, const char* fee, const char* currency) {
    return fmt::format(
        "<item><capacityBlockOfferingId>{}</capacityBlockOfferingId><instanceType>p5.48xlarge</instanceType>"
        "<availabilityZone>us-east-2a</availabilityZone><instanceCount>2</instanceCount>"
        "<startDate>2026-12-01T11:30:00.000Z</startDate><endDate>2026-12-03T11:30:00.000Z</endDate>"
        "<capacityBlockDurationHours>48</capacityBlockDurationHours><upfrontFee>{}</upfrontFee>"
        "<currencyCode>{}</currencyCode></item>",
        id, fee, currency);
  };
  const auto page = parse_describe_capacity_block_offerings(
      "<DescribeCapacityBlockOfferingsResponse><capacityBlockOfferingSet>" + item("cb-1", "3020.16", "USD") +
      item("cb-2", "much", "USD") + item("cb-3", "100", "CNY") +
      "</capacityBlockOfferingSet><nextToken>x</nextToken></DescribeCapacityBlockOfferingsResponse>");
  ASSERT_TRUE(page) << describe(page.error());
  ASSERT_EQ(page->items.size(), 1U) << "what has no price in dollars is none that is told";
  EXPECT_EQ(page->items[0].fee, Usd{3'020'160'000});
  EXPECT_EQ(page->items[0].end_ms - page->items[0].start_ms, 48 * 3'600'000);
  EXPECT_EQ(page->next_token, "x");
}

TEST(Ec2Account, ABlockThatWasBoughtNamesItsReservationAndHasItsTags) {
  const auto bought = parse_purchase_capacity_block(
      "<PurchaseCapacityBlockResponse><capacityReservation><capacityReservationId>cr-1</capacityReservationId>"
      "<reservationType>capacity-block</reservationType><tagSet><item><key>ferry:purchase</key><value>buy-1</value>"
      "</item></tagSet></capacityReservation></PurchaseCapacityBlockResponse>");
  ASSERT_TRUE(bought) << describe(bought.error());
  EXPECT_EQ(bought->id, "cr-1");
  EXPECT_TRUE(bought->is_block);
  EXPECT_EQ(bought->tags.at("ferry:purchase"), "buy-1");
  EXPECT_EQ(parse_purchase_capacity_block("<PurchaseCapacityBlockResponse/>").error().kind, Kind::corrupt);
}

TEST(Ec2Account, OnlyARefusalThatEc2GaveSaysThatNothingWasBought) {
  EXPECT_TRUE(is_surely_refused({Kind::denied, "", "", "", "UnauthorizedOperation"}));
  EXPECT_TRUE(is_surely_refused({Kind::no_capacity, "", "", "", "InsufficientCapacity"}));
  EXPECT_FALSE(is_surely_refused({Kind::denied, "", "", "", ""})) << "a proxy's, perhaps";
  EXPECT_FALSE(is_surely_refused({Kind::throttled, "", "", "", "RequestLimitExceeded"}));
  EXPECT_FALSE(is_surely_refused({Kind::io, "", "", "", "InternalError"}));
  EXPECT_FALSE(is_surely_refused({Kind::lost, "", "", "", ""}));
}

TEST(Ec2Account, WhatIsNoAnswerIsCorrupt) {
  EXPECT_EQ(parse_describe_key_pairs("<DescribeImagesResponse/>").error().kind, Kind::corrupt);
  EXPECT_EQ(parse_describe_capacity_reservations("{}").error().kind, Kind::corrupt);
}

TEST(Ec2Account, WhatAnOwnNetworkCanAnswerHasAKind) {
  EXPECT_EQ(kind_of("InvalidSubnetID.NotFound", 400), Kind::not_found);
  EXPECT_EQ(kind_of("InvalidPlacementGroup.Unknown", 400), Kind::not_found);
  EXPECT_EQ(kind_of("ReservationCapacityExceeded", 400), Kind::no_capacity);
  EXPECT_EQ(kind_of("TargetNotConnected", 400), Kind::conflict);
}

}  // namespace
}  // namespace ferry::aws
