#include "watch/transfer.h"

#include <gtest/gtest.h>

namespace ferry::watch {
namespace {

TEST(Transfer, SaysBytesFilesRateAndTimeLeft) {
  Transfer transfer;
  EXPECT_EQ(transfer.line({0, 3'400'000'000, 0, 20'000}, 1000), "0 B of 3.4 GB · 0 of 20000 files");
  EXPECT_EQ(transfer.line({10'000'000, 3'400'000'000, 100, 20'000}, 1400), "10 MB of 3.4 GB · 100 of 20000 files");
  EXPECT_EQ(transfer.line({1'200'000'000, 3'400'000'000, 12'000, 20'000}, 3000),
            "1.2 of 3.4 GB · 12000 of 20000 files · 600 MB/s · 3.6 s left");
  EXPECT_EQ(transfer.line({3'400'000'000, 3'400'000'000, 20'000, 20'000}, 5000),
            "3.4 of 3.4 GB · 20000 of 20000 files · 850 MB/s");
}

TEST(Transfer, TheRateIsThatOfTheLastSeconds) {
  Transfer transfer;
  std::int64_t at = 0;
  std::uint64_t bytes = 0;
  for (; at <= 20'000; at += 100) (void)transfer.line({bytes += 5'000'000, 2'000'000'000, 0, 1}, at);
  EXPECT_EQ(transfer.line({bytes, 2'000'000'000, 0, 1}, at), "1.0 of 2.0 GB · 49 MB/s · 00:20 left");
  for (; at <= 40'000; at += 100) (void)transfer.line({bytes, 2'000'000'000, 0, 1}, at);
  EXPECT_EQ(transfer.line({bytes, 2'000'000'000, 0, 1}, at), "1.0 of 2.0 GB · 0 B/s") << "it stands still";
  for (int i = 0; i < 100; ++i, at += 100) (void)transfer.line({bytes += 100'000, 2'000'000'000, 0, 1}, at);
  EXPECT_EQ(transfer.line({bytes, 2'000'000'000, 0, 1}, at), "1.0 of 2.0 GB · 980 KB/s · 16:45 left");
}

TEST(Transfer, OneThatBeginsAnewHasNoRateYet) {
  Transfer transfer;
  (void)transfer.line({0, 100, 0, 1}, 0);
  (void)transfer.line({90, 100, 0, 1}, 5000);
  EXPECT_EQ(transfer.line({10, 100, 0, 1}, 5100), "10 of 100 B");
}

}  // namespace
}  // namespace ferry::watch
