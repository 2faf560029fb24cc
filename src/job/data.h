#pragma once
/// \file
/// A task's data sets (task/task.h: Data): the machine fetches them itself, before setup, into its scratch space; links
/// lead there from where the task wants them (mounts.h). Buckets that are mounted (buckets.h) it leaves alone. What the
/// training writes into a bucket goes back there when it ends, and is among the checkpoints meanwhile: should it not
/// get that far, it comes home.

#include <string>

#include "fleet/machine.h"
#include "job/connection.h"
#include "job/environment.h"
#include "task/task.h"

namespace ferry::job {

/// Before anything is rented: fails not_found, with the data sets' places in the task file, where S3 tells this
/// computer for certain that there is nothing; all of them at once. What it may not see, the machine may.
Status look_for_data(fleet::Context& context, const task::Task& task);

/// Copies what is neither mounted (made.mounted) nor there yet, and says so. `store`: the run's, for what goes by it.
/// Sets what made.training() does when the training is over. Fails disk_full before anything of a data set is fetched
/// that will not fit; denied, not_found, conflict and the like with the data set's place in the task file; lost when
/// the connection broke (again goes on); cancelled.
Status bring_data(fleet::Context& context, Connection& connection, const task::Task& task,
                  const fleet::CloudLocation& location, const agent::StoreSpec& store, Environment& made);

}  // namespace ferry::job
