#include "plan/accelerators.h"

#include <fmt/format.h>

#include <cmath>
#include <set>

#include "base/text.h"
#include "plan/nearest.h"

namespace ferry::plan {
namespace {

struct Alias {
  std::string_view plain, name;
};
constexpr Alias aliases[] = {
    {"a10080g", "A100-80GB"},
    {"gaudihl205", "Gaudi"},
    {"hl205", "Gaudi"},
    {"inf1", "Inferentia"},
    {"inferentia1", "Inferentia"},
    {"inf2", "Inferentia2"},
    {"trn1", "Trainium"},
    {"trainium1", "Trainium"},
    {"trn1n", "Trainium"},
    {"trn2", "Trainium2"},
    {"h200nvl", "H200"},
    {"rtxpro6000", "RTX-PRO-Server-6000"},
    {"rtxpro6000blackwell", "RTX-PRO-Server-6000"},
    {"rtxpro6000blackwellserver", "RTX-PRO-Server-6000"},
    {"rtxpro4500blackwell", "RTX-PRO-4500"},
    {"rtxpro4500blackwellserver", "RTX-PRO-4500"},
    {"rtxproserver4500", "RTX-PRO-4500"},
    {"v520", "Radeon-Pro-V520"},
    {"radeonv520", "Radeon-Pro-V520"},
};

/// What other clouds lend, and what comes nearest on AWS.
struct Foreign {
  std::string_view name, nearest;  ///< a name with * at its end: how it begins
};
constexpr Foreign foreign[] = {
    {"tpu*", "Trainium:1, or a GPU such as A100:8"},
    {"p100*", "A10G:1"},
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
    {"rtxpro*", "RTX-PRO-Server-6000:1 (96 GB)"},
    {"rtxa6000*", "L40S:1 (48 GB)"},
    {"rtxa*", "A10G:1 (24 GB)"},
    {"a6000*", "L40S:1 (48 GB)"},
    {"a5000", "A10G:1 (24 GB)"},
    {"a4500", "A10G:1 (24 GB)"},
    {"a4000", "A10G:1 (24 GB)"},
    {"a40", "L40S:1 (48 GB)"},
    {"a10", "A10G:1 (24 GB)"},
    {"l40", "L40S:1 (48 GB)"},
    {"h100nvl*", "H200:8, or H100:1"},
    {"a30", "A10G:1 (24 GB)"},
    {"a16", "T4:1"},
    {"a2", "T4:1"},
    {"a800", "A100-80GB:8"},
    {"h800", "H100:8"},
    {"h20", "H100:8"},
    {"h100mega*", "H100:8"},
    {"gh200*", "H200:8, or H100:1"},
    {"mi*", "H200:8, or H100:1"},
    {"radeonmi*", "H200:8, or H100:1"},
    {"instinct*", "H200:8, or H100:1"},
    {"gaudi2*", "Gaudi:8"},
    {"gaudi3*", "Gaudi:8"},
};

/// What AWS rents several machines at once of, joined to one; ferry rents one machine.
constexpr Foreign in_ultraservers[] = {
    {"trainium3*", "Trainium2:16"},
    {"trn3*", "Trainium2:16"},
    {"gb300*", "B300:8"},
};

/// Lower case, letters and digits only, without makers' and product lines' names and the form of the socket.
std::string plain(std::string_view written) {
  std::string out;
  for (const char c : lower(written)) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out += c;
  }
  for (const std::string_view maker : {"nvidia", "amd", "aws", "intel", "habana", "tesla", "geforce"}) {
    if (out.starts_with(maker) && out.size() > maker.size()) out.erase(0, maker.size());
  }
  for (const std::string_view socket : {"sxm2", "sxm3", "sxm4", "sxm5", "sxm", "nvlink", "pcie"}) {
    if (out.ends_with(socket) && out.size() > socket.size()) out.resize(out.size() - socket.size());
  }
  // A100-SXM4-80GB
  for (const std::string_view socket : {"sxm2", "sxm4", "sxm5", "sxm", "pcie"}) {
    if (const auto at = out.find(socket); at != out.npos && at > 0) out.erase(at, socket.size());
  }
  return out;
}

/// A memory size as in "80GB" or "24 GB", in GB.
std::optional<double> size_in(std::string_view text) {
  const auto small = lower(text);
  for (const auto& [unit, gb] : {std::pair<std::string_view, double>{"gb", 1}, {"tb", 1000}, {"mb", 1e-3}}) {
    if (!small.ends_with(unit)) continue;
    const auto number = parse_int(trim(std::string_view(small).substr(0, small.size() - unit.size())));
    if (number && *number > 0 && *number < 100'000'000) return double(*number) * gb;
  }
  return std::nullopt;
}

/// 24GB+, NVIDIA:80GB
std::optional<Wanted> memory_alone(std::string_view written) {
  Wanted wanted{.maker = "nvidia"};
  if (const auto colon = written.find(':'); colon != written.npos) {
    wanted.maker = lower(trim(written.substr(0, colon)));
    written = trim(written.substr(colon + 1));
  }
  wanted.at_least = written.ends_with('+');
  if (wanted.at_least) written.remove_suffix(1);
  const auto size = size_in(written);
  if (!size) return std::nullopt;
  wanted.memory_gb = *size;
  return wanted;
}

/// V100-32GB, H100-80GB-SXM5: the name and the size, which a hyphen or space sets apart.
std::optional<std::pair<std::string, double>> name_and_size(std::string_view written) {
  std::string name;
  std::optional<double> size;
  std::string part;
  for (const char c : std::string(written) + "-") {
    if (c != '-' && c != ' ' && c != '_') {
      part += c;
      continue;
    }
    const auto found = size_in(part);
    if (found) size = found;
    if (!found && !lower(part).starts_with("hbm")) name += part + "-";
    part.clear();
  }
  if (!size) return std::nullopt;
  return std::pair(name, *size);
}

std::string_view maker_of(std::string_view accelerator) {
  for (const std::string_view other : {"Gaudi", "Inferentia", "Trainium"}) {
    if (accelerator.starts_with(other)) return "";
  }
  return accelerator.starts_with("Radeon") ? "amd" : "nvidia";
}

std::vector<std::string> names_in(const Catalog& catalog) {
  std::set<std::string> names;
  for (const auto& type : catalog.types()) {
    if (!type.accelerator.empty()) names.insert(type.accelerator);
  }
  return {names.begin(), names.end()};
}

/// "EC2 has A100, A10G, …": those that can be had.
std::string what_ec2_has(const Catalog& catalog) {
  std::set<std::string> names;
  for (const auto& type : catalog.types()) {
    if (!type.accelerator.empty() && retired(type.name).empty()) names.insert(type.accelerator);
  }
  return "EC2 has " + join(std::vector<std::string>(names.begin(), names.end()), ", ");
}

}  // namespace

