#include <map>
#include <optional>

#include "watch/faces.h"
#include "watch/lines.h"

namespace ferry::watch {
namespace {

constexpr std::size_t edge = 84;

/// One line per finished step; nothing is redrawn.
class Plain final : public Progress {
 public:
  Plain(int out, int err, os::Clock& clock)
      : out_(out), err_(err), clock_(clock), shared_(same_target(out, err)) {}

  void title(std::string_view name, std::string_view where) override {
    line(title_line(paint_, name, where));
  }
  void begin(std::string_view phase, std::string_view) override {
    phase_ = phase;
    begun_ms_ = clock_.steady_ms();
  }
  void update(std::string_view) override {}
  void done(std::string_view phase, std::string_view text, const Json&) override {
    finish(Mark::done, phase, text);
  }
  void nothing(std::string_view phase, std::string_view text, const Json&) override {
    finish(Mark::nothing, phase, text);
  }
  void failed(std::string_view phase, std::string_view text, const Json&) override {
    finish(Mark::failed, phase, text);
  }
  void warn(std::string_view phase, std::string_view text) override {
    line(phase_line(paint_, Mark::warning, phase, text, std::nullopt, edge));
  }
  void note(std::string_view text, const Json&) override { line(harmless(text)); }
  void error(const Error& error) override { line(error_lines(paint_, error)); }
  void output(std::string_view bytes, bool is_error) override {
    if (bytes.empty()) return;
    (is_error ? err_ : out_).write(bytes);
    if (is_error || shared_) mid_line_ = bytes.back() != '\n';
  }
  void live(const Live&) override {}
  void pause() override {}

 private:
  void finish(Mark mark, std::string_view phase, std::string_view text) {
    std::optional<Millis> took;
    if (phase == phase_ && phase != "train") took = Millis(clock_.steady_ms() - begun_ms_);
    phase_.clear();
    line(phase_line(paint_, mark, phase, text, took, edge));
  }
  void line(const std::string& text) {
    err_.write((mid_line_ ? "\n" : "") + text + "\n");
    mid_line_ = false;
  }

  Sink out_, err_;
  os::Clock& clock_;
  const Paint paint_;
  const bool shared_;      ///< what goes to out is seen where ferry's lines are seen
  bool mid_line_ = false;  ///< the training's last line there has no end yet
  std::string phase_;
  std::int64_t begun_ms_ = 0;
};

}  // namespace

std::unique_ptr<Progress> make_plain(int out, int err, os::Clock& clock) {
  return std::make_unique<Plain>(out, err, clock);
}

}  // namespace ferry::watch
