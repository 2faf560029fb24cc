#include "cli/foreign_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/text.h"
#include "cli/loose.h"

namespace ferry::cli {

namespace {

enum class Does {
  rename,   ///< `ours` is its name here
  drop,     ///< changes nothing here: `ours` says why
  place,    ///< its value is what stands without an option here
  say,      ///< cannot be had so: `ours` is what to type
  minutes,  ///< -i: with a number SkyPilot's minutes to autostop, without one docker's --interactive
  gres,     ///< Slurm's gpu:NAME:N
  idle_minutes,
  slurm_time,  ///< a bare number is minutes
  zone,
  cloud,
  nodes,
  mount,
  publish,
  dry_run,
  format,  ///< json, or a table
};
using enum Does;

struct Foreign {
  std::string_view commands, flags;  ///< each a list, separated by blanks
  bool has_value;
  Does does;
  std::string_view ours = {};
};

constexpr std::string_view tasks = "run rehearse plan", ends_runs = "cancel down", starting = "run rehearse";
constexpr std::string_view by_itself = "every machine ends with its run";
constexpr std::string_view streams = "the training's output streams through; to type to it: ferry ssh RUN";
constexpr std::string_view whole = "the training has the whole machine";
constexpr std::string_view no_queue = "there is no queue: each run rents a machine of its own";
constexpr std::string_view follows = "ferry run stays with its training; -d leaves it";
constexpr std::string_view all_told = "all there is to tell is told; ferry show RUN has the rest";

constexpr Foreign all_foreign[] = {
    // hardware
    {tasks, "-g --gpu --gpu-type --gpuType --gpu-name --accelerator --accelerators --gpus-per-node -G", true, rename,
     "--gpus"},
    {tasks, "--gres", true, gres},
    {tasks, "--type --machine --machine-type --instance --flavor --node-type --vm-size --instance_type", true, rename,
     "--instance-type"},
    {tasks, "--cpu --vcpus --num-cpus --cpus-per-task --ncpus", true, rename, "--cpus"},
    {tasks, "--mem --ram --mem-gb", true, rename, "--memory"},
    {tasks, "--disk-size --disk-gb --storage --volume-size", true, rename, "--disk"},
    {tasks, "--image-id --image-uri --container-image --docker-image --container", true, rename, "--image"},
    {tasks, "--use-spot --spot-instance --spot-instances --preemptible --interruptible --use-spot-instances", false,
     rename, "--spot"},
    {tasks, "--no-use-spot --no-spot --ondemand", false, rename, "--on-demand"},
    {tasks, "--zone --availability-zone", true, zone},
    {tasks, "--cloud --provider --backend", true, cloud},
    {tasks, "--num-nodes --nodes -N --num_nodes --instance-count", true, nodes},
    // limits
    {tasks, "--time", true, slurm_time},
    {tasks, "--time-limit --max-time --max-runtime --max-run --walltime", true, rename, "--max-duration"},
    {tasks, "--max-cost --max-spend --cost-limit", true, rename, "--budget"},
    {tasks, "--max-price --spot-price", true, rename, "--max-hourly-cost"},
    // what it is called, and where its files are
    {tasks, "-c --cluster --cluster-name --job-name -J --run-name --experiment-name --experiment", true, rename,
     "--name"},
    {tasks, "--tag --tags", true, rename, "--label"},
    {tasks, "--working-dir --chdir -D --code-dir --source-dir", true, rename, "--workdir"},
    {tasks, "--outputs --output-dir --out --artifacts", true, rename, "--output"},
    {tasks, "--secrets", true, rename, "--secret"},
    {tasks, "-f --file --config --task --yaml --task-file", true, place},
    {tasks, "--mount --volumes --file-mounts", true, mount},
    {tasks, "-p --publish --port --ports", true, publish},
    {tasks, "--requirements -r --pip", true, say,
     "ferry run --setup 'pip install -r {}' …   (requirements.txt of the workdir is installed by itself)"},
    {tasks, "--conda --conda-env --environment", true, say,
     "environment.yml beside the code is installed by itself; what the image has is on the path"},
    {tasks, "--set --arg --args --hyperparameters --param", true, say,
     "ferry run -- python train.py …   ({} is the training's)"},
    // how it goes
    {starting, "--background --detached --detach-run --no-follow --async --no-wait", false, rename, "--detach"},
    {"run", "--no-confirm --assume-yes --auto-approve", false, rename, "--yes"},
    {"run", "--force --non-interactive --no-input", false, say, "ferry run --yes …   (rents without a question)"},
    {starting, "--keep-alive --no-teardown --no-down --keep-running", false, rename, "--keep"},
    {starting, "--local", false, rename, "--infra=rehearsal"},
    {starting, "--dry-run --dryrun --plan", false, dry_run},
    {starting, "--wait --stream --stream-logs --attach --watch --sync", false, drop, follows},
    {starting, "--down --rm --auto-remove --terminate", false, drop, by_itself},
    {starting, "--idle-minutes-to-autostop --autostop", true, idle_minutes},
    {starting, "-i", false, minutes},
    {starting, "--retry-until-up", false, drop, "each offer of the plan is tried by itself"},
    {"run rehearse ssh", "-it -ti --interactive --tty -t", false, drop, streams},
    {tasks, "--verbose", false, drop, all_told},
    {tasks, "--ipc --shm-size --network --net --runtime --ulimit -u --user --hostname", true, drop, whole},
    {tasks, "--privileged --init --exclusive", false, drop, whole},
    {tasks, "--partition --account -A --qos --queue --ntasks --ntasks-per-node --constraint", true, drop, no_queue},
    // other commands
    {"ps", "--refresh --no-trunc --wide --verbose -v -r", false, drop, "each look is a fresh one"},
    {"ps fetch logs show", "-a --all --last", false, drop, "the newest run is taken where none is named"},
    {"ps", "-o --format --output", true, format},
    {"ps", "-u --user --me", true, drop, "they are your own runs"},
    {ends_runs, "-f --force --no-confirm --purge", false, rename, "--yes"},
    {"down", "-a", false, rename, "--all"},
    {"cancel", "-a --all", false, say, "ferry down --all   (ends every run; of one: ferry cancel RUN)"},
    {"cancel down logs show fetch ssh wait", "--instance-ids --job --job-id --job-name --name --run --run-id --cluster",
     true, place},
    {"gpus", "--gpu --gpu-name --accelerator", true, place},
    {"gpus", "-a --all --all-regions", false, drop, "all are shown"},
    {"logs", "--lines", true, rename, "--tail"},
    {"logs", "--timestamps", false, drop, "ferry logs RUN --json has the times"},
    {"ssh", "-i", true, drop, "the run has a key of its own"},
    {"ssh", "-L", true, say, "ports: [PORT] in the task file opens a tunnel while ferry run is attached"},
};

bool in(std::string_view list, std::string_view word) {
  for (const auto& one : split(list, ' '))
    if (one == word) return true;
  return false;
}

const Foreign* row_of(std::string_view command, std::string_view name, bool with_value) {
  const Foreign* found = nullptr;
  for (const auto& row : all_foreign) {
    if (!in(row.commands, command) || !in(row.flags, name)) continue;
    if (row.has_value == with_value) return &row;  // -v SRC:DST and -v
    if (!found) found = &row;
  }
  return found;
}

/// docker run IMAGE COMMAND: a word with a slash or a colon, no file, and behind it a command.
bool is_image(std::span<const std::string> words) {
  constexpr std::string_view files[] = {".yaml", ".yml", ".json", ".py", ".sh", ".ipynb"};
  const auto& word = words[0];
  const bool is_file = std::ranges::any_of(files, [&](auto end) { return word.ends_with(end); });
  return words.size() > 1 && word.find_first_of("/:") != word.npos && word.find("://") == word.npos &&
         !word.starts_with('/') && !word.starts_with('.') && !is_file && !os::exists(word) && begins_training(words[1]);
}

bool is_here(const std::string& folder) {
  std::error_code unknown;
  return folder == "." || folder == "$PWD" || folder == "$(pwd)" ||
         std::filesystem::equivalent(folder.empty() ? "." : folder, ".", unknown);
}

class Translator {
 public:
  Translator(const CLI::App& app, std::vector<std::string>& words)
      : app_(app), command_(*app.get_subcommand(words[0])), words_(words) {}

