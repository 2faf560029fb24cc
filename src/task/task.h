#pragma once
/// \file
/// What to train. A Task comes from a YAML file or from a command line; nothing here touches the machine.

#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "task/aws_settings.h"

namespace ferry::task {

enum class Provider { aws, rehearsal, ssh };

/// Where instances come from: `aws[/region[/zone]]`, `rehearsal`, `ssh/HOST`. `*` for region or zone means
/// any.
struct Infra {
  Provider provider = Provider::aws;
  std::string region, zone, host;  ///< empty: none named
  bool any_region = false;         ///< written as aws/*: wherever it is cheapest
  bool operator==(const Infra&) const = default;
};
/// Fails unsupported for another cloud's, whose name is the error's code.
Result<Infra> parse_infra(std::string_view text);
std::string show(const Infra& infra);

/// `4` or `4+`. cpus in vCPU, memory in GiB.
struct Amount {
  double value = 0;
  bool at_least = false;
  bool operator==(const Amount&) const = default;
};
Result<Amount> parse_cpus(std::string_view text);
/// `16`, `16+`, `16GB`, `64GiB`; bare numbers are GiB (as SkyPilot has it).
Result<Amount> parse_memory(std::string_view text);

/// `nvme`, `nvme:1000+`, `1000+`: disks inside the machine, in GB altogether.
Result<Amount> parse_local_disk(std::string_view text);

/// `A100:8`, `A10G`, `T4:1`; `24GB+:2` and `NVIDIA:80GB` ask for memory (then that is the name). Whether such
/// a thing exists, plan says.
struct Accelerator {
  std::string name;
  int count = 1;
  double part = 0;  ///< the fraction that was written and rounded up to `count`, as in T4:0.5; 0: none was
  std::string at;   ///< "FILE:LINE:COLUMN" for complaints; empty: not from a file
  bool operator==(const Accelerator&) const = default;
};
Result<Accelerator> parse_accelerator(std::string_view text);

/// Alternatives. In a file a list is ordered (the first that can be had), a set or a mapping is not (the
/// cheapest).
struct Accelerators {
  std::vector<Accelerator> choices;  ///< empty: none asked for
  bool ordered = false;
  bool operator==(const Accelerators&) const = default;
};
/// One, or several as in `A10G:1, L4:1` or `{A10G:1, L4:1}`; then the cheapest is meant.
Result<Accelerators> parse_accelerators(std::string_view text);

/// What the machine boots. All empty: the image that ferry chooses for the machine.
struct Image {
  std::string docker;   ///< of the container on it, as in docker:IMAGE
  std::string flavour;  ///< "base", "pytorch", "tensorflow": of the Deep Learning AMIs
  std::string version;  ///< of that framework, as "2.11"; empty: the newest
  std::string system;   ///< "ubuntu-24.04", "ubuntu-22.04", "amazon-linux-2023"; empty: ferry chooses
  std::map<std::string, std::string> amis;  ///< by region; under "" for whatever region
  bool operator==(const Image&) const = default;
};

/// What to do when the cloud takes the machine away, or the training fails (SkyPilot's job_recovery).
struct Recovery {
  bool is_wanted = true;            ///< false: strategy none
  bool other_region_first = false;  ///< strategy EAGER_NEXT_REGION
  int restarts_on_errors = 0;       ///< so many times after an exit code other than 0
  std::vector<int> exit_codes;      ///< after these, however often
  bool operator==(const Recovery&) const = default;
};

/// What one machine must have. Empty and nothing mean: no candidate.
struct Resources {
  std::optional<Infra> infra;
  std::string instance_type;
  Accelerators accelerators;
  std::optional<Amount> cpus, memory;  ///< vCPU, GiB
  std::optional<Amount> local_disk;    ///< GB
  std::string arch;                    ///< "x86_64" or "arm64"
  bool use_spot = false;
  std::optional<Recovery> recovery;    ///< nothing said: a spot machine's run recovers, another's does not
  std::optional<Usd> max_hourly_cost;  ///< of one machine; of its spot price with use_spot
  int disk_gib = 0;                    ///< the root disk; 0: ferry chooses
  std::string disk_tier;               ///< "low", "medium", "high", "ultra" or "best"
  Image image;
  std::vector<int> ports;                     ///< of the machine, that a tunnel leads to while the user is attached
  std::map<std::string, std::string> labels;  ///< tags of the user's own
  std::string at;                             ///< "FILE:LINE:COLUMN" for complaints; empty: not from a file
  std::map<std::string, std::string> places;  ///< the same for each field that a file gives
  bool operator==(const Resources&) const = default;
};

/// How setup and run find their Python.
struct Environment {
  std::string kind = "auto";  ///< "auto", "conda", "venv", "uv", "docker" or "none"
  std::string name;           ///< of the conda environment, or the docker image
  std::string file;           ///< environment.yml, requirements.txt, Dockerfile and the like; relative to workdir
  bool operator==(const Environment&) const = default;
};

/// A git repository, a commit of which is cloned to be the workdir.
struct GitSource {
  std::string url;    ///< as git takes it, without a login; empty: there is none
  std::string ref;    ///< a branch, a tag or a commit; empty: the repository's own default
  std::string login;  ///< "USER:PASSWORD" that stood in an https URL; never kept or shown
  std::string at;     ///< "FILE:LINE:COLUMN" for complaints
  bool operator==(const GitSource&) const = default;
};

/// "URL at REF": for people.
std::string show(const GitSource& git);

/// A file or folder of this computer that goes to the machine beside the workdir.
struct Mount {
  /// On the machine: relative (below the workdir), ~/… or absolute; plain, no place of the system's.
  std::string target;
  std::filesystem::path source;  ///< as written; relative to the caller's folder, or ~/…
  std::string at;                ///< "FILE:LINE:COLUMN" for complaints
  bool comes_home = false;       ///< what the training writes there comes home, below home_place()
  bool is_whole = false;         ///< all of it goes, whatever rules there are: what another task made
  bool operator==(const Mount&) const = default;
};

/// What another run has stored in the same store, which the machine takes from there before it begins.
struct StoredOutputs {
  std::string run;
  int attempt = 0;
  std::string manifest;  ///< the SHA-256 of the attempt's manifest (store/manifest.h), which names each file by its own
  bool operator==(const StoredOutputs&) const = default;
};

/// What a training is told when the cloud takes its machine back.
struct OnInterruption {
  std::string signal = "SIGTERM";  ///< "SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2", or "none": only FERRY_NOTICE tells
  Seconds grace{100};              ///< then what still runs is stopped; of EC2's two minutes the rest is for storing
  bool operator==(const OnInterruption&) const = default;
};

/// How the files of a bucket are to be there, in SkyPilot's words: copied before the training, mounted, or mounted
/// behind a cache on the machine's disk.
enum class MountMode { copy, mount, cached };

/// Files that the machine itself fetches before setup.
struct Data {
  std::string target;  ///< as a Mount's
  std::string url;     ///< "s3://BUCKET[/KEY]" (data_url.h), or a file's http(s)://…
  MountMode mode = MountMode::copy;
  bool is_written = false;  ///< what the training writes there goes back to the bucket
  std::string at;           ///< "FILE:LINE:COLUMN" for complaints
  /// Not empty: a folder of this computer, absolute, that goes by the run's store; `url` is empty then.
  std::string source = {};
  std::string set = {};  ///< what it is called there (store/data_set.h), once it is there
  bool operator==(const Data&) const = default;
};

/// A bucket that another tool would make for what the training writes: here a folder whose files come home.
struct OutputFolder {
  std::string target;  ///< as a Mount's
  std::string bucket;  ///< as it is called there
  std::string at;      ///< "FILE:LINE:COLUMN" for complaints
  bool operator==(const OutputFolder&) const = default;
};

/// A disk of EBS that is there before the run and after it.
struct Volume {
  std::string target;      ///< as a Mount's
  std::string name;        ///< its tag Name, or its id: "vol-…"
  std::string at;          ///< "FILE:LINE:COLUMN" for complaints
  bool read_only = false;  ///< mounted so
  bool operator==(const Volume&) const = default;
};

/// Where below the workdir lies, and comes home, what a mount's target calls by another place: "data" stays, "/data/x"
/// and "~/data/x" are "mounts/data/x".
std::string home_place(std::string_view target);
/// The same for what a mounted bucket does not have yet, which cannot lie at its target: "data" is "mounts/data".
std::string unsent_place(std::string_view target);

/// What becomes of a rented machine when its run is over, or when anything else ends it: it is given back, or it is
/// stopped, and its disk stays with all that is on it.
enum class Ends { terminate, stop };
/// "terminate" or "stop". Fails bad_input for another word.
Result<Ends> parse_ends(std::string_view text);
/// Fails unsupported, at its place, for machines that cannot be stopped, or would lose by it what they were asked for.
struct Task;
Status check_ends(const Task& task);
/// Fails unsupported, at the place of the task's volumes, where they cannot be had; bad_input for one that is named
/// twice.
Status check_volumes(const Task& task);

struct Task {
  std::string name;               ///< empty: the caller chooses (folder or file name)
  std::filesystem::path workdir;  ///< as written; empty: none given. Relative to the caller's folder
  GitSource git;                  ///< in place of a workdir that is a folder
  int num_nodes = 1;              ///< machines, each as `resources` say; several are planned for, and not run yet
  std::string nodes_at;           ///< "FILE:LINE:COLUMN" of that, for complaints; empty: one machine
  Resources resources;            ///< what stands outside any_of and ordered
  /// Of any_of or ordered: each with the outer fields that it does not override. Empty: `resources` alone.
  std::vector<Resources> candidates;
  bool ordered = false;  ///< the candidates are tried in their order, not by price
  std::map<std::string, std::string> envs;
  std::map<std::string, std::string> secrets;
  std::vector<std::string> missing_envs;  ///< written as null: must be supplied by --env or the environment
  std::vector<std::string> missing_secrets;
  std::string setup, run;                ///< bash
  std::string event_callback;            ///< bash, on the caller's computer, when the run's state changes
  std::vector<std::string> checkpoints;  ///< the same of what is saved while it trains, and comes home with the outputs
  std::vector<std::string> outputs;      ///< paths or globs relative to workdir; empty: `outputs/` if it exists
  std::vector<std::string> late;     ///< of the workdir, by the same rules: what is sent while the environment is made
  std::optional<std::string> store;  ///< place of a store (base/store_place.h); "": none, whatever the settings say
  std::optional<Usd> budget;         ///< hard cap for the whole run
  std::optional<Seconds> max_duration;  ///< hard cap on the training's time
  Ends ends = Ends::terminate;
  std::optional<Seconds> idle;      ///< a training that does nothing for so long is ended
  std::optional<Seconds> duration;  ///< how long it is expected to take, for estimates
  Environment environment;
  std::vector<std::string> run_options;  ///< for docker run, where the environment is a container: one word each
  OnInterruption on_interruption;
  bool recovers_by_aws = false;  ///< `recover: aws`: where a machine is lost, AWS itself starts the next one
  std::vector<Mount> mounts;
  std::vector<Data> data;
  std::optional<StoredOutputs> taken;  ///< of the document before: not among what is sent
  std::vector<OutputFolder> output_folders;
  std::vector<Volume> volumes;
  AwsSettings aws;
  /// It has no field of ferry's own, and more than SkyPilot's simplest: it may have been written for that.
  bool may_be_skypilots = false;
  std::vector<std::string> not_yet;  ///< one line for every known field that is not acted on, and for every
                                     ///< candidate on another cloud that was left out

