#include "plan/ask.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/text.h"
#include "plan/nearest.h"

namespace ferry::plan {
namespace {

constexpr std::int64_t gib = 1024;

double memory_of(const InstanceType& type) { return static_cast<double>(type.memory_mib) / gib; }

bool meets(double have, const std::optional<task::Amount>& asked) {
  if (!asked) return true;
  return asked->at_least ? have >= asked->value : std::abs(have - asked->value) < 1e-9;
}

bool enough(double have, const std::optional<task::Amount>& asked) { return !asked || have >= asked->value; }

std::string shown(const task::Amount& amount) { return fmt::format("{}{}", amount.value, amount.at_least ? "+" : ""); }

tl::unexpected<Error> unknown_type(const std::string& name, const Catalog& catalog) {
  const auto what = fmt::format("unknown instance type '{}'", printable(name));
  const auto word = lower(name);
  if (word.starts_with("standard_")) {
    return fail(Kind::unsupported, what, "it looks like one of Azure's; ferry trains on AWS",
                "pass --gpus GPU or --instance-type TYPE, which outrank the file; or leave instance_type out and ask "
                "for accelerators, cpus and memory",
                std::string(no_such_hardware));
  }
  if (word.find('.') == word.npos && word.find('-') != word.npos) {
    return fail(Kind::unsupported, what, "it looks like one of Google Cloud's; ferry trains on AWS",
                "pass --gpus GPU or --instance-type TYPE, which outrank the file; or leave instance_type out and ask "
                "for accelerators, cpus and memory",
                std::string(no_such_hardware));
  }
  std::vector<std::string> names;
  for (const auto& type : catalog.types()) names.push_back(type.name);
  const auto near = nearest(word, names);
  return fail(Kind::bad_input, what, near ? "" : "the catalog does not list it",
              near ? fmt::format("did you mean '{}'?", *near) : "types look like t3.medium or g5.xlarge",
              std::string(no_such_hardware));
}

/// The counts in which the accelerator that `ask` names can be had.
std::set<int> counts_of(const Ask& ask, const Catalog& catalog) {
  std::set<int> counts;
  for (const auto& type : catalog.types()) {
    if (ask.sensible(type, catalog) && is_wanted(type, ask.accelerator)) {
      counts.insert(type.accelerator_count);
    }
  }
  return counts;
}

/// The smallest type that has at least what is asked.
const InstanceType* next_larger(const Ask& ask, const Catalog& catalog) {
  const InstanceType* next = nullptr;
  for (const auto& type : catalog.types()) {
    if (ask.sensible(type, catalog) && ask.accelerator_fits(type) && enough(type.vcpus, ask.candidate->cpus) &&
        enough(memory_of(type), ask.candidate->memory) && enough(type.local_nvme_gb, ask.candidate->local_disk) &&
        (!next || std::pair(type.vcpus, type.memory_mib) < std::pair(next->vcpus, next->memory_mib))) {
      next = &type;
    }
  }
  return next;
}

tl::unexpected<Error> nothing_fits(const Ask& ask, const Catalog& catalog) {
  const auto what = fmt::format("no instance type has {}", ask.text());
  if (ask.written) {
    const auto counts = counts_of(ask, catalog);
    if (!counts.contains(ask.written->count)) {
      const auto& name = ask.accelerator.name.empty() ? ask.written->name : ask.accelerator.name;
      if (!counts.empty()) return tl::unexpected(not_sold(what, name, ask.written->count, counts, catalog));
      return fail(Kind::not_found, what, "none has that much memory",
                  name == ask.written->name ? "ask for less; `ferry gpus` lists what there is"
                                            : fmt::format("ask for {}", name),
                  std::string(no_such_hardware));
    }
  }
  if (const auto* next = next_larger(ask, catalog)) {
    return fail(Kind::not_found, what, fmt::format("the next larger is {}: {}", next->name, show(*next)),
                "a number without + is exact; write it with + (or pass --nearest) to take larger ones too",
                std::string(no_such_hardware));
  }
  if (ask.candidate->local_disk && !ask.written) {
    return fail(Kind::not_found, what, "of the types without GPUs that are known none has disks inside",
                "leave out local_disk, and write disk_size for a disk of that size");
  }
  if (!ask.candidate->arch.empty()) {
    return fail(Kind::not_found, what,
                fmt::format("of the types that are known none with {} fits", ask.candidate->arch),
                "leave out arch, or ask AWS for all its types: ferry catalog update");
  }
  return fail(Kind::not_found, what, "no type is that large", "ask for less");
}

/// The field without which something would fit; empty if that is not one of the amounts.
std::string_view odd_wish(const Ask& ask, const Catalog& catalog) {
  for (const std::string_view field : {"cpus", "memory", "local_disk", "arch"}) {
    auto candidate = *ask.candidate;
    if (field == "cpus") candidate.cpus.reset();
    if (field == "memory") candidate.memory.reset();
    if (field == "local_disk") candidate.local_disk.reset();
    if (field == "arch") candidate.arch.clear();
    Ask other = ask;
    other.candidate = &candidate;
    const auto fits = [&](const InstanceType& type) { return other.fits(type) && other.sensible(type, catalog); };
    if (ask.candidate->places.contains(std::string(field)) && std::ranges::any_of(catalog.types(), fits)) return field;
  }
  return {};
}

/// When the last type with the accelerator was taken out; empty: it can be had.
std::string_view gone_since(const Wanted& wanted, const Catalog& catalog) {
  std::string_view when;
  for (const auto& type : catalog.types()) {
    if (!is_wanted(type, wanted)) continue;
    when = retired(type.name);
    if (when.empty()) return {};
  }
  return when;
}

/// What AWS rents out no more can be rehearsed, with a word about it; anything else cannot be asked for.
Status check_retired(const Ask& ask, std::string_view what, std::string_view when, std::string_view accelerator,
                     int count, const Catalog& catalog, std::vector<std::string>& notes) {
  if (when.empty()) return {};
  const auto error = gone(what, when, accelerator, count, catalog);
  if (!ask.candidate->infra || ask.candidate->infra->provider != task::Provider::rehearsal)
    return ask.refuse(ask.type ? "instance_type" : "", error);
  notes.push_back(fmt::format("only rehearsed: {} ({}); {}", error.what, error.why, error.advice));
  return {};
}

/// One candidate with each of its accelerators.
void add_asks(const Ask& form, const Catalog& catalog, std::vector<Ask>& asks, std::vector<Error>& errors,
              std::vector<std::string>& notes) {
  Ask ask = form;
  if (!ask.candidate->instance_type.empty()) {
    ask.type = catalog.find(lower(ask.candidate->instance_type));
    if (!ask.type) {
      errors.push_back(
          ask.refuse("instance_type", unknown_type(ask.candidate->instance_type, catalog).value()).value());
      return;
    }
    const auto& type = *ask.type;
    const auto there =
        check_retired(ask, type.name, retired(type.name), type.accelerator, type.accelerator_count, catalog, notes);
    if (!there) return errors.push_back(there.error());
    if (const auto line = doubt(type.name); !line.empty()) notes.emplace_back(line);
  }
  const auto& accelerators = ask.candidate->accelerators;
  if (accelerators.choices.empty()) asks.push_back(ask);
  for (std::size_t i = 0; i < accelerators.choices.size(); ++i) {
    ask.written = &accelerators.choices[i];
    const auto& [name, count, part, at] = accelerators.choices[i];
    if (i && accelerators.ordered) ++ask.group;
    auto wanted = wanted_accelerator(name, count, catalog);
    if (!wanted) {
      errors.push_back(ask.refuse("", wanted.error()).value());
      continue;
    }
    ask.accelerator = *wanted;
    const auto when = ask.type ? std::string_view() : gone_since(*wanted, catalog);
    if (const auto there = check_retired(ask, name, when, name, count, catalog, notes); !there) {
      errors.push_back(there.error());
      continue;
    }
    if (part > 0)
      notes.push_back(fmt::format("{}:{} is rounded up: AWS rents whole GPUs, so {}:{}", name, part, name, count));
    asks.push_back(ask);
  }
}

}  // namespace

std::string show(const InstanceType& type) {
  const auto gpu =
      type.accelerator.empty() ? std::string() : fmt::format("{} ×{}, ", type.accelerator, type.accelerator_count);
  return fmt::format("{}{} vCPU, {} GiB", gpu, type.vcpus, memory_of(type));
}

bool Ask::nothing() const {
  return !type && !written && !candidate->cpus && !candidate->memory && !candidate->local_disk &&
         candidate->arch.empty();
}

bool Ask::accelerator_fits(const InstanceType& one) const {
  return !written || (is_wanted(one, accelerator) && one.accelerator_count == written->count);
}

bool Ask::fits(const InstanceType& one) const {
  return accelerator_fits(one) && meets(one.vcpus, candidate->cpus) && meets(memory_of(one), candidate->memory) &&
         meets(one.local_nvme_gb, candidate->local_disk) && (candidate->arch.empty() || one.arch == candidate->arch);
}

bool Ask::sensible(const InstanceType& one, const Catalog& catalog) const {
  // By its name it can only have come here for a rehearsal.
  if (accelerator.name.empty() && !retired(one.name).empty()) return false;
  const bool own_arch = one.arch == (candidate->arch.empty() ? "x86_64" : candidate->arch);
  if (!written) {
    const bool roomy = one.memory_mib >= std::max(4 * gib, one.vcpus * 2 * gib);
    return one.accelerator.empty() && own_arch && (roomy || candidate->memory);
  }
  if (own_arch && !is_slice(one)) return true;
  if (accelerator.name.empty()) return false;
  const auto usual = [&](const InstanceType& other) {
    return other.accelerator == one.accelerator && other.arch == "x86_64" && !is_slice(other);
  };
  return std::ranges::none_of(catalog.types(), usual);
}

std::string Ask::text() const {
  std::vector<std::string> parts;
  if (written) parts.push_back(fmt::format("{} ×{}", written->name, written->count));
  if (candidate->cpus) parts.push_back(shown(*candidate->cpus) + " vCPU");
  if (candidate->memory) parts.push_back(shown(*candidate->memory) + " GiB");
  if (candidate->local_disk) parts.push_back(shown(*candidate->local_disk) + " GB of disk inside");
  if (!candidate->arch.empty()) parts.push_back("arch " + candidate->arch);
  return join(parts, ", ");
}

tl::unexpected<Error> Ask::refuse(std::string_view field, Error error) const {
  const auto place = [&](std::string_view name) {
    const auto found = candidate->places.find(std::string(name));
    return found == candidate->places.end() ? std::string() : found->second;
  };
  auto at = place(field);
  if (at.empty() && written) return fail(written->at, std::move(error));
  if (at.empty()) at = place("instance_type");
  return fail(at.empty() ? candidate->at : at, std::move(error));
}

Result<std::vector<Ask>> asks_of(const task::Task& task, const Catalog& catalog, std::vector<std::string>& notes) {
  std::vector<Ask> asks;
  std::vector<Error> errors;
  const auto candidates = task.all_candidates();
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    Ask form;
    form.candidate = &candidates[i];
    form.number = i;
    form.market = candidates[i].use_spot ? Market::spot : Market::on_demand;
    if (task.ordered && !asks.empty()) form.group = asks.back().group + 1;
    add_asks(form, catalog, asks, errors, notes);
  }
  if (asks.empty()) return tl::unexpected(errors.front());
  for (const auto& error : errors) notes.push_back("left out: " + error.what);
  return asks;
}

Result<std::vector<const InstanceType*>> fitting(const Ask& ask, const Catalog& catalog) {
  if (ask.type) {
    if (ask.fits(*ask.type)) return std::vector{ask.type};
    return ask.refuse(
        "", fail(Kind::not_found, fmt::format("{} does not have {}", ask.type->name, ask.text()),
                 fmt::format("it has {}", show(*ask.type)), "leave out instance_type, or what it does not have")
                .value());
  }
  std::vector<const InstanceType*> out;
  for (const auto& type : catalog.types()) {
    if (ask.fits(type) && ask.sensible(type, catalog)) out.push_back(&type);
  }
  if (out.empty()) return ask.refuse(odd_wish(ask, catalog), nothing_fits(ask, catalog).value());
  return out;
}

}  // namespace ferry::plan
