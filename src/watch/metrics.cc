#include "watch/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text.h"

namespace ferry::watch {
namespace {

constexpr std::size_t longest_line = 4096, longest_name = 48, most_names = 32, most_values = 64;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_name(char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '/' || c == '@'; }
bool is_quote(char c) { return c == '"' || c == '\''; }

template <std::size_t N>
bool among(const std::array<std::string_view, N>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

Role role_of(std::string_view name) {
  static constexpr std::array<std::string_view, 9> progress = {"epoch", "step",    "iter",        "iteration",  "batch",
                                                               "round", "episode", "global_step", "global-step"};
  static constexpr std::array<std::string_view, 6> losses = {"nll", "perplexity", "ppl", "rmse", "mae", "mse"};
  static constexpr std::array<std::string_view, 18> scores = {
      "acc", "accuracy", "auc", "aucpr",  "auroc", "f1",   "precision", "recall", "iou",
      "map", "bleu",     "r2",  "reward", "score", "dice", "top1",      "top5",   "ndcg"};
  if (among(progress, name)) return Role::progress;
  std::size_t words = 0;
  while (!name.empty()) {
    const auto end = std::min(name.find_first_of("_-./@"), name.size());
    const auto word = name.substr(0, end);
    name.remove_prefix(std::min(end + 1, name.size()));
    ++words;
    // "error" alone begins messages; "train-error" is a figure.
    if (word.ends_with("loss") || among(losses, word) || (word == "error" && words > 1)) return Role::loss;
    if (among(scores, word)) return Role::score;
  }
  return Role::other;
}

/// Without the colours that some loggers write.
std::string without_escapes(std::string_view line) {
  std::string out;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\x1b') {
      out += line[i];
      continue;
    }
    if (i + 1 < line.size() && line[i + 1] == '[') {
      i += 2;
      while (i < line.size() && (line[i] < '@' || line[i] > '~')) ++i;
    }
  }
  return out;
}

/// Reads one line from left to right.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::vector<Metric> read() {
    round_prefix();
    bar();
    while (at_ < text_.size()) {
      const bool starts = is_letter(peek()) && (at_ == 0 || !is_name(text_[at_ - 1]) || text_[at_ - 1] == '-');
      if (!starts) {
        if (peek() != ' ') before_.clear();
        ++at_;
      } else {
        word();
      }
    }
    const auto known = [](const Metric& metric) { return metric.role != Role::other; };
    if (std::none_of(found_.begin(), found_.end(), known)) found_.clear();
    return std::move(found_);
  }

 private:
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  void spaces() {
    for (int i = 0; i < 8 && (peek() == ' ' || peek() == '\t'); ++i) ++at_;
  }

  /// A number at the place, moving past it. Nothing if it only begins like one ("12:30", "3rd", "nano").
  std::optional<double> number() {
    const std::size_t start = at_;
    std::size_t from = at_ + (peek() == '+' ? 1 : 0);
    double value = 0;
    const auto [end, error] = std::from_chars(text_.data() + from, text_.data() + text_.size(), value);
    if (error != std::errc()) return std::nullopt;
    at_ = static_cast<std::size_t>(end - text_.data());
    if (peek() == '%') {
      ++at_;
      value /= 100;
    }
    if (is_letter(peek()) || is_digit(peek()) || (peek() == ':' && is_digit(peek(1))) || peek() == '.') {
      if (peek() != '.' || is_digit(peek(1))) {
        at_ = start;
        return std::nullopt;
      }
    }
    return value;
  }

  /// "/20", " of 20" after a value.
  std::optional<double> total() {
    const std::size_t start = at_;
    spaces();
    if (peek() == '/') {
      ++at_;
    } else if (text_.substr(at_).starts_with("of ")) {
      at_ += 3;
    } else {
      at_ = start;
      return std::nullopt;
    }
    spaces();
    const auto value = is_digit(peek()) ? number() : std::nullopt;
    if (!value) at_ = start;
    return value;
  }

  /// "[12]\ttrain-logloss:0.5" begins with the round.
  void round_prefix() {
    if (peek() != '[') return;
    const auto close = text_.find(']');
    if (close == std::string_view::npos || close + 1 >= text_.size() || text_[close + 1] != '\t') return;
    if (const auto round = parse_int(text_.substr(1, close - 1))) {
      add("round", static_cast<double>(*round), std::nullopt, Role::progress);
      at_ = close + 1;
    }
  }

  /// " 45%|████▌     | 9/20 [00:03<00:04, loss=0.12]"
  void bar() {
    const auto percent = text_.find("%|");
    if (percent == std::string_view::npos) return;
    const auto close = text_.find('|', percent + 2);
    if (close == std::string_view::npos) return;
    const std::size_t start = std::exchange(at_, close + 1);
    spaces();
    const auto value = is_digit(peek()) ? number() : std::nullopt;
    const auto all = value ? total() : std::nullopt;
    if (value && all) add("step", *value, all, Role::progress);
    at_ = start;
  }

  void word() {
    const std::size_t start = at_;
    while (is_name(peek())) ++at_;
    while (at_ > start + 1 && !is_letter(text_[at_ - 1]) && !is_digit(text_[at_ - 1])) --at_;
    const std::size_t end = at_;
    std::string name = lower(text_.substr(start, end - start));
    const Role role = role_of(name);
    if (is_quote(peek())) ++at_;
    spaces();
    const char separator = peek() == '=' || peek() == ':' ? peek() : '\0';
    if (separator) {
      ++at_;
      spaces();
      if (is_quote(peek())) ++at_;
    }
    if (role == Role::progress && (peek() == '[' || peek() == '(')) ++at_;
    const bool may_count = separator || role != Role::other;
    const auto value = may_count && name.size() <= longest_name ? number() : std::nullopt;
    if (!value) {
      at_ = end;
      before_ = std::move(name);
      return;
    }
    const auto all = role == Role::progress || role == Role::score ? total() : std::nullopt;
    if (role == Role::score && all && *all > 0) {
      add(prefixed(name), *value / *all, std::nullopt, role);
    } else {
      add(prefixed(name), *value, role == Role::progress ? all : std::nullopt, role);
    }
    before_.clear();
  }

  /// "val loss 0.2" is val_loss.
  std::string prefixed(const std::string& name) const {
    static constexpr std::array<std::string_view, 5> prefixes = {"val", "valid", "validation", "test", "eval"};
    return among(prefixes, before_) && role_of(name) != Role::progress ? before_ + "_" + name : name;
  }

  void add(std::string name, double value, std::optional<double> all, Role role) {
    if (found_.size() < most_names) found_.push_back({std::move(name), value, all, role});
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string before_;  ///< the word just before, with nothing but spaces between
  std::vector<Metric> found_;
};

}  // namespace

