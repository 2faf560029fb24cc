#include "task/old_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/text.h"

namespace ferry::task {
namespace {

constexpr std::array<std::string_view, 3> systems = {"ubuntu-24.04", "ubuntu-22.04", "amazon-linux-2023"};

bool is_number(char c) { return c >= '0' && c <= '9'; }

/// "2.11" or "2.11.1" at the beginning of `text`.
std::string_view version_in(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() &&
         (is_number(text[at]) || (text[at] == '.' && at + 1 < text.size() && is_number(text[at + 1]))))
    ++at;
  return at && is_number(text[0]) ? text.substr(0, at) : std::string_view();
}

/// FLAVOUR[-VERSION][-SYSTEM], or a system alone.
std::optional<Image> short_name(std::string_view word) {
  Image image;
  auto rest = word;
  for (const std::string_view flavour : {"base", "pytorch", "tensorflow"}) {
    if (!rest.starts_with(flavour)) continue;
    image.flavour = flavour;
    rest.remove_prefix(flavour.size());
    if (flavour != "base" && rest.size() > 1 && (rest[0] == '-' || rest[0] == ':')) {
      image.version = version_in(rest.substr(1));
      if (!image.version.empty()) rest.remove_prefix(1 + image.version.size());
    }
    if (rest.empty()) return image;
    if (rest[0] != '-') return std::nullopt;
    rest.remove_prefix(1);
  }
  if (rest == "amazon-linux") rest = "amazon-linux-2023";
  if (std::ranges::find(systems, rest) == systems.end()) return std::nullopt;
  image.system = rest;
  return image;
}

/// The system in the brackets of one of AWS's names; empty: none that is current.
std::string_view current_system(std::string_view small) {
  if (small.find("ubuntu 24.04") != small.npos) return "ubuntu-24.04";
  if (small.find("ubuntu 22.04") != small.npos) return "ubuntu-22.04";
  if (small.find("amazon linux 2023") != small.npos || small.find("al2023") != small.npos) return "amazon-linux-2023";
  return {};
}

/// A word of a shell command, with its quotes taken off.
std::string unquoted(std::string_view word) {
  if (word.size() > 1 && (word.front() == '"' || word.front() == '\'') && word.back() == word.front())
    word = word.substr(1, word.size() - 2);
  return std::string(word);
}

/// The environment that one simple command activates; "" with found = true for `conda deactivate`.
std::optional<std::string> activated(std::string_view command) {
  std::vector<std::string> words;
  for (const auto& word : split(command, ' ')) {
    if (word.starts_with('#')) break;
    if (!trim(word).empty()) words.push_back(unquoted(trim(word)));
  }
  if (words.size() != 3) return std::nullopt;
  const auto slash = words[1].rfind('/');
  const auto program = slash == std::string::npos ? words[1] : words[1].substr(slash + 1);
  const bool sourced = (words[0] == "source" || words[0] == ".") && program == "activate";
  const bool by_conda = words[0] == "conda" && words[1] == "activate";
  return sourced || by_conda ? std::optional(words[2]) : std::nullopt;
}

/// A command in a shell text: where it stands and which environment of AWS's it chooses.
struct Activation {
  std::size_t from, size;
  std::string name;
};

std::vector<Activation> activations(std::string_view text) {
  std::vector<Activation> found;
  constexpr std::string_view ends = "\n;&|()";
  for (std::size_t from = 0; from <= text.size();) {
    const auto to = std::min(text.find_first_of(ends, from), text.size());
    const auto whole = text.substr(from, to - from);
    const auto command = trim(whole);
    if (const auto name = activated(command); name && is_aws_environment(*name)) {
      const auto comment = command.find(" #");
      const auto size = trim(command.substr(0, comment)).size();
      found.push_back({from + static_cast<std::size_t>(command.data() - whole.data()), size, *name});
    }
    from = to + 1;
  }
  return found;
}

/// Whether the task makes conda environments itself; then a plain name may be one of those.
bool makes_environments(const Task& task) {
  for (const auto* text : {&task.setup, &task.run}) {
    for (const std::string_view tool : {"conda create", "conda env create", "mamba create", "mamba env create"}) {
      if (text->find(tool) != std::string::npos) return true;
    }
  }
  return !task.environment.file.empty();
}

/// Whether the machine may have what AWS's images of today do not.
bool own_machine(const Task& task) {
  if (task.environment.kind == "docker") return true;
  for (const auto& candidate : task.all_candidates()) {
    if (candidate.infra && candidate.infra->provider == Provider::ssh) return true;
    if (!candidate.image.amis.empty() || !candidate.image.docker.empty()) return true;
  }
  return false;
}

std::string meaning_today(std::string_view name) {
  const auto is = [&](std::string_view word) { return name.find(word) != name.npos; };
  if (is("tensorflow") && (is("_p27") || is("_p36")))
    return "TensorFlow 2 is installed where the training imports it or keras; code for TensorFlow 1 needs "
           "tf.compat.v1";
  if (is("tensorflow")) return "TensorFlow is installed where the training imports it or keras";
  if (is("pytorch")) return "the Python of AWS's PyTorch image is used where the training imports torch";
  if (is("mxnet") || is("caffe") || is("chainer") || is("theano") || is("cntk"))
    return "AWS has no image with it: name it in requirements.txt";
  return "the machine's own Python 3 is used";
}

}  // namespace

