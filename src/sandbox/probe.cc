#include "os/env.h"
#include "sandbox/namespaces.h"

namespace ferry::sandbox {

namespace {

/// Whether the mode can be had here, and if not, why.
ferry::Status possible(Mode mode) {
  if (mode == Mode::plain) return {};
  if (mode == Mode::root && !os::is_root()) return fail(Kind::denied, "not started as root");
  return try_namespaces(mode);
}

}  // namespace

Probe probe() {
  std::string why;
  const auto add = [&](const std::string& reason) { why += (why.empty() ? "" : "; ") + reason; };
  if (const auto wanted = os::env("FERRY_SANDBOX")) {
    const auto mode = mode_named(*wanted);
    if (!mode) {
      add("FERRY_SANDBOX=" + *wanted + " names no sandbox (root, user or plain)");
    } else if (const auto can = possible(*mode); can) {
      return {*mode, "FERRY_SANDBOX=" + *wanted};
    } else {
      add("FERRY_SANDBOX=" + *wanted + " is not possible here");
    }
  }
  for (const Mode mode : {Mode::root, Mode::user}) {
    const auto can = possible(mode);
    if (can) return {mode, why};
    add(std::string(name(mode)) + ": " + can.error().what);
  }
  return {Mode::plain, why};
}

}  // namespace ferry::sandbox
