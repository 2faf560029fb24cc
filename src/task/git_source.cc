#include "task/git_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "task/variables.h"

namespace ferry::task {

Status check_git_url(std::string_view url) {
  constexpr std::array<std::string_view, 5> schemes = {"https", "http", "ssh", "git", "file"};
  const auto wrong = [&](const char* why) {
    return fail(Kind::bad_input, fmt::format("'{}' is no git repository", printable(without_login(url))), why,
                "write https://HOST/PATH, git@HOST:PATH, or a folder of this computer that is a repository");
  };
  if (url.empty()) return wrong("it is empty");
  if (url.starts_with('-')) return wrong("git would take it for an option");
  if (std::ranges::any_of(url, [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
    return wrong("it has a control character in it");
  const auto scheme = url.find("://");
  if (scheme != url.npos) {
    const auto word = lower(url.substr(0, scheme));
    if (std::ranges::find(schemes, word) == schemes.end())
      return wrong("ferry clones by https, ssh, git and from this computer's folders");
  } else if (url.find("::") != url.npos) {
    return wrong("git would run a helper of that name");
  }
  return {};
}

Status check_git_ref(std::string_view ref) {
  const auto is_odd = [](unsigned char c) {
    return c <= 0x20 || c == 0x7f || std::string_view("~^:?*[\\").find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (!ref.starts_with('-') && ref.find("..") == ref.npos && std::ranges::none_of(ref, is_odd)) return {};
  return fail(Kind::bad_input, fmt::format("'{}' is no branch, tag or commit", printable(ref)), {},
              "write its name, or a commit's hash");
}

std::string without_login(std::string_view url) {
  GitSource git{.url = std::string(url)};
  take_login(git);
  return git.url;
}

Result<std::string> filled_url(const std::string& url, const std::map<std::string, std::string>& values) {
  auto filled = filled_in(url, values);
  if (!filled && filled.error().what.find("without a variable's name") != std::string::npos)
    return fail(Kind::bad_input, "the repository's URL has a '$' without a variable's name", {},
                "write $NAME or ${NAME}; in a password, %24");
  return filled;
}

void take_login(GitSource& git) {
  const auto scheme = git.url.find("://");
  if (scheme == git.url.npos || scheme + 3 >= git.url.size()) return;
  const auto host = scheme + 3;
  const auto authority = git.url.substr(host, git.url.find('/', host) - host);
  const auto at = authority.rfind('@');
  if (at == authority.npos) return;
  // Of ssh, the user is part of the address.
  const bool is_web = lower(git.url.substr(0, 4)) == "http";
  const auto keep = is_web || authority.substr(0, at).find(':') == authority.npos ? 0 : authority.find(':');
  if (!is_web && keep == 0) return;
  git.login = authority.substr(0, at);
  git.url.erase(host + keep, at + (is_web ? 1 : 0) - keep);
}

std::string show(const GitSource& git) { return git.ref.empty() ? git.url : git.url + " at " + git.ref; }

Status fill_git(Task& task) {
  auto& git = task.git;
  if (git.url.empty()) return {};
  auto values = task.envs;
  values.insert(task.secrets.begin(), task.secrets.end());
  TRY_SET(url, git.at + ": workdir", filled_url(git.url, values));
  TRY_SET(ref, git.at + ": workdir", filled_in(git.ref, task.envs));
  TRY(git.at + ": workdir: url", check_git_url(url));
  TRY(git.at + ": workdir: ref", check_git_ref(ref));
  git.url = url;
  git.ref = ref;
  take_login(git);
  return {};
}

}  // namespace ferry::task
