// What nearly every file includes, compiled once.
#pragma once
#include <fmt/format.h>

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
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <variant>
#include <vector>

// Compiled once, in base/json.cc; but not for a program that needs little of it (ferry-agent for aarch64).
#ifndef FERRY_LITTLE_JSON
extern template class nlohmann::basic_json<>;
#endif
