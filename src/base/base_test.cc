#include <gtest/gtest.h>

#include "base/bill.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "base/units.h"

namespace ferry {
namespace {

TEST(Units, MoneyIsExactAndRoundsUpNeverDown) {
  EXPECT_EQ(parse_usd("0.0416")->micros, 41'600);
  EXPECT_EQ(parse_usd("$3")->micros, 3'000'000);
  EXPECT_EQ(parse_usd("0.0000001")->micros, 1);
  EXPECT_FALSE(parse_usd("three"));
  EXPECT_FALSE(parse_usd(""));
  EXPECT_FALSE(parse_usd("-1"));
  EXPECT_EQ(cost(Usd{3'600'000}, Millis(1)).micros, 1);
  EXPECT_EQ(cost(Usd{41'600}, Millis(3'600'000)).micros, 41'600);
  EXPECT_EQ(cost(Usd{1}, Millis(1)).micros, 1);
}

TEST(Units, MoneyIsShownWithTheDigitsThatMatter) {
  EXPECT_EQ(show(Usd{1'310'000}), "$1.31");
  EXPECT_EQ(show(Usd{41'600}), "$0.0416");
  EXPECT_EQ(show(Usd{12}), "$0.000012");
  EXPECT_EQ(show(Usd{0}), "$0.00");
}

TEST(Units, DurationsAreReadAsPeopleWriteThem) {
  EXPECT_EQ(parse_duration("90")->count(), 90);
  EXPECT_EQ(parse_duration("90m")->count(), 5400);
  EXPECT_EQ(parse_duration("1h30m")->count(), 5400);
  EXPECT_EQ(parse_duration("1d")->count(), 86'400);
  EXPECT_EQ(parse_duration("1.5h")->count(), 5400);
  EXPECT_EQ(parse_duration("2 h")->count(), 7200);
  EXPECT_EQ(parse_duration("1 hour 30 mins")->count(), 5400);
  EXPECT_EQ(parse_duration("1w")->count(), 7 * 86'400);
  EXPECT_EQ(parse_duration("24:00:00")->count(), 86'400);
  EXPECT_EQ(parse_duration("1:02:03")->count(), 3723);
  EXPECT_EQ(parse_duration("1-12:00:00")->count(), 36 * 3600);
  for (const auto* bad : {"",        " ",          "h",
                          "0",       "1x",         "1h30",
                          "-5m",     "400d",       "99999999999999999999",
                          "1 2h",    "1.h",        ".5h",
                          "1.5",     "1..5h",      "1.2345h",
                          "2 ms",    "1h 30",      "1:30",
                          "1:60:00", "1:00:00:00", "0:00:00",
                          "1:0:0",   "-1:00:00",   "-",
                          "1-2",     "99999:00:00"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
}

TEST(Units, SizesAndTimesAreShort) {
  EXPECT_EQ(show_bytes(0), "0 B");
  EXPECT_EQ(show_bytes(1'100'000), "1.1 MB");
  EXPECT_EQ(show_bytes(412'300), "412 KB");
  EXPECT_EQ(show_bytes(999'999), "1.0 MB");
  EXPECT_EQ(show_duration(Millis(40)), "40 ms");
  EXPECT_EQ(show_duration(Millis(31'000)), "00:31");
  EXPECT_EQ(show_duration(Millis(3'729'000)), "1:02:09");
}

TEST(Text, QuotedWordsAreInertInAShell) { EXPECT_EQ(shell_quoted("it's $HOME"), R"('it'\''s $HOME')"); }

TEST(Text, WordsAreShownAsOneWouldTypeThem) {
  EXPECT_EQ(as_typed(std::vector<std::string>{"python", "train.py", "--lr=0.1", "a b", "", "x\x1b[2J"}),
            "python train.py --lr=0.1 'a b' '' 'x\\x1b[2J'");
}

TEST(Text, Base64FollowsTheRfcVectors) {
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64("fooba"), "Zm9vYmE=");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(*from_base64("Zm9v\nYg=="), "foob");
  EXPECT_FALSE(from_base64("Zm9"));
  EXPECT_FALSE(from_base64("Z*9v"));
}

TEST(Text, PercentEncodingRoundTrips) {
  EXPECT_EQ(percent_encoded("a b/ü~"), "a%20b%2F%C3%BC~");
  EXPECT_EQ(percent_decoded("a%20b%2F%C3%BC~"), "a b/ü~");
  EXPECT_EQ(percent_decoded("a+b", true), "a b");
  EXPECT_EQ(percent_decoded("100%"), "100%");
}

TEST(Text, TheNearestNameIsFoundForATypoAndNotForANonsenseWord) {
  const std::vector<std::string> names = {"resources", "workdir", "outputs"};
  EXPECT_EQ(nearest("resouces", names), "resources");
  EXPECT_EQ(nearest("zzzzzzzzz", names), std::nullopt);
}

TEST(Text, ControlBytesCannotReachATerminal) {
  EXPECT_EQ(printable("a\x1b[2Jb"), "a\\x1b[2Jb");
  EXPECT_EQ(printable("grün"), "grün");
  EXPECT_EQ(printable("\xff"), "\\xff");
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b");
  EXPECT_EQ(printable("\xe2\x80\xae"), "\\xe2\\x80\\xae") << "turns the reading direction";
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
  EXPECT_EQ(printable("\xe0\x80\x80"), "\\xe0\\x80\\x80") << "longer than needed";
}

TEST(Text, WhatComesFromOutsideIsOneShortLine) {
  EXPECT_EQ(short_line("a\nb"), "a\\x0ab");
  EXPECT_EQ(short_line("abcdef", 3), "abc…");
  EXPECT_EQ(short_line("ab\xc3\xa9\xc3\xa9", 3), "ab…");  // never half a letter
  EXPECT_EQ(short_line(std::string(100, '\x80'), 10).size(), short_line(std::string(90, '\x80'), 10).size());
}

TEST(Text, ThousandsOfNotesAreTenAndACount) {
  const std::vector<std::string> many(2000, "one\n");
  const auto shown = first_few(many);
  ASSERT_EQ(shown.size(), 11u);
  EXPECT_EQ(shown[9], "one\\x0a");
  EXPECT_EQ(shown[10], "and 1990 more like these");
  EXPECT_EQ(first_few(std::vector<std::string>{"one"}), std::vector<std::string>{"one"});
}

TEST(Hash, Sha256AndHmacMatchPublishedVectors) {
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  // RFC 4231, test case 2.
  EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Hash, RandomNamesHaveTheLengthAskedFor) {
  EXPECT_EQ(random_name(6).size(), 6U);
  EXPECT_NE(random_name(12), random_name(12));
}

TEST(JsonText, BrokenTextIsAnErrorNotAnException) {
  EXPECT_FALSE(parse_json("{"));
  EXPECT_EQ(dump_json(Json{{"a", "\xff"}}), "{\"a\":\"\xEF\xBF\xBD\"}");
  EXPECT_EQ(text_at(Json{{"a", 1}}, "a", "x"), "x");
  EXPECT_EQ(int_at(Json{{"a", 1e300}}, "a", 7), 7);
  EXPECT_EQ(int_at(Json{{"a", 2.5}}, "a"), 2);
}

TEST(Bills, ADiskCostsBySizeTierAndRegion) {
  const auto hour = [](Disk disk, const char* region = "us-east-1") { return disk_hour(disk, region).micros; };
  EXPECT_EQ(hour({.gib = 73}), 8'000);  // $0.08 a GiB in 730 hours
  EXPECT_EQ(hour({.gib = 0, .iops = 9000}), 0);
  EXPECT_EQ(hour({.gib = 73, .iops = 3000, .mib_per_s = 125}), 8'000);
  EXPECT_EQ(hour({.gib = 73, .iops = 3730, .mib_per_s = 198}), 8'000 + 5'000 + 4'000);
  EXPECT_EQ(hour({.type = "io2", .gib = 146, .iops = 1460}), 25'000 + 130'000);
  EXPECT_EQ(hour({.type = "standard", .gib = 73}), 5'000 + 36'000);
  EXPECT_EQ(hour({.gib = 73}, "eu-west-1"), 8'800);
  EXPECT_EQ(hour({.gib = 73}, "xx-nowhere-1"), 12'000);
}

TEST(Bills, AMinuteIsChargedAtLeastAndThenEverySecondThatBegan) {
  const Rates rates{Usd{3'600'000}, Usd{360'000}, Usd{36'000}};
  EXPECT_EQ(charge(rates, Millis(-5)).total(), Usd{66'600});
  EXPECT_EQ(charge(rates, Millis(2'000)).time, Seconds(60));
  EXPECT_EQ(charge(rates, Millis(2'000), Millis(0)).total(), cost(rates.disk, Seconds(60))) << "it never ran";
  const auto stopped = charge(rates, Millis(7'200'000), Millis(90'001));
  EXPECT_EQ(stopped.disk, cost(rates.disk, Seconds(7'200)));
  EXPECT_EQ(stopped.machine + stopped.address, cost(rates.machine, Seconds(91)) + cost(rates.address, Seconds(91)));
  const auto bill = charge(rates, Millis(90'001));
  EXPECT_EQ(bill.time, Seconds(91));
  EXPECT_EQ(bill.machine, Usd{91'000});
  EXPECT_EQ(bill.disk, Usd{9'100});
  EXPECT_EQ(bill.address, Usd{910});
}

TEST(Errors, AProgramIsToldWhatCanBeDoneAboutThem) {
  const Error full{Kind::no_capacity, "no room", "none in us-east-1", "name another region",
                   "InsufficientInstanceCapacity"};
  EXPECT_EQ(error_json(full), (Json{{"code", "InsufficientInstanceCapacity"},
                                    {"kind", "no_capacity"},
                                    {"message", "no room"},
                                    {"why", "none in us-east-1"},
                                    {"fix", "name another region"},
                                    {"retryable", true}}));
  for (const auto kind : {Kind::throttled, Kind::lost, Kind::timeout}) EXPECT_TRUE(may_work_later(kind)) << name(kind);
  for (const auto kind : {Kind::bad_input, Kind::denied, Kind::quota, Kind::cancelled, Kind::bug, Kind::conflict})
    EXPECT_FALSE(may_work_later(kind)) << name(kind);
}

}  // namespace
}  // namespace ferry
