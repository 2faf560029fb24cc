#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/text.h"
#include "task/autostop.h"
#include "task/field_reader.h"
#include "task/fields.h"
#include "task/old_names.h"

namespace ferry::task {
namespace {

constexpr std::array<std::string_view, 5> disk_tiers = {"low", "medium", "high", "ultra", "best"};
constexpr std::array<std::string_view, 4> place_fields = {"infra", "cloud", "region", "zone"};
constexpr std::array<std::string_view, 2> network_tiers = {"standard", "best"};
constexpr int largest_disk_gib = 65'536;  // of an EBS volume

const Entry* given(const Node& map, std::string_view name) {
  const Entry* entry = map.find(name);
  return entry && entry->value->type != Node::Type::null ? entry : nullptr;
}

bool is_ami(std::string_view text) {
  const auto hexadecimal = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return text.starts_with("ami-") && text.size() >= 12 && text.size() <= 21 &&
         std::ranges::all_of(text.substr(4), hexadecimal);
}

bool is_port(std::string_view text) {
  const auto port = parse_int(trim(text));
  return port && *port >= 1 && *port <= 65'535;
}

/// `8888` or `10052-10100`.
bool is_ports(std::string_view text) {
  const auto dash = text.find('-');
  return is_port(text.substr(0, dash)) && (dash == text.npos || is_port(text.substr(dash + 1)));
}

/// What check_recovery() (fields.cc) lets through.
std::optional<Recovery> recovery_of(const Node& value) {
  Recovery recovery{.other_region_first = true};  // as SkyPilot has it
  const auto set_strategy = [&](const std::string& text) {
    const auto strategy = lower(trim(text));
    recovery.is_wanted = strategy != "none";
    recovery.other_region_first = strategy == "eager_next_region";
  };
  const auto number = [](const Node& node) { return static_cast<int>(parse_int(trim(node.text)).value_or(0)); };
  if (value.type == Node::Type::null) return std::nullopt;
  if (value.type == Node::Type::text) set_strategy(value.text);
  for (const auto& field : value.entries) {
    const auto& node = *field.value;
    if (node.type == Node::Type::null) continue;
    if (field.name == "strategy") set_strategy(node.text);
    if (field.name == "max_restarts_on_errors") recovery.restarts_on_errors = number(node);
    if (field.name != "recover_on_exit_codes") continue;
    if (node.type == Node::Type::text) recovery.exit_codes.push_back(number(node));
    for (const auto& code : node.entries) recovery.exit_codes.push_back(number(*code.value));
  }
  return recovery;
}

}  // namespace

Status ResourcesReader::read(const Entry& entry) {
  const auto& map = *entry.value;
  if (map.type != Node::Type::map) return wrong_type(entry, "a mapping");
  const Entry* any_of = given(map, "any_of");
  const Entry* ordered = given(map, "ordered");
  Candidate outer;
  outer.resources.at = show(file_, entry.at);
  keep(read_infra(map, outer));
  const bool has_candidates = any_of || ordered;
  if (!has_candidates && !decided_.place && outer.elsewhere) {
    found_.push_back(*outer.elsewhere);
    ++elsewhere_;
  }
  read_fields(map, outer.resources);
  if (any_of && ordered) {
    return complain_at(ordered->at, "'ordered' beside 'any_of': both list the candidates", {}, "keep one of them");
  }
  task_.ordered = ordered != nullptr;
  reads_candidates_ = true;
  if (const Entry* list = any_of ? any_of : ordered) return read_candidates(*list, outer);
  task_.resources = std::move(outer.resources);
  return {};
}

void ResourcesReader::read_fields(const Node& map, Resources& into) {
  if (const Entry* again = given(map, "gpus"); again && given(map, "accelerators"))
    keep(complain_at(again->at, "'gpus' beside 'accelerators': both say which GPUs", {}, "keep one of them"));
  for (const auto& field : map.entries) {
    if (field.value->type != Node::Type::null && is_field("resources", field.name)) keep(read_field(field, into));
  }
}

/// Those on other clouds are left out; where all are and the command line says where, they are for there.
Status ResourcesReader::read_candidates(const Entry& list, const Candidate& outer) {
  if (list.value->type != Node::Type::list) return wrong_type(list, "a list", "begin each candidate with '- '");
  std::vector<std::pair<const Entry*, Candidate>> here, elsewhere;
  std::vector<std::string> clouds;
  for (const auto& item : list.value->entries) {
    auto candidate = placed_candidate(list, item, outer);
    if (!candidate) {
      found_.push_back(std::move(candidate).error());
      continue;
    }
    if (candidate->elsewhere && std::ranges::find(clouds, candidate->cloud) == clouds.end())
      clouds.push_back(candidate->cloud);
    (candidate->elsewhere ? elsewhere : here).emplace_back(&item, *std::move(candidate));
  }
  if (here.empty() && !elsewhere.empty() && !decided_.place) {
    found_.push_back(outer.elsewhere ? *outer.elsewhere : *elsewhere.front().second.elsewhere);
    ++elsewhere_;
    return {};
  }
  if (here.empty() && !elsewhere.empty()) {
    read_foreign(elsewhere);
  } else if (!elsewhere.empty()) {
    task_.not_yet.push_back(fmt::format("{}:{}: {}: left out: {} on {}: ferry trains on AWS", printable(file_),
                                        elsewhere.front().first->at.line, list.name,
                                        elsewhere.size() == 1 ? "a candidate" : "candidates", join(clouds, ", ")));
  }
  for (auto& [item, candidate] : here) {
    if (item->value->type == Node::Type::map) read_fields(*item->value, candidate.resources);
    task_.candidates.push_back(std::move(candidate.resources));
  }
  task_.resources = outer.resources;
  return check_providers(list);
}

/// Their other fields may be that cloud's own, like its types and images: one that can be had here is enough.
void ResourcesReader::read_foreign(std::vector<std::pair<const Entry*, Candidate>>& candidates) {
  const auto is_place = [](const Entry& field) {
    return std::ranges::find(place_fields, field.name) != place_fields.end();
  };
  std::vector<Error> first;
  bool had_plain = false;
  for (auto& [item, candidate] : candidates) {
    // Many differ by their place only, which is the same now.
    const bool is_plain = std::ranges::all_of(item->value->entries, is_place);
    if (is_plain && std::exchange(had_plain, true)) continue;
    auto before = std::exchange(found_, {});
    read_fields(*item->value, candidate.resources);
    const auto own = std::exchange(found_, std::move(before));
    if (own.empty()) task_.candidates.push_back(std::move(candidate.resources));
    if (first.empty()) first = own;
  }
  if (task_.candidates.empty()) found_.insert(found_.end(), first.begin(), first.end());
}

Result<ResourcesReader::Candidate> ResourcesReader::placed_candidate(const Entry& list, const Entry& item,
                                                                     const Candidate& outer) {
  Candidate candidate = outer;
  candidate.resources.at = show(file_, item.at);
  if (item.value->type == Node::Type::null) return candidate;
  if (item.value->type != Node::Type::map) {
    return complain_at(
        item.at, fmt::format("a candidate of '{}' must be a mapping, not {}", list.name, called(item.value->type)), {},
        "write it like '- accelerators: A10G:1'");
  }
  for (const auto* name : {"any_of", "ordered"}) {
    if (const Entry* inner = given(*item.value, name)) {
      return complain_at(inner->at, fmt::format("'{}' inside '{}'", name, list.name), {},
                         "write all candidates in one list");
    }
  }
  TRY("", read_infra(*item.value, candidate));
  return candidate;
}

/// A run is on AWS, or here: its candidates cannot be on both.
Status ResourcesReader::check_providers(const Entry& list) {
  for (const auto& candidate : task_.candidates) {
    const auto provider = candidate.infra.value_or(Infra{}).provider;
    if (provider != task_.candidates.front().infra.value_or(Infra{}).provider) {
      return complain_at(list.at, fmt::format("'{}' mixes AWS with rehearsal or ssh", list.name), {},
                         "write infra: once, outside the candidates");
    }
    if (provider != Provider::aws) task_.resources.infra = candidate.infra;
  }
  return {};
}

bool ResourcesReader::is_decided(const Entry& entry) {
  const bool is_gpu = entry.name == "accelerators" || entry.name == "gpus", is_type = entry.name == "instance_type";
  if ((is_gpu && decided_.gpus) || (is_type && decided_.type)) return true;
  const bool other = (is_gpu && decided_.type) || (is_type && decided_.gpus);
  if (other) {
    auto line = fmt::format("{}:{}: {}: left out: {} decides", printable(file_), entry.at.line, entry.name,
                            is_gpu ? "--instance-type" : "--gpus");
    if (std::ranges::find(task_.not_yet, line) == task_.not_yet.end()) task_.not_yet.push_back(std::move(line));
    return true;
  }
  return entry.name == "image_id" && decided_.image &&
         (decided_.container || entry.value->type != Node::Type::text ||
          !lower(trim(entry.value->text)).starts_with("docker:"));
}

Status ResourcesReader::read_field(const Entry& entry, Resources& into) {
  const auto& name = entry.name;
  if (is_decided(entry)) return {};
  into.places[name] = show(file_, entry.value->at);
  if (name == "volumes") return read_volumes(entry);
  if (name == "accelerators" || name == "gpus") {
    into.places["accelerators"] = into.places[name];
    return read_accelerators(entry, into.accelerators);
  }
  if (name == "cpus") return read_amount(entry, into.cpus, parse_cpus);
  if (name == "memory") return read_amount(entry, into.memory, parse_memory);
  if (name == "local_disk") return read_amount(entry, into.local_disk, parse_local_disk);
  if (name == "disk_size") return read_disk_size(entry, into.disk_gib);
  if (name == "image_id") return read_image(entry, into.image);
  if (name == "labels") return read_labels(entry, into.labels);
  if (name == "autostop" && !task_.idle) task_.idle = idle_of_autostop(*entry.value);  // `idle:` outranks it
  if (name == "job_recovery" || name == "spot_recovery") into.recovery = recovery_of(*entry.value);
  if (name == "instance_type") {
    TRY_SET(text, "", text_of(entry));
    into.instance_type = trim(text);
  } else if (name == "use_spot") {
    TRY_SET(spot, "", bool_of(entry));
    into.use_spot = spot;
  } else if (name == "disk_tier") {
    TRY_SET(tier, "", choice_of(entry, disk_tiers));
    into.disk_tier = tier;
  } else if (name == "network_tier") {
    TRY("", choice_of(entry, network_tiers));
  } else if (name == "arch") {
    constexpr std::array<std::string_view, 4> known = {"x86_64", "arm64", "amd64", "aarch64"};
    TRY_SET(arch, "", choice_of(entry, known));
    into.arch = arch == "amd64" ? "x86_64" : arch == "aarch64" ? "arm64" : arch;
  } else if (name == "max_hourly_cost") {
    TRY_SET(text, "", text_of(entry));
    const auto most = parse_usd(trim(text));
    if (!most) return complain_in(entry, most.error());
    if (most->micros <= 0) return complain_at(entry.value->at, "'max_hourly_cost' must be above zero");
    into.max_hourly_cost = *most;
  } else if (name == "ports") {
    std::vector<Entry> ports = entry.value->entries;
    if (entry.value->type == Node::Type::text) ports = {entry};
    into.ports.clear();
    auto line = fmt::format(
        "{}:{}: ports: not open to the internet: while ferry run is attached, a tunnel leads there from "
        "this computer",
        printable(file_), entry.at.line);
    if (!ports.empty() && std::ranges::find(task_.not_yet, line) == task_.not_yet.end())
      task_.not_yet.push_back(std::move(line));
    for (const auto& port : ports) {
      if (port.value->type != Node::Type::text || !is_ports(port.value->text)) {
        return complain_at(port.value->at, "ports: a port is a number up to 65535, or a range like 10052-10100");
      }
      constexpr std::size_t most = 32;
      const auto dash = port.value->text.find('-');
      const auto first = *parse_int(trim(port.value->text.substr(0, dash)));
      const auto last = dash == std::string::npos ? first : *parse_int(trim(port.value->text.substr(dash + 1)));
      for (auto one = first; one <= last && into.ports.size() < most; ++one)
        into.ports.push_back(static_cast<int>(one));
    }
  }
  return {};
}

Status ResourcesReader::read_amount(const Entry& entry, std::optional<Amount>& amount,
                                    Result<Amount> (*parse)(std::string_view)) {
  TRY_SET(text, "", text_of(entry));
  const auto read = parse(text);
  if (!read) return complain_in(entry, read.error());
  amount = *read;
  return {};
}

Status ResourcesReader::read_disk_size(const Entry& entry, int& gib) {
  TRY_SET(text, "", text_of(entry));
  const auto size = parse_memory(text);
  if (size && !size->at_least && size->value >= 1 && size->value <= largest_disk_gib) {
    gib = static_cast<int>(std::floor(size->value));
    return {};
  }
  return complain_at(entry.value->at, fmt::format("disk_size: not the size of a disk: '{}'", printable(text)), {},
                     "write 256, 256GB or 1TB; at most 64 TB");
}

/// What the command line decides is not judged; only whether the file speaks of another cloud.
Status ResourcesReader::read_infra(const Node& map, Candidate& candidate) {
  auto read = read_place(map, candidate);
  return decided_.place ? Status() : read;
}

/// `infra`, or the older spelling in three parts: `cloud`, `region`, `zone`. What is not said stays as it is.
Status ResourcesReader::read_place(const Node& map, Candidate& candidate) {
  const Entry* place = given(map, "infra");
  const auto& before = candidate.resources.infra;
  std::string parts[] = {"aws", "*", "*"};
  if (before && before->provider == Provider::aws && !before->region.empty()) parts[1] = before->region;
  if (before && before->provider == Provider::aws && !before->zone.empty()) parts[2] = before->zone;
  constexpr const char* names[] = {"cloud", "region", "zone"};
  bool any_region = false;
  for (std::size_t i = 0; i < 3; ++i) {
    const Entry* entry = given(map, names[i]);
    if (!entry) continue;
    if (given(map, "infra")) {
      return complain_at(entry->at, fmt::format("'{}' beside 'infra': both say where", names[i]), {},
                         "keep 'infra' only, as in aws/us-east-1");
    }
    TRY_SET(text, "", text_of(*entry));
    parts[i] = text;
    if (i == 1) parts[2] = "*";  // an outer zone is not in this region
    any_region = any_region || (i == 1 && text == "*");
    place = entry;
  }
  if (!place) return {};
  std::string text = join(parts, "/");
  if (place->name == "infra") {
    TRY_SET(written, "", text_of(*place));
    text = written;
  } else if (lower(trim(parts[0])) != "aws" && parts[0] != "*") {
    text = parts[0];
    place = given(map, "cloud");
  }
  auto infra = parse_infra(text);
  if (!infra) {
    auto error = complain_in(*place, infra.error());
    if (infra.error().kind != Kind::unsupported) return error;
    candidate.elsewhere = error.value();
    candidate.elsewhere->advice = place->name == "region" || place->name == "zone"
                                      ? "pass --region us-east-1 ('*' for any), which outranks the file"
                                      : "pass --infra aws, which outranks the file";
    candidate.cloud = infra.error().code;
    return {};
  }
  if (place->name != "infra" && infra->region.empty()) infra->any_region = any_region;
  candidate.elsewhere.reset();
  candidate.resources.infra = *infra;
  candidate.resources.places["infra"] = show(file_, place->value->at);
  return {};
}

Status ResourcesReader::add_accelerator(const Entry& field, Place at, std::string_view text, Accelerators& into) {
  auto accelerator = parse_accelerator(trim(text));
  if (!accelerator) {
    const auto& error = accelerator.error();
    return complain_at(at, fmt::format("{}: {}", field.name, error.what), error.why, error.advice);
  }
  accelerator->at = show(file_, at);
  into.choices.push_back(*std::move(accelerator));
  return {};
}

/// Written `A100:8`, `{A100: 8}`, `{T4, V100}`, `'{T4:1, V100:1}'` or as a list; the last three name
/// alternatives, in order if they are a list.
Status ResourcesReader::read_accelerators(const Entry& entry, Accelerators& into) {
  into = {};
  const auto& value = *entry.value;
  if (value.type == Node::Type::text) {
    std::string_view text = trim(value.text);
    if (text.starts_with('{') && text.ends_with('}')) text = text.substr(1, text.size() - 2);
    for (const auto& choice : split(text, ',')) TRY("", add_accelerator(entry, value.at, choice, into));
    return {};
  }
  into.ordered = value.type == Node::Type::list;
  for (const auto& item : value.entries) {
    const bool pair = into.ordered && item.value->type == Node::Type::map && item.value->entries.size() == 1;
    const Entry& choice = pair ? item.value->entries.front() : item;
    std::string text = choice.name;
    if (choice.value->type == Node::Type::text) {
      text += (choice.name.empty() ? "" : ":") + choice.value->text;
    } else if (choice.value->type != Node::Type::null || choice.name.empty()) {
      return complain_at(choice.at, "accelerators: alternatives are texts like A100:8");
    }
    TRY("", add_accelerator(entry, choice.at, text, into));
  }
  return {};
}

/// `ami-…`, `{REGION: ami-…}`, a name (named_image), `docker:IMAGE`, or SkyPilot's name of an image of its own.
Status ResourcesReader::read_image(const Entry& entry, Image& image) {
  image = {};
  if (entry.value->type == Node::Type::map) {
    for (const auto& one : entry.value->entries) {
      const auto region = parse_infra("aws/" + one.name);
      if (!region || region->region != one.name) {
        return complain_at(one.at, fmt::format("image_id: '{}' is not a region", printable(one.name)), {},
                           "write it like us-east-1: ami-0123456789abcdef0");
      }
      TRY_SET(ami, "", text_of(one));
      if (!is_ami(ami)) {
        return complain_at(one.value->at, fmt::format("image_id: '{}' is not an AMI", printable(ami)), {},
                           "AMIs look like ami-0123456789abcdef0");
      }
      image.amis[one.name] = ami;
    }
    return {};
  }
  TRY_SET(text, "", text_of(entry));
  const auto word = lower(trim(text));
  if (is_ami(word)) {
    image.amis[""] = word;
  } else if (word.starts_with("skypilot:")) {
    image.flavour = "base";
    not_yet(entry, "SkyPilot's own images", "ferry takes the base Deep Learning AMI");
  } else if (auto container = container_named(text); !container.empty()) {
    image.docker = std::move(container);
  } else {
    auto named = named_image(text);
    if (!named) return complain_in(entry, named.error());
    if (!*named) {
      return complain_at(
          entry.value->at, fmt::format("image_id: '{}' is no image on AWS", printable(text)), {},
          "pass --image pytorch (or base, ami-…, docker:IMAGE), which outranks the file, or leave it out");
    }
    image = std::move((*named)->image);
    if (!(*named)->note.empty())
      task_.not_yet.push_back(
          fmt::format("{}:{}: image_id: {}", printable(file_), entry.value->at.line, (*named)->note));
  }
  return {};
}

Status ResourcesReader::read_labels(const Entry& entry, std::map<std::string, std::string>& labels) {
  if (entry.value->type != Node::Type::map) return wrong_type(entry, "a mapping", "write one 'key: value' a line");
  constexpr std::size_t most = 40;  // EC2 allows 50 tags; ferry needs some itself
  for (const auto& label : entry.value->entries) {
    const auto key = lower(label.name);
    if (key.starts_with("aws:") || key.starts_with("ferry:") || label.name.size() > 128) {
      return complain_at(label.at, fmt::format("labels: '{}' cannot be a label", printable(label.name)),
                         "names have at most 128 characters; those with aws: or ferry: in front are taken");
    }
    std::string text;
    if (label.value->type != Node::Type::null) {
      TRY_SET(written, "", text_of(label));
      text = written;
    }
    if (text.size() > 256) {
      return complain_at(label.value->at, "labels: a label has at most 256 characters");
    }
    labels[label.name] = text;
  }
  if (labels.size() > most) return complain_at(entry.at, fmt::format("labels: more than {}", most));
  return {};
}

}  // namespace ferry::task
