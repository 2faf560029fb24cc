#include "rehearsal/store.h"

namespace ferry::rehearsal {

Result<State> Store::load(const std::string& region) {
  if (!os::exists(file_)) {
    State state = fresh_state(region);
    TRY("first start", save(state));
    return state;
  }
  TRY_SET(text, "", os::read_file(file_));
  TRY_SET(json, file_.string(), parse_json(text));
  return state_from(json);
}

Status Store::save(const State& state) { return os::write_file(file_, dump_json(to_json(state)), 0600); }

}  // namespace ferry::rehearsal
