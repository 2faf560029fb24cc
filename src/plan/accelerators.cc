#include "plan/accelerators.h"

#include <fmt/format.h>

#include <cmath>
#include <set>

#include "base/text.h"

namespace ferry::plan {
namespace {

struct Alias {
  std::string_view plain, name;
};
constexpr Alias aliases[] = {
    {"a100sxm", "A100"},
    {"a100sxm4", "A100"},
    {"a100sxm80gb", "A100-80GB"},
    {"a100sxm480gb", "A100-80GB"},
    {"a10080g", "A100-80GB"},
    {"h100sxm", "H100"},
    {"h100sxm5", "H100"},
    {"h200sxm", "H200"},
    {"gaudihl205", "Gaudi"},
    {"inf1", "Inferentia"},
    {"inf2", "Inferentia2"},
    {"trn1", "Trainium"},
    {"trn2", "Trainium2"},
    {"trainium1", "Trainium"},
    {"rtxpro6000", "RTX-PRO-Server-6000"},
    {"rtxpro6000blackwell", "RTX-PRO-Server-6000"},
    {"rtxproserver6000", "RTX-PRO-Server-6000"},
    {"v520", "Radeon-Pro-V520"},
};

/// Lower case, letters and digits only, without makers' and product lines' names.
std::string plain(std::string_view written) {
  std::string out;
  for (const char c : lower(written)) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out += c;
  }
  for (const std::string_view maker : {"nvidia", "amd", "aws", "intel", "habana", "tesla"}) {
    if (out.starts_with(maker) && out.size() > maker.size()) out.erase(0, maker.size());
  }
  return out;
}

std::vector<std::string> names_in(const Catalog& catalog) {
  std::set<std::string> names;
  for (const auto& type : catalog.types()) {
    if (!type.accelerator.empty()) names.insert(type.accelerator);
  }
  return {names.begin(), names.end()};
}

}  // namespace

Result<Wanted> wanted_accelerator(std::string_view written, const Catalog& catalog) {
  const auto names = names_in(catalog);
  const auto known = [&](const std::string& word) -> std::string {
    for (const auto& name : names) {
      if (plain(name) == word) return name;
    }
    for (const auto& alias : aliases) {
      if (alias.plain == word) return std::string(alias.name);
    }
    return {};
  };
  const auto word = plain(written);
  if (auto name = known(word); !name.empty()) return Wanted{std::move(name), 0};
  // V100-32GB: the last run of digits before "gb" is the size, when a hyphen or space sets it apart.
  const auto small = lower(written);
  const auto gap = small.find_last_of("- _");
  if (gap != small.npos && small.ends_with("gb")) {
    const auto size = parse_int(std::string_view(small).substr(gap + 1, small.size() - gap - 3));
    auto name = known(plain(written.substr(0, gap)));
    if (size && *size > 0 && *size < 100'000 && !name.empty()) return Wanted{std::move(name), double(*size)};
  }
  // From the end, because of equals the first is taken: A10 is rather A10G than A100, and L40 rather L40S
  // than L4.
  std::vector<std::string> words;
  for (auto name = names.rbegin(); name != names.rend(); ++name) words.push_back(plain(*name));
  const auto near = nearest(word, words);
  const auto all = fmt::format("EC2 has {}", join(names, ", "));
  return fail(Kind::bad_input, fmt::format("unknown accelerator '{}'", printable(written)), near ? "" : all,
              near ? fmt::format("did you mean '{}'?", known(*near)) : "name one of these");
}

bool has_memory(const InstanceType& type, const Wanted& wanted) {
  if (wanted.memory_gb <= 0) return true;
  const double mib = type.accelerator_memory_mib;
  // Makers write 24 GB for what the machine reports as 22888 MiB, and 32 GB for 32768 MiB.
  return std::abs(mib * 1.048576e-3 / wanted.memory_gb - 1) < 0.08 ||
         std::abs(mib / 1024 / wanted.memory_gb - 1) < 0.08;
}

bool is_slice(const InstanceType& type) {
  return type.name.starts_with("g6f.") || type.name.starts_with("gr6f.");
}

}  // namespace ferry::plan
