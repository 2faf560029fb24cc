#pragma once
/// \file
/// What ferry tells about runs, as text and as JSON: the table of `ferry ps` and the receipt at the end of a
/// run. Pure: everything comes from the ledger's types. Text from outside is made harmless.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/units.h"
#include "ledger/ledger.h"

namespace ferry::watch {

/// One row of `ferry ps`. What is unknown stays empty; a column that is empty in every row is left out.
struct RunView {
  ledger::Run run;
  std::vector<ledger::Instance> instances;  ///< in order of intent
  std::optional<double> gpu_percent, loss;
  std::string left;  ///< time or money until the run ends itself, e.g. "1:12:00" or "$3.69"
};

/// As JSON has it: "2026-01-31T12:00:00.000Z" (UTC), null for 0.
Json json_time(std::int64_t ms);
/// Dollars as a number; null for nothing.
Json json_usd(const std::optional<Usd>& money);

/// RUN STATE WHERE COMMAND OUTCOME GPU LOSS COST AGE LEFT, with a line for each run; "no runs" for none. Where
/// `width` (0: any) has no room for all of them, columns are left out. A run whose setup failed says so.
std::string runs_table(std::span<const RunView> runs, std::int64_t now_ms, std::size_t width = 0);
/// An array with one object a run: everything of the ledger but the task, times as "…_ms", money as numbers
/// in "…_usd"; "labels" where it has some; "state" is the table's, in one word: the phase, or "stopped", "kept",
/// "waiting", "still_rented".
Json runs_json(std::span<const RunView> runs, std::int64_t now_ms);

/// What the disk of a run's machine costs a month that is stopped; nothing: it is not.
std::optional<Usd> resting_month(const RunView& view);

/// Where the run stands, for people: its phase, or "stopped", "kept", "waiting", "still rented".
std::string state_words(const RunView& view);

/// What all of them cost by now; nothing when the price of one is unknown.
std::optional<Usd> total_spent(std::span<const ledger::Instance> instances, std::int64_t now_ms);

/// "i-0f3c…9a1 terminated · nothing left running · total $0.0004 of at most $0.19"; `at_most`: what was said
/// before anything was rented. Of a machine of the user's own: "ssh/box is free again, and runs on". What
/// is not released is named instead of the all-clear: "still rented: i-0f3c…9a1, key-pair ferry-a".
std::string release_text(std::span<const ledger::Instance> instances, std::span<const ledger::Resource> resources,
                         std::int64_t now_ms, const std::optional<Usd>& at_most = {});
/// The same facts as JSON: {"instances": […], "resources": […], "all_released": true, "total_usd": 0.0004,
/// "at_most_usd": 0.19}.
Json release_json(std::span<const ledger::Instance> instances, std::span<const ledger::Resource> resources,
                  std::int64_t now_ms, const std::optional<Usd>& at_most = {});

/// The file among a run's outputs that is most likely the model: by ending (.safetensors, .pt, .onnx, …), then by
/// a name with "model" or "best" in it, then the first one. Not what its name calls data, an optimizer's state or
/// a vocabulary; .pkl, .npz and .bin hold anything, and count only by such a name.
std::optional<std::string> model_among(std::span<const std::string> files);
/// "model: runs/digits-7k2/outputs/model.pt      log: ferry logs digits-7k2"; without a model, "outputs:
/// runs/digits-7k2/"; without any file the log alone. `folder` is where the outputs are, as the user would write it;
/// `files` are relative to it.
std::string closing_line(std::string_view run, std::string_view folder, std::span<const std::string> files);

/// "1 file", "2 files".
std::string counted(std::uint64_t number, std::string_view one);

/// "i-0f3c…9a1" of "i-0f3c5e2a77b1d09a1"; short ids stay whole.
std::string short_id(std::string_view id);
/// "8 s", "5 min", "3 h", "2 d".
std::string show_age(Millis age);

}  // namespace ferry::watch
