#include "job/shell_words.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/text.h"

namespace ferry::job {

namespace {

/// Cuts a text into words and commands.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::vector<std::vector<std::string>> run() {
    for (; at_ < text_.size(); ++at_) read(text_[at_]);
    end_command();
    return std::move(commands_);
  }

 private:
  void read(char c) {
    switch (c) {
      case '\'':
      case '"':
        return quoted(c);
      case '\\':
        if (++at_ < text_.size() && text_[at_] != '\n') put(text_[at_]);
        return;
      case ' ':
      case '\t':
      case '\r':
        return end_word();
      case '#':
        if (is_word_) return put(c);
        at_ = std::min(text_.find('\n', at_), text_.size()) - 1;
        return;
      case '\n':
      case ';':
      case '|':
      case '&':
      case '(':
      case ')':
        return end_command();
      case '<':
      case '>':
        if (is_word_ && word_.find_first_not_of("0123456789") == std::string::npos) is_word_ = false, word_.clear();
        end_word();
        put(c);
        while (at_ + 1 < text_.size() && (text_[at_ + 1] == c || text_[at_ + 1] == '&')) put(text_[++at_]);
        return end_word();
      case '$':
      case '`':
      case '*':
      case '?':
      case '[':
      case '{':
      case '~':
        is_open_ = true;
        return put(c);
      default:
        return put(c);
    }
  }

  void quoted(char mark) {
    is_word_ = true;
    while (++at_ < text_.size() && text_[at_] != mark) {
      if (mark == '"' && text_[at_] == '\\' && at_ + 1 < text_.size())
        ++at_;
      else if (mark == '"' && (text_[at_] == '$' || text_[at_] == '`'))
        is_open_ = true;
      word_ += text_[at_];
    }
  }

  void put(char c) {
    is_word_ = true;
    word_ += c;
  }
  void end_word() {
    if (is_word_) words_.push_back(is_open_ ? std::string() : word_);
    word_.clear();
    is_word_ = is_open_ = false;
  }
  void end_command() {
    end_word();
    if (!words_.empty()) commands_.push_back(std::move(words_));
    words_.clear();
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string word_;
  bool is_word_ = false, is_open_ = false;
  std::vector<std::string> words_;
  std::vector<std::vector<std::string>> commands_;
};

/// A relative path made plain; empty if it is none that can be judged.
std::string plain(const std::string& word) {
  if (word.empty() || word.size() > 1000 || word[0] == '/' || word[0] == '-') return {};
  auto path = std::filesystem::path(word).lexically_normal().string();
  if (path.ends_with('/')) path.pop_back();
  return path == "." || path.starts_with("..") ? std::string() : path;
}

bool speaks_of_output(std::string_view flag) {
  const auto name = lower(flag);
  for (const char* part : {"out", "save", "log", "dest", "ckpt", "checkpoint", "result", "export", "write", "cache",
                           "tmp", "temp", "tensorboard", "report", "plot"}) {
    if (name.find(part) != std::string::npos) return true;
  }
  return name == "-o";
}

bool makes_files(const std::string& program) {
  static const std::set<std::string> names = {"mkdir",
                                              "touch",
                                              "rm",
                                              "tee",
                                              "wget",
                                              "curl",
                                              "cp",
                                              "mv",
                                              "unzip",
                                              "tar",
                                              "git",
                                              "aws",
                                              "gsutil",
                                              "rsync",
                                              "ln",
                                              "export",
                                              "kaggle",
                                              "hf",
                                              "huggingface-cli",
                                              "dvc",
                                              "echo",
                                              "printf",
                                              "chmod",
                                              "test",
                                              "[",
                                              "gdown",
                                              "git-lfs",
                                              "install",
                                              "dd",
                                              "gunzip"};
  return names.contains(program.substr(program.rfind('/') + 1));
}

bool is_shell(const std::string& program) {
  const auto name = program.substr(program.rfind('/') + 1);
  return name == "sh" || name == "bash" || name == "dash" || name == "zsh";
}

struct Found {
  std::vector<std::string> read;
  std::set<std::string> made;
};

/// False when nothing behind it can be judged.
bool look_at(const std::vector<std::string>& words, Found& found) {
  static const std::set<std::string> prefixes = {"time", "nohup", "exec", "env", "sudo", "then", "do", "else", "if"};
  std::size_t i = 0;
  while (i < words.size() && (prefixes.contains(words[i]) || words[i].find('=') != std::string::npos)) ++i;
  if (i == words.size()) return true;
  const auto& program = words[i];
  if (program == "cd" || program == "pushd") return false;
  const bool makes = makes_files(program);
  bool to_output = false;
  if (program[0] != '>' && program[0] != '<') ++i;
  for (; i < words.size(); ++i) {
    const auto& word = words[i];
    if (word.starts_with("<<")) return false;
    if (word[0] == '>' || word == "<") {
      to_output = word[0] == '>';
      continue;
    }
    if (word == "-c" && is_shell(program) && i + 1 < words.size()) {
      for (const auto& inner : commands_in(words[i + 1])) {
        if (!look_at(inner, found)) return false;
      }
      return true;
    }
    if (word.starts_with('-')) {
      const auto equals = word.find('=');
      to_output = speaks_of_output(std::string_view(word).substr(0, equals));
      if (equals == std::string::npos) continue;
    }
    const auto equals = word.starts_with('-') ? word.find('=') : std::string::npos;
    const auto path = plain(equals == std::string::npos ? word : word.substr(equals + 1));
    if (!path.empty()) {
      if (makes || to_output)
        found.made.insert(path);
      else
        found.read.push_back(path);
    }
    to_output = false;
  }
  return true;
}

}  // namespace

