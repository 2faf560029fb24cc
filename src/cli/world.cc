#include <csignal>

#include "cli/command.h"
#include "os/env.h"
#include "os/terminal.h"
#include "run/actions.h"
#include "run/run.h"

namespace ferry::cli {

Result<cloud::AwsWorld> rehearsal_world() {
  TRY_SET(info, "start the rehearsal cloud", rehearsal::ensure_running(rehearsal::default_dir()));
  cloud::AwsWorld world;
  world.region = info.region;
  world.endpoint_url = info.endpoint_url;
  world.credentials = cloud::fixed_credentials(info.access_key_id, info.secret_access_key);
  return world;
}

namespace {

run::Wish ask_wish(os::SignalQueue& signals, bool can_detach) {
  const std::string prompt =
      can_detach
          ? "\n[d]etach (the training goes on), [c]ancel (stop it and release the machine) or [g]o on? "
          : "\n[c]ancel (release the machine) or [g]o on? ";
  while (true) {
    const auto answer = os::ask(prompt, signals.fd());
    if (!answer) {
      // Ctrl-C again or SIGTERM cancels. A terminal that is gone, or the end of what is typed, is nobody who
      // wants a training to be stopped.
      const auto signal = signals.next();
      const bool asked_to_end = signal && *signal != SIGHUP;
      return can_detach && !asked_to_end ? run::Wish::detach : run::Wish::cancel;
    }
    const char first = answer->empty() ? ' ' : (*answer)[0];
    if (first == 'd' && can_detach) return run::Wish::detach;
    if (first == 'c') return run::Wish::cancel;
    if (first == 'g') return run::Wish::go_on;
  }
}

}  // namespace

watch::Face face_for(bool json) {
  if (json) return watch::Face::json;
  return os::is_terminal(1) && os::is_terminal(2) && !os::called_by_agent() ? watch::Face::terminal : watch::Face::plain;
}

Result<std::unique_ptr<World>> World::open(const Carried& carried, watch::Face face, bool interactive) {
  auto world = std::unique_ptr<World>(new World);
  os::ignore_sigpipe();
  world->signals_ = std::make_unique<os::SignalQueue>(std::initializer_list<int>{SIGINT, SIGTERM, SIGHUP});
  const auto data = os::data_dir();
  auto ledger = ledger::Ledger::open(data / "ledger.db", os::system_clock());
  if (!ledger) return tl::unexpected<Error>(std::move(ledger).error());
  world->ledger_ = std::move(*ledger);
  world->http_ = os::make_http_client();
  if (face != watch::Face::json) world->own_progress_ = watch::make_progress(face, 1, 2);
  world->progress_ = world->own_progress_ ? world->own_progress_.get() : &events();
  world->doors_.reset(new run::Doors{os::system_clock(),
                                     *world->http_,
                                     *world->ledger_,
                                     *world->progress_,
                                     *world->signals_,
                                     data,
                                     rehearsal_world,
                                     carried.agent,
                                     {}});
  if (interactive && os::is_terminal(0) && may_ask()) {
    world->doors_->ask = [signals = world->signals_.get()](bool can_detach) {
      return ask_wish(*signals, can_detach);
    };
  }
  return world;
}

Status World::settle() {
  if (own_progress_) return run::settle(*doors_);
  const auto aside = watch::make_progress(watch::Face::plain, 2, 2);
  run::Doors doors{doors_->clock, doors_->http, doors_->ledger, *aside, doors_->signals,
                   doors_->data,  doors_->rehearsal, doors_->agent, {}};
  const auto settled = run::settle(doors);
  doors_->wish = doors.wish;
  doors_->letting_go = doors.letting_go;
  doors_->wished_ms = doors.wished_ms;
  return settled;
}

bool says_yes() {
  const auto value = os::env("FERRY_YES").value_or("");
  return !value.empty() && value != "0" && value != "no" && value != "false";
}

tl::unexpected<Error> mistake(Error error) {
  const bool is_one = error.kind == Kind::bad_input || error.kind == Kind::not_found;
  if (is_one && error.code.empty()) error.code = mistake_code;
  return tl::unexpected<Error>(std::move(error));
}

int with_settled_world(const Carried& carried, const std::function<Result<int>(World&)>& act,
                       bool may_try_later) {
  auto world = World::open(carried, watch::Face::plain, false);
  if (!world) return report(world.error());
  if (auto settled = run::settle((*world)->doors()); !settled) return report(settled.error());
  auto done = act(**world);
  return done ? *done : report(done.error(), may_try_later);
}

}  // namespace ferry::cli
