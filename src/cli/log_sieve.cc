#include "cli/log_sieve.h"

#include "base/text.h"

namespace ferry::cli {

Result<LogSieve> LogSieve::make(std::int64_t since_ms, std::int64_t until_ms, const std::string& search) {
  LogSieve sieve;
  sieve.since_ms_ = since_ms;
  sieve.until_ms_ = until_ms;
  if (search.empty()) return sieve;
  auto regex = std::make_unique<regex_t>();
  if (const int wrong = ::regcomp(regex.get(), search.c_str(), REG_EXTENDED | REG_NOSUB); wrong != 0) {
    std::array<char, 200> text{};
    ::regerror(wrong, regex.get(), text.data(), text.size());
    return fail(Kind::bad_input, "--search: not a regular expression: " + printable(search), text.data(),
                "as grep -E has them; a special character is meant itself behind a backslash");
  }
  sieve.search_.reset(regex.release());
  return sieve;
}

bool LogSieve::has_it(const std::string& line) const {
  return !search_ || ::regexec(search_.get(), line.c_str(), 0, nullptr, 0) == 0;
}

Status LogSieve::add(std::string_view bytes, bool is_error, std::int64_t time_ms, const Take& take) {
  auto& line = lines_[is_error ? 1 : 0];
  while (!bytes.empty()) {
    const auto end = std::min(bytes.find('\n'), bytes.size() - 1) + 1;
    const auto part = bytes.substr(0, end);
    bytes.remove_prefix(end);
    if (!line.begun) line = {true, in_time(time_ms), {}};
    const bool whole = part.ends_with('\n');
    if (line.passes && search_) {
      line.held += part;
      if (whole && has_it(line.held.substr(0, line.held.size() - 1))) TRY("", take(line.held, is_error));
    } else if (line.passes) {
      TRY("", take(part, is_error));
    }
    if (whole) line = {};
  }
  return {};
}

Status LogSieve::finish(const Take& take) {
  for (const bool is_error : {false, true}) {
    auto& line = lines_[is_error ? 1 : 0];
    if (line.passes && search_ && !line.held.empty() && has_it(line.held)) TRY("", take(line.held, is_error));
    line = {};
  }
  return {};
}

}  // namespace ferry::cli