  Translation translate() {
    const bool is_task = in(tasks, words_[0]);
    while (at_ < words_.size() && words_[at_] != "--" && out_.refused.empty()) {
      const auto& word = words_[at_];
      if (!word.starts_with('-') || word == "-") {
        if (is_task && begins_training(word)) break;
        if (is_task && is_image(std::span(words_).subspan(at_))) {
          tell("an image is named: --image docker:" + printable(word));
          put({"--image", "docker:" + word});
        } else {
          ++at_;
        }
      } else if (const auto value = own_option(app_, command_, word)) {
        // docker's all, or only a number: the instance type has said it.
        const bool has_next = word == "--gpus" && at_ + 1 < words_.size();
        if (has_next && (words_[at_ + 1] == "all" || parse_int(words_[at_ + 1])) && has_type()) {
          length_ = 2;
          drop("--gpus " + words_[at_ + 1], whole);
        } else {
          at_ += *value ? 2 : 1;
        }
      } else {
        foreign(word);
      }
    }
    return std::move(out_);
  }

 private:
  void tell(std::string line) { out_.told.push_back(std::move(line)); }

  /// `with` in the place of what is translated.
  void put(const std::vector<std::string>& with) {
    const auto from = words_.begin() + static_cast<std::ptrdiff_t>(at_);
    const auto to = words_.erase(from, from + static_cast<std::ptrdiff_t>(length_));
    words_.insert(to, with.begin(), with.end());
    at_ += with.size();
    length_ = 1;
  }

