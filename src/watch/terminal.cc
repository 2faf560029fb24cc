#include "os/terminal.h"

#include <fmt/format.h>

#include <optional>

#include "os/env.h"
#include "watch/cursor.h"
#include "watch/lines.h"
#include "watch/renderers.h"
#include "watch/screen_filter.h"

namespace ferry::watch {
namespace {

constexpr std::size_t widest_edge = 91;
constexpr std::int64_t redraw_ms = 100;

/// A live line below the output. It stands on the cursor's own row when that is empty; under it while the
/// training's line (a progress bar) is not complete; nowhere while the cursor's place is not known.
class Terminal final : public Progress {
 public:
  Terminal(int out, int err, os::Clock& clock)
      : out_(out), err_(err), clock_(clock), shared_(same_target(out, err)), paint_{!os::env("NO_COLOR")} {}
  ~Terminal() override {
    err_.write(clear());
    for (auto& [sink, filter] : {std::pair(&out_, &out_filter_), std::pair(&err_, &err_filter_)})
      if (*filter) sink->write((*filter)->finish());
  }

  void title(std::string_view name, std::string_view where) override { line(title_line(paint_, name, where)); }

  void begin(std::string_view phase, std::string_view text) override {
    status_ = Status{.phase = std::string(phase), .text = std::string(text)};
    if (phase == "train") status_->metrics = &metrics_;
    begun_ms_ = clock_.steady_ms();
    redraw();
  }
  void update(std::string_view text) override {
    if (!status_) return;
    status_->text = text;
    if (due()) redraw();
  }
  void done(std::string_view phase, std::string_view text, const Json&) override { finish(Mark::done, phase, text); }
  void nothing(std::string_view phase, std::string_view text, const Json&) override {
    finish(Mark::nothing, phase, text);
  }
  void failed(std::string_view phase, std::string_view text, const Json&) override {
    finish(Mark::failed, phase, text);
  }
  void warn(std::string_view phase, std::string_view text) override {
    line(phase_line(paint_, Mark::warning, phase, text, std::nullopt, edge()));
  }
  void note(std::string_view text, const Json&) override { line(harmless(text)); }
  void error(const Error& error) override { line(error_lines(paint_, error)); }

  void output(std::string_view bytes, bool is_error) override {
    if (bytes.empty()) return;
    metrics_.add(bytes, is_error);
    Sink& sink = is_error ? err_ : out_;
    auto& filter = is_error ? err_filter_ : out_filter_;
    const std::string shown = filter ? filter->pass(bytes) : std::string(bytes);
    if (!is_error && !shared_) return sink.write(shown);
    // One write, so that no frame without the live line is seen.
    std::string frame = clear();
    frame += shown;
    cursor_.feed(shown, width());
    if (due()) compose();
    frame += draw();
    sink.write(frame);
  }

  void live(const Live& live) override {
    if (!status_) return;
    status_->live = live;
    if (due()) redraw();
  }

  void pause() override { err_.write(clear() + to_fresh_line()); }

 private:
  enum class Shown { nowhere, here, below };

  int width() const { return std::max(20, os::terminal_width(err_.fd())); }
  std::size_t edge() const { return std::min(static_cast<std::size_t>(width()), widest_edge); }
  bool due() const { return composed_.empty() || clock_.steady_ms() - composed_ms_ >= redraw_ms; }

  void compose() {
    if (!status_) return;
    composed_ms_ = clock_.steady_ms();
    status_->since_begin = Millis(composed_ms_ - begun_ms_);
    // One column less, so that no terminal wraps.
    composed_ = status_line(paint_, *status_, static_cast<std::size_t>(width()) - 1);
  }
  void redraw() {
    compose();
    std::string frame = clear();
    frame += draw();
    err_.write(frame);
  }

  /// The bytes that take the live line away, leaving the cursor where the training's output left it.
  std::string clear() {
    switch (std::exchange(shown_, Shown::nowhere)) {
      case Shown::nowhere:
        return {};
      case Shown::here:
        return "\r\x1b[K";
      case Shown::below:
        return fmt::format("\n\x1b[K\x1b[A\x1b[{}G", cursor_.column() + 1);
    }
    return {};
  }
  /// The bytes that draw it and put the cursor back.
  std::string draw() {
    if (!status_ || composed_.empty() || !cursor_.settled()) return {};
    const std::string& colours = cursor_.colours();
    const std::string text = (colours.empty() ? "" : "\x1b[0m") + composed_ + colours;
    if (cursor_.row_empty() && cursor_.column() == 0) {
      shown_ = Shown::here;
      return text;
    }
    shown_ = Shown::below;
    return fmt::format("\n{}\x1b[K\x1b[A\x1b[{}G", text, cursor_.column() + 1);
  }
  std::string to_fresh_line() {
    const bool fresh = cursor_.settled() && cursor_.row_empty() && cursor_.column() == 0;
    std::string bytes = cursor_.colours().empty() ? "" : "\x1b[0m";
    if (!fresh) bytes += "\n";
    cursor_.fresh_line();
    if (err_filter_) err_filter_->fresh_line();
    if (out_filter_ && shared_) out_filter_->fresh_line();
    return bytes;
  }

  void finish(Mark mark, std::string_view phase, std::string_view text) {
    std::optional<Millis> took;
    if (status_ && phase == status_->phase && phase != "train") took = Millis(clock_.steady_ms() - begun_ms_);
    const std::string erased = clear();
    status_.reset();
    composed_.clear();
    err_.write(erased);
    line(phase_line(paint_, mark, phase, text, took, edge()));
  }
  void line(const std::string& text) {
    std::string frame = clear();
    frame += to_fresh_line() + text + "\n" + cursor_.colours();
    frame += draw();
    err_.write(frame);
  }

  Sink out_, err_;
  std::optional<ScreenFilter> out_filter_ = screen_filter_for(out_.fd());
  std::optional<ScreenFilter> err_filter_ = screen_filter_for(err_.fd());
  os::Clock& clock_;
  const bool shared_;  ///< out is the same terminal
  const Paint paint_;
  Metrics metrics_;
  Cursor cursor_;
  std::optional<Status> status_;  ///< of the phase that goes on
  std::string composed_;          ///< the live line as last composed
  std::int64_t begun_ms_ = 0, composed_ms_ = 0;
  Shown shown_ = Shown::nowhere;
};

}  // namespace

std::unique_ptr<Progress> make_terminal(int out, int err, os::Clock& clock) {
  return std::make_unique<Terminal>(out, err, clock);
}

}  // namespace ferry::watch
