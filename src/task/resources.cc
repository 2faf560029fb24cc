// The short texts inside `resources`: infra, cpus, memory, accelerators.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/text.h"
#include "task/task.h"

namespace ferry::task {
namespace {

constexpr std::array other_clouds = {
    "azure",     "cudo",  "do",     "fluidstack", "gcp",        "hyperbolic",     "ibm",    "k8s", "kubernetes",
    "lambda",    "local", "nebius", "oci",        "paperspace", "primeintellect", "runpod", "scp", "seeweb",
    "shadeform", "slurm", "vast",   "vsphere"};
constexpr const char* infra_forms = "write aws, aws/us-east-1, aws/us-east-1/us-east-1a, rehearsal or ssh/HOST";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_alnum(char c) { return is_digit(c) || is_lower(c) || (c >= 'A' && c <= 'Z'); }

/// The region a text begins with (`us-east-1` in `us-east-1a` and in `us-east-1-bos-1a`): words of letters
/// and one number, with hyphens between. Empty if there is none.
std::string_view region_in(std::string_view text) {
  std::size_t at = 0;
  for (int words = 0;; ++words) {
    const auto start = at;
    while (at < text.size() && is_lower(text[at])) ++at;
    if (at == start) {
      while (at < text.size() && is_digit(text[at])) ++at;
      return words >= 2 && at > start && at - start <= 2 ? text.substr(0, at) : std::string_view();
    }
    if (at == text.size() || text[at] != '-') return {};
    ++at;
  }
}

/// Whose region (or zone) a text is that is not AWS's: us-central1-a, eastus2, eu-north1. Empty: nobody's known.
std::string_view foreign_region(std::string_view text) {
  const auto word = lower(text);
  const auto part = std::string_view(word);
  constexpr std::array google = {"us-",           "europe-",    "asia-", "northamerica-",
                                 "southamerica-", "australia-", "me-",   "africa-"};
  constexpr std::array sides = {"central",   "east",      "west",      "north",    "south",
                                "northeast", "northwest", "southeast", "southwest"};
  for (const std::string_view head : google) {
    if (!part.starts_with(head)) continue;
    for (const std::string_view side : sides) {
      const auto rest = part.substr(head.size());
      if (!rest.starts_with(side) || rest.size() == side.size() || !is_digit(rest[side.size()])) continue;
      return "Google Cloud";
    }
  }
  // eastus2, westeurope, southcentralus
  for (const std::string_view side :
       {"east", "west", "central", "north", "south", "southeast", "northcentral", "southcentral", "westcentral"}) {
    if (!part.starts_with(side)) continue;
    auto rest = part.substr(side.size());
    while (!rest.empty() && is_digit(rest.back())) rest.remove_suffix(1);
    for (const std::string_view land : {"us", "europe", "asia", "india", "africanorth"})
      if (rest == land) return "Azure";
  }
  return {};
}

bool is_zone(std::string_view text) {
  const auto region = region_in(text);
  const auto rest = text.substr(region.size());
  return !region.empty() && !rest.empty() && rest.size() <= 24 && is_lower(rest.back()) &&
         std::all_of(rest.begin(), rest.end(), [](char c) { return is_lower(c) || is_digit(c) || c == '-'; });
}

/// What may follow `ssh` as a host without ever being read as an option or by a shell.
bool is_host(std::string_view text) {
  const auto fine = [](char c) {
    return is_alnum(c) || std::string_view("._-@:%[]").find(c) != std::string_view::npos;
  };
  return !text.empty() && text.size() <= 255 && text.front() != '-' && text.find("@-") == text.npos &&
         std::all_of(text.begin(), text.end(), fine);
}

Result<Infra> aws_infra(std::string_view text, std::span<const std::string> parts) {
  Infra infra;
  const auto bad = [&](std::string why, std::string advice) {
    return fail(Kind::bad_input, fmt::format("not an infra: '{}'", printable(text)), std::move(why), std::move(advice));
  };
  infra.any_region = parts.size() > 1 && parts[1] == "*";
  if (parts.size() > 1 && parts[1] != "*") {
    infra.region = parts[1];
    if (const auto whose = foreign_region(infra.region); !whose.empty()) {
      return fail(Kind::unsupported, fmt::format("'{}' is a region of {}", printable(infra.region), whose),
                  fmt::format("ferry trains on AWS, not on {}", whose), "AWS's regions look like us-east-1",
                  std::string(whose));
    }
    if (is_zone(infra.region)) {
      const std::string region(region_in(infra.region));
      return bad(fmt::format("'{}' is a zone", infra.region), fmt::format("write aws/{}/{}", region, infra.region));
    }
    if (region_in(infra.region) != infra.region) {
      return bad(fmt::format("'{}' does not look like a region", printable(infra.region)),
                 "regions look like us-east-1");
    }
  }
  if (parts.size() > 2 && parts[2] != "*") {
    infra.zone = parts[2];
    if (const auto whose = foreign_region(infra.zone); !whose.empty()) {
      return fail(Kind::unsupported, fmt::format("'{}' is a zone of {}", printable(infra.zone), whose),
                  fmt::format("ferry trains on AWS, not on {}", whose), "AWS's zones look like us-east-1a",
                  std::string(whose));
    }
    if (!is_zone(infra.zone)) {
      return bad(fmt::format("'{}' does not look like a zone", printable(infra.zone)), "zones look like us-east-1a");
    }
    const std::string region(region_in(infra.zone));
    if (!infra.region.empty() && infra.region != region) {
      return bad(fmt::format("zone {} is not in region {}", infra.zone, infra.region),
                 fmt::format("write aws/{}/{}", region, infra.zone));
    }
    infra.region = region;
    infra.any_region = false;
  }
  return infra;
}

/// Splits `16GiB+` into number, unit (lower case) and plus. Nothing if it has another form.
struct Measure {
  double value;
  std::string unit;
  bool plus;
};
std::optional<Measure> measure(std::string_view text) {
  Measure out{};
  text = trim(text);
  if (text.ends_with('+')) {
    out.plus = true;
    text.remove_suffix(1);
  }
  if (text.size() > 24 || text.empty() || !is_digit(text.front())) return std::nullopt;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), out.value, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(out.value)) return std::nullopt;
  out.unit = lower(trim(text.substr(static_cast<std::size_t>(end - text.data()))));
  return out;
}

}  // namespace

