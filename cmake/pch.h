// What nearly every file includes, compiled once.
#pragma once
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

// Compiled once, in base/json.cc; but not for a program that needs little of it (ferry-agent for aarch64).
#ifndef FERRY_LITTLE_JSON
extern template class nlohmann::basic_json<>;
#endif
