#include "cli/log_sieve.h"

#include <gtest/gtest.h>

namespace ferry::cli::log_sieve_test {
namespace {

struct Shown {
  std::string out, err;
  LogSieve::Take take() {
    return [this](std::string_view bytes, bool is_error) {
      (is_error ? err : out) += bytes;
      return Status();
    };
  }
};

TEST(LogSieve, LinesAreShownByTheTimeOfTheirFirstByte) {
  auto sieve = LogSieve::make(100, 200, "").value();
  Shown shown;
  ASSERT_TRUE(sieve.add("early\nhalf ", false, 50, shown.take()));
  ASSERT_TRUE(sieve.add("of it\nin time\nbegun in ", false, 150, shown.take()));
  ASSERT_TRUE(sieve.add("time\nlate\n", false, 250, shown.take()));
  ASSERT_TRUE(sieve.add("unknown\n", true, 0, shown.take()));
  ASSERT_TRUE(sieve.finish(shown.take()));
  EXPECT_EQ(shown.out, "in time\nbegun in time\n");
  EXPECT_EQ(shown.err, "unknown\n");
}

TEST(LogSieve, ASearchSeesWholeLinesAlsoThoseThatCameInParts) {
  auto sieve = LogSieve::make(0, 0, "loss=[0-9.]+$").value();
  Shown shown;
  ASSERT_TRUE(sieve.add("epoch=1 lo", false, 1, shown.take()));
  ASSERT_TRUE(sieve.add("saved loss=0.5\n", true, 1, shown.take()));
  ASSERT_TRUE(sieve.add("ss=0.25\nnothing\nlast loss=0.1", false, 1, shown.take()));
  EXPECT_EQ(shown.out, "epoch=1 loss=0.25\n");
  ASSERT_TRUE(sieve.finish(shown.take()));
  EXPECT_EQ(shown.out, "epoch=1 loss=0.25\nlast loss=0.1");
  EXPECT_EQ(shown.err, "saved loss=0.5\n");
}

TEST(LogSieve, WithoutASearchNothingIsHeldBack) {
  auto sieve = LogSieve::make(0, 0, "").value();
  Shown shown;
  ASSERT_TRUE(sieve.add("50 %\r", false, 1, shown.take()));
  EXPECT_EQ(shown.out, "50 %\r");
}

TEST(LogSieve, WhatIsNoRegularExpressionIsRefused) {
  const auto sieve = LogSieve::make(0, 0, "loss=(");
  ASSERT_FALSE(sieve);
  EXPECT_EQ(sieve.error().kind, Kind::bad_input);
}

}  // namespace
}  // namespace ferry::cli::log_sieve_test
