#pragma once
/// \file
/// The sending end. Neither end waits for the other's greeting.
///
///   sender                                             receiver
///   'M', 'A' or 'S', list                        ──▶   'A': what the receiver is thought to lack follows at once,
///                                                      unasked, and then 'Z'; 'S': the same, until wants are heard
///                                                ◀──   (where it cannot make the list) 'M': the whole list, please
///   'M', list                                    ──▶   and then
///                                                ◀──   'W' wants
///   for each wanted, in any order:               ──▶
///     'F' index size mode mtime, pieces, 0, then one of
///         'k' SHA-256    whole, keep it
///         'a'            it changed meanwhile: forget this, the same index comes again
///         'v'            it could not be read to its end: leave it out
///         'u'            it went unasked, and this was for nothing: forget it
///     'V' index          it cannot be read (any more): leave it out
///     'N' index          it does not begin with what you have
///   'Q', before any of these                     ──▶   it answers 'P' at once: is it near?
///   'L' lines                                    ──▶   (where there are any) what does not come
///   'Z' notes                                    ──▶   end of the round
///                                                ◀──   'W' wants: another round, of what could not be made of
///                                                      what the receiver has; or
///                                                ◀──   'D' notes: everything is in place and durable
///
///   list  = 0, manifest (manifest.h), sparse; or what is different in another list, which both may have:
///           1, SHA-256 of that one and of this (known_list.h), number of entries, and until there are so many: numbers
///           of those that are kept, dropped and new, and the new ones; sparse
///   wants = number, then for each: number = (distance from the last index) × 4 + kind;
///           kind 1: size and SHA-256 of what may be its beginning;
///           kind 2: number, then length and id of each chunk (chunker.h) of what has much in common with it: of a part
///                   of it, and of its old version, one behind the other, to which the offsets of same pieces count
///   piece = number = length × 4 + kind; kind 1: so many bytes follow; kind 2: so many zeros that take no room on a
///           disk; kind 3: number: as at this place in what the receiver said it has
///
/// After 'A' and 'S' the first wants are answered by what has been sent, and what is missing in that. 'E' and an error
/// may stand where any of these letters may, and ends the conversation. 'B' may come before any letter: still at work.

#include "sync/channel.h"
#include "sync/known_list.h"
#include "sync/read_ahead.h"
#include "sync/sync.h"

namespace ferry::sync {

/// What follows a number × 4.
enum class WantKind : unsigned { whole = 0, continued = 1, by_chunks = 2 };
enum class PieceKind : unsigned { data = 1, hole = 2, same = 3 };
/// A list of chunks in a round of wants has no more: some 50 bytes of memory each.
inline constexpr std::uint64_t most_chunks = 1'000'000;
/// Of smaller files the difference is not worth the reading.
inline constexpr std::uint64_t least_difference = std::uint64_t{1} << 20;
inline constexpr int most_rounds = 8;
inline constexpr std::uint64_t largest_piece = std::uint64_t{1} << 20;

/// Puts what is alike side by side, where a compressor finds it: by the end of the name (".py"), then by path. What is
/// packed already (".png"), and takes the line's time but none of the processors', stands by turns with the rest.
void sort_by_likeness(const std::vector<Entry>& entries, std::vector<Wanted>& wanted);

class Sender {
 public:
  Sender(int in, int out, os::Path root, Tree tree, const Options& options);
  Result<Report> run();

  /// Called by the threads that read, after each piece, before it is known whether the file changed. For tests.
  std::function<void(std::string_view path)> while_reading;
  /// Threads that read.
  unsigned readers = 0;

 private:
  Result<Report> converse();
  /// By what follows it.
  enum class ListLetter : char { waits = 'M', all = 'A', some = 'S' };
  /// What is different in the list that was sent last.
  struct Changes {
    std::string base, name;          ///< of the lists
    std::string steps;               ///< from one to the other, as they go over
    std::vector<std::size_t> fresh;  ///< files that the receiver is thought to lack
    bool are_all_fresh = true;       ///< else it lacks more, of which it may have a beginning
  };
  class Comparison;
  Status cut_ahead();
  void compare_lists();
  void leave_out_known();
  void write_list();
  void keep_list();
  ListLetter list_letter(const std::vector<Wanted>& ahead) const;
  Status put_list();
  Status converse_in_rounds();
  Result<char> next_letter();
  Result<char> next_word();
  Result<std::vector<Wanted>> read_wants();
  Result<Wanted> read_want(std::size_t index, WantKind kind, std::uint64_t& chunks);
  Status send_round(std::vector<Wanted> wanted);
  void begin_round(std::vector<Wanted>& wanted);
  Status send_all(const std::vector<Wanted>& wanted);
  Status end_round();
  ReadAhead::Settings reading();
  Status go_ahead(const std::vector<Wanted>& expected);
  std::vector<Wanted> worth_going_ahead() const;
  Result<std::vector<Wanted>> send_until_heard(const std::vector<Wanted>& all, const std::vector<Wanted>& expected);
  Result<std::vector<Wanted>> hear_wants();
  void count(const std::vector<Wanted>& wants);
  Status put_piece(std::size_t index, Piece& piece);
  void end_pieces(std::string_view letter);
  void keep(std::size_t index, const Piece& whole);
  void leave_out(std::size_t index, const Error& reason);
  void show(bool always);
  Report report();

  os::Path root_path_;
  std::optional<Root> root_;
  Tree tree_;
  const Options& options_;
  Channel channel_;
  bool peer_failed_ = false;
  std::optional<Changes> changes_;
  std::string list_name_;
  std::unique_ptr<ListWriter> list_writer_;  ///< null: it is not to be kept, or is
  ListLetter letter_ = ListLetter::waits;
  std::optional<ChunkAhead> chunks_;
  std::vector<bool> went_;                                 ///< files, before the receiver said what it wants
  std::vector<std::pair<std::size_t, std::string>> gone_;  ///< those left out, with their paths
  Standing begun_;                                         ///< marks of the file that is being sent
  bool in_file_ = false;                                   ///< among its pieces
  int again_ = 0;                                          ///< how often it was taken back
  int rounds_ = 0;
  Progress progress_, before_;  ///< now, and when that file was begun
  std::chrono::steady_clock::time_point shown_{};
  std::vector<std::string> notes_, all_notes_;
  std::vector<std::string> left_out_, receivers_notes_;
};

}  // namespace ferry::sync
