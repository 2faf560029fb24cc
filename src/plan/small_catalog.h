#pragma once
/// \file
/// For tests only.

#include <gtest/gtest.h>

#include "plan/plan.h"

namespace ferry::plan {

/// Two GPU machines and a small one, in two regions, with spot prices by zone in the first.
inline Catalog small_catalog() {
  const auto catalog = Catalog::parse(
      "instance_type,accelerator_name,accelerator_count,accelerator_memory_mib,vcpus,memory_mib,arch,network_"
      "gbps,"
      "local_nvme_gb\n"
      "big.gpu,T4,1,16384,16,65536,x86_64,50 Gigabit,900\n"
      "gpu,T4,1,16384,4,16384,x86_64,Up to 25 Gigabit,125\n"
      "plain,,0,,2,8192,x86_64,Up to 5 Gigabit,0\n",
      "instance_type,region,on_demand_usd_per_hour,spot_usd_per_hour,source,zone\n"
      "big.gpu,eu-west-1,2,0.9,x,\n"
      "big.gpu,us-east-1,1.8,,x,\n"
      "gpu,eu-west-1,1,0.3,x,\n"
      "gpu,us-east-1,0.8,0.25,x,\n"
      "gpu,us-east-1,,0.4,x,us-east-1a\n"
      "gpu,us-east-1,,0.35,x,us-east-1b\n"
      "gpu,us-east-1,,,x,us-east-1c\n"
      "plain,us-east-1,0.05,0.01,x,\n",
      "2030-01");
  if (!catalog) ADD_FAILURE() << describe(catalog.error());
  return catalog.value_or(Catalog());
}

}  // namespace ferry::plan
