#pragma once
/// \file
/// How ferry's own lines look, the same on a terminal and in a file.

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/units.h"
#include "watch/metrics.h"
#include "watch/progress.h"

namespace ferry::watch {

enum class Colour { none, green, red, yellow, cyan, dim, bold };

/// Paints text with escape sequences, or leaves it as it is.
struct Paint {
  bool on = false;
  std::string operator()(Colour colour, std::string_view text) const;
};

/// What comes from outside is made harmless before it is shown; it may span lines: those after
/// the first are indented, so that none looks like a line of ferry's own. Lines are cut at 1,000 columns, and
/// there are 40 at most.
std::string harmless(std::string_view text);

/// "ferry  digits · rehearsal (nothing is billed)"
std::string title_line(const Paint& paint, std::string_view name, std::string_view where);

enum class Mark { done, nothing, failed, warning, going_on };
/// "✓ check     6 files, 1.1 MB to send             40 ms": `took` ends at column `edge`; left out where it
/// has no room.
std::string phase_line(const Paint& paint, Mark mark, std::string_view phase, std::string_view text,
                       std::optional<Millis> took, std::size_t edge);

/// "ferry: error: what", then "  why:  …" and "  try:  …".
std::string error_lines(const Paint& paint, const Error& error);

/// What the live line tells.
struct Status {
  std::string phase, text;
  Millis since_begin{0};
  const Metrics* metrics = nullptr;  ///< in place of `text` when something was recognised
  std::optional<Live> live;
};
/// "▸ train     epoch  7/20  loss 0.118  accuracy 0.964   ▁▂▃▅▆▇██   cpu 98%  00:11  $0.0001", at most
/// `width` columns: what matters least is left out first.
std::string status_line(const Paint& paint, const Status& status, std::size_t width);

/// "0.118", "1.84", "12.3", "1234", "1.2e-05", "nan".
std::string show_figure(double value);

}  // namespace ferry::watch
