#include "agent/as_root.h"

#include <unistd.h>

#include <csignal>

namespace ferry::agent {

bool may_be_root(const std::string& program) {
  os::SpawnOptions options;
  options.argv = {"sudo", "-n", "--", program, "--version"};
  options.out = options.err = os::Stream::null;
  auto process = os::Process::spawn(options);
  if (!process) return false;
  const auto exit = process->wait(Millis(20'000));
  if (!exit) process->signal(SIGKILL);
  return exit && exit->code == 0;
}

void go_on_as_root(const os::Argv& line) {
  os::Argv words = {"sudo", "-n", "--"};
  words.insert(words.end(), line.begin(), line.end());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
}

}  // namespace ferry::agent
