#pragma once
/// \file
/// What the readers of a task's fields share. Inside this room only.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "task/task.h"
#include "task/yaml.h"

namespace ferry::task {

/// "text", "a list", "a mapping", "nothing": for complaints.
std::string_view called(Node::Type type);

/// Fills parts of one Task from a tree whose names have been checked. What is wrong with one field is kept, and
/// the next is read: a user wants to know of all of it at once.
class FieldReader {
 public:
  FieldReader(std::string_view file, Task& task, std::vector<Error>& found) : file_(file), task_(task), found_(found) {}

 protected:
  [[nodiscard]] tl::unexpected<Error> complain_at(Place at, std::string_view what, std::string why = {},
                                                  std::string advice = {}, Kind kind = Kind::bad_input) const;
  /// What went wrong inside `entry`'s text, with the entry's name and place, and the cause's kind.
  [[nodiscard]] tl::unexpected<Error> complain_in(const Entry& entry, const Error& cause) const;
  [[nodiscard]] tl::unexpected<Error> wrong_type(const Entry& entry, std::string_view wanted,
                                                 std::string advice = {}) const;
  Result<std::string> text_of(const Entry& entry) const;
  /// Fails for a value that is a template's blank.
  Status check_blank(const Entry& entry) const;
  /// As YAML has it: true, yes, on and their opposites.
  Result<bool> bool_of(const Entry& entry) const;
  /// One of `known`, in lower case; else a complaint with the nearest.
  Result<std::string> choice_of(const Entry& entry, std::span<const std::string_view> known) const;
  /// A place of a store, or none.
  Status read_store(const Entry& entry, std::optional<std::string>& store) const;
  /// Notes that `entry` is not acted on; `instead` is what happens.
  void not_yet(const Entry& entry, std::string_view meaning, std::string_view instead = "this version ignores it");

  /// Keeps what was wrong.
  void keep(Status read);

  std::string_view file_;
  Task& task_;
  std::vector<Error>& found_;
};

class ResourcesReader : FieldReader {
 public:
  ResourcesReader(std::string_view file, Task& task, std::vector<Error>& found, const Decided& decided)
      : FieldReader(file, task, found), decided_(decided) {}
  /// Fills the task's resources and candidates.
  Status read(const Entry& resources);
  /// How many of the complaints are about places on other clouds only.
  std::size_t elsewhere() const { return elsewhere_; }

 private:
  /// Resources as read, and the place's own error where that is on another cloud (a candidate can still
  /// replace it), whose name is `cloud`.
  struct Candidate {
    Resources resources;
    std::optional<Error> elsewhere;
    std::string cloud;
  };
  /// Whether the command line has it instead; tells so where the file's word was another way to say it.
  bool is_decided(const Entry& entry);
  Status read_candidates(const Entry& list, const Candidate& outer);
  void read_foreign(std::vector<std::pair<const Entry*, Candidate>>& candidates);
  Status check_providers(const Entry& list);
  /// `outer` over which the candidate's own place is laid.
  Result<Candidate> placed_candidate(const Entry& list, const Entry& item, const Candidate& outer);
  /// The other fields of a candidate or of the resources.
  void read_fields(const Node& map, Resources& into);
  Status read_field(const Entry& entry, Resources& into);
  Status read_infra(const Node& map, Candidate& candidate);
  Status read_place(const Node& map, Candidate& candidate);
  Status read_accelerators(const Entry& entry, Accelerators& into);
  Status add_accelerator(const Entry& field, Place at, std::string_view text, Accelerators& into);
  Status read_amount(const Entry& entry, std::optional<Amount>& amount, Result<Amount> (*parse)(std::string_view));
  Status read_disk_size(const Entry& entry, int& gib);
  Status read_image(const Entry& entry, Image& image);
  Status read_labels(const Entry& entry, std::map<std::string, std::string>& labels);
  Status read_volumes(const Entry& entry);

  const Decided& decided_;
  bool reads_candidates_ = false;  // of any_of or ordered, no more what stands outside
  std::size_t elsewhere_ = 0;
};

class WorkdirReader : FieldReader {
 public:
  using FieldReader::FieldReader;
  /// Fills the task's `workdir`, or its `git`.
  Status read(const Entry& workdir);
  /// Complains about variables in them that are not among the task's envs, which may stand below.
  Status check_variables(const Node& root) const;

 private:
  Status read_git(const Entry& workdir);
};

class ConfigReader : FieldReader {
 public:
  using FieldReader::FieldReader;
  /// Fills the task's `run_options` from `config` or `experimental`, and tells of what else is in there.
  Status read(const Entry& config);

 private:
  void tell(const Entry& config, const Entry& field);
  Status read_docker(const Entry& config, const Entry& docker);
  Status add_options(const Entry& entry);
};

class InterruptionReader : FieldReader {
 public:
  using FieldReader::FieldReader;
  /// Fills the task's `on_interruption`: the signal, or a mapping of signal and grace.
  Status read(const Entry& field);

 private:
  Status read_signal(const Entry& entry);
  Status read_grace(const Entry& entry);
};

class MountsReader : FieldReader {
 public:
  using FieldReader::FieldReader;
  /// Fills the task's mounts, data and output folders. A training without its files fails on a machine that is paid
  /// for: what cannot be brought is a complaint.
  void read(const Entry& mounts);
  /// Complains about variables in them, and in the task's volumes, that are not among its envs, which may stand below.
  void check_variables();

 private:
  Status read_one(const Entry& mount);
  Status read_storage(const Entry& mount, const std::string& target);
  Status add_source(const Entry& source, const std::string& target, MountMode mode, bool is_written);
  Status add_output_folder(const Entry& mount, const std::string& target, const std::string& bucket);
  Result<bool> is_read_only(const Node& storage) const;
};

class VolumesReader : FieldReader {
 public:
  using FieldReader::FieldReader;
  /// Fills the task's volumes, from `volumes: {PATH: NAME}`.
  void read(const Entry& volumes);
  /// The same from what SkyPilot had below `resources:`, a list.
  void read_list(const Entry& volumes);

 private:
  Status read_fields(const Node& map, const Entry& volume, const std::string& path);
  Status add(const Entry& volume, const std::string& path, const Node& name, bool read_only = false);
};

class AwsReader : FieldReader {
 public:
  using FieldReader::FieldReader;
  /// Fills the task's `aws`.
  Status read(const Entry& aws);

 private:
  Status read_field(const Entry& field);
  Status read_subnets(const Entry& entry);
  Status add_subnets(const Entry& entry, std::string_view region);
};

}  // namespace ferry::task
