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
  EXPECT_EQ(seen("Train Epoch: 1 [6400/60000 (11%)]\tLoss: 0.3"), "epoch=1 step=6400/60000 loss=0.3");
  EXPECT_EQ(seen("epoch 3 of 10: val loss 0.2"), "epoch=3/10 val_loss=0.2");
  EXPECT_EQ(seen("Test set: Average loss: 0.05, Accuracy: 9823/10000 (98%)"), "loss=0.05 accuracy=0.9823");
  EXPECT_EQ(seen("acc 96.5% | lr=1e-3 loss=1e-05."), "acc=0.965 lr=0.001 loss=1e-05");
  EXPECT_EQ(seen("\x1b[32mepoch\x1b[0m=3 \x1b[1mloss\x1b[0m: 2"), "epoch=3 loss=2");
}

TEST(Metrics, ProgressBarsTellStepsAndWhatFollows) {
  EXPECT_EQ(seen(" 45%|████▌     | 9/20 [00:03<00:04, 2.5it/s, loss=0.12]"), "step=9/20 loss=0.12");
  EXPECT_EQ(seen("Epoch 3:  45%|###   | 9/20 [00:03<00:04]"), "step=9/20 epoch=3");
  EXPECT_EQ(seen("10/10 [====] - 1s 5ms/step - loss: 0.118 - val_accuracy: 0.96"),
            "step=10/10 loss=0.118 val_accuracy=0.96");
}

TEST(Metrics, WhatKerasWritesIsRecognised) {
  EXPECT_EQ(seen("Epoch 1/10"), "epoch=1/10");
  EXPECT_EQ(seen("  1/313 [..............................] - ETA: 1:02 - loss: 2.3026 - accuracy: 0.0938"),
            "step=1/313 loss=2.3026 accuracy=0.0938");
  EXPECT_EQ(seen("313/313 [==============================] - 2s 5ms/step - loss: 0.2958 - val_loss: 0.1434"),
            "step=313/313 loss=0.2958 val_loss=0.1434");
  EXPECT_EQ(
      seen("\x1b[1m1875/1875\x1b[0m \x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m3s\x1b[0m 1ms/step - "
           "accuracy: 0.8769 - loss: 0.4341"),
      "step=1875/1875 accuracy=0.8769 loss=0.4341");
  EXPECT_EQ(seen("313/313 - 1s - 3ms/step - accuracy: 0.9706 - loss: 0.1023 - val_loss: 0.11"),
            "step=313/313 accuracy=0.9706 loss=0.1023 val_loss=0.11");
}

TEST(Metrics, WhatLightningWritesIsRecognised) {
  EXPECT_EQ(seen("Epoch 4: 100%|██████████| 938/938 [00:07<00:00, 124.23it/s, v_num=3, train_loss=0.0211]"),
            "step=938/938 epoch=4 v_num=3 train_loss=0.0211");
  EXPECT_EQ(seen("Epoch 0/9  ━━━━━━━━━━━━━━━━ 938/938 0:00:10 • 0:00:00 90.50it/s v_num: 0.000 train_loss: 0.201"),
            "step=938/938 epoch=0/9 v_num=0 train_loss=0.201");
  EXPECT_EQ(seen("Validation DataLoader 0:  50%|█████     | 5/10 [00:00<00:00, 88.1it/s]"), "");
  EXPECT_EQ(seen("Sanity Checking DataLoader 0: 100%|██████████| 2/2 [00:00<00:00,  8.08it/s]"), "");
}

TEST(Metrics, WhatHuggingFaceWritesIsRecognised) {
  EXPECT_EQ(seen("{'loss': 0.6713, 'grad_norm': 3.21, 'learning_rate': 4.8e-05, 'epoch': 0.13}"),
            "loss=0.6713 grad_norm=3.21 learning_rate=4.8e-05 epoch=0.13");
  EXPECT_EQ(seen("{'loss': '0.6713', 'learning_rate': '4.8e-05', 'epoch': '0.13'}"),
            "loss=0.6713 learning_rate=4.8e-05 epoch=0.13");
  EXPECT_EQ(seen("{'eval_loss': 0.35, 'eval_accuracy': 0.86, 'eval_runtime': 4.1, 'epoch': 1.0}"),
            "eval_loss=0.35 eval_accuracy=0.86 eval_runtime=4.1 epoch=1");
  EXPECT_EQ(seen(" 13%|█▎        | 500/3750 [01:15<08:10,  6.63it/s]"), "step=500/3750");
  EXPECT_EQ(seen("Map:  32%|███▏      | 8000/25000 [00:01<00:02, 6234.11 examples/s]"), "");
  EXPECT_EQ(seen("Downloading data: 100%|██████████| 21.0M/21.0M [00:00<00:00, 41.5MB/s]"), "");
  EXPECT_EQ(seen("Loading checkpoint shards:  50%|█████     | 1/2 [00:02<00:02,  2.5s/it]"), "");
}

