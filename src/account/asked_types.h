#pragma once
/// \file
/// Instance types that a task names and the catalog does not list: EC2 is asked about them.

#include "aws/ec2_catalog.h"
#include "cloud/cloud.h"
#include "plan/plan.h"
#include "task/task.h"

namespace ferry::account {

/// As the catalog has it. Nothing for one whose processor is neither x86_64 nor arm64.
std::optional<plan::InstanceType> type_of(const aws::InstanceTypeRecord& record);

struct AskedTypes {
  std::vector<std::string> told;  ///< one line for people on each type that EC2 knows
  std::string why;                ///< why one that was asked about stays unknown; empty: none does
};

/// Asks about every named type that the catalog in force lacks, in the candidate's region (the user's own, else
/// us-east-1), and lays what EC2 answers over the catalog: sizes, zones, and prices where they can be had; a price
/// that cannot is unknown. Words that are no type of EC2's by their form are not asked about. What AWS said is kept
/// in the cache folder. Never fails: the task stays as it is, and whoever looks for the type does not find it.
/// `rehearsal`: starts the local cloud and says how to reach it.
AskedTypes ask_about_types(const task::Task& task, os::HttpClient& http, os::Clock& clock,
                           const std::function<Result<cloud::AwsContext>()>& rehearsal);

}  // namespace ferry::account
