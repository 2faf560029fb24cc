#pragma once
/// \file
/// Recognises figures in what a training writes: `epoch=7 loss=0.118`, `Epoch 7/20 - loss: 0.118`, JSON and
/// Python dicts (Hugging Face), `[0]  train-logloss:0.52` of XGBoost, LightGBM and CatBoost, the bars of tqdm, Keras
/// and Lightning, and tables whose heading names the columns (fastai, skorch, Ultralytics).

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::watch {

/// progress: epochs and steps; loss: better when lower; score: better when higher.
enum class Role { progress, loss, score, other };

struct Metric {
  std::string name;             ///< as written, in lower case; "val_loss" also for "val loss"
  double value = 0;             ///< may be NaN or infinite; "96%" and, of a score, "96/100" are 0.96
  std::optional<double> total;  ///< of progress: 20 in 7/20
  Role role = Role::other;
};

/// The figures of one line, in order; none if it names no progress, loss or score. Reads the first 4096
/// bytes.
std::vector<Metric> recognise(std::string_view line);

/// A table that a training writes line by line, between other lines:
///
///   epoch     train_loss  valid_loss  accuracy  time
///   0         0.512204    0.423415    0.811000  00:10
class MetricTable {
 public:
  /// The figures of a row; none if the line is no row of the table whose heading was the last. Remembers a heading: two
  /// names or more, two spaces or a "|" apart, of them one of progress and one of a loss or score.
  std::vector<Metric> take(std::string_view line);

 private:
  std::vector<std::string> names_;  ///< of the columns, as recognise() writes them
};

/// What was seen so far. Bounded: 32 names, 64 values of each.
class Metrics {
 public:
  /// Any piece of the output; lines (or bars, which end in \r) are put together for each stream by itself.
  void add(std::string_view bytes, bool is_error);
  /// The newest value of each name, in order of first appearance.
  const std::vector<Metric>& latest() const { return latest_; }
  /// The newest values of a loss or score, oldest first; without those that are not finite.
  const std::deque<double>& history(const std::string& name) const;

 private:
  void note(std::vector<Metric> metrics);
  std::array<std::string, 2> partial_;
  std::array<MetricTable, 2> tables_;
  std::vector<Metric> latest_;
  std::map<std::string, std::deque<double>> history_;
};

/// "▁▂▃▅▇█": the last `width` values between their own smallest and largest.
std::string sparkline(const std::deque<double>& values, std::size_t width);

}  // namespace ferry::watch
