#pragma once
/// \file
/// A connection that one process holds for all ferries of its user (holder.h), so that the next command on that machine
/// need not log in again: where it is found, what the two say to each other, and using it.
///
/// The holder listens on a Unix socket. For each caller that it lets in it starts ferry's program on the machine once
/// more, over the one connection, and passes bytes on: from then on the caller speaks with it as over an ssh process of
/// its own.
///
///   caller: ferry-hold 1 KEY use          or "end" in the place of "use"
///   holder: ferry-home:DIR                what the machine is (bootstrap.h)
///           ferry-program:FILE            what follows the line's end comes from the program
///
/// A caller that is not let in sees the socket closed, and logs in as ever.

#include <optional>
#include <string>
#include <string_view>

#include "ssh/session.h"

namespace ferry::ssh {

/// Where a held connection is found.
struct HeldPlace {
  os::Path folder;  ///< private to the user: 0700, and nobody else's
  std::string key;
  os::Path socket() const;
  os::Path lock() const;  ///< whoever holds it has the lock
};

/// Names the one connection that would come of `target` and `programs`: a hash of all that decides whom ssh reaches, as
/// whom, whom it trusts to be that, and of the program's name. Another address, host key or login key, another ferry
/// with another program, and another ssh config where that decides, have another. Of a host of the user's own config
/// ssh is asked (`ssh -G`), which takes milliseconds. Fails as session_argv() does, and where a file of it cannot be
/// read.
Result<std::string> held_key(const Target& target, const Programs& programs);

/// Whether `folder` is this user's, and closed to all others.
bool is_private(const os::Path& folder);

/// The connection that is held for `target`. Nothing when none is, or none answers within two seconds: a dead holder's
/// leftovers are removed. Never waits where none is held. Whether the machine still answers the holder has seen within
/// the last seconds; a connection that breaks later is lost as one of ssh is.
std::optional<Session> use_held(const os::Path& folder, const Target& target, const Programs& programs);

/// Asks whoever holds the connection to let go of it when its callers are gone, and to let in no other. Does nothing
/// where none is held.
void end_held(const os::Path& folder, const Target& target, const Programs& programs);

/// What a caller asks for.
struct Asked {
  bool is_end = false;
  std::string key;
};
std::string ask_line(const Asked& asked);
/// Nothing: the line is not whole yet. Fails corrupt for what is none, and for more than a line.
Result<std::optional<Asked>> read_asked(std::string_view said);

/// What the holder answers.
struct Welcome {
  Machine machine;
  std::string first;  ///< what the program has said already
};
std::string welcome_lines(const Machine& machine);
/// Nothing: it is not whole yet. Fails corrupt for what is none.
Result<std::optional<Welcome>> read_welcome(std::string_view said);

}  // namespace ferry::ssh
