#pragma once
/// \file
/// Who reads what whom writes: the pipes between the processes of a job. A shell's `train 2>&1 | tee log` is
/// told to end in the order of its pipes, or the reader is gone while the writer still saves.

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace ferry::agent {

/// The ends of pipes and FIFOs that one process holds, by device and inode.
struct PipeEnds {
  std::set<std::pair<std::uint64_t, std::uint64_t>> reads, writes;
  bool hidden = false;  ///< it may not be looked into (started with sudo): it may hold any
};

/// Of these processes, as /proc shows it.
std::map<pid_t, PipeEnds> pipe_ends(const std::vector<pid_t>& processes);

/// The processes that read what one of `writers` writes, straight or through others. Two that read from each
/// other, as a parent and its workers do, are one: neither waits for the other. A pipe that nobody seems to
/// write is written by the hidden ones.
std::set<pid_t> readers_of(const std::set<pid_t>& writers, const std::map<pid_t, PipeEnds>& processes);

}  // namespace ferry::agent