Result<Infra> parse_infra(std::string_view text) {
  const auto parts = split(trim(text), '/');
  const std::string kind = lower(parts[0]);
  const auto bad = [&](std::string why, std::string advice) {
    return fail(Kind::bad_input, fmt::format("not an infra: '{}'", printable(text)), std::move(why), std::move(advice));
  };
  if (std::any_of(parts.begin(), parts.end(), [](const auto& part) { return part.empty(); })) {
    return bad(parts.size() > 1 ? "a part between the slashes is empty" : "it is empty", infra_forms);
  }
  if (kind == "ssh") {
    if (parts.size() != 2 || !is_host(parts[1])) return bad("ssh takes one host", "write ssh/HOST or ssh/USER@HOST");
    return Infra{.provider = Provider::ssh, .host = parts[1]};
  }
  if (kind == "rehearsal") {
    if (parts.size() != 1) return bad("the rehearsal cloud has no regions to choose from", "write rehearsal");
    return Infra{.provider = Provider::rehearsal};
  }
  if (kind == "aws" || kind == "*") {
    if (parts.size() > 3) return bad("it has more than three parts", infra_forms);
    return aws_infra(text, parts);
  }
  if (std::find(other_clouds.begin(), other_clouds.end(), kind) != other_clouds.end()) {
    return fail(Kind::unsupported, fmt::format("'{}' is not on AWS", printable(text)),
                kind == "local" ? "this computer is called rehearsal here"
                                : fmt::format("ferry trains on AWS, not on {}", kind),
                infra_forms, kind);
  }
  const std::vector<std::string> known = {"aws", "rehearsal", "ssh"};
  if (const auto whose = foreign_region(kind); !whose.empty()) {
    return fail(Kind::unsupported, fmt::format("'{}' is a region of {}", printable(text), whose),
                fmt::format("ferry trains on AWS, not on {}", whose), infra_forms, std::string(whose));
  }
  if (is_zone(kind) || region_in(kind) == kind) return bad({}, fmt::format("write aws/{}", kind));
  if (const auto near = nearest(kind, known)) return bad({}, fmt::format("did you mean '{}'?", *near));
  return bad({}, infra_forms);
}

std::string show(const Infra& infra) {
  if (infra.provider == Provider::rehearsal) return "rehearsal";
  if (infra.provider == Provider::ssh) return "ssh/" + infra.host;
  std::string out = "aws";
  if (infra.any_region) out += "/*";
  if (!infra.region.empty()) out += '/' + infra.region;
  if (!infra.zone.empty()) out += '/' + infra.zone;
  return out;
}

Result<Amount> parse_cpus(std::string_view text) {
  const auto read = measure(text);
  if (!read || !read->unit.empty() || read->value <= 0 || read->value > 100'000) {
    return fail(Kind::bad_input, fmt::format("not a number of vCPUs: '{}'", printable(text)), {},
                "write 4 (exactly four) or 4+ (four or more)");
  }
  return Amount{read->value, read->plus};
}

