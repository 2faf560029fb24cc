#pragma once
/// \file
/// The receiving end; send.h has the conversation. In this order: read the list, compare it with what stands here,
/// refuse conflicts, ask for what is missing and cannot be made of what is here, take each file whole into place, ask
/// again for what could not be made after all, links, removals, then modes and times (folders last, deepest first),
/// flush to disk, remember, confirm.

#include <unordered_map>

#include "sync/channel.h"
#include "sync/intake.h"
#include "sync/manifest.h"
#include "sync/parts.h"
#include "sync/place.h"
#include "sync/state.h"
#include "sync/sync.h"

namespace ferry::sync {

class Receiver {
 public:
  Receiver(int in, int out, os::Path root, const ReceiveOptions& options);
  Result<Report> run();

 private:
  /// What is to happen with a file of the list.
  enum class Fate : std::uint8_t {
    stays,      ///< nothing: it stands here, or it was left out, or it is in its place now
    ask,        ///< it is asked for next
    ask_whole,  ///< the same, and nothing that is here helps
    asked,      ///< the sender is to answer
    taken,      ///< its content came and is being placed
    made,       ///< it is being made of what is here
    copy,       ///< it comes with another of the same content
  };
  /// What is known of some of them besides.
  struct Plan {
    std::vector<std::size_t> copies;
    std::string base, base_part;   ///< a path here, and a part, that it has much in common with
    std::uint64_t part_bytes = 0;  ///< of the part, that its chunks are of
    bool is_stored = false;        ///< the content store has it
    std::uint64_t beginning = 0;   ///< of the base, if it may be its beginning
    std::string beginning_sha256;
  };

  Result<Report> converse();
  Status open_root();
  class NewList;
  Status read_list();
  Status read_whole_list();
  Result<bool> read_changes();
  Status take_list(NewList& list, std::string name);
  Status ask_for_whole_list();
  Status skip_file();
  os::Path list_place(std::string_view name) const;
  void keep_list();
  void take_kept_tree();
  Status compare();
  Result<bool> stands_here(std::size_t index, const Entry& entry, const Standing& now);
  Status check_space(const std::vector<std::uint32_t>& missing, std::uint64_t replaced);
  void note_intents(const std::vector<std::uint32_t>& missing);

  void plan(const std::vector<std::uint32_t>& missing);
  std::vector<std::uint32_t> find_copies(const std::vector<std::uint32_t>& missing);
  bool is_to_come(std::string_view path, const Digest& sha256) const;
  void find_here(const std::vector<std::uint32_t>& wanted);
  void find_stored(const std::vector<std::uint32_t>& missing);
  void find_base(std::size_t index);
  Status make_here();
  Status ask();
  Result<std::vector<Chunk>> chunks_of(Plan& plan, std::uint64_t& left);
  Status put_wants(const std::vector<std::size_t>& asked,
                   const std::unordered_map<std::size_t, std::vector<Chunk>>& chunks);
  bool may_ask_again() const;

  Status take_files();
  Status take_file();
  Status take_pieces(std::size_t index, std::uint64_t announced, const Intake::Handle& file,
                     std::vector<Intake::Step>& steps);
  Status take_piece(PieceKind kind, bool has_base, Intake::Step& step);
  Intake::Arrival arrival_of(std::size_t index, bool is_made_here) const;
  Status collect(bool all);
  void take_outcome(const Intake::Outcome& outcome);
  void leave_out(std::size_t index);
  void ask_for_copies_of(std::size_t index);
  void ask_whole(std::size_t index);
  Result<char> next_letter();
  Result<std::size_t> read_index();
  Status beat();

  Status make_folders();
  Status make_links();
  Status remove_old();
  Status settle();
  Status settle_file(std::size_t index, const Entry& entry);
  void settle_folder(const Entry& entry);
  void settle_link(const Entry& entry);
  void settle_marks();
  Status confirm();
  void remember();
  void show(bool always);
  Report report();

  os::Path root_path_;
  const ReceiveOptions& options_;
  Channel channel_;
  bool peer_failed_ = false;
  std::optional<Root> root_;
  State before_;  ///< as found in the state file
  State now_;     ///< what will be remembered
  Parts parts_;
  std::optional<Placer> placer_;
  List entries_;
  std::string list_name_, list_base_;        ///< empty base: the whole list came
  std::unique_ptr<ListWriter> list_writer_;  ///< null: it is not to be kept, or is
  bool come_unasked_ = false;                ///< files may come that are not asked for
  std::vector<std::pair<std::size_t, std::uint64_t>> sparse_;
  std::int64_t mtime_of(std::size_t index, const Entry& entry) const;
  void note_mtime(std::size_t index, std::int64_t mtime_ns);
  /// Of a file that was compared or placed, where it is not the listed one; another one later means that it was
  /// touched.
  std::unordered_map<std::size_t, std::int64_t> mtimes_;
  std::vector<Fate> fates_;  ///< of the entries
  std::unordered_map<std::size_t, Plan> plans_;
  std::size_t unanswered_ = 0;  ///< files asked for
  int rounds_ = 0;
  std::optional<Intake> intake_;    // uses the placer and the parts
  int again_ = 0;                   ///< how often the file now expected was taken back
  std::vector<std::size_t> fresh_;  ///< large files that changed so lately that their marks say nothing
  bool changed_ = false;            ///< something may not be on disk yet
  std::string buffer_;
  Progress progress_;
  std::chrono::steady_clock::time_point shown_{};
  std::vector<std::string> notes_, senders_notes_, left_out_;
};

}  // namespace ferry::sync
