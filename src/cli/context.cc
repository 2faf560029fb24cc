#include <csignal>

#include "account/purchase.h"
#include "cli/command.h"
#include "cli/task_options.h"
#include "fleet/held_connection.h"
#include "os/env.h"
#include "os/terminal.h"
#include "run/actions.h"
#include "run/run.h"

namespace ferry::cli {

Result<cloud::AwsContext> rehearsal_context() {
  TRY_SET(info, "start the rehearsal cloud", rehearsal::ensure_running(rehearsal::default_dir()));
  cloud::AwsContext context;
  context.region = info.region;
  context.endpoint_url = info.endpoint_url;
  context.service_endpoints["s3"] = info.s3_endpoint_url;
  context.credentials = cloud::fixed_credentials(info.access_key_id, info.secret_access_key);
  return context;
}

namespace {

fleet::Interrupt ask_interrupt(os::SignalQueue& signals, bool can_detach) {
  const std::string prompt =
      can_detach ? "\n[d]etach (the training goes on), [c]ancel (stop it and release the machine) or [g]o on? "
                 : "\n[c]ancel (release the machine) or [g]o on? ";
  while (true) {
    const auto answer = os::ask(prompt, signals.fd());
    if (!answer) {
      // Ctrl-C again or SIGTERM cancels. A terminal that is gone, or the end of what is typed, is nobody who
      // wants a training to be stopped.
      const auto signal = signals.next();
      const bool asked_to_end = signal && *signal != SIGHUP;
      return can_detach && !asked_to_end ? fleet::Interrupt::detach : fleet::Interrupt::cancel;
    }
    const char first = answer->empty() ? ' ' : (*answer)[0];
    if (first == 'd' && can_detach) return fleet::Interrupt::detach;
    if (first == 'c') return fleet::Interrupt::cancel;
    if (first == 'g') return fleet::Interrupt::go_on;
  }
}

/// Whatever is wrong with the settings is told by whoever needs them.
Seconds hold_of_settings() {
  const auto given = os::env("FERRY_HOLD_CONNECTION");
  const auto wanted = given ? task::read_hold(*given) : tl::unexpected<Error>(Error{});
  if (wanted) return *wanted;
  const auto settings = personal_settings();
  return settings ? settings->hold.value_or(fleet::usual_hold) : fleet::usual_hold;
}

Result<Caps> caps_of_settings() {
  TRY_SET(settings, "", personal_settings());
  return settings.limits;
}

}  // namespace

watch::Renderer renderer_for(bool json) {
  if (json) return watch::Renderer::json;
  return os::is_terminal(1) && os::is_terminal(2) && !os::called_by_agent() ? watch::Renderer::terminal
                                                                            : watch::Renderer::plain;
}

Result<std::unique_ptr<Context>> Context::open(const Carried& carried, watch::Renderer renderer, bool interactive) {
  auto context = std::unique_ptr<Context>(new Context);
  os::ignore_sigpipe();
  context->signals_ = std::make_unique<os::SignalQueue>(std::initializer_list<int>{SIGINT, SIGTERM, SIGHUP});
  const auto data = os::data_dir();
  auto ledger = ledger::Ledger::open(data / "ledger.db", os::system_clock());
  if (!ledger) return tl::unexpected<Error>(std::move(ledger).error());
  context->ledger_ = std::move(*ledger);
  context->http_ = os::make_http_client();
  if (renderer != watch::Renderer::json) context->own_progress_ = watch::make_progress(renderer, 1, 2);
  context->progress_ = context->own_progress_ ? context->own_progress_.get() : &events();
  context->run_context_.reset(new fleet::Context{os::system_clock(),
                                                 *context->http_,
                                                 *context->ledger_,
                                                 *context->progress_,
                                                 *context->signals_,
                                                 data,
                                                 rehearsal_context,
                                                 carried.agent,
                                                 {}});
  context->run_context_->caps = caps_of_settings;
  context->run_context_->hold = hold_of_settings();
  if (interactive && os::is_terminal(0) && may_ask()) {
    context->run_context_->ask = [signals = context->signals_.get()](bool can_detach) {
      return ask_interrupt(*signals, can_detach);
    };
  }
  return context;
}

Status Context::recover_orphans() {
  if (own_progress_) return run::recover_orphans(*run_context_);
  const auto aside = watch::make_progress(watch::Renderer::plain, 2, 2);
  fleet::Context run_context{
      run_context_->clock, run_context_->http,      run_context_->ledger, *aside, run_context_->signals,
      run_context_->data,  run_context_->rehearsal, run_context_->agent,  {}};
  run_context.caps = run_context_->caps;
  const auto recovered = run::recover_orphans(run_context);
  run_context_->interrupt = run_context.interrupt;
  run_context_->letting_go = run_context.letting_go;
  run_context_->interrupted_ms = run_context.interrupted_ms;
  return recovered;
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

int with_context(const Carried& carried, const std::function<Result<int>(Context&)>& act, bool may_try_later) {
  auto context = Context::open(carried, watch::Renderer::plain, false);
  if (!context) return report(context.error());
  if (auto recovered = run::recover_orphans((*context)->run_context()); !recovered) return report(recovered.error());
  account::settle_purchases((*context)->run_context());
  auto done = act(**context);
  return done ? *done : report(done.error(), may_try_later);
}

}  // namespace ferry::cli
