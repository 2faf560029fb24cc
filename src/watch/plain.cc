#include <map>
#include <optional>

#include "watch/lines.h"
#include "watch/renderers.h"
#include "watch/screen_filter.h"

namespace ferry::watch {
namespace {

constexpr std::size_t edge = 84;
/// A reader of a pipe should not wonder whether anything goes on.
constexpr std::int64_t tell_every_ms = 60'000;

/// One line per finished step, and one a minute of a step that takes long; nothing is redrawn.
class Plain final : public Progress {
 public:
  Plain(int out, int err, os::Clock& clock, bool quiet)
      : out_(out), err_(err), clock_(clock), quiet_(quiet), shared_(same_target(out, err)) {}

  void title(std::string_view name, std::string_view where) override {
    if (!quiet_) line(title_line(paint_, name, where));
  }
  void begin(std::string_view phase, std::string_view) override {
    phase_ = phase;
    begun_ms_ = told_ms_ = clock_.steady_ms();
  }
  void update(std::string_view text) override {
    const auto now = clock_.steady_ms();
    if (quiet_ || phase_.empty() || now - told_ms_ < tell_every_ms) return;
    told_ms_ = now;
    line(phase_line(paint_, Mark::going_on, phase_, text, std::nullopt, edge));
  }
  void done(std::string_view phase, std::string_view text, const Json&) override { finish(Mark::done, phase, text); }
  void nothing(std::string_view phase, std::string_view text, const Json&) override {
    finish(Mark::nothing, phase, text);
  }
  void failed(std::string_view phase, std::string_view text, const Json&) override {
    finish(Mark::failed, phase, text);
  }
  void warn(std::string_view phase, std::string_view text) override {
    line(phase_line(paint_, Mark::warning, phase, text, std::nullopt, edge));
  }
  void note(std::string_view text, const Json& data) override {
    if (!quiet_) return line(harmless(text));
    // Only the note on a run that was left has both.
    if (data.contains("instance_id") && data.contains("run")) out_.write(text_at(data, "run") + "\n");
  }
  void error(const Error& error) override { line(error_lines(paint_, error)); }
  void output(std::string_view bytes, bool is_error) override {
    if (bytes.empty()) return;
    auto& filter = is_error ? err_filter_ : out_filter_;
    const std::string shown = filter ? filter->pass(bytes) : std::string(bytes);
    (is_error ? err_ : out_).write(shown);
    if ((is_error || shared_) && !shown.empty()) mid_line_ = shown.back() != '\n';
  }
  void live(const Live&) override {}
  void pause() override {}
  ~Plain() override {
    if (out_filter_) out_.write(out_filter_->finish());
    if (err_filter_) err_.write(err_filter_->finish());
  }

 private:
  void finish(Mark mark, std::string_view phase, std::string_view text) {
    std::optional<Millis> took;
    if (phase == phase_ && phase != "train") took = Millis(clock_.steady_ms() - begun_ms_);
    phase_.clear();
    if (quiet_ && mark != Mark::failed) return;
    line(phase_line(paint_, mark, phase, text, took, edge));
  }
  void line(const std::string& text) {
    std::string colours_back;
    for (auto* filter : {&out_filter_, &err_filter_}) {
      if (!*filter) continue;
      (*filter)->fresh_line();
      if (filter == &err_filter_ || shared_) colours_back += (*filter)->finish();
    }
    err_.write(colours_back + (mid_line_ ? "\n" : "") + text + "\n");
    mid_line_ = false;
  }

  Sink out_, err_;
  std::optional<ScreenFilter> out_filter_ = screen_filter_for(out_.fd());
  std::optional<ScreenFilter> err_filter_ = screen_filter_for(err_.fd());
  os::Clock& clock_;
  const Paint paint_;
  const bool quiet_;
  const bool shared_;      ///< what goes to out is seen where ferry's lines are seen
  bool mid_line_ = false;  ///< the training's last line there has no end yet
  std::string phase_;
  std::int64_t begun_ms_ = 0, told_ms_ = 0;
};

}  // namespace

std::unique_ptr<Progress> make_plain(int out, int err, os::Clock& clock, bool quiet) {
  return std::make_unique<Plain>(out, err, clock, quiet);
}

}  // namespace ferry::watch
