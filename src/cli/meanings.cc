#include "cli/meanings.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace ferry::cli {

namespace {

/// What stands in the third column: {1} is the run that was named (RUN if none was), {*} all words behind the
/// first, {-1} those behind the run. With an argument that is no option, `with_run` goes before `ferry`.
struct Meaning {
  std::string_view word;
  Answer::How how;
  std::string_view ferry;
  std::string_view note = {};
  std::string_view with_run = {};
};

using enum Answer::How;

constexpr std::string_view stop_note = "its outputs come home, then the machine is released";
constexpr std::string_view down_note = "outputs that are not home yet come home first";
constexpr std::string_view own_image = "an image of your own is named in the task: image_id: docker:IMAGE";
constexpr std::string_view no_disk_left = "ferry keeps no stopped machines: nothing is billed between runs";
constexpr std::string_view in_the_task = "setup: in a task file, or --setup";

constexpr Meaning meanings[] = {
    // what is there
    {"ls", runs, "ps", {}, "show"},
    {"list", runs, "ps", {}, "show"},
    {"status", runs, "ps", {}, "show"},
    {"stat", runs, "ps", {}, "show"},
    {"queue", runs, "ps", {}, "show"},
    {"squeue", runs, "ps", {}, "show"},
    {"qstat", runs, "ps", {}, "show"},
    {"bjobs", runs, "ps", {}, "show"},
    {"jobs", runs, "ps", {}, "show"},
    {"runs", runs, "ps", {}, "show"},
    {"clusters", runs, "ps", {}, "show"},
    {"pods", runs, "ps", {}, "show"},
    {"instances", runs, "ps", {}, "show"},
    {"top", runs, "ps", {}, "show"},
    {"get", runs, "ps", {}, "show"},
    {"describe-instances", runs, "ps", {}, "show"},
    {"sacct", runs, "ps --all", {}, "show"},
    {"history", runs, "ps --all", {}, "show"},
    {"inspect", runs, "show"},
    {"describe", runs, "show"},
    {"info", runs, "show"},
    {"view", runs, "show"},
    // ending
    {"stop", asks, "cancel", stop_note},
    {"kill", asks, "cancel", stop_note},
    {"scancel", asks, "cancel", stop_note},
    {"qdel", asks, "cancel", stop_note},
    {"bkill", asks, "cancel", stop_note},
    {"abort", asks, "cancel", stop_note},
    {"halt", asks, "cancel", stop_note},
    {"interrupt", asks, "cancel", stop_note},
    {"stop-instances", asks, "cancel", stop_note},
    {"rm", asks, "down", down_note},
    {"remove", asks, "down", down_note},
    {"terminate", asks, "down", down_note},
    {"terminate-instances", asks, "down", down_note},
    {"delete", asks, "down", down_note},
    {"del", asks, "down", down_note},
    {"destroy", asks, "down", down_note},
    {"teardown", asks, "down", down_note},
    {"shutdown", asks, "down", down_note},
    {"release", asks, "down", down_note},
    {"prune", says, "ferry down --all", "ends every run and whatever carries your tags"},
    // looking at one run
    {"attach", runs, "logs --follow"},
    {"tail", runs, "logs --follow"},
    {"follow", runs, "logs --follow"},
    {"watch", runs, "logs --follow"},
    {"log", runs, "logs"},
    {"output", runs, "logs"},
    {"exec", says, "ferry ssh {1} -- {-1}"},
    {"srun", says, "ferry run -- {*}"},
    {"shell", runs, "ssh"},
    {"login-node", runs, "ssh"},
    {"connect", runs, "ssh"},
    {"console", runs, "ssh"},
    // files
    {"download", runs, "fetch"},
    {"pull", runs, "fetch"},
    {"cp", says, "ferry fetch {1}", "outputs come home to runs/RUN; of one file: ferry ssh {1} -- cat FILE > FILE"},
    {"scp", says, "ferry fetch {1}", "outputs come home to runs/RUN; of one file: ferry ssh {1} -- cat FILE > FILE"},
    {"rsync", says, "ferry fetch {1}", "outputs come home to runs/RUN; the workdir goes over with each run"},
    {"sync", says, "ferry fetch {1}", "outputs come home to runs/RUN; the workdir goes over with each run"},
    {"upload", says, "ferry run --workdir FOLDER -- COMMAND", "the workdir goes over with each run"},
    {"push", says, "ferry run --workdir FOLDER -- COMMAND", "the workdir goes over with each run"},
    // starting
    {"launch", runs, "run"},
    {"start", runs, "run"},
    {"train", runs, "run"},
    {"submit", runs, "run"},
    {"sbatch", runs, "run"},
    {"qsub", runs, "run"},
    {"bsub", runs, "run"},
    {"apply", runs, "run"},
    {"create", runs, "run"},
    {"up", runs, "run"},
    {"run-instances", runs, "run"},
    {"salloc", says, "ferry run --keep --gpus GPU -- true", "then: ferry ssh RUN, and at the end: ferry down RUN"},
    {"start-instances", says, "ferry run TASK", no_disk_left},
    {"restart", says, "ferry run TASK", no_disk_left},
    {"resume", says, "ferry run TASK", no_disk_left},
    {"dryrun", runs, "plan"},
    {"dry-run", runs, "plan"},
    {"estimate", runs, "plan"},
    {"validate", runs, "plan"},
    {"simulate", runs, "rehearse"},
    {"test", runs, "rehearse"},
    // what there is, and what it costs
    {"show-gpus", runs, "gpus"},
    {"gpu", runs, "gpus"},
    {"sinfo", runs, "gpus"},
    {"offer", runs, "gpus"},
    {"prices", runs, "gpus"},
    {"pricing", runs, "gpus"},
    {"describe-instance-types", runs, "gpus"},
    {"cost-report", runs, "cost"},
    {"costs", runs, "cost"},
    {"bill", runs, "cost"},
    {"billing", runs, "cost"},
    {"usage", runs, "cost"},
    {"quotas", runs, "quota"},
    {"limits", runs, "quota"},
    // the person and the program
    {"doctor", runs, "check"},
    {"whoami", runs, "check"},
    {"auth", runs, "check"},
    {"diagnose", runs, "check"},
    {"login", says, "aws configure", "ferry uses the AWS account of this computer; then: ferry check"},
    {"logout", says, "ferry down --all", "ferry keeps no session of its own"},
    {"configure", says, "aws configure", "ferry uses the AWS account of this computer; then: ferry check"},
    {"config", says, "ferry check", "your own settings are in ~/.config/ferry/config.yaml"},
    {"init", says, "ferry run -- python train.py", "nothing has to be set up; a task file is optional: task.yaml"},
    {"completions", runs, "completion"},
    {"iam", runs, "policy"},
    {"update-catalog", runs, "catalog update"},
    // what has no command of its own
    {"build", says, "ferry run --image docker:IMAGE -- COMMAND", own_image},
    {"install", says, "ferry run --setup 'pip install {*}' -- COMMAND", in_the_task},
    {"pip", says, "ferry run --setup 'pip {*}' -- COMMAND", in_the_task},
    {"conda", says, "ferry run --setup 'conda {*}' -- COMMAND", in_the_task},
    {"autostop", says, "ferry run --max-duration 2h TASK", "every machine ends with its run"},
    {"storage", says, "ferry fetch RUN", "outputs come home; ferry keeps no buckets"},
    {"volume", says, "ferry run --disk GIB TASK", "a run's disk ends with it; outputs come home"},
    {"port-forward", says, "ssh -L PORT:localhost:PORT", "through: ferry ssh {1}"},
    {"python", says, "ferry run -- python {*}"},
    {"python3", says, "ferry run -- python3 {*}"},
    {"torchrun", says, "ferry run -- torchrun {*}"},
    {"accelerate", says, "ferry run -- accelerate {*}"},
    {"deepspeed", says, "ferry run -- deepspeed {*}"},
    {"bash", says, "ferry run -- bash {*}"},
    {"sh", says, "ferry run -- sh {*}"},
    {"uv", says, "ferry run -- uv {*}"},
};

/// `hf jobs ps`, `docker container ls`, `kubectl get pods`, `aws ec2 describe-instances`: the first word only
/// says of what, if the second is a command.
constexpr std::string_view nouns[] = {"job", "jobs", "container", "compose", "pod", "pods", "get", "cluster", "ec2",
                                      "spot", "managed", "task", "instance", "instances", "runs", "api", "s3", "kubectl",
                                      "docker", "sky", "hf", "gh", "aws", "modal", "machine"};
constexpr std::string_view things[] = {"job", "jobs", "pod", "pods", "container", "cluster", "instance"};
/// Commands of ferry's that may stand behind a noun.
constexpr std::string_view own_commands[] = {"run", "ps", "logs", "show", "cancel", "down", "fetch", "ssh", "wait", "plan", "check", "gpus",
                                    "cost"};

/// Flags of docker's that change nothing here, and why.
struct Idle {
  std::string_view flag;
  bool has_value;
  std::string_view why;
};
constexpr std::string_view by_itself = "every machine ends with its run";
constexpr std::string_view streams = "the training's output streams through; to type to it: ferry ssh RUN";
constexpr std::string_view whole = "the training has the whole machine";
constexpr Idle idle_flags[] = {
    {"--rm", false, by_itself},        {"-it", false, streams},         {"-ti", false, streams},
    {"-i", false, streams},            {"--interactive", false, streams}, {"--tty", false, streams},
    {"--ipc", true, whole},            {"--shm-size", true, whole},     {"--network", true, whole},
    {"--net", true, whole},            {"--privileged", false, whole},  {"--runtime", true, whole},
    {"--ulimit", true, whole},         {"--init", false, whole},
};

const Meaning* find(std::string_view word) {
  const auto found = std::ranges::find(meanings, word, &Meaning::word);
  return found == std::end(meanings) ? nullptr : found;
}

template <class List>
bool among(const List& list, std::string_view word) {
  return std::ranges::find(list, word) != std::end(list);
}

std::string replaced(std::string text, std::string_view what, const std::string& by) {
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

/// The words as a shell would need them, harmless on a terminal; `instead` where there are none.
std::string shown(std::span<const std::string> words, const std::string& instead) {
  std::vector<std::string> out;
  for (const auto& word : words) {
    const bool plain = !word.empty() && word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                                               "_-./=:,@%+") == word.npos;
    out.push_back(plain ? word : printable(shell_quoted(word)));
  }
  return out.empty() ? instead : join(out, " ");
}

Answer said(const Meaning& meaning, std::span<const std::string> rest) {
  // docker exec -it RUN COMMAND, kubectl exec RUN -- COMMAND, scp RUN:FILE .
  auto from = rest.begin();
  while (from != rest.end() && from->starts_with('-')) ++from;
  const std::span<const std::string> plain(from, rest.end());
  std::string run = plain.empty() ? "RUN" : shown(plain.first(1), "RUN");
  run = run.substr(0, run.find(':'));
  auto behind = plain.empty() ? plain : plain.subspan(1);
  if (!behind.empty() && behind[0] == "--") behind = behind.subspan(1);
  auto line = replaced(std::string(meaning.ferry), "{1}", run);
  line = replaced(std::move(line), "{-1}", shown(behind, "COMMAND"));
  line = replaced(std::move(line), "{*}", shown(rest, "…"));
  return {says, {}, std::move(line), replaced(std::string(meaning.note), "{1}", run)};
}

/// The question is answered; ours have no such flag.
bool is_yes(const std::string& word) { return word == "-f" || word == "--force" || word == "-y" || word == "--yes"; }

}  // namespace

