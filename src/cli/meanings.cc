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
constexpr std::string_view no_disk_left =
    "nothing is billed between runs; of a machine that rests (ends: stop): ferry ssh --start RUN";
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
    {"machines", runs, "ps", {}, "show"},
    {"nodes", runs, "ps", {}, "show"},
    {"fleets", runs, "ps", {}, "show"},
    {"fleet", runs, "ps", {}, "show"},
    {"cluster", runs, "ps", {}, "show"},
    {"stats", runs, "ps", {}, "show"},
    {"sacct", runs, "ps --all", {}, "show"},
    {"history", runs, "ps --all", {}, "show"},
    {"inspect", runs, "show"},
    {"describe", runs, "show"},
    {"info", runs, "show"},
    {"view", runs, "show"},
    {"open", runs, "show"},
    {"summary", runs, "show"},
    {"outputs", runs, "show"},
    {"describe-training-job", runs, "show"},
    // ending
    {"stop", asks, "cancel", stop_note},
    {"kill", asks, "cancel", stop_note},
    {"scancel", asks, "cancel", stop_note},
    {"qdel", asks, "cancel", stop_note},
    {"bkill", asks, "cancel", stop_note},
    {"abort", asks, "cancel", stop_note},
    {"halt", asks, "cancel", stop_note},
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
    {"purge", says, "ferry down --all", "ends every run and whatever carries your tags"},
    {"clean", says, "ferry down --all", "ends every run and whatever carries your tags"},
    {"cleanup", says, "ferry down --all", "ends every run and whatever carries your tags"},
    // looking at one run
    {"attach", runs, "logs --follow"},
    {"tail", runs, "logs --follow"},
    {"follow", runs, "logs --follow"},
    {"watch", runs, "logs --follow"},
    {"log", runs, "logs"},
    {"events", runs, "logs"},
    {"monitor", runs, "logs --follow"},
    {"stream", runs, "logs --follow"},
    {"metrics", runs, "logs", "what the training printed; TensorBoard's files come home with the outputs"},
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
    {"create-training-job", runs, "run"},
    {"submit-job", runs, "run"},
    {"rerun", says, "ferry run TASK", "the same line again; ferry show {1} says which it was"},
    {"retry", says, "ferry run TASK", "the same line again; ferry show {1} says which it was"},
    {"pause", says, "ferry cancel {1}",
     "a machine that waits would cost on: what was saved comes home, and the next run starts from it"},
    {"stop-training-job", asks, "cancel", stop_note},
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
    {"lint", runs, "plan"},
    {"preview", runs, "plan"},
    {"simulate", runs, "rehearse"},
    {"test", runs, "rehearse"},
    // what there is, and what it costs
    {"show-gpus", runs, "gpus"},
    {"gpu", runs, "gpus"},
    {"sinfo", runs, "gpus"},
    {"offer", runs, "gpus"},
    {"offers", runs, "gpus"},
    {"search", runs, "gpus"},
    {"price", says, "ferry gpus GPU, or: ferry plan -t {1} -- true", "the price of GPUs, or of one instance type"},
    {"availability", runs, "gpus"},
    {"regions", runs, "gpus", "with the price in each region; where ferry looks: --region"},
    {"zones", runs, "gpus", "with the price in each region; where ferry looks: --region"},
    {"instance-types", runs, "gpus"},
    {"flavors", runs, "gpus"},
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
    // the user and the program
    {"doctor", runs, "check"},
    {"whoami", runs, "check"},
    {"auth", runs, "check"},
    {"diagnose", runs, "check"},
    {"get-caller-identity", runs, "check"},
    {"context", runs, "check"},
    {"account", runs, "check"},
    {"login", says, "aws configure", "ferry uses the AWS account of this computer; then: ferry check"},
    {"logout", says, "ferry down --all", "ferry keeps no session of its own"},
    {"configure", says, "aws configure", "ferry uses the AWS account of this computer; then: ferry check"},
    {"config", says, "ferry check", "your own settings are in ~/.config/ferry/config.yaml"},
    {"init", says, "ferry run -- python train.py", "nothing has to be set up; a task file is optional: task.yaml"},
    {"completions", runs, "completion"},
    {"iam", runs, "policy"},
    {"update-catalog", runs, "catalog update"},
    {"image", runs, "images"},
    {"describe-images", runs, "images"},
    {"man", runs, "help"},
    {"docs", runs, "help"},
    {"tutorial", says, "ferry run examples/digits --infra rehearsal",
     "no AWS account is needed; the README goes on from there"},
    {"quickstart", says, "ferry run examples/digits --infra rehearsal",
     "no AWS account is needed; the README goes on from there"},
    {"examples", says, "ferry run examples/digits --infra rehearsal", "examples/ of the sources has more"},
    {"demo", says, "ferry run examples/digits --infra rehearsal", "no AWS account is needed"},
    {"upgrade", says, "sh install.sh", "the newest; or the package manager that brought it"},
    {"update", says, "sh install.sh",
     "the newest; or the package manager that brought it. Prices: ferry catalog update"},
    {"uninstall", says, "sh install.sh --uninstall", "or the package manager that brought it; first: ferry down --all"},
    // what has no command of its own
    {"build", says, "ferry run --image docker:IMAGE -- COMMAND", own_image},
    {"install", says, "ferry run --setup 'pip install {*}' -- COMMAND", in_the_task},
    {"pip", says, "ferry run --setup 'pip {*}' -- COMMAND", in_the_task},
    {"conda", says, "ferry run --setup 'conda {*}' -- COMMAND", in_the_task},
    {"autostop", says, "ferry run --idle 20m TASK", "every machine ends with its run"},
    {"storage", says, "ferry fetch RUN", "outputs come home; ferry keeps no buckets"},
    {"volume", says, "ferry run --disk GIB TASK",
     "a run's disk ends with it; in a task file volumes: names one that is there already"},
    {"port-forward", says, "ports: [8888]", "in the task file: each opens a tunnel while ferry run is attached"},
    {"forward", says, "ports: [8888]", "in the task file: each opens a tunnel while ferry run is attached"},
    {"tunnel", says, "ports: [8888]", "in the task file: each opens a tunnel while ferry run is attached"},
    {"api", says, "ferry run TASK", "ferry has no server that has to run"},
    {"server", says, "ferry run TASK", "ferry has no server that has to run"},
    {"serve", says, "ferry run --keep -- COMMAND",
     "with ports: [8000] in a task file; ferry trains, and keeps nothing alive by itself"},
    {"deploy", says, "ferry run TASK", "ferry trains; the model comes home, and is served from there"},
    {"s3", says, "aws s3 {*}",
     "ferry keeps no buckets: outputs come home by themselves, and -v s3://BUCKET/PATH:data brings data to the "
     "machine"},
    {"volumes", says, "ferry run --disk GIB TASK",
     "a run's disk ends with it; in a task file volumes: names one that is there already"},
    {"nohup", says, "ferry run -d -- {*}", "-d: the training goes on without this terminal"},
    {"screen", says, "ferry run -d -- COMMAND",
     "-d: the training goes on without this terminal; ferry logs -f comes back to it"},
    {"tmux", says, "ferry run -d -- COMMAND",
     "-d: the training goes on without this terminal; ferry logs -f comes back to it"},
    {"git", says, "ferry run --workdir FOLDER -- COMMAND", "the workdir goes over as it is, committed or not"},
    {"secret", says, "ferry run --secret KEY TASK", "taken from this environment, stored nowhere"},
    {"secrets", says, "ferry run --secret KEY TASK", "taken from this environment, stored nowhere"},
    {"tag", says, "ferry run --label KEY=VALUE TASK", "labels are given when a run starts"},
    {"label", says, "ferry run --label KEY=VALUE TASK", "labels are given when a run starts"},
    {"ui", says, "ferry ps, ferry logs -f RUN", "there is no page yet"},
    {"web", says, "ferry ps, ferry logs -f RUN", "there is no page yet"},
    {"dashboard", says, "ferry ps, ferry logs -f RUN", "there is no page yet"},
    {"compare", says, "ferry show RUN", "one after the other; or ferry ps --all --json"},
    {"diff", says, "ferry show RUN", "one after the other; or ferry ps --all --json"},
    {"export", says, "ferry ps --all --json", "or runs/RUN/run.json, which each run leaves beside its outputs"},
    {"notebook", says, "ferry run FILE.ipynb",
     "executes a notebook; to work in one: jupyter as the run, with ports: [8888] in a task file"},
    {"jupyter", says, "ferry run FILE.ipynb",
     "executes a notebook; to work in one: jupyter as the run, with ports: [8888] in a task file"},
    {"tensorboard", says, "tensorboard --logdir runs", "on this computer: outputs come home to runs/RUN"},
    {"nvidia-smi", says, "ferry ssh RUN -- nvidia-smi {*}"},
    {"scale", says, "ferry run --gpus H100:8 TASK", "a run has one machine; what there is in one: ferry gpus"},
    {"rollout", says, "ferry run TASK", "each run is a new one"},
    {"repo", says, "ferry run --workdir FOLDER -- COMMAND", "the workdir goes over with each run"},
    {"clone", says, "ferry run --workdir FOLDER -- COMMAND", "the workdir goes over with each run"},
    {"rmi", says, "ferry down RUN", "ferry keeps no images"},
    {"terraform", says, "ferry run TASK", "nothing has to be set up first, and nothing is left"},
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
constexpr std::string_view nouns[] = {
    "job",      "jobs",    "container", "compose",     "pod",       "pods",       "get",       "cluster",   "ec2",
    "spot",     "managed", "task",      "instance",    "instances", "runs",       "kubectl",   "docker",    "sky",
    "hf",       "gh",      "aws",       "modal",       "machine",   "dstack",     "batch",     "sts",       "sagemaker",
    "workflow", "gcloud",  "compute",   "ai-platform", "scontrol",  "vastai",     "runpodctl", "fleet",     "system",
    "az",       "vm",      "ml",        "gradient",    "ray",       "coiled",     "mlflow",    "lightning", "anyscale",
    "kaggle",   "kernels", "floyd",     "custom-jobs", "ai",        "databricks", "wandb"};
