#include "os/env.h"
#include "sandbox/namespaces.h"
#include "sandbox/sandbox.h"
#include "sandbox/trial.h"

namespace ferry::sandbox {

namespace {

/// Whether the mode can be had here, and if not, why.
ferry::Status possible(Mode mode, const os::Path& place) {
  if (mode == Mode::plain) return {};
  if (has_root(mode) && !os::is_root()) return fail(Kind::denied, "not started as root");
  return has_root(mode) ? try_with_root(mode, place) : try_namespaces(mode);
}

}  // namespace

Probe probe(const os::Path& place) {
  std::string why;
  const auto add = [&](const std::string& reason) { why += (why.empty() ? "" : "; ") + reason; };
  if (const auto wanted = os::env("FERRY_SANDBOX")) {
    const auto mode = mode_named(*wanted);
    if (!mode) {
      add("FERRY_SANDBOX=" + *wanted + " names no sandbox (root, root-unmapped, user or plain)");
    } else if (const auto can = possible(*mode, place); can) {
      return {*mode, "FERRY_SANDBOX=" + *wanted};
    } else {
      add("FERRY_SANDBOX=" + *wanted + " is not possible here");
    }
  }
  for (const Mode mode : {Mode::root, Mode::unmapped, Mode::user}) {
    const auto can = possible(mode, place);
    if (can) return {mode, why};
    add(std::string(name(mode)) + ": " + can.error().what);
  }
  return {Mode::plain, why};
}

}  // namespace ferry::sandbox
