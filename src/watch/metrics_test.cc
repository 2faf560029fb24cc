#include "watch/metrics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "watch/columns.h"
#include "watch/cursor.h"

namespace ferry::watch {
namespace {

/// "name=value/total …" of what was recognised.
std::string seen(std::string_view line) {
  std::string out;
  for (const auto& metric : recognise(line)) {
    if (!out.empty()) out += ' ';
    out += fmt::format("{}={}", metric.name, metric.value);
    if (metric.total) out += fmt::format("/{}", *metric.total);
  }
  return out;
}

TEST(Metrics, TheUsualWaysOfWritingFiguresAreRecognised) {
  EXPECT_EQ(seen("epoch=7 loss=0.118"), "epoch=7 loss=0.118");
  EXPECT_EQ(seen("Epoch 7/20 - loss: 0.118 - accuracy: 0.96"), "epoch=7/20 loss=0.118 accuracy=0.96");
  EXPECT_EQ(seen("epoch  7/20  loss 0.118  accuracy 0.964"), "epoch=7/20 loss=0.118 accuracy=0.964");
  EXPECT_EQ(seen(R"({"loss":0.1,"step":3})"), "loss=0.1 step=3");
  EXPECT_EQ(seen("{'loss': 0.4, 'grad_norm': 2.5, 'epoch': 1.0}"), "loss=0.4 grad_norm=2.5 epoch=1");
  EXPECT_EQ(seen("[0]\ttrain-logloss:0.52\teval-logloss:0.61"), "round=0 train-logloss=0.52 eval-logloss=0.61");
  EXPECT_EQ(seen("[10]\tvalidation_0-auc:0.97"), "round=10 validation_0-auc=0.97");
  EXPECT_EQ(seen("Epoch [7/20], Step [100/600], Loss: 0.45"), "epoch=7/20 step=100/600 loss=0.45");
  EXPECT_EQ(seen("Train Epoch: 1 [6400/60000 (11%)]\tLoss: 0.3"), "epoch=1 loss=0.3");
  EXPECT_EQ(seen("epoch 3 of 10: val loss 0.2"), "epoch=3/10 val_loss=0.2");
  EXPECT_EQ(seen("Test set: Average loss: 0.05, Accuracy: 9823/10000 (98%)"), "loss=0.05 accuracy=0.9823");
  EXPECT_EQ(seen("acc 96.5% | lr=1e-3 loss=1e-05."), "acc=0.965 lr=0.001 loss=1e-05");
  EXPECT_EQ(seen("\x1b[32mepoch\x1b[0m=3 \x1b[1mloss\x1b[0m: 2"), "epoch=3 loss=2");
}

TEST(Metrics, ProgressBarsTellStepsAndWhatFollows) {
  EXPECT_EQ(seen(" 45%|████▌     | 9/20 [00:03<00:04, 2.5it/s, loss=0.12]"), "step=9/20 loss=0.12");
  EXPECT_EQ(seen("Epoch 3:  45%|###   | 9/20 [00:03<00:04]"), "step=9/20 epoch=3");
  EXPECT_EQ(seen("10/10 [====] - 1s 5ms/step - loss: 0.118 - val_accuracy: 0.96"), "loss=0.118 val_accuracy=0.96");
}

TEST(Metrics, NotANumberAndInfinityAreFigures) {
  const auto nan = recognise("step=3 loss=nan");
  ASSERT_EQ(nan.size(), 2U);
  EXPECT_TRUE(std::isnan(nan[1].value));
  EXPECT_TRUE(std::isinf(recognise("{\"loss\": -Infinity}").at(0).value));
  EXPECT_TRUE(recognise("loss: nano").empty());
}

TEST(Metrics, OrdinaryLinesHaveNone) {
  for (const char* line :
       {"", "hello", "Using device: cuda:0", "train.py:12: Warning 3", "12:30:45 INFO ok", "error: 3 files",
        "http://127.0.0.1:8000/", "loss", "epoch", "loss =", "lossless 3 files", "epoch 7th", "100%"}) {
    EXPECT_EQ(seen(line), "") << line;
  }
}

TEST(Metrics, LinesArePutTogetherFromPiecesOfEachStream) {
  Metrics metrics;
  metrics.add("epoch=1 lo", false);
  metrics.add("warning\n", true);
  metrics.add("ss=0.5\nepoch=2 loss=0.25\n", false);
  ASSERT_EQ(metrics.latest().size(), 2U);
  EXPECT_EQ(metrics.latest()[0].value, 2);
  EXPECT_EQ(metrics.history("loss"), (std::deque<double>{0.5, 0.25}));
  EXPECT_TRUE(metrics.history("epoch").empty());
}

TEST(Metrics, WhatIsKeptIsBounded) {
  Metrics metrics;
  metrics.add(std::string(1 << 20, 'x') + " loss=1\n", false);
  EXPECT_TRUE(metrics.latest().empty());
  for (int i = 0; i < 200; ++i) metrics.add(fmt::format("loss{}=1 loss=2\n", i), false);
  EXPECT_LE(metrics.latest().size(), 32U);
  EXPECT_LE(metrics.history("loss").size(), 64U);
}

TEST(Sparkline, SpansItsOwnValues) {
  EXPECT_EQ(sparkline({1, 2, 3, 4, 5, 6, 7, 8}, 8), "▁▂▃▄▅▆▇█");
  EXPECT_EQ(sparkline({9, 9, 1, 2}, 2), "▁█");
  EXPECT_EQ(columns(sparkline({5, 5, 5}, 8)), 3U);
  EXPECT_EQ(sparkline({-1e308, 1e308}, 8), "▁█");
  EXPECT_EQ(sparkline({}, 8), "");
}

TEST(Columns, AreCountedAsATerminalDoes) {
  EXPECT_EQ(columns("→ ✓ é"), 5U);
  EXPECT_EQ(columns("e\u0301"), 1U);
  EXPECT_EQ(columns("数据🚢"), 6U);
  EXPECT_EQ(columns("\xff\xc3"), 2U);
  EXPECT_EQ(clipped("abcdef", 4), "abc…");
  EXPECT_EQ(clipped("数据数据", 4), "数…");
  EXPECT_EQ(clipped("abcd", 4), "abcd");
  EXPECT_EQ(padded("é", 3), "é  ");
  EXPECT_EQ(padded_left("7", 2), " 7");
}

TEST(Cursor, FollowsTextColoursAndSmallMovesAndAdmitsWhenItIsLost) {
  Cursor cursor;
  cursor.feed("ab\tc\r12", 80);
  EXPECT_EQ(cursor.column(), 2);
  EXPECT_TRUE(cursor.settled());
  EXPECT_FALSE(cursor.row_empty());
  cursor.feed("\x1b[31m\xe2\x96", 80);
  EXPECT_FALSE(cursor.settled());  // half a character
  cursor.feed("\x88\n", 80);
  EXPECT_TRUE(cursor.settled());
  EXPECT_TRUE(cursor.row_empty());
  EXPECT_EQ(cursor.colours(), "\x1b[31m");
  cursor.feed("\x1b[0m\x1b]0;title\a", 80);
  EXPECT_EQ(cursor.colours(), "");
  EXPECT_EQ(cursor.column(), 0);
  cursor.feed("bar\n\x1b[A", 80);
  EXPECT_FALSE(cursor.settled());  // among several bars
  cursor.feed("\n", 80);
  EXPECT_TRUE(cursor.settled());
  cursor.feed(std::string(80, 'x'), 80);
  EXPECT_FALSE(cursor.settled());  // at the edge
  cursor.feed("\x1b[2J\x1b[H\n", 80);
  EXPECT_FALSE(cursor.settled());  // it paints the screen itself
  cursor.fresh_line();
  EXPECT_TRUE(cursor.settled());
}

}  // namespace
}  // namespace ferry::watch
