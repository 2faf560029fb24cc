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
  static constexpr std::array<std::string_view, 10> progress = {
      "epoch", "step",    "iter",        "iteration",   "batch",
      "round", "episode", "global_step", "global-step", "total_timesteps"};
  static constexpr std::array<std::string_view, 6> losses = {"nll", "perplexity", "ppl", "rmse", "mae", "mse"};
  static constexpr std::array<std::string_view, 19> scores = {
      "acc",  "accuracy", "auc",    "aucpr", "auroc", "f1",   "precision", "recall", "iou", "map",
      "bleu", "r2",       "reward", "rew",   "score", "dice", "top1",      "top5",   "ndcg"};
  static constexpr std::array<std::string_view, 3> settings = {"loss_scale", "loss-scale", "score_threshold"};
  if (among(progress, name)) return Role::progress;
  if (among(settings, name)) return Role::other;
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
    begins_as_row_ = peek() == '|';
    round_prefix();
    if (!bar()) steps_first();
    while (at_ < text_.size()) {
      const bool starts = is_letter(peek()) && (at_ == 0 || !is_name(text_[at_ - 1]) || text_[at_ - 1] == '-');
      if (peek() == '[' && has_epoch_ && !has_step_ && steps_in_brackets()) continue;
      if (!starts) {
        if (peek() != ' ') before_.clear();
        ++at_;
      } else {
        word();
      }
    }
    if (found_.size() == 1 && found_[0].name == "round") found_.clear();  // "1:\thello"
    const auto known = [](const Metric& metric) { return metric.role != Role::other; };
    if (std::none_of(found_.begin(), found_.end(), known)) found_.clear();
    return std::move(found_);
  }

 private:
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  void spaces() {
    const int most = begins_as_row_ ? 256 : 8;
    for (int i = 0; i < most && (peek() == ' ' || peek() == '\t'); ++i) ++at_;
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

  /// "[12]\ttrain-logloss:0.5" and "12:\tlearn: 0.5" begin with the round.
  void round_prefix() {
    const bool has_brackets = peek() == '[';
    std::size_t end = text_.find('\t');
    if (end == std::string_view::npos) return;
    auto word = trim(text_.substr(0, end));
    const bool has_colon = word.ends_with(':');
    if (has_colon) word.remove_suffix(1);
    if (has_brackets ? !word.ends_with(']') : !has_colon) return;
    if (has_brackets) word = word.substr(1, word.size() - 2);
    if (const auto round = parse_int(word)) {
      add("round", static_cast<double>(*round), std::nullopt, Role::progress);
      at_ = end;
    }
  }

  /// " 45%|████▌     | 9/20 [00:03<00:04, loss=0.12]" of tqdm, and " ━━━━━━━━━━ 9/20 0:00:03 • 0:00:04" of rich. That
  /// of a download, or of a validation, is no progress of the training.
  bool bar() {
    const auto percent = text_.find("%|");
    const auto rich = text_.rfind("━ ");
    auto end = percent == std::string_view::npos ? percent : text_.find('|', percent + 2);
    if (end == std::string_view::npos && rich == std::string_view::npos) return false;
    end = end != std::string_view::npos ? end + 1 : rich + std::string_view("━ ").size();
    static constexpr std::array<std::string_view, 17> others = {
        "download", "load", "map",    "filter",  "token", "generat", "fetch",   "upload", "valid",
        "eval",     "test", "sanity", "predict", "sav",   "extract", "process", "pars"};
    const std::string label = lower(text_.substr(0, std::min(percent, text_.find("━"))));
    if (std::any_of(others.begin(), others.end(), [&](auto other) { return label.find(other) != label.npos; })) {
      at_ = end;
      return true;
    }
    const std::size_t start = std::exchange(at_, end);
    const bool has_steps = steps();
    at_ = start;
    return has_steps;
  }

  /// "313/313 [====] - 2s 5ms/step - loss: 0.3" and "313/313 ━━━━ 2s 5ms/step - loss: 0.3" of Keras.
  void steps_first() {
    const std::size_t start = at_;
    spaces();
    if (has_step_ || !is_digit(peek())) return;
    const auto after = text_.find(' ', at_);
    const auto rest = after == std::string_view::npos ? std::string_view() : text_.substr(after + 1);
    if (!rest.starts_with('[') && !rest.starts_with("━") && !rest.starts_with("- ")) return;
    if (!steps()) at_ = start;
  }

  /// "Epoch: [0][ 10/100]", "Train Epoch: 1 [6400/60000 (11%)]": of that epoch.
  bool steps_in_brackets() {
    const std::size_t start = at_++;
    if (steps()) return true;
    at_ = start;
    return false;
  }

  /// "9/20"
  bool steps() {
    spaces();
    const auto value = is_digit(peek()) ? number() : std::nullopt;
    const auto all = value ? total() : std::nullopt;
    if (value && all) add("step", *value, all, Role::progress);
    return value && all;
  }

  void word() {
    const std::size_t start = at_;
    while (is_name(peek())) ++at_;
    while (at_ > start + 1 && !is_letter(text_[at_ - 1]) && !is_digit(text_[at_ - 1])) --at_;
    const std::size_t end = at_;
    std::string name = lower(text_.substr(start, end - start));
    const Role role = role_of(name);
    if (text_.substr(at_).starts_with("'s ")) {  // LightGBM's "valid_1's auc: 0.9"
      at_ += 3;
      owner_ = std::move(name);
      return;
    }
    if (role == Role::progress && peek() == '(') {  // "Epoch(train) [1][100/1000]" of OpenMMLab
      const auto close = text_.substr(at_, longest_name).find(')');
      const bool is_word = close != std::string_view::npos && is_letter(peek(1));
      if (is_word) at_ += close + 1;
    }
    if (is_quote(peek())) ++at_;
    spaces();
    const bool is_cell = begins_as_row_ && peek() == '|';
    const char separator = peek() == '=' || peek() == ':' || is_cell ? peek() : '\0';
    if (separator) {
      ++at_;
      spaces();
      if (is_quote(peek())) ++at_;
    }
    if (role == Role::progress && (peek() == '[' || peek() == '(')) ++at_;
    if (role == Role::progress) spaces();
    const bool may_count = separator || role != Role::other;
    const auto value = may_count && name.size() <= longest_name ? number() : std::nullopt;
    if (!value) {
      at_ = end;
      before_ = std::move(name);
      owner_.clear();
      return;
    }
    const auto all = role == Role::progress || role == Role::score ? total() : std::nullopt;
    if (role == Role::score && all && *all > 0) {
      add(prefixed(name), *value / *all, std::nullopt, role);
    } else {
      add(prefixed(name), *value, role == Role::progress ? all : std::nullopt, role);
    }
    before_.clear();
    owner_.clear();
  }

  /// "val loss 0.2" is val_loss.
  std::string prefixed(const std::string& name) const {
    static constexpr std::array<std::string_view, 7> prefixes = {"val",  "valid", "validation", "test",
                                                                 "eval", "train", "training"};
    if (!owner_.empty()) return owner_ + "_" + name;
    if ((before_ == "learning" && name == "rate") || (before_ == "loss" && name == "scale"))
      return before_ + "_" + name;
    // LightGBM's "valid_1 auc : 0.9"
    const auto word = std::string_view(before_).substr(0, before_.find_last_not_of("0123456789") + 1);
    const bool is_prefix =
        among(prefixes, word) || (word.ends_with('_') && among(prefixes, word.substr(0, word.size() - 1)));
    return is_prefix && role_of(name) != Role::progress ? before_ + "_" + name : name;
  }

  void add(std::string name, double value, std::optional<double> all, Role role) {
    has_step_ = has_step_ || name == "step";
    has_epoch_ = has_epoch_ || name == "epoch";
    if (found_.size() < most_names) found_.push_back({std::move(name), value, all, role});
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool begins_as_row_ = false;  ///< by "|"
  bool has_epoch_ = false, has_step_ = false;
  std::string before_;  ///< the word just before, with nothing but spaces between
  std::string owner_;   ///< whose the next figure is
  std::vector<Metric> found_;
};

}  // namespace

