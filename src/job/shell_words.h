#pragma once
/// \file
/// A light reading of shell text: enough to see which files it names, never to judge what it does.

#include <string>
#include <string_view>
#include <vector>

namespace ferry::job {

/// The simple commands of a text, each its words without quotes. A word with something to be expanded ($, `,
/// *, ?, [, ~, {) is empty; redirections keep their sign as a word (">", "<").
std::vector<std::vector<std::string>> commands_in(std::string_view shell_text);

/// Relative paths that the text seems to read: words of commands and values of flags. Not what goes to a flag
/// that speaks of output (--out, --save-dir, --log …) or behind ">", not what a command of the text makes
/// (mkdir, wget, unzip …), and nothing behind a changed folder or a heredoc. Commands in quotes behind
/// `sh -c` are read, too. Paths are plain: "./a/" is "a".
std::vector<std::string> paths_read_by(std::string_view shell_text);

/// Of `pip` (something is installed with it) and `conda`, what the text calls, in one word each, with a space between.
/// A text that brings its own (Miniconda, a venv) does not call it.
std::string installers_in(std::string_view shell_text);

}  // namespace ferry::job