std::vector<std::vector<std::string>> commands_in(std::string_view shell_text) { return Reader(shell_text).run(); }

std::vector<std::string> paths_read_by(std::string_view shell_text) {
  Found found;
  for (const auto& words : commands_in(shell_text)) {
    if (!look_at(words, found)) break;
  }
  std::erase_if(found.read, [&](const std::string& path) {
    return std::ranges::any_of(found.made, [&](const std::string& made) {
      return path == made || (path.starts_with(made) && path[made.size()] == '/');
    });
  });
  return std::move(found.read);
}

std::string installers_in(std::string_view shell_text) {
  bool pip = false, conda = false, own_conda = false, own_venv = false;
  const auto small = lower(shell_text);
  for (const char* own : {"miniconda", "miniforge", "mambaforge", "micromamba", "anaconda3"})
    own_conda = own_conda || small.find(own) != small.npos;
  for (const auto& words : commands_in(shell_text)) {
    static const std::set<std::string, std::less<>> before = {"if",   "then", "else", "do", "!",
                                                              "time", "exec", "{",    "("};
    const auto first = std::ranges::find_if(
        words, [](const auto& word) { return !before.contains(word) && word.find('=') == word.npos; });
    const std::span<const std::string> command(first, words.end());
    if (command.empty()) continue;
    const bool sources =
        command.size() > 1 && (command[0] == "source" || command[0] == ".") && command[1] == "activate";
    conda = conda || command[0] == "conda" || command[0] == "mamba" || sources;
    for (std::size_t i = 0; i + 1 < command.size(); ++i) {
      const bool is_pip = (i == 0 && (command[i] == "pip" || command[i] == "pip3")) ||
                          (i > 0 && command[i] == "pip" && (command[i - 1] == "-m" || command[i - 1] == "uv"));
      pip = pip || (is_pip && command[i + 1] == "install");
      own_venv = own_venv || command[i + 1] == "venv" || command[i] == "virtualenv";
    }
  }
  std::string out = pip && !own_venv ? "pip" : "";
  if (conda && !own_conda) out += out.empty() ? "conda" : " conda";
  return out;
}

}  // namespace ferry::job
