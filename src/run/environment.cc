#include "run/environment.h"

#include <csignal>

#include "base/text.h"

extern "C" {
extern const char ferry_embed_environment_sh[], ferry_embed_environment_sh_end[];
extern const char ferry_embed_queue_sh[], ferry_embed_queue_sh_end[];
}

namespace ferry::run {

namespace {

constexpr std::string_view answer_mark = "ferry-env:";
constexpr std::size_t most_words = 64 * 1024;

/// A task whose setup installs packages itself is left to do so.
bool installs_itself(std::string_view setup) {
  for (const std::string_view word : {"pip install", "pip3 install", "conda ", "mamba ", "uv ", "poetry "}) {
    if (setup.find(word) != std::string_view::npos) return true;
  }
  return false;
}

/// Reads what there is; shows the newest line of `words`.
Status hear(Doors& doors, os::Process& shell, std::string& answer, std::string& words) {
  bool out_open = true, err_open = true;
  while (out_open || err_open) {
    if (doors.check_signals(false) == Wish::cancel) {
      shell.signal(SIGTERM);
      return fail(Kind::cancelled, "cancelled");
    }
    if (out_open && os::wait_readable(shell.out.get(), Millis(20))) {
      TRY_SET(part, "", os::read_some(shell.out.get()));
      out_open = !part.empty();
      if (answer.size() < most_words) answer += part;
    }
    if (err_open && os::wait_readable(shell.err.get(), Millis(20))) {
      TRY_SET(part, "", os::read_some(shell.err.get()));
      err_open = !part.empty();
      words += part;
      if (words.size() > most_words) words.erase(0, words.size() - most_words / 2);
      const auto lines = split(trim(words), '\n');
      if (!lines.empty()) doors.progress.update(printable(trim(lines.back())));
    }
  }
  return {};
}

std::string last_lines(std::string_view text, std::size_t count) {
  auto lines = split(trim(text), '\n');
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
  std::string out;
  for (const auto& line : lines) out += (out.empty() ? "" : "\n        ") + printable(line);
  return out;
}

}  // namespace

std::string queue_line(int gpus) {
  return fmt::format("ferry_wanted={}\n{}", gpus,
                     std::string_view(ferry_embed_queue_sh, ferry_embed_queue_sh_end));
}

std::string describe_environment(const Json& facts) {
  const auto python = text_at(facts, "python");
  if (python.empty()) return {};
  std::vector<std::string> parts = {"python " + python};
  if (facts.contains("packages") && facts["packages"].is_object()) {
    for (const char* name : {"torch", "tensorflow", "jax", "xgboost", "scikit-learn"}) {
      if (parts.size() > 2) break;
      if (const auto version = text_at(facts["packages"], name); !version.empty())
        parts.push_back(std::string(name) + " " + version);
    }
  }
  if (const auto cuda = text_at(facts, "cuda"); !cuda.empty()) parts.push_back("CUDA " + cuda);
  if (const auto driver = text_at(facts, "driver"); !driver.empty()) parts.push_back("driver " + driver);
  if (const auto made = text_at(facts, "made"); !made.empty()) parts.push_back(made);
  return printable(join(parts, " · "));
}

Result<Environment> prepare_environment(Doors& doors, Link& link, const task::Task& task) {
  doors.progress.begin("setup", "looking at the environment");
  const std::string activate = link.paths().run_dir + "-env.sh";
  const auto& wish = task.environment;
  const std::string kind = wish.kind == "auto" && installs_itself(task.setup) ? "present" : wish.kind;
  const auto words = shell_quoted(std::vector<std::string>{kind, wish.name, wish.file, activate});
  TRY_SET(shell, "",
          link.session().spawn(
              fmt::format("cd {} && exec bash -s {}", shell_quoted(link.paths().workdir), words)));
  const std::string_view script(ferry_embed_environment_sh, ferry_embed_environment_sh_end);
  TRY("look at the environment", os::write_all(shell.in.get(), script));
  shell.in.reset();
  std::string answer, said;
  TRY("", hear(doors, shell, answer, said));
  const auto ended = shell.wait(Millis(10'000));
  const auto at = answer.rfind(answer_mark);
  if (!ended || ended->code == 255)
    return fail(Kind::lost, "the connection broke while the environment was made");
  if (ended->code != 0 || at == std::string::npos) {
    const auto why = last_lines(said, 8);
    return fail(said.find("No space left") != std::string::npos ? Kind::disk_full : Kind::bad_input,
                "the training's environment cannot be had on this machine", why,
                "mend what the workdir asks for, install it in setup, or write  environment: none");
  }
  const auto facts = parse_json(trim(std::string_view(answer).substr(at + answer_mark.size())));
  Environment made;
  if (facts && facts->is_object()) made.facts = *facts;
  made.summary = describe_environment(made.facts);
  made.activate = ". " + shell_quoted(activate) + "\n";
  return made;
}

}  // namespace ferry::run
