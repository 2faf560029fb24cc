// What is sent to the machine: the workdir, and, while its environment is made, what of that is late.
#include "base/text.h"
#include "job/late.h"
#include "run/record.h"
#include "run/run_controller.h"
#include "watch/report.h"

namespace ferry::run {

using ledger::Phase;

namespace {

/// A machine boots before that, or never.
constexpr Millis most_until_it_listens{3'600'000};

std::string words_of(const sync::Tree& tree) {
  return fmt::format("{}, {}", watch::counted(tree.files, "file"), show_bytes(tree.bytes));
}

}  // namespace

Result<mux::Command> RunController::start_receiver(const os::Argv& how, mux::Lane lane) {
  os::Argv words = {"receive", node_.connection->paths().workdir};
  words.insert(words.end(), how.begin(), how.end());
  return node_.connection->start_agent_program(words, lane);
}

bool RunController::has_no_contents() const { return node_.location.provider != "ssh"; }

Result<sync::Report> RunController::send(const os::Path& root, sync::Tree tree) {
  TRY_SET(receiver, "", start_receiver({}, mux::Lane::work));
  sync::Options options;
  options.cancelled = [&] { return context_.check_signals(false) != fleet::Interrupt::go_on; };
  options.progress = tell_progress();
  options.expects_nothing = has_no_contents();
  return send_to(receiver, root, std::move(tree), options);
}

std::string RunController::state_file() const { return node_.connection->paths().run_dir + "-sync.state"; }

void RunController::begin_sending() {
  const auto& task = beginning_->request.task;
  // What an attempt before, or another run, left is put over what was sent: after all of it.
  const bool may_be_late = trial_.n == 1 && !task.taken;
  sync::Options options;
  options.expects_nothing = has_no_contents();
  options.list_file = tree_file(".list");
  options.first_word = most_until_it_listens;
  beginning_to_send_ = std::async(std::launch::async,
                                  [this, options, workdir = run_.workdir,
                                   globs = may_be_late ? task.late : std::vector<std::string>()]() -> Status {
                                    TRY("", hashing_.get());
                                    const auto& ready = beginning_->ready;
                                    TRY_SET(parts, "", job::split_late(ready.tree, globs, ready.needed));
                                    late_tree_ = std::move(parts.late);
                                    workdir_ =
                                        std::make_unique<BackgroundSend>(workdir, std::move(parts.early), options);
                                    return {};
                                  });
}

Status RunController::await(BackgroundSend& send) {
  const auto tell = tell_progress();
  while (!send.wait(Millis(100))) {
    if (context_.check_signals(false) != fleet::Interrupt::go_on) send.stop();
    tell(send.progress());
  }
  const auto& report = send.report();
  return report ? Status() : fail("send the workdir", report.error());
}

Status RunController::sync() {
  const auto& ready = beginning_->ready;
  TRY("", enter(Phase::syncing));
  context_.progress.begin("sync", words_of(ready.tree));
  while (beginning_to_send_.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) {
    if (context_.check_signals(false) == fleet::Interrupt::cancel) return fail(Kind::cancelled, "cancelled");
  }
  TRY("read the workdir", beginning_to_send_.get());
  run_.task["code"] = code_of(ready.tree);
  os::Argv how = {"--state", state_file()};
  // What other runs brought there, and left: fleet/own_machine.sh.
  if (!has_no_contents()) how.insert(how.end(), {"--contents", node_.connection->paths().home + "/.ferry/contents"});
  auto mirror = how;
  mirror.emplace_back("--mirror");
  TRY_SET(receiver, "", start_receiver(mirror, mux::Lane::work));
  workdir_->attach(std::move(receiver));
  TRY("", await(*workdir_));
  const auto report = *workdir_->report();
  workdir_.reset();
  for (const auto& note : first_few(report.notes)) context_.progress.warn("sync", note);
  auto told = fmt::format("{}, {} sent", watch::counted(report.files_moved, "file"), show_bytes(report.bytes_moved));
  Json data = {{"files", report.files},
               {"files_moved", report.files_moved},
               {"bytes_moved", report.bytes_moved},
               {"wire_bytes", report.wire_bytes}};
  if (late_tree_.files > 0) {
    told += fmt::format("; {} follow{} while the environment is made", words_of(late_tree_),
                        late_tree_.files == 1 ? "s" : "");
    data["late_files"] = late_tree_.files;
    data["late_bytes"] = late_tree_.bytes;
  }
  context_.progress.done("sync", told, data);
  if (late_tree_.files == 0) return {};
  TRY_SET(late_receiver, "send the workdir", start_receiver(how, mux::Lane::background));
  sync::Options options;
  options.expects_nothing = has_no_contents();
  late_ = std::make_unique<BackgroundSend>(run_.workdir, std::exchange(late_tree_, {}), options);
  late_->attach(std::move(late_receiver));
  return {};
}

Status RunController::await_late() {
  if (!late_) return {};
  if (!late_->wait(Millis(0))) context_.progress.begin("setup", "waiting for what is late");
  TRY("", await(*late_));
  const auto& report = late_->report();
  for (const auto& note : first_few(report->notes)) context_.progress.warn("setup", note);
  context_.progress.note(fmt::format("what is late is there: {}, {} sent", watch::counted(report->files_moved, "file"),
                                     show_bytes(report->bytes_moved)),
                         {{"files", report->files},
                          {"files_moved", report->files_moved},
                          {"bytes_moved", report->bytes_moved},
                          {"wire_bytes", report->wire_bytes}});
  return {};
}

Status RunController::reopen() {
  if (late_) {
    late_->stop();
    const auto& report = late_->report();
    if (!report && report.error().kind != Kind::cancelled) return fail("send the workdir", report.error());
    if (!report) return fail(Kind::lost, "send the workdir: the connection to the machine was lost");
  }
  return node_.reopen(job::MayInterrupt::any);
}

}  // namespace ferry::run
