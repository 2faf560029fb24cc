#pragma once
/// \file
/// The store that a command is about: the one that is named, or that of the user's settings.

#include <memory>
#include <string>

#include "cli/command.h"
#include "fleet/store_access.h"

namespace ferry::cli {

struct NamedStore {
  std::string uri, region, infra = "aws";  ///< uri "": that of the settings
};

struct OpenedStore {
  std::unique_ptr<store::Store> store;
  std::shared_ptr<s3::Session> session;  ///< null: a folder
};

/// Fails bad_input (a mistake on the command line) where none is named, and as fleet::open_store().
Result<OpenedStore> open_named_store(Context& context, const NamedStore& named);

/// Whether to do it. Without anybody to ask, a mistake on the command line, with the line that goes ahead.
Result<bool> goes_ahead(const std::string& question, bool yes);

}  // namespace ferry::cli
