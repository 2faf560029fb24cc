#include "agent/protocol.h"

using namespace ferry::agent;

namespace {

void look_into(const Frame& frame) {
  (void)decode_log(frame.body);
  const auto json = ferry::parse_json(frame.body);
  if (!json) return;
  if (const auto status = status_from(*json)) {
    if (!status_from(to_json(*status))) __builtin_trap();
  }
  if (const auto spec = spec_from(*json)) {
    if (!spec_from(to_json(*spec))) __builtin_trap();
  }
  if (const auto store = store_status_from(*json)) {
    if (!store_status_from(to_json(*store))) __builtin_trap();
  }
  (void)error_from(*json);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  FrameReader reader;
  if (size > 0 && data[0] % 2 == 0) {
    reader.add(greeting);
    (void)reader.skip_to_hello();
  }
  // In two parts, so that a frame is also seen incomplete.
  for (const std::string_view part : {bytes.substr(0, size / 2), bytes.substr(size / 2)}) {
    reader.add(part);
    while (true) {
      const auto frame = reader.next();
      if (!frame || !*frame) break;
      look_into(**frame);
    }
  }
  look_into({FrameType::state, std::string(bytes)});
  return 0;
}
