#include "job/why_failed.h"

#include <algorithm>

#include "base/text.h"

namespace ferry::job {

namespace {

/// What trainings begin with.
const std::vector<std::string>& usual_commands() {
  static const std::vector<std::string> all = {
      "accelerate", "bash",   "cmake",   "conda",   "deepspeed",  "docker",    "julia",    "jupyter", "make",
      "mpirun",     "node",   "npm",     "nvcc",    "nvidia-smi", "papermill", "pip",      "pip3",    "poetry",
      "pytest",     "python", "python3", "Rscript", "sh",         "source",    "torchrun", "uv",      "axolotl"};
  return all;
}

/// "bash: line 1: pyhton: command not found" → "pyhton": what stands before `complaint`.
std::string word_before(std::string_view line, std::string_view complaint) {
  const auto at = line.find(complaint);
  if (at == line.npos) return {};
  auto before = line.substr(0, at);
  const auto colon = before.rfind(": ");
  return std::string(trim(colon == before.npos ? before : before.substr(colon + 2)));
}

}  // namespace

std::string why_failed(int code, std::string_view end_of_log) {
  if (code != 126 && code != 127) return {};
  const auto lines = split(end_of_log, '\n');
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    for (const std::string_view complaint : {": command not found", ": not found", ": Permission denied",
                                             ": No such file or directory", ": cannot execute"}) {
      const auto word = word_before(*line, complaint);
      if (word.empty() || word.size() > 200) continue;
      if (code == 126)
        return short_line(word) + " is not a program that may be run; chmod +x, or name its interpreter before it";
      auto said = short_line(word) + ": command not found";
      if (word.find('/') != word.npos) return said + ": no such file on the machine";
      const auto near = nearest(word, usual_commands());
      return said + (near ? "; did you mean " + *near + "?" : "; setup has to install it");
    }
  }
  return {};
}

}  // namespace ferry::job