constexpr std::string_view things[] = {"job",       "jobs", "pod",   "pods", "container", "cluster", "instance",
                                       "instances", "node", "nodes", "run",  "runs",      "offers"};
/// Commands of ferry's that may stand behind a noun.
constexpr std::string_view own_commands[] = {"run", "ps",   "logs", "show",  "cancel", "down", "fetch",
                                             "ssh", "wait", "plan", "check", "gpus",   "cost"};

/// Words that add nothing behind these commands: `gpus list`, `auth status`.
constexpr std::string_view fillers[] = {"list", "ls", "show", "status", "login", "all", "get", "view"};
constexpr std::string_view filled[] = {"gpus", "images", "ps", "quota", "check"};
/// What gh, wandb and modal put behind `run`.
constexpr std::string_view verbs[] = {"list",   "ls",      "status",   "view",     "watch",  "stop",
                                      "delete", "rm",      "kill",     "download", "pull",   "attach",
                                      "tail",   "inspect", "describe", "resume",   "restart"};

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

/// The words as typed; `instead` where there are none.
std::string shown(std::span<const std::string> words, const std::string& instead) {
  return words.empty() ? instead : as_typed(words);
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
      if (auto other = answer_own(rest, false)) {  // gh run list
        other->typed += 2;
        return other;
      }
      Answer out{runs, {rest[0]}, "ferry " + rest[0], {}};
      const bool has_thing = rest.size() > 2 && among(things, rest[1]);  // scontrol show job 7
      if (rest[0] == "show" && rest.size() == 2 && among(things, rest[1]))
        return Answer{runs, {"ps"}, "ferry ps", {}, 3};
      out.words.insert(out.words.end(), rest.begin() + (has_thing ? 2 : 1), rest.end());
      out.typed = 2;
      return out;
    }
    if (auto inner = answer(rest)) {
      ++inner->typed;
      return inner;
    }
  }
  const auto* meaning = find(words[0]);
  if (!meaning) return std::nullopt;
  if (meaning->how == says) return said(*meaning, rest);
  if (!rest.empty() && among(things, rest[0])) rest = rest.subspan(1);  // kubectl delete pod NAME
  if (!rest.empty() && among(filled, meaning->ferry) && among(fillers, rest[0])) rest = rest.subspan(1);  // auth status
  const bool has_run = !rest.empty() && !rest[0].starts_with('-');
  const auto command = has_run && !meaning->with_run.empty() ? meaning->with_run : meaning->ferry;
  Answer out{meaning->how, split(command, ' '), "ferry " + std::string(command), std::string(meaning->note)};
  bool yes = false;
  for (const auto& word : rest) {
    if (meaning->how == asks && is_yes(word)) {
      yes = true;
    } else if (!(word == "-f" && command.ends_with("--follow"))) {
      out.words.push_back(word);
    }
  }
  if (yes) out.how = runs;
  return out;
}

std::optional<Answer> answer_own(std::span<const std::string> words, bool is_file) {
  if (words.size() < 2 || words[1].starts_with('-')) return std::nullopt;
  const auto &command = words[0], &word = words[1];
  const auto rest = words.subspan(1);
  if (command == "run" && !is_file) {
    if (among(own_commands, word)) return Answer{runs, {rest.begin(), rest.end()}, "ferry " + word, {}};
    if (among(verbs, word)) return answer(rest);
  }
  if (command == "cost" || (command == "ps" && !among(fillers, word))) {
    Answer out{runs, {"show"}, "ferry show " + as_typed(rest[0]), {}};
    out.words.insert(out.words.end(), rest.begin(), rest.end());
    return out;
  }
  if (command == "check" && word != "aws")
    return Answer{says,
                  {},
                  "ferry plan " + as_typed(rest[0]),
                  "looks at a task and rents nothing; ferry check looks at the account"};
  const bool has_filler = among(filled, command) && (among(fillers, word) || word == "aws");
  if (!has_filler) return std::nullopt;
  Answer out{runs, {command}, "ferry " + command, {}};
  out.words.insert(out.words.end(), words.begin() + 2, words.end());
  return out;
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
