// What is sent to the machine: the workdir, and, while its environment is made, what of that is late.
#include "base/text.h"
#include "job/late.h"
#include "run/record.h"
#include "run/run_controller.h"
#include "watch/report.h"

namespace ferry::run {

using ledger::Phase;

namespace {

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

Result<sync::Report> RunController::send(const os::Path& root, sync::Tree tree, const os::Argv& how, os::Path list) {
  TRY_SET(receiver, "", start_receiver(how, mux::Lane::work));
  sync::Options options;
  options.cancelled = [&] { return context_.check_signals(false) != fleet::Interrupt::go_on; };
  options.progress = tell_progress();
  options.expects_nothing = has_no_contents();
  options.list_file = std::move(list);
  return send_to(receiver, root, std::move(tree), options);
}

Status RunController::sync() {
  const auto& [request, ready] = *beginning_;
  TRY("", enter(Phase::syncing));
  context_.progress.begin("sync", words_of(ready.tree));
  while (hashing_.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) {
    if (context_.check_signals(false) == fleet::Interrupt::cancel) return fail(Kind::cancelled, "cancelled");
  }
  TRY("read the workdir", hashing_.get());
  run_.task["code"] = code_of(ready.tree);
  const auto& paths = node_.connection->paths();
  os::Argv how = {"--state", paths.run_dir + "-sync.state"};
  // What other runs brought there, and left: fleet/own_machine.sh.
  if (!has_no_contents()) how.insert(how.end(), {"--contents", paths.home + "/.ferry/contents"});
  // What an attempt before, or another run, left is put over what was sent: after all of it.
  const bool may_be_late = trial_.n == 1 && !request.task.taken;
  TRY_SET(parts, "",
          job::split_late(ready.tree, may_be_late ? request.task.late : std::vector<std::string>(), ready.needed));
  auto mirror = how;
  mirror.emplace_back("--mirror");
  TRY_SET(report, "send the workdir", send(run_.workdir, std::move(parts.early), mirror, tree_file(".list")));
  for (const auto& note : first_few(report.notes)) context_.progress.warn("sync", note);
  auto told = fmt::format("{}, {} sent", watch::counted(report.files_moved, "file"), show_bytes(report.bytes_moved));
  Json data = {{"files", report.files},
               {"files_moved", report.files_moved},
               {"bytes_moved", report.bytes_moved},
               {"wire_bytes", report.wire_bytes}};
  if (parts.late.files > 0) {
    told += fmt::format("; {} follow{} while the environment is made", words_of(parts.late),
                        parts.late.files == 1 ? "s" : "");
    data["late_files"] = parts.late.files;
    data["late_bytes"] = parts.late.bytes;
  }
  context_.progress.done("sync", told, data);
  if (parts.late.files == 0) return {};
  TRY_SET(receiver, "send the workdir", start_receiver(how, mux::Lane::background));
  late_ = std::make_unique<LateSend>(std::move(receiver), run_.workdir, std::move(parts.late), has_no_contents());
  return {};
}

Status RunController::await_late() {
  if (!late_) return {};
  if (!late_->wait(Millis(0))) context_.progress.begin("setup", "waiting for what is late");
  const auto tell = tell_progress();
  while (!late_->wait(Millis(100))) {
    if (context_.check_signals(false) != fleet::Interrupt::go_on) return fail(Kind::cancelled, "cancelled");
    tell(late_->progress());
  }
  const auto& report = late_->report();
  if (!report) return fail("send the workdir", report.error());
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