std::vector<Metric> recognise(std::string_view line) {
  return Reader(trim(without_escapes(line.substr(0, longest_line)))).read();
}

namespace {

/// What stands two spaces, a tab or a "|" apart.
std::vector<std::string_view> cells(std::string_view line) {
  std::vector<std::string_view> found;
  while (!line.empty() && found.size() <= most_names) {
    const auto end = std::min({line.find("  "), line.find('\t'), line.find('|'), line.size()});
    const auto cell = trim(line.substr(0, end));
    if (!cell.empty()) found.push_back(cell);
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return found;
}

/// "7", "7/20", "96.5%".
std::optional<Metric> figure(const std::string& name, std::string_view cell) {
  const auto read = recognise("step=" + std::string(cell));
  if (read.size() != 1) return std::nullopt;
  Metric metric{.name = name, .value = read[0].value, .total = {}, .role = role_of(name)};
  if (metric.role == Role::progress) metric.total = read[0].total;
  return metric;
}

}  // namespace

std::vector<Metric> MetricTable::take(std::string_view line) {
  const std::string plain = without_escapes(line.substr(0, longest_line));
  // Ultralytics goes on with a bar.
  const auto row = cells(std::string_view(plain).substr(0, plain.find(": ")));
  if (row.size() < 2) return {};
  std::vector<Metric> found;
  std::vector<std::string> names;
  bool has_progress = false, has_result = false;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (row.size() == names_.size()) {
      if (auto metric = figure(names_[i], row[i])) found.push_back(*std::move(metric));
    }
    std::string name = lower(row[i]);
    std::replace(name.begin(), name.end(), ' ', '_');
    if (name.size() > longest_name || !std::all_of(name.begin(), name.end(), is_name) || !is_letter(name[0])) continue;
    const Role role = role_of(name);
    has_progress = has_progress || role == Role::progress;
    has_result = has_result || role == Role::loss || role == Role::score;
    names.push_back(std::move(name));
  }
  if (names.size() == row.size() && has_progress && has_result) names_ = std::move(names);
  const bool is_row = found.size() >= 2 && found[0].role == Role::progress;
  return is_row ? found : std::vector<Metric>();
}

void Metrics::add(std::string_view bytes, bool is_error) {
  std::string& partial = partial_[is_error ? 1 : 0];
  while (!bytes.empty()) {
    const auto end = bytes.find_first_of("\r\n");
    const auto piece = bytes.substr(0, end);
    partial += piece.substr(0, longest_line - std::min(partial.size(), longest_line));
    if (end == std::string_view::npos) return;
    auto figures = tables_[is_error ? 1 : 0].take(partial);
    note(figures.empty() ? recognise(partial) : std::move(figures));
    partial.clear();
    bytes.remove_prefix(end + 1);
  }
}

void Metrics::note(std::vector<Metric> metrics) {
  for (auto& metric : metrics) {
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
