#pragma once
/// \file
/// One machine of an attempt, as the ferry that follows it holds it: where it is, what leads there, and how it is found
/// again when the connection breaks. What becomes of it the RunController decides. Internal to this room.

#include <map>

#include "job/connection.h"
#include "job/repeats.h"
#include "job/training.h"
#include "run/reach.h"

namespace ferry::run {

struct Node {
  Node(fleet::Context& used, const fleet::RunDir& dir) : context(used), run_dir(dir) {}

  fleet::Context& context;
  const fleet::RunDir& run_dir;
  fleet::CloudLocation location;
  std::unique_ptr<cloud::Cloud> cloud;  ///< none: not known yet
  ledger::Instance instance;            ///< no id: nothing is rented, as far as is known
  std::optional<job::Connection> connection;
  fleet::TimeLimits lifetime;  ///< that it was rented with
  std::vector<int> ports;      ///< of the machine, that tunnels lead to while it is connected
  bool is_patient = false;     ///< a follower: a broken connection is tried again as long as the machine may be there
  Seen seen;                   ///< what look() heard
  job::Repeats repeats;        ///< of what is told of trouble with it

  /// For another machine: nothing is known of the one before.
  void start_over();
  /// Waits until it lets ssh in. Fails as job::Connection::open().
  Status connect(Seconds limit, job::MayInterrupt interruption);
  /// A new connection in place of the one that there is. In the foreground for a few minutes; a follower tries more and
  /// more seldom, as long as the machine may be there and nobody wants something else of it.
  Status reopen(job::MayInterrupt interruption);
  /// After a lost connection: tells why and opens another, slower each time that the agent said nothing over the last
  /// one. In the foreground, gives up when it never does. Fails cancelled when the user lets go.
  Status connect_again(const char* phase, job::Training& training, Error lost, job::MayInterrupt interruption);
  /// Notes how following ended; true once several connections in a row were well and only the agent did not answer.
  bool is_unheard(const Error& lost);
  /// gone only if the ledger holds nothing for rented, or the cloud itself says so. An error's kind is no proof: a
  /// program missing on the laptop is not_found, too. there, too, when nobody knows.
  Standing look(const std::string& run);
  /// From this computer to the machine's `ports`, as long as the connection lives.
  void open_tunnels();

 private:
  std::map<int, int> tunnels_;  // of `ports`, the ports here
  int fruitless_ = 0;           // connections in a row over which the agent said nothing
  int unheard_ = 0;             // of them, the last ones that were well themselves
};

}  // namespace ferry::run
