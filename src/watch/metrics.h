#pragma once
/// \file
/// Recognises figures in what a training writes: `epoch=7 loss=0.118`, `Epoch 7/20 - loss: 0.118`, JSON and
/// Python dicts, `[0]  train-logloss:0.52` of XGBoost and LightGBM, and the bars of tqdm.

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
  void line(std::string_view text);
  std::array<std::string, 2> partial_;
  std::vector<Metric> latest_;
  std::map<std::string, std::deque<double>> history_;
};

/// "▁▂▃▅▇█": the last `width` values between their own smallest and largest.
std::string sparkline(const std::deque<double>& values, std::size_t width);

}  // namespace ferry::watch
