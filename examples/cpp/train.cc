// Trains a small neural network to tell the two arms of a spiral apart, by plain gradient descent, with
// nothing but the standard library. Writes outputs/model.txt.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr int hidden = 32;

struct Point {
  double x, y;
  int arm;
};

std::vector<Point> spiral(int count, std::mt19937& random) {
  std::uniform_real_distribution<double> along(0.25, 1.0);
  std::normal_distribution<double> noise(0.0, 0.02);
  std::vector<Point> points;
  for (int i = 0; i < count; ++i) {
    const double t = along(random), angle = 3 * M_PI * t + (i % 2) * M_PI;
    points.push_back({t * std::cos(angle) + noise(random), t * std::sin(angle) + noise(random), i % 2});
  }
  return points;
}

/// Two inputs, two layers of `hidden` tanh units, one output: the chance of arm 1. Adam keeps two moments a
/// weight.
class Network {
 public:
  explicit Network(std::mt19937& random) : weights_(size), gradient_(size), mean_(size), square_(size) {
    std::normal_distribution<double> start(0.0, 1.0);
    for (int i = 0; i < size; ++i) weights_[i] = start(random) * (i < second ? 1.0 : 1.0 / std::sqrt(hidden));
  }

  double chance(const Point& point) {
    const double* w = weights_.data();
    double sum = w[size - 1];
    for (int j = 0; j < hidden; ++j) {
      first_[j] = std::tanh(w[3 * j] * point.x + w[3 * j + 1] * point.y + w[3 * j + 2]);
    }
    for (int k = 0; k < hidden; ++k) {
      const double* row = w + second + k * (hidden + 1);
      double inner = row[hidden];
      for (int j = 0; j < hidden; ++j) inner += row[j] * first_[j];
      second_[k] = std::tanh(inner);
      sum += w[third + k] * second_[k];
    }
    return 1 / (1 + std::exp(-sum));
  }

  /// Adds this point's part of the gradient and returns its loss.
  double learn(const Point& point) {
    const double chance_now = chance(point), wrong = chance_now - point.arm;
    double back[hidden] = {};
    for (int k = 0; k < hidden; ++k) {
      gradient_[third + k] += wrong * second_[k];
      const double slope = wrong * weights_[third + k] * (1 - second_[k] * second_[k]);
      const int row = second + k * (hidden + 1);
      for (int j = 0; j < hidden; ++j) {
        gradient_[row + j] += slope * first_[j];
        back[j] += slope * weights_[row + j];
      }
      gradient_[row + hidden] += slope;
    }
    gradient_[size - 1] += wrong;
    for (int j = 0; j < hidden; ++j) {
      const double slope = back[j] * (1 - first_[j] * first_[j]);
      gradient_[3 * j] += slope * point.x;
      gradient_[3 * j + 1] += slope * point.y;
      gradient_[3 * j + 2] += slope;
    }
    return -std::log(std::max(1e-12, point.arm ? chance_now : 1 - chance_now));
  }

  /// One step of Adam with the mean gradient of `count` points.
  void step(double count, double rate) {
    ++steps_;
    for (int i = 0; i < size; ++i) {
      const double g = gradient_[i] / count;
      mean_[i] = 0.9 * mean_[i] + 0.1 * g;
      square_[i] = 0.999 * square_[i] + 0.001 * g * g;
      const double mean = mean_[i] / (1 - std::pow(0.9, steps_)), square = square_[i] / (1 - std::pow(0.999, steps_));
      weights_[i] -= rate * mean / (std::sqrt(square) + 1e-8);
      gradient_[i] = 0;
    }
  }

  double accuracy(const std::vector<Point>& points) {
    int right = 0;
    for (const auto& point : points) right += (chance(point) > 0.5) == (point.arm == 1);
    return double(right) / double(points.size());
  }

  bool save(const std::filesystem::path& path, double accuracy) const {
    const auto part = path.string() + ".part";
    std::ofstream file(part);
    file << "spiral 2 " << hidden << ' ' << hidden << " 1 tanh\naccuracy " << accuracy << '\n';
    for (const double weight : weights_) file << weight << '\n';
    file.close();
    std::error_code error;
    if (file) std::filesystem::rename(part, path, error);
    return file && !error;
  }

 private:
  static constexpr int second = 3 * hidden, third = second + hidden * (hidden + 1), size = third + hidden + 1;
  std::vector<double> weights_, gradient_, mean_, square_;
  double first_[hidden] = {}, second_[hidden] = {};
  int steps_ = 0;
};

}  // namespace

int main() {
  std::mt19937 random(0);
  const auto train = spiral(800, random), held_out = spiral(400, random);
  Network network(random);
  double accuracy = 0;
  for (int epoch = 1; epoch <= 500; ++epoch) {
    double loss = 0;
    for (const auto& point : train) loss += network.learn(point);
    network.step(double(train.size()), 0.01);
    if (epoch % 50) continue;
    accuracy = network.accuracy(held_out);
    std::printf("epoch=%d loss=%.4f accuracy=%.4f\n", epoch, loss / double(train.size()), accuracy);
    std::fflush(stdout);
  }
  const char* set = std::getenv("FERRY_OUTPUTS");
  const std::filesystem::path out = set && *set ? set : "outputs";
  std::error_code error;
  std::filesystem::create_directories(out, error);
  if (!network.save(out / "model.txt", accuracy)) {
    std::fprintf(stderr, "cannot write %s\n", (out / "model.txt").c_str());
    return 1;
  }
  return accuracy > 0.95 ? 0 : 1;
}
