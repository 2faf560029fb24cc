#pragma once
/// \file
/// What can be wrong with the text of a YAML file, in words that help. Inside this room only.

#include <yaml-cpp/exceptions.h>

#include <optional>
#include <string>
#include <string_view>

#include "task/yaml.h"

namespace ferry::task {

struct Flaw {
  Place at;
  std::string what, why, advice;
};

/// What must not reach the parser: more than 1 MiB, bytes that are not UTF-8, control characters.
std::optional<Flaw> flaw_in_bytes(std::string_view text);

/// A quote that opens at (or, after a tag or an anchor, near) `position` and never closes; yaml-cpp takes the
/// rest of the file for its text.
std::optional<Flaw> open_quote(std::string_view text, std::size_t position);

/// yaml-cpp's complaint about `text` in plain words. `read_to` is a position that was read without complaint,
/// `open` the place where the innermost list or map began.
Flaw explained(std::string_view text, const YAML::Exception& exception, std::size_t read_to, Place open);

}  // namespace ferry::task
