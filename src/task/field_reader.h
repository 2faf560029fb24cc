#pragma once
/// \file
/// What the readers of a task's fields share. Inside this room only.

#include <string>
#include <string_view>

#include "task/task.h"
#include "task/yaml.h"

namespace ferry::task {

/// "text", "a list", "a mapping", "nothing": for complaints.
std::string_view called(Node::Type type);

/// Fills parts of one Task from a tree whose names have been checked.
class FieldReader {
 public:
  FieldReader(std::string_view file, Task& task) : file_(file), task_(task) {}

 protected:
  [[nodiscard]] tl::unexpected<Error> complain_at(Place at, std::string_view what, std::string why = {},
                                                  std::string advice = {}) const;
  /// What went wrong inside `entry`'s text, with the entry's name and place.
  [[nodiscard]] tl::unexpected<Error> complain_in(const Entry& entry, const Error& cause) const;
  [[nodiscard]] tl::unexpected<Error> wrong_type(const Entry& entry, std::string_view wanted,
                                                 std::string advice = {}) const;
  Result<std::string> text_of(const Entry& entry) const;
  /// Notes that `entry` is not acted on; `instead` is what happens.
  void not_yet(const Entry& entry, std::string_view meaning,
               std::string_view instead = "this version ignores it");

  std::string_view file_;
  Task& task_;
};

class ResourcesReader : FieldReader {
 public:
  using FieldReader::FieldReader;
  Status read(const Entry& resources);

 private:
  Status read_infra(const Node& resources);
  Status read_accelerators(const Entry& entry);
  Status read_amount(const Entry& entry, std::optional<Amount>& amount,
                     Result<Amount> (*parse)(std::string_view));
};

}  // namespace ferry::task