Result<Wanted> wanted_accelerator(std::string_view written, int count, const Catalog& catalog) {
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
  if (word == "all" || word == "gpu" || parse_int(word)) {
    return fail(
        Kind::bad_input, fmt::format("'{}' does not say which GPU", printable(written)), {},
        fmt::format("any of NVIDIA's with 16 GB or more: 16GB+:{}; ferry gpus lists them", parse_int(word).value_or(1)),
        std::string(no_such_hardware));
  }
  if (auto name = known(word); !name.empty()) return Wanted{std::move(name), 0};
  if (auto wanted = memory_alone(written)) {
    if (wanted->maker == "nvidia" || wanted->maker == "amd") return *std::move(wanted);
    return fail(Kind::unsupported, fmt::format("AWS has no GPUs of '{}'", printable(wanted->maker)), {},
                "write NVIDIA or AMD, or the memory alone, as in 24GB+", std::string(no_such_hardware));
  }
  if (const auto both = name_and_size(written)) {
    if (auto name = known(plain(both->first)); !name.empty()) return Wanted{std::move(name), both->second};
  }
  for (const auto& other : in_ultraservers) {
    if (!word.starts_with(other.name.substr(0, other.name.size() - 1))) continue;
    return fail(Kind::unsupported, fmt::format("AWS rents {} in UltraServers only", printable(written)),
                "an UltraServer is several machines joined to one; ferry rents one machine",
                fmt::format("the nearest that is rented by itself is {}", other.nearest),
                std::string(no_such_hardware));
  }
  for (const auto& other : foreign) {
    const bool open = other.name.ends_with('*');
    if (open ? !word.starts_with(other.name.substr(0, other.name.size() - 1)) : word != other.name) continue;
    auto advice = nearest_advice(written, count, catalog);
    return fail(Kind::unsupported, fmt::format("AWS has no {}", printable(written)), what_ec2_has(catalog),
                advice.empty() ? fmt::format("the nearest there is {}", other.nearest) : std::move(advice),
                std::string(no_such_hardware));
  }
  // From the end, because of equals the first is taken: A10 is rather A10G than A100, and L40 rather L40S
  // than L4.
  std::vector<std::string> words;
  for (auto name = names.rbegin(); name != names.rend(); ++name) words.push_back(plain(*name));
  const auto near = nearest(word, words);
  const auto all = what_ec2_has(catalog);
  return fail(Kind::bad_input, fmt::format("unknown accelerator '{}'", printable(written)), near ? "" : all,
              near ? fmt::format("did you mean '{}'?", known(*near)) : "name one of these",
              std::string(no_such_hardware));
}

bool has_memory(const InstanceType& type, const Wanted& wanted) {
  if (wanted.memory_gb <= 0) return true;
  const double mib = type.accelerator_memory_mib;
  if (wanted.at_least && mib / 1024 >= wanted.memory_gb) return true;
  // Makers write 24 GB for what the machine reports as 22888 MiB, and 32 GB for 32768 MiB.
  return std::abs(mib * 1.048576e-3 / wanted.memory_gb - 1) < 0.08 ||
         std::abs(mib / 1024 / wanted.memory_gb - 1) < 0.08;
}

bool is_wanted(const InstanceType& type, const Wanted& wanted) {
  const bool is_kind = wanted.name.empty() ? type.accelerator_count > 0 && maker_of(type.accelerator) == wanted.maker
                                           : type.accelerator == wanted.name;
  return is_kind && has_memory(type, wanted);
}

bool is_slice(const InstanceType& type) { return type.name.starts_with("g6f.") || type.name.starts_with("gr6f."); }

}  // namespace ferry::plan
