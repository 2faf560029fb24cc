#pragma once
/// \file
/// What people of other tools type, and what it means here. Pure.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::cli {

/// How a word that is no command of ferry's is answered.
struct Answer {
  enum class How {
    runs,  ///< `words` are ferry's own words for it, to be run in its place
    asks,  ///< the same, but a user at a terminal is asked first: it ends something
    says,  ///< nothing is done: `line` is what to type
  };
  How how = How::says;
  std::vector<std::string> words;  ///< the command line behind "ferry"
  std::string line;                ///< "ferry ps", or another program's line; for people
  std::string note;                ///< what is different here; may be empty
  std::size_t typed = 1;           ///< of the words that were typed, how many mean this
};

/// `words`: the command line behind "ferry", beginning with the word that ferry does not know. Options of
/// ours and other tools' go on as they are. Nothing: the word means nothing here.
std::optional<Answer> answer(std::span<const std::string> words);

/// The same for a command line that begins with a command of ferry's but means another, as with gh's `run list` and
/// kubectl's `ps RUN`. `is_file`: what would be taken for a file that is there.
std::optional<Answer> answer_own(std::span<const std::string> words, bool is_file);

/// Every word that answer() knows; none is a command of ferry's.
std::vector<std::string_view> words_known();

/// The command among `commands` that is likely meant by it: nothing that only looks a little alike.
std::optional<std::string> near_command(std::string_view word, std::span<const std::string> commands);

}  // namespace ferry::cli