std::optional<Answer> answer(std::span<const std::string> words) {
  if (words.empty()) return std::nullopt;
  auto rest = words.subspan(1);
  if (among(nouns, words[0]) && !rest.empty()) {
    if (among(own_commands, rest[0])) {
      return Answer{runs, {rest.begin(), rest.end()}, "ferry " + rest[0], {}};
    }
    if (const auto inner = answer(rest)) return inner;
  }
  const auto* meaning = find(words[0]);
  if (!meaning) return std::nullopt;
  if (meaning->how == says) return said(*meaning, rest);
  if (!rest.empty() && among(things, rest[0])) rest = rest.subspan(1);  // kubectl delete pod NAME
  const bool has_run = !rest.empty() && !rest[0].starts_with('-');
  const auto command = has_run && !meaning->with_run.empty() ? meaning->with_run : meaning->ferry;
  Answer out{meaning->how, split(command, ' '), "ferry " + std::string(command), std::string(meaning->note)};
  bool yes = false;
  for (const auto& word : rest) {
    if (meaning->how == asks && is_yes(word)) {
      yes = true;
    } else if (!(word == "-f" && (command.ends_with("--follow") || words[0] == "apply"))) {
      out.words.push_back(word);
    }
  }
  if (yes) out.how = runs;
  return out;
}

