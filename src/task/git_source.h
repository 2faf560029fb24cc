#pragma once
/// \file
/// A git repository in place of the workdir: what is written of it. Inside this room only.

#include "task/task.h"

namespace ferry::task {

/// Fails bad_input for what git would not take for a repository, or take for something else: an option, a helper to
/// run.
Status check_git_url(std::string_view url);
/// The same of a branch, a tag or a commit.
Status check_git_ref(std::string_view ref);

/// Moves the login of a URL out of it; the user of an ssh URL stays, a password does not.
void take_login(GitSource& git);
/// For people.
std::string without_login(std::string_view url);

/// `url` with its variables filled in. What is wrong with it does not show what it is.
Result<std::string> filled_url(const std::string& url, const std::map<std::string, std::string>& values);

/// Fills variables in the task's `git`, judges it, and takes its login out.
Status fill_git(Task& task);

}  // namespace ferry::task