std::vector<Metric> recognise(std::string_view line) {
  return Reader(trim(without_escapes(line.substr(0, longest_line)))).read();
}

void Metrics::add(std::string_view bytes, bool is_error) {
  std::string& partial = partial_[is_error ? 1 : 0];
  while (!bytes.empty()) {
    const auto end = bytes.find_first_of("\r\n");
    const auto piece = bytes.substr(0, end);
    partial += piece.substr(0, longest_line - std::min(partial.size(), longest_line));
    if (end == std::string_view::npos) return;
    line(partial);
    partial.clear();
    bytes.remove_prefix(end + 1);
  }
}

void Metrics::line(std::string_view text) {
  for (auto& metric : recognise(text)) {
    const auto same = [&](const Metric& other) { return other.name == metric.name; };
    const auto known = std::find_if(latest_.begin(), latest_.end(), same);
    if (known == latest_.end() && latest_.size() >= most_names) continue;
    if ((metric.role == Role::loss || metric.role == Role::score) && std::isfinite(metric.value)) {
      auto& values = history_[metric.name];
      values.push_back(metric.value);
      if (values.size() > most_values) values.pop_front();
    }
    if (known == latest_.end()) {
      latest_.push_back(std::move(metric));
    } else {
      if (!metric.total) metric.total = known->total;
      *known = std::move(metric);
    }
  }
}

const std::deque<double>& Metrics::history(const std::string& name) const {
  static const std::deque<double> none;
  const auto at = history_.find(name);
  return at == history_.end() ? none : at->second;
}

std::string sparkline(const std::deque<double>& values, std::size_t width) {
  static constexpr std::array<std::string_view, 8> bars = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const auto count = std::min(width, values.size());
  const auto first = values.end() - static_cast<std::ptrdiff_t>(count);
  if (count == 0) return {};
  const auto [low, high] = std::minmax_element(first, values.end());
  // Halved, so that the span of two huge values is still finite.
  const double span = *high / 2 - *low / 2;
  std::string out;
  for (auto value = first; value != values.end(); ++value) {
    const double share = span > 0 ? (*value / 2 - *low / 2) / span : 0.5;
    out += bars[static_cast<std::size_t>(std::clamp(std::lround(share * 7), 0L, 7L))];
  }
  return out;
}

}  // namespace ferry::watch
