#pragma once
/// \file
/// What people see while a run goes on. One interface, three renderers: a terminal that redraws, plain lines,
/// JSON events.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "os/clock.h"

namespace ferry::watch {

enum class Renderer { terminal, plain, json, quiet };

/// Live figures shown while training; what is unknown is left out.
struct Live {
  Millis elapsed{0};
  std::optional<Usd> spent;
  std::optional<double> cpu_percent;
};

/// The training's own bytes go to standard output and standard error exactly as written (also carriage
/// returns), but to a terminal only what cannot harm it (screen_filter.h); everything of ferry's goes to standard error
/// (terminal, plain) or, with Renderer::json, all is one JSON object a line on standard output. Renderer::quiet is
/// plain without what goes well: warnings, failures and errors; of a run that was left to itself its name, on standard
/// output. Use from one thread.
class Progress {
 public:
  virtual ~Progress() = default;
  /// "ferry  digits · rehearsal (no AWS account used, nothing is billed)"
  virtual void title(std::string_view name, std::string_view where) = 0;
  /// The run that what follows is about, by its name in the ledger. Before, and again from the next title() on,
  /// there is none.
  virtual void named(std::string_view) {}
  /// A phase begins: on a terminal a live line "▸ launch   …" that the following calls replace.
  virtual void begin(std::string_view phase, std::string_view text) = 0;
  /// Replaces the live line's text. Plain: at most a line a minute.
  virtual void update(std::string_view text) = 0;
  /// "✓ launch    i-0f3c…9a1 running as digits-7k2      310 ms": the time since begin() of that phase, but
  /// not for "train", whose text tells it. `data` goes into the JSON event.
  virtual void done(std::string_view phase, std::string_view text, const Json& data = Json::object()) = 0;
  /// The same for a phase that ended well with nothing to show for it: "· fetch     no outputs".
  virtual void nothing(std::string_view phase, std::string_view text, const Json& data = Json::object()) {
    done(phase, text, data);
  }
  /// "✗ train     exit 3 after 00:31"
  virtual void failed(std::string_view phase, std::string_view text, const Json& data = Json::object()) = 0;
  /// "! launch    …": something worth knowing that does not end the run.
  virtual void warn(std::string_view phase, std::string_view text) = 0;
  /// A closing or other free line.
  virtual void note(std::string_view text, const Json& data = Json::object()) = 0;
  /// "ferry: error: what / why: / try:"
  virtual void error(const Error& error) = 0;
  /// The training's own output; `is_error` is its standard error. Recognises metrics in passing (epoch=7
  /// loss=0.118, "epoch 7/20 loss: 0.1", JSON lines, progress bars) for the status line on a terminal.
  virtual void output(std::string_view bytes, bool is_error) = 0;
  /// Redraws the status line below the output (terminal); at most a few times a second are shown.
  virtual void live(const Live& live) = 0;
  /// Takes the live line away and leaves the cursor on an empty line, e.g. before asking a question.
  virtual void pause() = 0;
  /// What came of it all: the last event; people have been told. Unless its "exit_code" is 0, its "error" is
  /// the first that was shown since title(), where there was one.
  virtual void result(const Json&) {}
};

/// Writes to descriptors `out` and `err` (normally 1 and 2), which stay open. Renderer::terminal is plain where
/// `err` is no terminal or TERM is unset or dumb; NO_COLOR is honoured. Writing never fails: a reader that
/// went away is ignored, and SIGPIPE with it.
std::unique_ptr<Progress> make_progress(Renderer renderer, int out, int err, os::Clock& clock = os::system_clock());
/// Renderer::json for events of another schema than a run's; each has it as its "schema".
std::unique_ptr<Progress> make_json(int out, std::string_view schema, os::Clock& clock = os::system_clock());

}  // namespace ferry::watch
