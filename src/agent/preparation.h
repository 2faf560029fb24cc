#pragma once
/// \file
/// What a machine does before a job that it is asked to start in the same breath: the answer to one comes back with the
/// other's, and no round trip lies between.

#include <optional>
#include <string>
#include <string_view>

#include "agent/server.h"

namespace ferry::agent {

/// How what was said before a job ends, and begins, on standard error: a line each, of their own.
inline constexpr std::string_view preparation_said = "ferry-said", preparation_done = "ferry-prepared";
/// What was said is noted in the run's folder, in this file.
inline constexpr std::string_view preparation_file = "preparing";
/// Of what the command says on standard output, the last bytes are told.
inline constexpr std::size_t most_preparation_said = std::size_t{16} << 10;

/// What comes first on `in` of a `ferry-agent connect DIR --after COMMAND`: the command's standard input. What is for
/// the agent follows it.
std::string encode_preparation(std::string_view input);

/// What is told on standard error when it has ended well.
std::string encode_said(std::string_view said);
/// What was said, once `told` (all that came on standard error, or its end) has that as a whole.
std::optional<std::string> said_in(std::string_view told);

/// Runs `command` (a line of sh) with the standard input that comes on `in`, and its standard error as `err`; meanwhile
/// the agent of the folder is started. When it ended well, what it said is told on `err`: "ferry-said", that,
/// "ferry-prepared". Then Ok: whoever waits at `in` may speak to the agent.
///
/// Once a command of a run has ended well, it is not run again: what it said is told again (preparation_file). One that
/// still runs for a connection that was lost is ended first, and nothing is started for it any more. Where the command
/// fails, this process ends with its exit code. Fails lost when nobody is left at `in`: then nothing may be started.
/// Call with one thread, as the leader of a process group.
Status prepare(const ServeOptions& options, const std::string& command, int in, int err);

}  // namespace ferry::agent