TEST(Metrics, WhatBoostersWriteIsRecognised) {
  EXPECT_EQ(seen("[99]\tvalidation_0-logloss:0.01\tvalidation_1-logloss:0.02"),
            "round=99 validation_0-logloss=0.01 validation_1-logloss=0.02");
  EXPECT_EQ(seen("[10]\ttraining's auc: 0.98\tvalid_1's auc: 0.93"), "round=10 training_auc=0.98 valid_1_auc=0.93");
  EXPECT_EQ(seen("[20]\tcv_agg's valid binary_logloss: 0.51 + 0.003"), "round=20 valid_binary_logloss=0.51");
  EXPECT_EQ(seen("[LightGBM] [Info] Iteration:10, training auc : 0.9"), "iteration=10 training_auc=0.9");
  EXPECT_EQ(seen("[LightGBM] [Info] Iteration:10, valid_1 auc : 0.8"), "iteration=10 valid_1_auc=0.8");
  EXPECT_EQ(seen("7:\tlearn: 0.6729\ttest: 0.6741\tbest: 0.6741 (7)\ttotal: 57ms\tremaining: 57s"),
            "round=7 learn=0.6729 test=0.6741 best=0.6741");
}

TEST(Metrics, WhatOtherProgramsWriteIsRecognised) {
  EXPECT_EQ(seen("Epoch: [0][  10/5005]\tTime  0.5 ( 0.9)\tLoss 6.9e+00 (7.0e+00)\tAcc@1   0.50 (  0.10)"),
            "epoch=0 step=10/5005 loss=6.9 acc@1=0.5");
  EXPECT_EQ(seen("Epoch: [0]  [ 10/100]  eta: 0:00:10  lr: 0.1000  loss: 2.3 (2.5)"),
            "epoch=0 step=10/100 lr=0.1 loss=2.3");
  EXPECT_EQ(seen("05/01 10:00:00 - mmengine - INFO - Epoch(train)  [1][100/1000]  lr: 1.0e-02  loss: 0.5"),
            "epoch=1 step=100/1000 lr=0.01 loss=0.5");
  EXPECT_EQ(seen("iter 100: loss 4.5, time 12.5ms, mfu 2.1%"), "iter=100 loss=4.5");
  EXPECT_EQ(seen(" iteration        5/     100 | learning rate: 1.5E-04 | lm loss: 1.08E+01 | loss scale: 1.0"),
            "iteration=5/100 learning_rate=0.00015 loss=10.8 loss_scale=1");
  EXPECT_EQ(seen("eta: 0:10:00  iter: 19  total_loss: 1.25  loss_cls: 0.5  lr: 0.001  max_mem: 100M"),
            "iter=19 total_loss=1.25 loss_cls=0.5 lr=0.001");
  EXPECT_EQ(seen("|    train/loss           | 0.0321     |"), "train/loss=0.0321");
  EXPECT_EQ(seen("|    ep_rew_mean          | 22.3       |"), "ep_rew_mean=22.3");
}

/// The newest figures, as seen() shows them.
std::string told(const Metrics& metrics) {
  std::string out;
  for (const auto& metric : metrics.latest()) {
    if (!out.empty()) out += ' ';
    out += fmt::format("{}={}", metric.name, metric.value);
    if (metric.total) out += fmt::format("/{}", *metric.total);
  }
  return out;
}

TEST(Metrics, TablesOfFastaiSkorchAndUltralyticsAreRead) {
  Metrics fastai;
  fastai.add(
      "epoch     train_loss  valid_loss  accuracy  time    \n"
      "0         0.512204    0.423415    0.811000  00:10     \n"
      "1         0.412204    0.323415    0.911000  00:09     \n",
      false);
  EXPECT_EQ(told(fastai), "epoch=1 train_loss=0.412204 valid_loss=0.323415 accuracy=0.911");
  EXPECT_EQ(fastai.history("valid_loss"), (std::deque<double>{0.423415, 0.323415}));
  Metrics skorch;
  skorch.add(
      "  epoch    train_loss    valid_acc    valid_loss     dur\n"
      "-------  ------------  -----------  ------------  ------\n"
      "      1        \x1b[36m0.6905\x1b[0m       \x1b[32m0.6150\x1b[0m        \x1b[35m0.6546\x1b[0m  0.0311\n",
      false);
  EXPECT_EQ(told(skorch), "epoch=1 train_loss=0.6905 valid_acc=0.615 valid_loss=0.6546 dur=0.0311");
  Metrics yolo;
  yolo.add(
      "      Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances       Size\n"
      "        2/3      2.61G      1.127      1.634      1.222         13        640:  50%|█████     | 4/8\r",
      true);
  EXPECT_EQ(told(yolo), "epoch=2/3 box_loss=1.127 cls_loss=1.634 dfl_loss=1.222 instances=13 size=640");
  Metrics none;
  none.add("name      loss function\nepoch  loss\nhello  world\n12:30  start\n", false);
  EXPECT_EQ(told(none), "");
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
