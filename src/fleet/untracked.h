#pragma once
/// \file
/// What carries this user's tag and is in no ledger here: the ledger was lost, or it is another one's.

#include <set>

#include "fleet/labels.h"
#include "fleet/machine.h"

namespace ferry::fleet {

struct Untracked {
  CloudLocation location;
  cloud::Instance instance;
  bool is_ours = false;  ///< of this ledger, or of the one that was in its folder before; otherwise of another one of
                         ///< the same user@host, or an old ferry's
};

/// "i-0abc (t3.medium in us-east-1, run digits-7k2)", for people.
std::string describe_untracked(const Untracked& untracked);

/// What is alive at the place, carries that owner's tag and is not in the ledger. Fails as the calls do, denied in
/// another account.
Result<std::vector<Untracked>> find_untracked(Context& context, const CloudLocation& location,
                                              const std::string& owner = owner_name());

/// Notes the machine as a run's of this ledger, in one go; its name. What its tags say of the run is taken over: what
/// it calls outputs, how long it may train, its host key. The run's private folder is used if it is still here. Fails
/// exists when another process was faster.
Result<std::string> adopt_untracked(Context& context, const Untracked& untracked);

/// True for a machine that adopt_untracked() noted.
bool was_adopted(const ledger::Instance& instance);

/// A key pair, security group or role (of kind "role") whose machine is gone already: it costs nothing, and nobody will
/// remove it.
struct Leftover {
  CloudLocation location;
  cloud::Made made;
  bool is_ours = false;  ///< as a Untracked's
};

/// "key pair ferry-digits-7k2-1f3a99c2 in us-east-1", for people.
std::string describe_leftover(const Leftover& leftover);

/// What no machine there uses, no run of the ledger holds and no ferry on this computer is at work with. What
/// another ledger's ferry may just be launching with is not told. Fails as the calls do, denied where the policy is
/// of an older ferry.
Result<std::vector<Leftover>> find_leftovers(Context& context, const CloudLocation& location,
                                             const std::string& owner = owner_name());

/// Does nothing if it is gone already.
Status remove_leftover(Context& context, const Leftover& leftover);

/// Every place where the ledger ever rented, once.
Result<std::set<CloudLocation>> locations_of_ledger(Context& context);

/// Every region of the environment's own AWS account, as places: those that AWS names, or, where it may not
/// be asked, those that `noted`, the environment or the catalog name. Fails as the calls do: denied without
/// credentials.
Result<std::vector<CloudLocation>> locations_of_account(Context& context, const std::set<CloudLocation>& noted);

}  // namespace ferry::fleet
