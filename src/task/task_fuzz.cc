#include <cstddef>
#include <cstdint>
#include <string_view>

#include "task/settings.h"
#include "task/task.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto task = ferry::task::parse_task(text, "fuzz.yaml")) (void)ferry::task::fill_variables(*task);
  for (const auto& one : ferry::task::read_tasks(text, "fuzz.yaml").tasks) (void)one;
  (void)ferry::task::parse_settings(text, "fuzz.yaml");
  (void)ferry::task::parse_local_disk(text);
  (void)ferry::task::parse_accelerators(text);
  (void)ferry::task::parse_infra(text);
  (void)ferry::task::parse_cpus(text);
  (void)ferry::task::parse_memory(text);
  (void)ferry::task::parse_accelerator(text);
  (void)ferry::task::name_from(text);
  return 0;
}
