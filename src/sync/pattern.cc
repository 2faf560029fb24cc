#include "sync/pattern.h"

#include <optional>

namespace ferry::sync {

namespace {

/// What a failed attempt means for the stars around it: the text ran out (no star can help), or a single star
/// met a slash (only a double star can help).
enum class Answer { match, no_match, give_up, only_starstar };

bool in_class(std::string_view name, unsigned char c, bool& known) {
  const bool low = c >= 'a' && c <= 'z', up = c >= 'A' && c <= 'Z', digit = c >= '0' && c <= '9';
  const bool graph = c > 0x20 && c < 0x7f;
  known = true;
  if (name == "alnum") return low || up || digit;
  if (name == "alpha") return low || up;
  if (name == "blank") return c == ' ' || c == '\t';
  if (name == "cntrl") return c < 0x20 || c == 0x7f;
  if (name == "digit") return digit;
  if (name == "graph") return graph;
  if (name == "lower") return low;
  if (name == "print") return graph || c == ' ';
  if (name == "punct") return graph && !low && !up && !digit;
  if (name == "space") return c == ' ' || c == '\t' || c == '\n' || c == '\r';
  if (name == "upper") return up;
  if (name == "xdigit") return digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  known = false;
  return false;
}

bool is_special(unsigned char c) { return c == '*' || c == '?' || c == '[' || c == '\\'; }

class Matcher {
 public:
  Matcher(std::string_view pattern, std::string_view text, Slash slash)
      : pattern_(pattern), text_(text), separates_(slash == Slash::separates) {}

  Answer run(std::size_t p, std::size_t t) {
    const std::size_t start = p;
    for (; p < pattern_.size(); ++t, ++p) {
      if (++steps_ > 1'000'000) return Answer::give_up;
      const unsigned char c = at(p);
      if (t >= text_.size() && c != '*') return Answer::give_up;
      const unsigned char have = text(t);
      switch (c) {
        case '*': {
          const std::optional<Answer> answer = star(start, p, t);
          if (answer) return *answer;
          break;
        }
        case '?':
          if (separates_ && have == '/') return Answer::no_match;
          break;
        case '[': {
          const Answer answer = set(p, have);
          if (answer != Answer::match) return answer;
          break;
        }
        case '\\':
          if (++p >= pattern_.size() || have != at(p)) return Answer::no_match;
          break;
        default:
          if (have != c) return Answer::no_match;
      }
    }
    return t < text_.size() ? Answer::no_match : Answer::match;
  }

 private:
  unsigned char at(std::size_t p) const { return p < pattern_.size() ? static_cast<unsigned char>(pattern_[p]) : 0; }
  unsigned char text(std::size_t t) const { return t < text_.size() ? static_cast<unsigned char>(text_[t]) : 0; }

  /// At a star. Nothing if it stands before a slash and both were consumed: the loop goes on after them.
  std::optional<Answer> star(std::size_t start, std::size_t& p, std::size_t& t) {
    bool over_slash = !separates_;
    const std::size_t first = p;
    ++p;
    if (at(p) == '*') {
      while (at(p) == '*') ++p;
      const bool alone_before = first == start || at(first - 1) == '/';
      const bool alone_after = p >= pattern_.size() || at(p) == '/' || (at(p) == '\\' && at(p + 1) == '/');
      if (separates_ && alone_before && alone_after) {
        if (at(p) == '/' && run(p + 1, t) == Answer::match) return Answer::match;  // "**/" may be nothing
        over_slash = true;
      }
    }
    const std::size_t slash = text_.find('/', t);
    if (p >= pattern_.size()) {
      return !over_slash && slash != std::string_view::npos ? Answer::no_match : Answer::match;
    }
    if (!over_slash && at(p) == '/') {
      if (slash == std::string_view::npos) return Answer::no_match;
      t = slash;
      return std::nullopt;
    }
    return any_length(p, t, over_slash);
  }

  Answer any_length(std::size_t p, std::size_t t, bool over_slash) {
    for (; t < text_.size(); ++t) {
      if (!is_special(at(p))) {
        while (t < text_.size() && text(t) != at(p) && (over_slash || text(t) != '/')) ++t;
        if (t >= text_.size() || text(t) != at(p)) return Answer::no_match;
      }
      const Answer answer = run(p, t);
      if (answer != Answer::no_match) {
        if (!over_slash || answer != Answer::only_starstar) return answer;
      } else if (!over_slash && text(t) == '/') {
        return Answer::only_starstar;
      }
    }
    return Answer::give_up;
  }

  /// At a '['; leaves `p` at the closing ']'.
  Answer set(std::size_t& p, unsigned char have) {
    ++p;
    const bool negated = at(p) == '!' || at(p) == '^';
    if (negated) ++p;
    bool found = false;
    unsigned char previous = 0;
    do {
      unsigned char c = at(p);
      if (p >= pattern_.size()) return Answer::give_up;
      if (c == '\\') {
        if (++p >= pattern_.size()) return Answer::give_up;
        c = at(p);
        found = found || have == c;
      } else if (c == '-' && previous != 0 && p + 1 < pattern_.size() && at(p + 1) != ']') {
        c = at(++p);
        if (c == '\\') c = at(++p);
        if (p >= pattern_.size()) return Answer::give_up;
        found = found || (have >= previous && have <= c);
        c = 0;
      } else if (c == '[' && at(p + 1) == ':') {
        const std::size_t end = pattern_.find(']', p + 2);
        if (end == std::string_view::npos) return Answer::give_up;
        if (end < p + 3 || at(end - 1) != ':') {
          found = found || have == '[';
        } else {
          bool known = false;
          found = in_class(pattern_.substr(p + 2, end - p - 3), have, known) || found;
          if (!known) return Answer::give_up;
          p = end;
          c = 0;
        }
      } else {
        found = found || have == c;
      }
      previous = c;
      ++p;
    } while (at(p) != ']' || p >= pattern_.size());
    return found == negated || (separates_ && have == '/') ? Answer::no_match : Answer::match;
  }

  std::string_view pattern_, text_;
  bool separates_;
  int steps_ = 0;
};

}  // namespace

bool matches(std::string_view pattern, std::string_view text, Slash slash) {
  return Matcher(pattern, text, slash).run(0, 0) == Answer::match;
}

}  // namespace ferry::sync
