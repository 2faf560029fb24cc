// Whatever another computer's ledger is said to tell: it is refused, or it reads back the same.
#include <cstdlib>

#include "ledger/history_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferry;
  const auto json = parse_json(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!json) return 0;
  const auto told = ledger::history_from(*json, "digits-7k2");
  if (!told) return 0;
  const auto again = ledger::history_json(told->run, told->tried);
  const auto once_more = ledger::history_from(again, "digits-7k2");
  if (!once_more || ledger::history_json(once_more->run, once_more->tried) != again) std::abort();
  return 0;
}
