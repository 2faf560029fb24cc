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
    {"a10080g", "A100-80GB"},
    {"a10040gb", "A100"},
    {"gaudihl205", "Gaudi"},
    {"hl205", "Gaudi"},
    {"inf1", "Inferentia"},
    {"inferentia1", "Inferentia"},
    {"inf2", "Inferentia2"},
    {"trn1", "Trainium"},
    {"trainium1", "Trainium"},
    {"trn1n", "Trainium"},
    {"trn2", "Trainium2"},
    {"rtxpro6000", "RTX-PRO-Server-6000"},
    {"rtxpro6000blackwell", "RTX-PRO-Server-6000"},
    {"rtxpro6000blackwellserver", "RTX-PRO-Server-6000"},
    {"v520", "Radeon-Pro-V520"},
    {"radeonv520", "Radeon-Pro-V520"},
};

/// What other clouds lend, and what comes nearest on AWS.
struct Foreign {
  std::string_view name, nearest;  ///< a name with * at its end: how it begins
};
constexpr Foreign foreign[] = {
    {"tpu*", "Trainium:1, or a GPU such as A100:8"},
    {"p100*", "V100:1"},
    {"p40", "A10G:1"},
    {"p4", "T4:1"},
    {"titan*", "T4:1"},
    {"gtx*", "T4:1"},
    {"quadrortx*", "T4:1"},
    {"rtx20*", "T4:1"},
    {"rtx3*", "A10G:1 (24 GB)"},
    {"rtx4090", "A10G:1 or L4:1 (24 GB)"},
    {"rtx40*", "L4:1 (24 GB)"},
    {"rtx5*", "L40S:1 (48 GB)"},
    {"rtx6000*", "L40S:1 (48 GB)"},
    {"rtxa6000*", "L40S:1 (48 GB)"},
    {"rtxa*", "A10G:1 (24 GB)"},
    {"a6000*", "L40S:1 (48 GB)"},
    {"a5000", "A10G:1 (24 GB)"},
    {"a4500", "A10G:1 (24 GB)"},
    {"a4000", "A10G:1 (24 GB)"},
    {"a40", "L40S:1 (48 GB)"},
    {"a30", "A10G:1 (24 GB)"},
    {"a16", "T4:1"},
    {"a2", "T4:1"},
    {"a800", "A100-80GB:8"},
    {"h800", "H100:8"},
    {"h20", "H100:8"},
    {"h100mega*", "H100:8"},
    {"gh200*", "H200:8, or H100:1"},
    {"gb200*", "B200:8"},
    {"gb300*", "B300:8"},
    {"mi*", "H200:8, or H100:1"},
    {"radeonmi*", "H200:8, or H100:1"},
    {"instinct*", "H200:8, or H100:1"},
    {"gaudi2*", "Gaudi:8"},
    {"gaudi3*", "Gaudi:8"},
};

/// Lower case, letters and digits only, without makers' and product lines' names and the form of the socket.
std::string plain(std::string_view written) {
  std::string out;
  for (const char c : lower(written)) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out += c;
  }
  for (const std::string_view maker : {"nvidia", "amd", "aws", "intel", "habana", "tesla"}) {
    if (out.starts_with(maker) && out.size() > maker.size()) out.erase(0, maker.size());
  }
  for (const std::string_view socket : {"sxm2", "sxm3", "sxm4", "sxm5", "sxm", "nvl", "nvlink", "pcie"}) {
    if (out.ends_with(socket) && out.size() > socket.size()) out.resize(out.size() - socket.size());
  }
  // A100-SXM4-80GB
  for (const std::string_view socket : {"sxm2", "sxm4", "sxm5", "sxm", "pcie"}) {
    if (const auto at = out.find(socket); at != out.npos && at > 0) out.erase(at, socket.size());
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
  for (const auto& other : foreign) {
    const bool open = other.name.ends_with('*');
    if (open ? !word.starts_with(other.name.substr(0, other.name.size() - 1)) : word != other.name) continue;
    return fail(Kind::unsupported, fmt::format("AWS has no {}", printable(written)),
                fmt::format("EC2 has {}", join(names, ", ")),
                fmt::format("the nearest there is {}", other.nearest));
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
