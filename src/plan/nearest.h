#pragma once
/// \file
/// What comes nearest to a GPU that AWS does not have, has no more, or does not sell in that number. Pure.

#include <set>

#include "plan/plan.h"

namespace ferry::plan {

/// The code of an error about hardware that cannot be had on AWS as it was asked for, whatever the account.
inline constexpr std::string_view no_such_hardware = "no_such_hardware";

/// When AWS took the type out: "May 2026", "before 2024"; empty: it can be had.
std::string_view retired(std::string_view type);

/// A line for people about a type of which it is not certain that a launch finds one; empty for all others.
std::string_view doubt(std::string_view type);

/// GPUs that can be had, in one machine.
struct Near {
  std::string accelerator;  ///< as the catalog names it
  int count = 0;
  int gb = 0;  ///< memory of one, as its maker writes it
  Usd hourly;  ///< of the cheapest machine, on demand, in the cheapest region
};

/// First the cheapest that is about as large and as fast: 85 % of the memory (of each, and altogether), 55 % of
/// the dense 16-bit arithmetic and of the memory bandwidth. Then a cheaper one that has the memory only; one
/// that is as fast, both taken together; and the same GPU in the next larger number. Where the first has four
/// times the GPUs that were asked for, or more, the largest GPU in the number asked for goes before it: whoever
/// takes the nearest unseen shall not pay for eight. Each is there once. Only what has a price is named. Empty
/// where nothing is known of the name.
std::vector<Near> nearest_to(std::string_view accelerator, int count, const Catalog& catalog);

/// "A10G:1 (24 GB, $1.006/h), A100:8 (8 × 40 GB, $21.96/h)"; empty for none.
std::string show(std::span<const Near> list);

/// What an error about `count` of an accelerator advises: the nearest, and how to take it. "" where nothing is
/// near.
std::string nearest_advice(std::string_view accelerator, int count, const Catalog& catalog);

/// "AWS has no p3.2xlarge any more", with what comes nearest to its accelerators; kind unsupported, code
/// no_such_hardware.
Error gone(std::string_view what, std::string_view when, std::string_view accelerator, int count,
           const Catalog& catalog);

/// "no instance type has A100 ×1": AWS sells them in the numbers `sold` (not empty) only. Kind not_found, code
/// no_such_hardware.
Error not_sold(std::string what, std::string_view accelerator, int count, const std::set<int>& sold,
               const Catalog& catalog);

/// Fails with the code no_such_hardware when nothing that the task asks for exists on AWS. What AWS has retired
/// exists in a rehearsal.
Status hardware_exists(const task::Task& task, const Catalog& catalog);

/// Where hardware_exists() fails: puts the nearest in the place of each accelerator and of a retired type, and
/// takes larger machines where that many vCPUs or that much memory are not sold. One line for each change:
/// "V100:1 → A10G:1 (24 GB, $1.006/h)".
std::vector<std::string> take_nearest(task::Task& task, const Catalog& catalog);

}  // namespace ferry::plan
