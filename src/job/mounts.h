#pragma once
/// \file
/// A task's file_mounts. Files and folders of this computer go to the machine with the workdir, in the same transfer;
/// what is meant to be outside of it lies in a folder of the workdir there, and a link leads to it. Folders for what
/// the training writes are made there. Data sets that the machine fetches lie in its scratch space (data.h), and links
/// lead to them.

#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "os/file.h"
#include "sync/sync.h"
#include "task/task.h"

namespace ferry::job {

/// Adds what the task mounts to the tree that is sent, by the rules that the workdir has (.gitignore, keys and
/// passwords stay here); a mount replaces what the workdir has at its place. `lines` gets what a user should know.
/// Fails bad_input, with the mount's place in the task file, for a source that is not there or is a secret, and for a
/// target that cannot be made or that is another's, too; all of them at once.
Status add_mounts(const task::Task& task, bool follow, sync::Tree& tree, std::vector<std::string>& lines);

/// What goes over of one mount's source, by the same rules; of a single file, an entry without a path. Fails bad_input.
Result<sync::Tree> tree_of_mount(const task::Mount& mount, bool follow);

/// Takes the large folders out of the task's mounts, where it has a store in S3 and its machine is rented: they become
/// data (task::Data::source) that go by the store, once for all runs (data_set.h). `lines` gets what a user should
/// know. What cannot be read stays a mount, and add_mounts() says why. What is large: 256 MB, or
/// FERRY_STORED_DATA_FROM.
void store_large_mounts(task::Task& task, bool follow, std::vector<std::string>& lines);

/// Where the file is read that goes to `path` of the tree.
os::Path source_of(const sync::Tree& tree, const os::Path& workdir, const std::string& path);

/// One line of shell text for the head of setup and training, which run in the workdir: makes folders and links for
/// mounts, and ~/sky_workdir where a script names that. Ends the script when a link cannot be made. Empty:
/// none is needed.
/// `scratch`: the machine's scratch space, in which its data lie (place_of_data()), but for those of an index in
/// `mounted`, which says where they are. `volumes`: where each of the task's is mounted.
std::string link_line(const task::Task& task, const std::string& scratch,
                      const std::map<std::size_t, std::string>& mounted = {},
                      const std::vector<std::string>& volumes = {});

/// Where the task's data set of that index lies in the machine's scratch space.
std::string place_of_data(const std::string& scratch, std::size_t index);

}  // namespace ferry::job