bool is_aws_environment(std::string_view name) {
  // pytorch_latest_p37: the framework, and the Python it was made with.
  std::string_view stem = name;
  const auto mark = stem.rfind("_p");
  const auto digits = mark == stem.npos ? std::string_view() : stem.substr(mark + 2);
  const bool with_python = (digits.size() == 2 || digits.size() == 3) && std::ranges::all_of(digits, is_number);
  if (with_python) stem = stem.substr(0, mark);
  if (stem.ends_with("_latest")) stem.remove_suffix(7);
  constexpr std::array<std::string_view, 7> alone = {"pytorch", "tensorflow", "tensorflow2", "mxnet",
                                                     "python3", "python2",    "tensorflow1"};
  if (!with_python) return std::ranges::find(alone, stem) != alone.end();
  for (const std::string_view maker : {"amazonei_", "aws_neuron_"}) {
    if (stem.starts_with(maker)) stem.remove_prefix(maker.size());
  }
  constexpr std::array<std::string_view, 6> others = {"caffe", "caffe2", "chainer", "theano", "cntk", "python"};
  return std::ranges::find(alone, stem) != alone.end() || std::ranges::find(others, stem) != others.end();
}

Result<std::optional<NamedImage>> named_image(std::string_view written) {
  const auto word = lower(trim(written));
  if (auto image = short_name(word)) {
    const bool none = image->flavour == "tensorflow";
    return NamedImage{*std::move(image),
                      none ? "AWS has no current TensorFlow image: the base image is taken, and TensorFlow is "
                             "installed on it where the training imports it or keras"
                           : ""};
  }
  const bool deep = word.find("deep learning") != word.npos || word.starts_with("dlami") || word == "conda";
  if (!deep) return std::nullopt;
  if (word.find("windows") != word.npos) {
    return fail(Kind::unsupported, fmt::format("'{}' is an image of Windows", printable(written)),
                "ferry's machines run Linux", "leave it out: ferry takes AWS's image for what the training imports");
  }
  NamedImage out;
  out.image.system = current_system(word);
  for (const std::string_view flavour : {"pytorch", "tensorflow"}) {
    const auto at = word.find(flavour);
    if (at == word.npos) continue;
    out.image.flavour = flavour;
    // A version that AWS still publishes: the newest is taken for those of years ago.
    const auto version = version_in(trim(std::string_view(word).substr(at + flavour.size())));
    if (!out.image.system.empty() && version.starts_with("2.") && flavour == "pytorch") out.image.version = version;
  }
  if (out.image.flavour.empty() && word.find(" base ") != word.npos) out.image.flavour = "base";
  const auto quoted = fmt::format("'{}'", printable(trim(written)));
  if (out.image.system.empty()) {
    out.note = fmt::format(
        "{} was AWS's image of some years ago, with conda environments; it is no longer published. ferry takes "
        "today's {}",
        quoted, out.image.flavour.empty() ? "for what the training imports" : out.image.flavour + " image");
  } else if (out.image.flavour == "tensorflow") {
    out.note = quoted + " is no longer renewed: the base image is taken, and TensorFlow is installed on it";
  }
  return out;
}

std::string container_named(std::string_view written) {
  written = trim(written);
  if (lower(written.substr(0, 7)) == "docker:") return std::string(written.substr(7));
  const auto slash = written.find('/');
  const auto first = written.substr(0, slash);
  const bool is_short = slash == written.npos && written.find(':') != written.npos;  // ubuntu:24.04, python:3.12-slim
  if (is_short && (first.front() == ':' || first.back() == ':' || written.find(' ') != written.npos)) return {};
  if ((slash == written.npos && !is_short) || first.empty() || written.size() > 255 || first == "projects") return {};
  const auto fine = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("._-/:@").find(c) != std::string_view::npos;
  };
  // A tag may have capitals, a name may not.
  const auto name = written.substr(0, written.find_first_of(":@", is_short ? 0 : slash));
  const bool ends_well = name.back() != '/' && written.find("//") == written.npos;
  return std::ranges::all_of(name, fine) && ends_well ? std::string(written) : std::string();
}

std::vector<std::pair<std::size_t, std::string>> old_activations(std::string_view shell_text) {
  std::vector<std::pair<std::size_t, std::string>> out;
  for (const auto& one : activations(shell_text)) {
    const auto line = 1 + std::ranges::count(shell_text.substr(0, one.from), '\n');
    out.emplace_back(static_cast<std::size_t>(line), std::string(shell_text.substr(one.from, one.size)));
  }
  return out;
}

std::vector<std::string> leave_out_old_environments(Task& task) {
  std::vector<std::string> notes;
  if (own_machine(task) || makes_environments(task)) return notes;
  std::set<std::string> told;
  const auto tell = [&](std::string_view what, const std::string& name) {
    if (!told.insert(name).second) return;
    notes.push_back(
        fmt::format("{}: left out: {} was a conda environment of AWS's images of years ago, and "
                    "today's have none; {}",
                    printable(what), printable(name), meaning_today(name)));
  };
  auto& candidate = task.environment;
  if (!candidate.name.empty() && (candidate.kind == "conda" || candidate.kind == "auto") &&
      is_aws_environment(candidate.name)) {
    tell("environment: " + candidate.name, candidate.name);
    candidate = {};
  }
  for (auto* text : {&task.setup, &task.run}) {
    auto found = activations(*text);
    for (const auto& one : found) tell(text->substr(one.from, one.size), one.name);
    for (auto one = found.rbegin(); one != found.rend(); ++one) text->replace(one->from, one->size, ":");
  }
  return notes;
}

}  // namespace ferry::task
