#include "cli/cli.h"

// The agents that the build had; cmake/Toolbox.cmake says which.
#ifdef FERRY_HAS_X86_64_AGENT
extern "C" const char ferry_embed_ferry_agent_x86_64[], ferry_embed_ferry_agent_x86_64_end[];
#endif
#ifdef FERRY_HAS_AARCH64_AGENT
extern "C" const char ferry_embed_ferry_agent_aarch64[], ferry_embed_ferry_agent_aarch64_end[];
#endif

int main(int argc, char** argv) {
  const auto agent = [](std::string_view arch) -> std::string_view {
#ifdef FERRY_HAS_X86_64_AGENT
    if (arch == "x86_64") return {ferry_embed_ferry_agent_x86_64, ferry_embed_ferry_agent_x86_64_end};
#endif
#ifdef FERRY_HAS_AARCH64_AGENT
    if (arch == "aarch64") return {ferry_embed_ferry_agent_aarch64, ferry_embed_ferry_agent_aarch64_end};
#endif
    return {};
  };
  return ferry::cli::main(argc, argv, {agent});
}
