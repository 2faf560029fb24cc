#include "cli/cli.h"

extern "C" const char ferry_embed_ferry_agent_x86_64[], ferry_embed_ferry_agent_x86_64_end[];

int main(int argc, char** argv) {
  const auto agent = [](std::string_view arch) -> std::string_view {
    if (arch != "x86_64") return {};
    return {ferry_embed_ferry_agent_x86_64, ferry_embed_ferry_agent_x86_64_end};
  };
  return ferry::cli::main(argc, argv, {agent});
}