  /// What may be rented: the candidates, or `resources` alone. Never empty.
  std::span<const Resources> all_candidates() const {
    return candidates.empty() ? std::span(&resources, 1) : std::span(candidates);
  }
  bool operator==(const Task&) const = default;
};

/// What the command line decides. What a file says of the same is not judged: it may be another cloud's.
struct Decided {
  bool place = false;      ///< --infra, --region
  bool image = false;      ///< --image; a file's container still counts beside an AMI
  bool container = false;  ///< --image docker:…
  bool type = false;       ///< --instance-type; a file's accelerators are not asked for then, either
  bool gpus = false;       ///< --gpus; a file's instance type is not asked for then, either
};

/// Reads a task file. Nothing in it is required here: whoever runs the task says so if `run` is empty. Values
/// are kept as written (`yes`, `1.50`); null means "not given", or for a variable "must be supplied". `file`
/// is only used in complaints, which read "FILE:LINE:COLUMN: …" and name the nearest known field for an
/// unknown one. What is wrong is Kind::bad_input; what is right but cannot be done by this version, and
/// without which the training would be another one (several machines, mounts, serving), is
/// Kind::unsupported. All that is wrong comes at once (Error::more), in the order of the file. Never throws.
Result<Task> parse_task(std::string_view yaml, std::string_view file, const Decided& decided = {});

/// A task file as far as it can be read.
struct Reading {
  Task task;                 ///< without what was wrong
  std::vector<Error> found;  ///< all that is wrong, in the order of the file; empty: parse_task() would accept it
  bool hardware = false;     ///< `resources` was read whole, but perhaps for a place on another cloud
};
/// As parse_task(), for those who have something to find out beside it.
Reading read_task(std::string_view yaml, std::string_view file, const Decided& decided = {});

/// A file with several documents: tasks that run one after the other, each with what the one before made.
struct Pipeline {
  std::string name;            ///< of a first document that has a name and nothing else; empty: there is none
  std::vector<Reading> tasks;  ///< at least one
};
/// As read_task(), of a file with one document or several.
Pipeline read_tasks(std::string_view yaml, std::string_view file, const Decided& decided = {});

/// Reads a store as people write it: a place, or "none", which is "". Fails bad_input.
Result<std::string> parse_store(std::string_view text);

/// Who begins the next attempt where a machine is lost: "aws", which is true, or "ferry", on this computer or another.
/// Fails bad_input.
Result<bool> parse_recover(std::string_view text);

/// Adds a mount as a command line has it, `SRC:DST`, `SRC:DST:ro` or `SRC:DST:rw`: SRC is a file or folder of this
/// computer, s3://BUCKET[/KEY], or a file's http(s)://…; `at` stands before complaints. Fails bad_input, and
/// unsupported for other clouds' places.
Status add_volume(std::string_view written, std::string_view at, Task& task);

/// Fails bad_input unless `name` can be a variable's: letters, digits and '_', no digit first.
Status check_variable_name(std::string_view name);

/// Fills `$NAME` and `${NAME}` in the workdir and the mounts with the task's envs (and secrets, in a repository's URL,
/// whose login is then taken out of it), as SkyPilot does, and adds to the checkpoints where mounts may be written to.
/// To be called once, when `envs` is complete. Fails bad_input for a name that `envs` does not have, and for what then
/// is no place and no URL.
Status fill_variables(Task& task);

/// A name valid for runs and tags made from any text: [a-z0-9-], at most 32 characters, never empty.
std::string name_from(std::string_view text);

}  // namespace ferry::task
