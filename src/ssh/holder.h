#pragma once
/// \file
/// Whoever holds a connection for all ferries of its user (held.h).

#include <functional>

#include "ssh/held.h"

namespace ferry::ssh {

/// Why a connection is held no more.
enum class HoldEnd {
  others,    ///< another process holds it already: nothing was opened
  idle,      ///< nobody used it for the whole of the limit
  asked,     ///< by end_held(), or `stop` became readable
  lost,      ///< the machine does not answer any more
  replaced,  ///< the socket's file is not the one that was made: removed, or another's
};

/// Callers at once; one more is not let in.
inline constexpr std::size_t most_callers = 64;

/// Opens a connection by `open` and holds it at `place` until one of HoldEnd. The folder is made if it is missing;
/// leftovers of holders that were killed are removed. `idle`: how long nobody may use it; any use begins that anew.
/// `stop`: a descriptor that is readable when it is to end at once (a SignalQueue's).
///
/// A caller that goes has its program on the machine see the end of its input, as with an ssh connection that ended.
/// When the holder ends, or the machine is lost, all callers' connections are lost. Bytes wait in a few buffers of 64
/// KiB for each caller, and what the pipes hold: whoever is slow holds up whoever sends to it.
///
/// Every three seconds a word goes to the machine and back, and the socket's file is looked at; a caller is let in at
/// once if the last word came back within five seconds, by a clock that goes on while the computer sleeps, else once
/// the next one did.
///
/// Uses this thread. Fails denied when the folder is somebody else's or open to others, io when there can be no socket
/// in it, else as `open` does. SIGPIPE must be ignored.
Result<HoldEnd> hold(const HeldPlace& place, const std::function<Result<Session>()>& open, Millis idle, int stop);

}  // namespace ferry::ssh
