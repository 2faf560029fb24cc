#pragma once
/// \file
/// After a damaged ledger was set aside (ledger::last_mending).

#include "fleet/context.h"

namespace ferry::run {

/// Says so in one line, and takes into the ledger what it lost of this computer's machines, found by their tags: they
/// are followed again. What cannot be looked at now is left to `ferry recover`. Does nothing otherwise.
void finish_mending(fleet::Context& context);

}  // namespace ferry::run
