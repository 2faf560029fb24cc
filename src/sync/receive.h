#pragma once
/// \file
/// The receiving end; send.h has the conversation. In this order: read the list, compare it with what stands
/// here, refuse conflicts, ask for what is missing, take each file whole into place, links, removals, then
/// modes and times (folders last, deepest first), flush to disk, remember, confirm.

#include "sync/channel.h"
#include "sync/manifest.h"
#include "sync/place.h"
#include "sync/state.h"
#include "sync/sync.h"

namespace ferry::sync {

class Receiver {
 public:
  Receiver(int in, int out, os::Path root, const ReceiveOptions& options);
  Result<Report> run();

 private:
  Result<Report> converse();
  Status open_root();
  Status read_list();
  Status compare();
  Result<bool> stands_here(std::size_t index);
  Status check_space(std::uint64_t replaced);
  Status ask();
  void note_intents();

  Status take_files();
  Result<bool> take_file();
  Status take_pieces(const os::Fd& file, Entry& fresh);
  void leave_out(std::size_t index);
  Result<char> next_letter();
  Result<std::size_t> read_index();

  Status make_links();
  Status remove_old();
  Status settle();
  Status settle_file(std::size_t index);
  void settle_folder(const Entry& entry);
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
  std::optional<Placer> placer_;
  std::vector<Entry> entries_;
  std::vector<std::int64_t>
      mtimes_;  ///< of the file that was compared or placed; another one later means that it was touched
  std::vector<std::size_t> wants_;
  std::size_t next_want_ = 0;
  int again_ = 0;         ///< how often the file now expected was taken back
  bool changed_ = false;  ///< something may not be on disk yet
  std::string buffer_;
  Progress progress_;
  std::chrono::steady_clock::time_point shown_{};
  std::vector<std::string> notes_, senders_notes_, left_out_;
};

}  // namespace ferry::sync