Result<Amount> parse_memory(std::string_view text) {
  const auto read = measure(text);
  const auto bad = [&](std::string why) {
    return fail(Kind::bad_input, fmt::format("not an amount of memory: '{}'", printable(text)), std::move(why),
                "write 16 (exactly 16 GiB), 16+ (16 GiB or more), 16GB or 512MB");
  };
  if (!read) return bad({});
  double gib = read->value;
  const std::string unit = read->unit.ends_with("ib")  ? read->unit.substr(0, 1)
                           : read->unit.ends_with('b') ? read->unit.substr(0, read->unit.size() - 1)
                                                       : read->unit;
  if (unit == "m" || read->unit == "mi") {
    gib /= 1024;
  } else if (unit == "t" || read->unit == "ti") {
    gib *= 1024;
  } else if (read->unit == "x") {
    return bad("a multiple of the vCPUs is not understood");
  } else if (!(read->unit.empty() || unit == "g" || read->unit == "gi")) {
    return bad(fmt::format("unknown unit '{}'", printable(read->unit)));
  }
  if (gib <= 0) return bad("it must be more than zero");
  if (gib > 1e6) return bad("no machine has that much");
  return Amount{gib, read->plus};
}

Result<Amount> parse_local_disk(std::string_view text) {
  const auto bad = [&](std::string why) {
    return fail(Kind::bad_input, fmt::format("not a disk inside the machine: '{}'", printable(text)), std::move(why),
                "write nvme (any), nvme:500+ or 500+ (500 GB or more)");
  };
  auto rest = trim(text);
  const auto colon = rest.find(':');
  const auto kind = lower(trim(rest.substr(0, colon)));
  if (kind == "nvme" || kind == "ssd") {
    if (colon == rest.npos) return Amount{1, true};
    rest = trim(rest.substr(colon + 1));
  } else if (colon != rest.npos || kind.empty() || !is_digit(kind.front())) {
    return bad("the kind is nvme");
  }
  const auto read = measure(rest);
  if (!read || read->value <= 0 || read->value > 1e6) return bad({});
  if (read->unit.empty() || read->unit == "g" || read->unit == "gb") return Amount{read->value, read->plus};
  if (read->unit == "t" || read->unit == "tb") return Amount{read->value * 1000, read->plus};
  return bad(fmt::format("unknown unit '{}'", printable(read->unit)));
}

Result<Accelerators> parse_accelerators(std::string_view text) {
  text = trim(text);
  if (text.starts_with('{') && text.ends_with('}') && text.size() > 1) text = text.substr(1, text.size() - 2);
  Accelerators out;
  for (const auto& part : split(text, ',')) {
    TRY_SET(choice, "", parse_accelerator(trim(part)));
    out.choices.push_back(std::move(choice));
  }
  return out;
}

namespace {

/// "40GB", "24gb+": a GPU's memory, where its name is not said.
bool is_memory(std::string_view text) {
  if (text.ends_with('+')) text.remove_suffix(1);
  const auto small = lower(text);
  const auto digits = small.find_first_not_of("0123456789");
  return digits != small.npos && digits > 0 &&
         (small.substr(digits) == "gb" || small.substr(digits) == "mb" || small.substr(digits) == "tb");
}

/// Where the name ends: at the last colon, unless that stands between a maker and a memory size.
std::size_t end_of_name(std::string_view text) {
  const auto colon = text.rfind(':');
  return colon != text.npos && is_memory(trim(text.substr(colon + 1))) ? text.npos : colon;
}

}  // namespace

Result<Accelerator> parse_accelerator(std::string_view text) {
  const auto bad = [&](std::string why) {
    return fail(Kind::bad_input, fmt::format("not an accelerator: '{}'", printable(text)), std::move(why),
                "write it like A10G, T4:1, A100:8, or 24GB+:1 for any GPU with that much memory");
  };
  const auto colon = end_of_name(text);
  Accelerator out;
  out.name = std::string(trim(text.substr(0, colon)));
  auto memory = std::string_view(out.name);  // NVIDIA:40GB+
  if (const auto maker = memory.find(':'); maker != memory.npos) memory = trim(memory.substr(maker + 1));
  const bool by_memory = is_memory(memory);
  const auto fine = [](char c) { return is_alnum(c) || std::string_view(" ._-").find(c) != std::string_view::npos; };
  if (out.name.empty()) return bad("it has no name");
  if (out.name.size() > 64 || (!by_memory && !std::all_of(out.name.begin(), out.name.end(), fine))) {
    return bad("names are letters, digits, hyphens and dots");
  }
  if (colon == text.npos) return out;
  const auto count = measure(text.substr(colon + 1));
  if (!count || !count->unit.empty() || count->plus || count->value <= 0 || count->value > 1000)
    return bad("the count must be a number above zero");
  out.count = static_cast<int>(std::ceil(count->value));
  if (count->value < out.count) out.part = count->value;
  return out;
}

}  // namespace ferry::task
