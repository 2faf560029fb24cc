#include "sandbox/door.h"

#include <arpa/inet.h>

#include "base/json.h"
#include "base/text.h"

namespace ferry::sandbox {

namespace {

std::optional<std::uint32_t> number_of(const std::string& address) {
  in_addr raw{};
  if (::inet_pton(AF_INET, address.c_str(), &raw) != 1) return std::nullopt;
  return ntohl(raw.s_addr);
}

bool is_within(std::uint32_t address, const std::string& range) {
  const auto slash = range.find('/');
  const auto first = number_of(range.substr(0, slash));
  const auto bits = slash == std::string::npos ? 32 : parse_int(range.substr(slash + 1)).value_or(-1);
  if (!first || bits < 0 || bits > 32) return false;
  const std::uint32_t mask = bits == 0 ? 0 : ~std::uint32_t{0} << (32 - bits);
  return (address & mask) == (*first & mask);
}

}  // namespace

std::string text_of(const Door& door) { return dump_json(Json{{"from", door.from}, {"caller", door.caller}}) + "\n"; }

Result<Door> door_from(std::string_view text) try {
  TRY_SET(json, "", parse_json(text));
  return Door{json.at("from").get<std::vector<std::string>>(), text_at(json, "caller")};
} catch (const Json::exception& wrong) {
  return fail(Kind::corrupt, "an instance's door", wrong.what());
}

bool lets_in(const Door& door, const std::string& peer, const std::string& own) {
  if (peer == own) return true;
  const auto source = number_of(peer == "127.0.0.1" ? door.caller : peer);
  return source && std::ranges::any_of(door.from, [&](const auto& range) { return is_within(*source, range); });
}

}  // namespace ferry::sandbox
