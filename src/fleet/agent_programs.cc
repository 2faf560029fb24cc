#include "fleet/agent_programs.h"

#include "base/hash.h"
#include "base/text.h"
#include "sync/packed.h"

namespace ferry::fleet {

namespace {

constexpr std::size_t largest_agent = std::size_t{64} << 20;

/// By content: another agent is another file. `bytes`: the program, or what it is packed in.
std::string name_of(std::string_view bytes) { return "ferry-agent-" + hex(sha256(bytes)).substr(0, 16); }

Result<std::string> unpacked(std::string_view bytes) {
  if (!sync::is_packed(bytes)) return std::string(bytes);
  TRY_SET(program, "the agent that this ferry carries", sync::unpack(bytes, largest_agent));
  return program;
}

}  // namespace

ssh::Programs agent_programs(const std::function<std::string_view(std::string_view arch)>& agent) {
  ssh::Programs out;
  for (const char* arch : {"x86_64", "aarch64"}) {
    const auto bytes = agent(arch);
    if (!bytes.empty()) out.push_back({arch, name_of(bytes), [bytes] { return unpacked(bytes); }});
  }
  return out;
}

Result<std::string> agent_program(const Context& context, const std::string& path) {
  for (const auto& one : agent_programs(context.agent)) {
    if (path.ends_with("/" + one.name)) return one.bytes();
  }
  return fail(Kind::not_found, "this ferry does not carry the agent " + path);
}

}  // namespace ferry::fleet
