#pragma once
/// \file
/// Data sets of S3 on this machine (`ferry-agent data`): copied to it before the training, and what was written there
/// copied back. With the machine's own role where that may, else without credentials, as public buckets allow; with
/// nothing that this machine's files or environment name.

#include "base/error.h"

namespace ferry::agent {

/// Carries out the order (data_order.h) that stands on `in`, and tells on `out` what comes of it; an event "failed" is
/// the error that is answered. Who went away from the other end of `out` stops it; the next order of the same kind goes
/// on with what there is.
Status run_data(int in, int out);

}  // namespace ferry::agent
