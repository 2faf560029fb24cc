#include "job/preflight.h"

#include "agent/protocol.h"
#include "base/text.h"
#include "job/late.h"
#include "job/mounts.h"
#include "job/packages.h"
#include "job/requirements.h"
#include "job/sent.h"
#include "job/shell_words.h"
#include "os/process.h"
#include "task/old_names.h"

extern "C" {
extern const char ferry_embed_imports_py[], ferry_embed_imports_py_end[];
}

namespace ferry::job {

namespace {

bool looks_like_script(const std::string& word) {
  static const std::set<std::string> endings = {".py", ".sh", ".R", ".jl", ".js", ".pl", ".rb", ".lua"};
  return !word.empty() && word.front() != '-' && word.front() != '/' && word.front() != '~' &&
         word.find_first_of("$*?`{}=:\\\"'") == std::string::npos &&
         endings.contains(os::Path(word).extension().string());
}

bool is_interpreter(const std::string& word) {
  const auto name = os::Path(word).filename().string();
  static const std::set<std::string> names = {"bash",       "sh",   "Rscript", "julia",    "node",
                                              "perl",       "ruby", "lua",     "torchrun", "deepspeed",
                                              "accelerate", "uv",   "source",  ".",        "xvfb-run"};
  return name.starts_with("python") || names.contains(name);
}

/// Empty when it compiles or nothing here can tell.
std::string syntax_error(const os::Path& file) {
  os::SpawnOptions options;
  options.argv = {"python3", "-I", "-c",
                  "import sys\n"
                  "p=sys.argv[1]\n"
                  "try: compile(open(p,'rb').read(),p,'exec')\n"
                  "except (SyntaxError,ValueError) as e:\n"
                  " print(f'line {getattr(e,\"lineno\",None) or 1}: {getattr(e,\"msg\",e)}'); sys.exit(9)",
                  file.string()};
  const auto done = os::run_command(options, {}, Millis(10'000));
  if (!done || done->exit.code != 9) return {};
  return std::string(trim(done->out));
}

/// Fails for a script whose lines end as on Windows, where that cannot work: bash takes the end for a part of
/// each word, and Linux for a part of the interpreter's name behind "#!".
Status look_at_line_ends(const os::Path& file, const std::string& script, bool is_program) {
  const auto text = os::read_file(file, 1 << 20);
  if (!text) return {};
  const auto first = std::string_view(*text).substr(0, text->find('\n'));
  const bool ends_so = first.ends_with('\r');
  const bool by_name = is_program && first.starts_with("#!") && ends_so;
  if (!by_name && !(script.ends_with(".sh") && text->find("\r\n") != std::string::npos)) return {};
  return fail(Kind::bad_input, "the script that run names has Windows line ends: " + script,
              by_name ? fmt::format("Linux looks for a program called '{}'", printable(first.substr(2)))
                      : "bash takes each line's carriage return for a part of the command",
              "sed -i 's/\\r$//' " + shell_quoted(script) + "; and keep it so: *.sh text eol=lf in .gitattributes");
}

/// Without set -e, only the last command's failure ends setup.
void look_at_setup(const std::string& setup, std::vector<std::string>& warnings) {
  std::size_t commands = 0;
  bool goes_on = false;
  for (const auto& written : split(setup, '\n')) {
    const auto line = trim(written);
    if (line.empty() || line.starts_with('#')) continue;
    // What is one command over several lines, or ends at the first failure, needs none.
    if (line.find("<<") != line.npos) return;
    if (line.starts_with("set -") && line.find('e') != line.npos) return;
    if (!goes_on) ++commands;
    goes_on = line.ends_with('\\') || line.ends_with("&&") || line.ends_with("||") || line.ends_with('|');
  }
  if (commands < 2) return;
  warnings.push_back(
      fmt::format("setup has {} commands and no `set -e`: when one but the last fails, training starts "
                  "all the same; begin it with  set -e",
                  commands));
}

/// Without a package index nearly all that setup may install is missing.
void look_at_installing(const std::string& setup, const std::string& cut_off, std::vector<std::string>& warnings) {
  if (cut_off.empty() || setup.find("--no-index") != setup.npos) return;
  const bool by_apt = setup.find("apt-get install") != setup.npos || setup.find("apt install") != setup.npos;
  if (by_apt || installs_itself(setup))
    warnings.push_back(
        fmt::format("setup installs packages, and {}: only what lies in the workdir can be installed", cut_off));
}

/// A path that something names, exists here and would not be there. `who` is the command, or FILE:LINE.
Status look_at_path(const task::Task& task, const os::Path& workdir, const sync::Tree& tree, const std::string& who,
                    const std::string& path) {
  const auto* unsent = unsent_at(tree, path);
  if (unsent == nullptr || !os::exists(workdir / path) || is_output(task.outputs, path) ||
      is_output(task.checkpoints, path))
    return {};
  // What setup speaks of, it may make.
  const auto top = path.substr(0, path.find('/'));
  if (task.setup.find(path) != std::string::npos || task.setup.find(top + "/") != std::string::npos) return {};
  return fail(Kind::bad_input, fmt::format("{} reads {}, which would not be sent", who, printable(path)), why(*unsent),
              cure(*unsent) + "; or pass --no-check if the run makes it there");
}

/// Fails for a path that the command, or a shell script that it runs, reads and that would not be there.
Status look_at_paths(const task::Task& task, const os::Path& workdir, const sync::Tree& tree) {
  if (tree.unsent.empty()) return {};
  for (const auto& path : paths_read_by(task.run)) TRY("", look_at_path(task, workdir, tree, "the command", path));
  for (const auto& script : scripts_in(task.run)) {
    if (!script.ends_with(".sh")) continue;
    const auto text = os::read_file(workdir / script, 256 * 1024);
    if (!text) continue;
    for (const auto& path : paths_read_by(*text)) TRY("", look_at_path(task, workdir, tree, script, path));
  }
  return {};
}

/// Whether nobody knows what Python packages the machine has: one of the user's own, or an image of theirs.
bool own_packages(const task::Task& task) {
  return std::ranges::any_of(task.all_candidates(), [](const task::Resources& interrupt) {
    return (interrupt.infra && interrupt.infra->provider == task::Provider::ssh) || !interrupt.image.amis.empty();
  });
}

/// What imports.py tells about one module that the machine is to provide and this computer does not have.
std::string absent_here(const std::string& place, const std::string& name, bool installed, bool is_cut_off) {
  return fmt::format(
      "{}: {} is not on this computer, where a rehearsal runs; on AWS it is {}. To rehearse it, "
      "install it for the system's python3{}",
      printable(place), printable(name),
      installed ? "installed before the training" : "on the image of machines with GPUs",
      is_cut_off ? "" : ", or in setup");
}

/// Tells of modules that nothing provides, as imports.py finds them, and fails for files that the code opens and
/// that would not be there. Does nothing where there is no python3 here.
Status look_at_python(const task::Task& task, const os::Path& workdir, const std::vector<std::string>& scripts,
                      const Requirements& candidates, const std::string& cut_off, Preflight& out) {
  if (scripts.empty()) return {};
  os::SpawnOptions options;
  options.argv = {"python3", "-I", "-c", std::string(ferry_embed_imports_py, ferry_embed_imports_py_end),
                  workdir.string()};
  options.argv.insert(options.argv.end(), scripts.begin(), scripts.end());
  options.env = {{"FERRY_SETUP", task.setup.substr(0, 64 * 1024)},
                 {"FERRY_PROVIDERS", join(candidates.providers, "\n").substr(0, 64 * 1024)},
                 {"FERRY_PACKAGES", package_table()}};
  if (!cut_off.empty()) options.env.emplace("FERRY_CUT_OFF", "1");
  if (own_packages(task)) options.env.emplace("FERRY_OWN", "1");
  const auto aws_context = task.all_candidates()[0].infra.value_or(task::Infra{}).provider;
  if (aws_context == task::Provider::rehearsal) options.env.emplace("FERRY_REHEARSAL", "1");
  const auto done = os::run_command(options, {}, Millis(10'000));
  if (!done || done->exit.code != 0) return {};
  const bool is_container = task.environment.kind == "docker";
  for (const auto& line : split(trim(done->out), '\n')) {
    if (const auto parts = split(line, '\t'); parts.size() == 3) {
      if (parts[0] == "unmet") {
        if (!is_container)
          out.warnings.push_back(
              fmt::format("{}: {} is not on this computer, and {}: pip cannot install it (unless an "
                          "earlier rehearsal did)",
                          printable(parts[1]), printable(parts[2]), cut_off));
        continue;
      }
      auto looked = look_at_path(task, workdir, out.tree, parts[1], parts[2]);
      if (!looked && parts[0] == "reads") return looked;
      if (!looked)
        out.warnings.push_back(fmt::format("{} names {}, which is not sent: {}; {}", printable(parts[1]),
                                           printable(parts[2]), looked.error().why, looked.error().advice));
      continue;
    }
    if (is_container) continue;  // what its image provides is not known here
    const auto words = split(line, ' ');
    if (words.size() == 3 && words[0] == "absent") {
      const bool installed = std::ranges::find(out.installed, words[2]) != out.installed.end();
      out.warnings.push_back(absent_here(words[1], words[2], installed, !cut_off.empty()));
    } else if (words.size() == 4 && words[0] == "lacks") {
      const auto write = words[2] == words[3] ? std::string() : "; write  " + printable(words[3]) + "  into one";
      out.warnings.push_back(
          fmt::format("{}: nothing in the workdir provides {} (no requirements.txt line, no setup{})",
                      printable(words[1]), printable(words[2]), write));
    } else if (words.size() != 2) {
      continue;
    } else if (words[0] == "framework") {
      out.framework = words[1];
    } else if (words[0] == "installed") {
      if (!own_packages(task) && task.environment.kind != "none") out.installed.push_back(words[1]);
    }
  }
  return {};
}

/// An old article's line in a script of the workdir chooses an environment that no machine has now.
void look_at_old_environments(const os::Path& workdir, const std::string& script, const task::Task& task,
                              std::vector<std::string>& warnings) {
  constexpr std::size_t most = 1 << 20;
  const auto text = own_packages(task) ? Result<std::string>("") : os::read_file(workdir / script, most);
  if (!text) return;
  for (const auto& [line, command] : task::old_activations(*text)) {
    warnings.push_back(
        fmt::format("{}:{}: '{}': AWS's images have no conda environments any more; leave the line out, the "
                    "machine's Python is put in place before the training",
                    printable(script), line, printable(command)));
  }
}

/// Whether there will be a conda for those who call it is known before anything is rented.
void look_at_conda(const task::Task& task, const Requirements& candidates, std::vector<std::string>& warnings) {
  if (candidates.installers.find("conda") == std::string::npos) return;
  const auto tell = [&](std::string_view what) {
    warnings.push_back(fmt::format("setup, the command or its script calls conda: {}", what));
  };
  const auto aws_context = task.all_candidates()[0].infra.value_or(task::Infra{}).provider;
  if (task.environment.kind == "docker") return tell("the image must have it");
  if (aws_context == task::Provider::ssh)
    return tell("your machine must have it, in its PATH or as ~/miniforge3, ~/miniconda3, /opt/conda");
  if (aws_context == task::Provider::aws) {
    return tell(own_packages(task)
                    ? "where your image has none, Miniforge is installed on the machine first, from GitHub"
                    : "AWS's images have none any more: Miniforge is installed on the machine first, from GitHub");
  }
  if (!os::find_program("conda") && !os::exists("/opt/conda/bin/conda"))
    tell("it is not on this computer, where a rehearsal runs; on AWS, Miniforge is installed on the machine first");
}

/// "data 1.2 GB, runs 300 MB": the largest folders and files at the top.
std::string largest_at_top(const sync::Tree& tree) {
  std::map<std::string, std::uint64_t> sizes;
  for (const auto& entry : tree.entries) {
    if (entry.type == sync::Type::file) sizes[entry.path.substr(0, entry.path.find('/'))] += entry.size;
  }
  std::vector<std::pair<std::uint64_t, std::string>> sorted;
  for (const auto& [name, size] : sizes) sorted.emplace_back(size, name);
  std::sort(sorted.rbegin(), sorted.rend());
  std::string out;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, sorted.size()); ++i)
    out += (i ? ", " : "") + printable(sorted[i].second) + " " + show_bytes(sorted[i].first);
  return out;
}

void look_at_size(const sync::Tree& tree, std::vector<std::string>& warnings) {
  constexpr double usual_bytes_a_second = 20e6 / 8;  // a home connection's way up
  const double seconds = static_cast<double>(tree.bytes) / usual_bytes_a_second;
  if (seconds < 60) return;
  warnings.push_back(fmt::format(
      "{} to send take about {} at 20 Mbit/s; the largest: {}. What is not needed can be left "
      "out in .ferryignore",
      show_bytes(tree.bytes), show_duration(Seconds(static_cast<std::int64_t>(seconds))), largest_at_top(tree)));
}

/// A container is made from an image's name or a Dockerfile.
Status look_at_dockerfile(const task::Environment& interrupt, const os::Path& workdir, const sync::Tree& tree,
                          const std::vector<std::string>& sent) {
  if (interrupt.kind != "docker") return {};
  if (!interrupt.name.empty() && !interrupt.file.empty())
    return fail(Kind::bad_input, "environment: docker takes an image or a Dockerfile, not both", {},
                "leave out name or file");
  if (!interrupt.name.empty()) return {};
  const auto file = os::Path(interrupt.file.empty() ? "Dockerfile" : interrupt.file).lexically_normal().string();
  if (!os::exists(workdir / file)) {
    if (interrupt.file.empty())
      return fail(Kind::bad_input, "environment: docker needs an image or a Dockerfile",
                  "there is no Dockerfile in " + workdir.string(),
                  "write  environment: {kind: docker, name: IMAGE}, or add a Dockerfile");
    const auto near = nearest(file, sent);
    return fail(Kind::bad_input, "the Dockerfile that environment names does not exist: " + interrupt.file,
                "it was looked for in " + workdir.string(),
                near ? "did you mean " + *near + "?" : "check the name, or the workdir");
  }
  if (!std::binary_search(sent.begin(), sent.end(), file)) {
    const auto* unsent = unsent_at(tree, file);
    return fail(Kind::bad_input, "the Dockerfile would not be sent: " + file,
                unsent ? why(*unsent) : "it lies outside the workdir",
                unsent ? cure(*unsent) : "put it in the workdir");
  }
  return {};
}

}  // namespace

std::vector<std::string> scripts_in(std::string_view shell_text) {
  std::vector<std::string> found;
  std::string line;
  for (const char c : std::string(shell_text) + "\n") {
    if (c != '\n' && c != ';' && c != '&' && c != '|') {
      line += c;
      continue;
    }
    std::vector<std::string> words;
    for (auto& word : split(line, ' ')) {
      word = std::string(trim(word));
      if (word.size() > 2 && (word.front() == '\'' || word.front() == '"') && word.back() == word.front()) {
        word = word.substr(1, word.size() - 2);
      }
      if (word.starts_with('#')) break;
      if (!word.empty()) words.push_back(word);
    }
    line.clear();
    // A changed folder or a heredoc makes relative names unreliable: then nothing after it is judged.
    if (!words.empty() && (words[0] == "cd" || words[0] == "pushd")) break;
    if (std::any_of(words.begin(), words.end(), [](const auto& word) { return word.starts_with("<<"); })) break;
    bool interpreter = false;
    for (const auto& word : words) {
      if (is_interpreter(word)) {
        interpreter = true;
      } else if (interpreter && looks_like_script(word)) {
        found.push_back(word);
        break;  // what follows are its arguments
      } else if (word.starts_with("./") && looks_like_script(word)) {
        found.push_back(word);
        break;
      } else if (word == "-m" || word == "-c") {
        break;
      }
    }
  }
  return found;
}

namespace {

/// A script that `run` names is there, will be sent, and can be run.
Status look_at_script(const std::string& script, const os::Path& workdir, const sync::Tree& tree,
                      const std::vector<std::string>& sent) {
  const auto plain = os::Path(script).lexically_normal().string();
  const auto file = source_of(tree, workdir, plain);
  if (!os::exists(file)) {
    const auto near = nearest(plain, sent);
    return fail(Kind::bad_input, "the script that run names does not exist: " + script,
                "it was looked for in " + workdir.string(),
                near ? "did you mean " + *near + "?" : "check the name, or the workdir");
  }
  if (plain.starts_with("../")) {
    return fail(Kind::bad_input, "the script that run names lies outside the workdir: " + script,
                "only the workdir is sent: " + workdir.string(), "set workdir to a folder that holds it");
  }
  if (!std::binary_search(sent.begin(), sent.end(), plain)) {
    const auto* unsent = unsent_at(tree, plain);
    return fail(Kind::bad_input, "the script that run names would not be sent: " + script,
                unsent ? why(*unsent) : "it is no file, or lies behind a link",
                unsent ? cure(*unsent) : "put the file itself there");
  }
  TRY("", look_at_line_ends(file, script, script.starts_with("./")));
  if (const auto wrong = plain.ends_with(".py") ? syntax_error(file) : std::string(); !wrong.empty()) {
    return fail(Kind::bad_input, fmt::format("{}: {}", script, wrong), "python3 on this computer cannot compile it",
                "mend it, or pass --no-check if the instance has a newer Python");
  }
  return {};
}

}  // namespace

Result<Preflight> preflight(const task::Task& task, const os::Path& workdir, const Looking& looking) {
  Preflight out;
  TRY_SET(tree, "look at the workdir", list_workdir(workdir, looking.follow));
  out.tree = std::move(tree);
  TRY("", add_mounts(task, looking.follow, out.tree, out.warnings));
  std::vector<std::string> names;
  for (const auto& entry : out.tree.entries) names.push_back(entry.path);

  std::vector<Error> found;  // a user mends all of it in one go
  if (auto fine = look_at_dockerfile(task.environment, workdir, out.tree, names); !fine)
    found.push_back(std::move(fine).error());
  std::vector<std::string> python;  // as they are named
  for (const auto& script : scripts_in(task.run)) {
    const auto plain = os::Path(script).lexically_normal().string();
    if (task.setup.find(os::Path(plain).filename().string()) != std::string::npos) continue;  // setup makes it
    if (auto fine = look_at_script(script, workdir, out.tree, names); !fine) {
      found.push_back(std::move(fine).error());
      continue;
    }
    if (plain.ends_with(".sh")) look_at_old_environments(workdir, plain, task, out.warnings);
    if (plain.ends_with(".py")) python.push_back(script);
  }
  if (auto fine = look_at_paths(task, workdir, out.tree); !fine) found.push_back(std::move(fine).error());
  auto requirements_file = find_requirements(task, workdir, out.tree);
  if (!requirements_file) found.push_back(requirements_file.error());
  if (!found.empty()) return fail(std::move(found));
  const auto& candidates = *requirements_file;
  out.requirements_file = candidates.file;
  out.installers = candidates.installers;
  out.needed = candidates.needed;
  look_at_conda(task, candidates, out.warnings);
  out.warnings.insert(out.warnings.end(), candidates.notes.begin(), candidates.notes.end());
  look_at_setup(task.setup, out.warnings);
  look_at_installing(task.setup, looking.cut_off, out.warnings);
  std::string compiled = python.empty() ? "" : python[0] + " compiles · ";
  for (auto& script : python) script = os::Path(script).lexically_normal().string();
  TRY("", look_at_python(task, workdir, python, candidates, looking.cut_off, out));
  // From here on it is about what goes over.
  if (looking.passed_on) {
    TRY_SET(taken, "see what the store has", leave_to_store(out.tree, workdir, *looking.passed_on));
    out.taken = taken;
  }
  auto quiet = task.outputs;
  if (quiet.empty()) quiet.emplace_back("outputs/");
  quiet.insert(quiet.end(), task.checkpoints.begin(), task.checkpoints.end());
  if (const auto results = looking.results.lexically_relative(workdir); !results.empty() && *results.begin() != "..")
    quiet.push_back(results.string());
  auto lines = tell_sent(out.tree, workdir, quiet);
  out.warnings.insert(out.warnings.end(), lines.begin(), lines.end());
  look_at_size(out.tree, out.warnings);
  std::ranges::move(tell_late(task, out.tree, out.needed), std::back_inserter(out.warnings));
  if (const auto& infra = task.all_candidates()[0].infra;
      !out.installed.empty() && (!infra || infra->provider == task::Provider::aws))
    compiled += printable(join(out.installed, ", ")) + " will be installed on the machine · ";
  out.summary = fmt::format("{}{} {}, {} to send", compiled, out.tree.files, out.tree.files == 1 ? "file" : "files",
                            show_bytes(out.tree.bytes));
  return out;
}

}  // namespace ferry::job
