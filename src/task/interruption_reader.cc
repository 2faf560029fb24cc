#include <array>

#include "base/text.h"
#include "task/field_reader.h"

namespace ferry::task {
namespace {

constexpr std::array<std::string_view, 5> signals = {"SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2", "none"};
constexpr Seconds longest_interruption_grace{115};

}  // namespace

Status InterruptionReader::read(const Entry& field) {
  using Type = Node::Type;
  if (field.value->type == Type::text) return read_signal(field);
  if (field.value->type != Type::map)
    return wrong_type(field, "a signal or a mapping", "on_interruption: {signal: SIGUSR1, grace: 90s}");
  for (const auto& entry : field.value->entries)
    keep(entry.name == "signal" ? read_signal(entry) : entry.name == "grace" ? read_grace(entry) : Status());
  return {};
}

Status InterruptionReader::read_signal(const Entry& entry) {
  TRY_SET(written, "", text_of(entry));
  const auto word = lower(trim(written));
  const auto found = std::find_if(signals.begin(), signals.end(), [&](std::string_view name) {
    return lower(name) == word || lower(name) == "sig" + word;
  });
  if (found == signals.end()) {
    return complain_at(entry.value->at, fmt::format("a training cannot be told by '{}'", printable(written)),
                       "it takes SIGTERM, SIGINT, SIGUSR1, SIGUSR2 or none", "on_interruption: SIGTERM");
  }
  task_.on_interruption.signal = *found;
  return {};
}

Status InterruptionReader::read_grace(const Entry& entry) {
  TRY_SET(written, "", text_of(entry));
  const auto grace = parse_duration(written);
  if (!grace) return complain_in(entry, grace.error());
  if (*grace > longest_interruption_grace) {
    return complain_at(entry.value->at, fmt::format("'{}' is more than a spot machine has", printable(written)),
                       "it goes two minutes after the notice, and what was saved must still be stored", "grace: 100s");
  }
  task_.on_interruption.grace = *grace;
  return {};
}

}  // namespace ferry::task
