#pragma once
/// \file
/// The first words over a new connection: what the machine is, and ferry's program on it, sent if it is not there.

#include "ssh/session.h"

namespace ferry::ssh {

/// A line for any login shell (sh, csh, fish …): tells of the machine, takes the program from standard input if it is
/// missing, and becomes it. Its words:
///
///   ferry-home:DIR  ferry-arch:ARCH       what it is
///   ferry-needs:NAME                      then a line with its size is to be sent, and that many bytes of the program
///   ferry-has:NAME                        what follows the line's end comes from the program
std::string bootstrap_line(const Programs& programs);

/// A line for any login shell of a machine where program `name` is: another link of a connection joins by it
/// (mux/join.h).
std::string join_line(const std::string& name, const std::string& token);

/// What came of it.
struct Begun {
  Machine machine;
  std::string first;  ///< what the program said already; not empty
};

/// Speaks with it over `carrier`'s pipes, at most `limit`, and longer only for the program to be sent. Fails as
/// Session::open() does; `carrier` then still runs.
Result<Begun> begin_program(const Target& target, const Programs& programs, os::Process& carrier, Millis limit);

}  // namespace ferry::ssh