std::vector<std::string> drop_what_changes_nothing(std::vector<std::string>& words) {
  std::vector<std::string> told;
  for (auto word = words.begin(); word != words.end() && *word != "--";) {
    const auto name = std::string_view(*word).substr(0, word->find('='));
    const auto idle = std::ranges::find(idle_flags, name, &Idle::flag);
    if (idle == std::end(idle_flags) || (!idle->has_value && name.size() < word->size())) {
      ++word;
      continue;
    }
    const bool next_too = idle->has_value && name.size() == word->size() && word + 1 != words.end() && word[1] != "--";
    told.push_back(fmt::format("{}: nothing to do here: {}", name, idle->why));
    word = words.erase(word, word + (next_too ? 2 : 1));
  }
  return told;
}

std::vector<std::string_view> words_known() {
  std::vector<std::string_view> out;
  for (const auto& meaning : meanings) out.push_back(meaning.word);
  return out;
}

std::optional<std::string> near_command(std::string_view word, std::span<const std::string> commands) {
  auto near = nearest(word, commands);
  if (!near) return near;
  // Of a short word two letters are most of it: only the same letters in another order, or the same beginning.
  std::string a(word), b(*near);
  const bool begins = a[0] == b[0];
  std::ranges::sort(a);
  std::ranges::sort(b);
  return word.size() > 3 || begins || a == b ? near : std::nullopt;
}

}  // namespace ferry::cli
