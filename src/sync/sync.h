#pragma once
/// \file
/// Moving a tree of files between two machines over any byte stream. One protocol, both directions:
///
///   push  laptop send_tree()  ──ssh──▶  ferry-agent receive_tree()
///   pull  laptop receive_tree()  ◀──ssh──  ferry-agent send_tree()
///
/// The sender lists what it has (path, type, mode, size, SHA-256), the receiver says which contents it lacks,
/// the sender streams those compressed, the receiver checks every SHA-256 and renames each file into place
/// only when complete. Either side may be hostile: the receiver never writes outside its root, follows no
/// link, and bounds everything it allocates and every wait.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "os/file.h"
#include "sync/digest.h"

namespace ferry::sync {

enum class Type : std::uint8_t { file, folder, link };

struct Entry {
  std::string path;  ///< relative, '/'-separated, any bytes but NUL; never "", ".", ".." or absolute
  Type type = Type::file;
  bool as_sent = false;  ///< of outputs: still as it once went over (sync/outputs.h)
  /// Of outputs: a file that is being written (OutputsQuery::settle_ns). It is named, and nothing of it moves.
  bool unsettled = false;
  std::uint32_t mode = 0;  ///< permission bits (07777)
  std::uint64_t size = 0;  ///< of a file
  std::int64_t mtime_ns = 0;
  Digest sha256;      ///< of a file (may be empty before hashing)
  RareString target;  ///< of a link
};

/// Folders within folders, in any tree: one that is deeper is neither listed nor accepted.
inline constexpr std::size_t max_levels = 1000;

/// Which files belong to a tree.
struct Selection {
  /// What goes to a rented machine: what `git ls-files --cached --others --exclude-standard` lists (rules of
  /// all parents up to the repository's root, info/exclude, core.excludesFile; tracked files whatever the
  /// rules say), or, outside of a repository, what the .gitignore files of the tree leave; then what the
  /// tree's .ferryignore files say, which win. Repositories in the tree go as well, each by its own rules.
  /// Where the rules above leave out the root itself, which somebody chose, they say nothing. Never .git, nor
  /// what secrets.h knows for keys and passwords, unless a .ferryignore says so in a line with "!".
  bool ignore_rules = false;
  /// With ignore_rules: a link that leads out of the tree (but not into the system) goes as what it leads to.
  bool follow = false;
  std::vector<std::string> globs;  ///< if not empty: only what matches one (`outputs/`, `*.pt`, `logs/**`); a
                                   ///< folder means all below it
};

/// With ignore_rules: something that does not go. Of a folder, all below it.
struct Unsent {
  enum class Why {
    rule,    ///< `by` names the file, `rule` is its line
    secret,  ///< `by` says what it holds
    link,    ///< the link itself goes, not what it leads to, which is outside (`by`: its target)
  } why = Why::rule;
  std::string path;
  bool is_folder = false;
  std::string by, rule;
};

/// What a file begins with: so many bytes, with that SHA-256.
struct Beginning {
  std::uint64_t size = 0;
  Digest sha256;
};

struct Tree {
  std::vector<Entry> entries;  ///< sorted by path bytes; a folder before what is in it
  std::uint64_t bytes = 0;     ///< sum of file sizes
  std::uint64_t files = 0;
  std::vector<std::string> skipped;    ///< sockets, devices and unreadable files, with the reason; one line each
  std::vector<Unsent> unsent;          ///< in the order of the walk, the first 10,000
  std::string git_trouble;             ///< not empty: git could not be asked which files are tracked
  std::vector<std::string> unmatched;  ///< globs of the selection that matched nothing
  std::vector<std::string> left_out;   ///< what belongs to the tree and cannot be read; one line each
  /// hash_tree()'s cache had far fewer files: it was hardly sent before.
  bool is_new = false;
  /// Path in the tree → absolute path of the file or folder that is read in its place.
  std::map<std::string, std::string, std::less<>> grafts;
  /// Path of a large file that has changed since its hash was remembered, and is no shorter than it was → what so many
  /// of its bytes are now: if they are what they were, who has that needs the rest only.
  std::map<std::string, Beginning, std::less<>> beginnings;
  /// Large files that have changed since then, but those that have only grown. Not sorted.
  std::vector<std::string> revised;
};

/// Walks `root` (hashing nothing). Names in the root that begin with ".ferry-tmp-" belong to receivers and
/// are left out. Hard links are copied as files. Fails not_found if root is no folder, bad_input if it is
/// deeper than max_levels.
Result<Tree> scan(const os::Path& root, const Selection& selection);

/// Fills in SHA-256 of every file entry, on all cores, together with the size, mode and mtime of that moment;
/// a file that cannot be read or vanished moves from the entries to `skipped`. A cache file (may be empty:
/// none) remembers hashes by size, times and inode so that unchanged files are not read again, and notes which large
/// ones have changed, and how (Tree::beginnings, Tree::revised).
Status hash_tree(const os::Path& root, Tree& tree, const os::Path& cache_file);

/// Of what moves, not of the whole tree: what the receiver makes of what it has does not count, holes do not, and a
/// file that is sent again counts once. The totals are right once the receiver has asked, and follow what is found out
/// later; with bytes_done they say how much is left, and two looks at bytes_done how fast it goes.
struct Progress {
  std::uint64_t files_done = 0, files_total = 0, bytes_done = 0, bytes_total = 0;
  std::uint64_t wire_bytes = 0;  ///< that went over so far, after compression; of everything
};
struct Options {
  std::function<void(const Progress&)> progress;  ///< called now and then from the same thread; may be empty
  std::function<bool()> cancelled;  ///< asked often, also while waiting; true ends it with Kind::cancelled
  /// A peer that says nothing for so long, or so little (under 1 KiB a minute, looked at every five of
  /// these), is Kind::lost. What it works on meanwhile it tells, so that a slow disk is no silence.
  std::chrono::milliseconds silence{120'000};
  /// Of a sender: a tree that holds no more bytes goes with its list before the receiver asks for anything, which may
  /// have it already: so many bytes cost less than a round trip.
  std::uint64_t unasked_bytes = std::uint64_t{128} << 10;
  /// Of a sender: the receiver is thought to have none of it. Files follow the list at once, until it says what it
  /// lacks: what was read and compressed by then (up to 48 MiB, before the line is there) costs no time. The same, with
  /// 8 MiB, is done with a tree of which Tree::is_new is true.
  bool expects_nothing = false;
  /// Of a sender: how long the receiver may take until it says anything, if that is longer than `silence`: its machine
  /// may yet have to boot.
  std::chrono::milliseconds first_word{0};
  /// Of a sender: remembers the list that was sent last; of a long list only what is different in it goes the next
  /// time, if the receiver (by its ReceiveOptions::state_file or content_store) knows that one, too. Empty: the whole
  /// list goes.
  os::Path list_file;
};

struct Report {
  std::uint64_t files = 0;             ///< in the tree
  std::uint64_t bytes = 0;             ///< in the tree
  std::uint64_t files_moved = 0;       ///< whose content went over
  std::uint64_t bytes_moved = 0;       ///< of content, before compression
  std::uint64_t wire_bytes = 0;        ///< after compression
  std::vector<std::string> notes;      ///< changed while read and sent again, skipped, unmatched globs; one line each
  std::vector<std::string> left_out;   ///< what belongs to the tree and did not come; one line each
  std::vector<Entry> entries;          ///< what now stands at the receiver, with hashes
  std::vector<std::string> unsettled;  ///< paths of Entry::unsettled, sorted
};

/// Sends the tree as scanned; hashes it first if that was not done. Success means that the receiver
/// confirmed: everything is in place, checked and on disk. Either side's error is returned by both, with the
/// same kind, words and advice. A file that changes while it is read is noticed and sent again (at most 5
/// times, then left as last read, with a note). A file that vanished is left out with a note. `in` and `out`
/// may be the same descriptor.
Result<Report> send_tree(int in, int out, const os::Path& root, Tree tree, const Options& options = {});

/// In place of send_tree() where there is no tree to send: the receiver fails with `why`, which is passed
/// back.
Status refuse_to_send(int in, int out, const Error& why, const Options& options = {});

/// Receives into `root` (made if absent). With `mirror`, paths below root that a former receive_tree put
/// there and the sender no longer has are removed (files the receiver's programs made stay). Its own state
/// lives outside root, in `state_file`.
struct ReceiveOptions : Options {
  bool mirror = false;
  /// Of the machine: contents that other runs have received (sync/content_store.h), which need not come; empty: none.
  os::Path content_store;
  os::Path state_file;  ///< remembers what was received; empty: none (and mirror removes nothing)
  /// For what comes home: taken from the mode of everything (umask(2)), and its owner can always read it.
  std::optional<std::uint32_t> without_mode;
  /// Nobody asks for Report::entries, which a million files make 140 MB larger.
  bool forgets_entries = false;
  /// A longer list is refused. Each entry costs some 60 bytes of memory and its name.
  std::uint64_t most_entries = 5'000'000;
  std::uint64_t most_list_bytes = std::uint64_t{512} << 20;  ///< paths and link targets together
};
Result<Report> receive_tree(int in, int out, const os::Path& root, const ReceiveOptions& options = {});

}  // namespace ferry::sync
