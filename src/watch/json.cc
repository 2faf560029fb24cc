#include "base/text.h"
#include "base/version.h"
#include "watch/metrics.h"
#include "watch/renderers.h"

namespace ferry::watch {
namespace {

constexpr std::int64_t live_ms = 1000;

/// The bytes at the end that begin a UTF-8 character which is not complete.
std::size_t incomplete_tail(std::string_view bytes) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, bytes.size()); ++back) {
    const auto byte = static_cast<unsigned char>(bytes[bytes.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;
    const std::size_t length = byte < 0xc2 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf5 ? 4 : 1;
    return back < length ? back : 0;
  }
  return 0;
}

/// One object a line on standard output.
class JsonLines final : public Progress {
 public:
  JsonLines(int out, os::Clock& clock, std::string_view schema) : out_(out), clock_(clock), schema_(schema) {}
  ~JsonLines() override { flush_tails(); }

  void title(std::string_view name, std::string_view where) override {
    flush_tails();
    run_ = first_error_ = nullptr;
    emit("title", {{"name", name}, {"where", where}, {"ferry_version", ferry_version()}});
  }
  void named(std::string_view run) override {
    flush_tails();
    run_ = run;
  }
  void begin(std::string_view phase, std::string_view text) override {
    phase_ = phase;
    begun_ms_ = clock_.steady_ms();
    emit("phase_begin", {{"phase", phase}, {"text", text}});
  }
  void update(std::string_view text) override { emit("phase_update", {{"phase", phase_}, {"text", text}}); }
  void done(std::string_view phase, std::string_view text, const Json& data) override {
    finish("phase_done", phase, text, data);
  }
  void failed(std::string_view phase, std::string_view text, const Json& data) override {
    finish("phase_failed", phase, text, data);
  }
  void warn(std::string_view phase, std::string_view text) override {
    emit("warning", {{"phase", phase}, {"text", text}});
  }
  void note(std::string_view text, const Json& data) override { emit("note", {{"text", text}}, data); }
  void error(const Error& error) override {
    if (first_error_.is_null()) first_error_ = error_json(error);
    emit("error", {{"error", error_json(error)}});
  }
  void result(const Json& told) override {
    Json fields = told;
    if (int_at(told, "exit_code") != 0 && !first_error_.is_null()) fields["error"] = first_error_;
    fields["ferry_version"] = ferry_version();
    emit("result", std::move(fields));
  }

  void output(std::string_view bytes, bool is_error) override {
    metrics_.add(bytes, is_error);
    std::string& tail = tails_[is_error ? 1 : 0];
    std::string text = tail + std::string(bytes);
    // A character cut in two by the transport is not broken: it waits for its other half.
    tail = text.substr(text.size() - incomplete_tail(text));
    text.resize(text.size() - tail.size());
    emit_output(text, is_error);
  }

  void live(const Live& live) override {
    const auto now = clock_.steady_ms();
    if (last_live_ms_ && now - *last_live_ms_ < live_ms) return;
    last_live_ms_ = now;
    Json fields{{"phase", phase_}, {"elapsed_ms", live.elapsed.count()}};
    if (live.spent) fields["spent_usd"] = static_cast<double>(live.spent->micros) / 1e6;
    if (live.cpu_percent) fields["cpu_percent"] = *live.cpu_percent;
    for (const auto& metric : metrics_.latest()) {
      fields["metrics"][metric.name] = metric.value;  // not finite: null, as JSON has it
      if (metric.total) fields["metrics"][metric.name + "_total"] = *metric.total;
    }
    emit("live", std::move(fields));
  }
  void pause() override {}

 private:
  void finish(std::string_view event, std::string_view phase, std::string_view text, const Json& data) {
    Json fields{{"phase", phase}, {"text", text}};
    if (phase == phase_) fields["ms"] = clock_.steady_ms() - begun_ms_;
    phase_.clear();
    emit(event, std::move(fields), data);
  }

  void emit(std::string_view event, Json fields, const Json& data = Json::object()) {
    if (event != "live") flush_tails();
    if (!data.empty()) fields["data"] = data;
    write(event, std::move(fields));
  }
  void write(std::string_view event, Json fields) {
    fields["schema"] = schema_;
    fields["time"] = os::iso_time(clock_.now_ms(), true);
    fields["event"] = event;
    if (!fields.contains("run")) fields["run"] = run_;
    out_.write(dump_json(fields) + "\n");
  }
  void emit_output(const std::string& text, bool is_error) {
    if (text.empty()) return;
    Json fields{{"stream", is_error ? "stderr" : "stdout"}, {"text", text}};
    const std::string shown = dump_json(text);
    if (const auto back = parse_json(shown); !back || *back != text) fields["base64"] = base64(text);
    write("output", std::move(fields));
  }
  void flush_tails() {
    for (const bool is_error : {false, true}) emit_output(std::exchange(tails_[is_error ? 1 : 0], {}), is_error);
  }

  Sink out_;
  os::Clock& clock_;
  const std::string schema_;
  Metrics metrics_;
  std::array<std::string, 2> tails_;
  std::string phase_;
  Json run_;  ///< its name, once it has one
  Json first_error_;
  std::int64_t begun_ms_ = 0;
  std::optional<std::int64_t> last_live_ms_;
};

}  // namespace

std::unique_ptr<Progress> make_json(int out, std::string_view schema, os::Clock& clock) {
  return std::make_unique<JsonLines>(out, clock, schema);
}

}  // namespace ferry::watch
