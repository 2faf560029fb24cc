#include <cstdint>
#include <cstdlib>

#include "watch/columns.h"
#include "watch/cursor.h"
#include "watch/metrics.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)ferry::watch::recognise(bytes);
  ferry::watch::Metrics metrics;
  metrics.add(bytes.substr(0, size / 2), false);
  metrics.add(bytes.substr(size / 2), size % 2 == 0);
  for (const auto& metric : metrics.latest()) {
    (void)ferry::watch::sparkline(metrics.history(metric.name), 16);
  }
  ferry::watch::Cursor cursor;
  cursor.feed(bytes, 80);
  if (cursor.column() < 0 || cursor.column() > 80) std::abort();
  if (ferry::watch::columns(ferry::watch::clipped(bytes, 20)) > 20) std::abort();
  return 0;
}
