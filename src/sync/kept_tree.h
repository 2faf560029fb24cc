#pragma once
/// \file
/// The files that a run was sent, kept for the next one as they stand. To make 20,000 small files of a content store
/// takes longer than all else that a run with three changed files does; to move the folders that hold them takes a
/// millisecond.
///
///     CONTENTS.trees/0123…/tree    what was sent by the list of that SHA-256 (known_list.h), and nothing else
///                         /state   what is remembered of it (state.h)
///     CONTENTS.trees/new-…         is being made or taken; after a day it was left by someone who was killed
///
/// A tree is taken by one run only, and only by one that is sent the same list, or what is different in it. Others that
/// begin meanwhile find the small contents in the store, too: each has a copy there. Large ones (stored_size and more),
/// which would take the room twice, are in the store alone.
///
/// What stands in a taken tree is believed as far as the marks that are remembered say that nobody touched it, as in a
/// second sync to one folder. A program that still stands in a run's folder, or has a file there open, could touch it
/// later: of such a run only the contents are kept.

#include "sync/content_store.h"

namespace ferry::sync {

/// Moves into the content store `contents` what receive_tree() brought to `root`, by `state_file`, and nobody seems to
/// have touched since, and keeps what is small as a tree, if the list has a name. What is left of `root` is to be
/// removed by the caller. Two trees are kept; a tree of more than most_kept_files or most_kept_bytes is not.
Status keep_run(const os::Path& contents, const os::Path& root, const os::Path& state_file);

/// Moves the tree that was sent by the list `list_name` into `root`, and what is remembered of it to `state_file`.
/// False, and nothing is changed, if there is none, `root` is not empty, or there is such a file. Whoever is killed in
/// the middle leaves in `root` only what the state file knows of.
bool take_tree(const os::Path& contents, std::string_view list_name, Root& root, const os::Path& state_file);

/// For keep_run(): by the list of what name (raw bytes) the state came about.
void note_list_name(const os::Path& state_file, std::string_view list_name);

inline constexpr std::uint64_t stored_size = std::uint64_t{64} << 10;
inline constexpr std::size_t most_kept_files = 100'000;
inline constexpr std::uint64_t most_kept_bytes = std::uint64_t{512} << 20;

}  // namespace ferry::sync