  void drop(std::string_view what, std::string_view why) {
    tell(fmt::format("{}: nothing to do here: {}", printable(what), why));
    put({});
  }

  void rename(const std::string& name, std::string_view ours, const std::string* value) {
    tell(fmt::format("{} is here: {}{}", name, ours, value ? " " + printable(*value) : ""));
    std::vector<std::string> with{std::string(ours)};
    if (value) with.push_back(*value);
    put(with);
  }

  void refuse(const std::string& what, std::string instead) {
    out_.refused = fmt::format("ferry {} has no {}", words_[0], printable(what));
    out_.instead = std::move(instead);
  }

  bool has_type() const {
    return std::ranges::any_of(words_,
                               [](const auto& word) { return word == "-t" || word.starts_with("--instance-type"); });
  }

  void foreign(const std::string& typed) {
    const auto equals = typed.find('=');
    const auto name = typed.substr(0, equals);
    const bool is_last = at_ + 1 >= words_.size() || words_[at_ + 1].starts_with('-');
    const bool has_next =
        equals != typed.npos || (!is_last && (name != "-v" || words_[at_ + 1].find(':') != std::string::npos));
    const auto* row = row_of(words_[0], name, has_next);
    if (!row || (row->has_value && !has_next)) {
      ++at_;
      return;
    }
    const auto value = !row->has_value        ? std::string()
                       : equals != typed.npos ? typed.substr(equals + 1)
                                              : words_[at_ + 1];
    length_ = row->has_value && equals == typed.npos ? 2 : 1;
    apply(*row, name, value);
  }

  void apply(const Foreign& row, const std::string& name, const std::string& value) {
    const auto both = name + (value.empty() ? "" : " " + value);
    switch (row.does) {
      case Does::rename:
        if (name == "-c" && value.find(' ') != value.npos)  // as a shell has it
          return refuse(name, "ferry run -- sh -c " + as_typed(value));
        return rename(name, row.ours, row.has_value ? &value : nullptr);
      case Does::drop:
        return drop(both, row.ours);
      case place:
        return put({value});
      case say:
        return refuse(name, fmt::format(fmt::runtime(row.ours), as_typed(value)));
      case minutes:
        if (at_ + 1 < words_.size() && parse_int(words_[at_ + 1])) {
          length_ = 2;
          return autostop(name, words_[at_ + 1]);
        }
        return drop(name, streams);
      case idle_minutes:
        return autostop(name, value);
      case gres: {
        auto gpus = value.starts_with("gpu:") ? value.substr(4) : value;
        return rename(name, "--gpus", &gpus);
      }
      case slurm_time: {
        const auto limit = value + (parse_int(value) ? "m" : "");
        return rename(name, "--max-duration", &limit);
      }
      case zone: {
        const auto infra = fmt::format("aws/{}/{}", value.substr(0, value.empty() ? 0 : value.size() - 1), value);
        return rename(name, "--infra", &infra);
      }
      case cloud:
        if (lower(value) == "aws" || lower(value) == "ec2") return drop(both, "ferry trains on AWS");
        return refuse(both, "ferry run --infra aws …   (it trains on AWS; or rehearsal, or ssh/HOST)");
      case nodes:
        if (value == "1") return drop(both, "a run has one machine");
        return refuse(both, "ferry run --gpus H100:8 …   (a run has one machine; what there is in one: ferry gpus)");
      case mount:
        return mount_option(name, value);
      case publish:
        return refuse(both, fmt::format("ports: [{}] in the task file opens a tunnel while ferry run is attached",
                                        printable(value.substr(value.rfind(':') + 1))));
      case format:
        if (value == "json") return refuse(both, "ferry ps --json");
        return drop(both, "a table is shown; --json is for programs");
      case dry_run:
        tell(fmt::format("{} is here: ferry plan", name));
        words_[0] = "plan";
        return put({});
    }
  }

  /// A number is minutes; none and -1 are never.
  void autostop(const std::string& name, const std::string& value) {
    const auto minutes = parse_int(value);
    if (minutes && *minutes <= 0) return drop(name + " " + value, by_itself);
    const auto limit = value + (minutes ? "m" : "");
    rename(name, "--idle", &limit);
  }

  void mount_option(const std::string& name, const std::string& value) {
    const auto colon = value.find(':');
    const auto source = value.substr(0, colon);
    const auto target = colon == value.npos ? "/PATH" : value.substr(colon + 1, value.find(':', colon + 1) - colon - 1);
    if (is_here(source)) return drop(name + " " + value, "the workdir goes over, and the training starts in it");
    refuse(name, fmt::format("ferry run -v {}:{} …   (the workdir goes over by itself)", printable(source),
                             printable(target)));
  }

  const CLI::App& app_;
  const CLI::App& command_;
  std::vector<std::string>& words_;
  std::size_t at_ = 1, length_ = 1;
  Translation out_;
};

}  // namespace

Translation translate_options(const CLI::App& app, std::vector<std::string>& words) {
  return Translator(app, words).translate();
}

}  // namespace ferry::cli
