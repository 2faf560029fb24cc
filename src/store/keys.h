#pragma once
/// \file
/// Names of objects: what is a key, and which objects of a run have which.
///
///     runs/RUN/aN/rR/manifest.json        what the attempt's rank has stored; put last (manifest.h)
///     runs/RUN/aN/rR/outputs/PATH         a file as it is called below the workdir
///     runs/RUN/aN/rR/checkpoints/PATH     the same of checkpoints
///     runs/RUN/aN/rR/log/PATH             pieces of the log
///     runs/RUN/aN/rR/record/PATH          what ferry itself says of the run
///     runs/RUN/aN/rR/KIND-by-content/SHA  a file whose path is no key: not UTF-8, too long …
///     runs/RUN/aN/rR/machine.json         which machine took the attempt up by itself (`recover: aws`)
///     runs/RUN/lease                      who works on the run: changed by conditional puts only
///     runs/RUN/record.json                what the ferry that began the run says of it, before anything is rented
///     runs/RUN/history.json               what it was tried on so far; by whoever has the lease
///     runs/RUN/sent.pack                  what was sent: for attempts that another computer begins
///     runs/RUN/stand-in.json              what a machine does that AWS starts in the place of one that is gone
///     runs/RUN/stand-in.agent             the agent's program for it
///
/// N counts attempts from 1, R ranks from 0. Which file an object is, the manifest says: nothing is read from
/// a key.

#include <string>
#include <string_view>

#include "base/error.h"

namespace ferry::store {

/// A relative path of clean components ("." and ".." are none, nor is an empty one, nor one of more than 200
/// bytes, nor one that begins with ".ferry-", which is the stores' own), in UTF-8, without control characters
/// and backslashes, of at most 900 bytes: there is room for a place's own prefix. Otherwise bad_input.
Status check_key(std::string_view key);
/// The beginning of a key, "" included: what could be completed to one.
Status check_prefix(std::string_view prefix);

enum class FileKind { output, checkpoint, log, record };
/// "output", "checkpoint", "log", "record".
std::string_view name(FileKind kind);

/// "runs/RUN/"
std::string run_prefix(std::string_view run);
/// "runs/RUN/aN/rR/"
std::string rank_prefix(std::string_view run, int attempt, int rank);
std::string manifest_key(std::string_view run, int attempt, int rank);
std::string lease_key(std::string_view run);
std::string record_key(std::string_view run);
std::string history_key(std::string_view run);
std::string sent_key(std::string_view run);
std::string stand_in_key(std::string_view run);
std::string agent_key(std::string_view run);
std::string claim_key(std::string_view run, int attempt, int rank);
/// The key for the file at `path`; by its content where the path makes no key.
std::string file_key(std::string_view run, int attempt, int rank, FileKind kind, std::string_view path,
                     std::string_view sha256);

/// True for what a run may be called in a key: letters, digits, '-', '_' and '.', at most 100, no '.' first.
bool is_run_name(std::string_view run);
/// True for 64 hexadecimal digits in lower case.
bool is_sha256(std::string_view text);
/// True for well-formed UTF-8 (no surrogates, nothing overlong).
bool is_utf8(std::string_view text);
/// True for a relative path of components that are neither empty nor "." nor ".." nor longer than 255 bytes,
/// without a NUL, of at most 4096 bytes: where a file from outside may be written below a folder.
bool is_clean_path(std::string_view path);

}  // namespace ferry::store
