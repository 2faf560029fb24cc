#include "cli/opened_store.h"

#include "cli/task_options.h"
#include "fleet/store_access.h"
#include "os/terminal.h"

namespace ferry::cli {

Result<OpenedStore> open_named_store(Context& context, const NamedStore& named) {
  std::string uri = named.uri;
  if (uri.empty()) {
    TRY_SET(settings, "", personal_settings());
    uri = settings.store.value_or("");
  }
  if (uri.empty())
    return fail(Kind::bad_input, "which store? None is named", "neither --store nor the settings (store: URI) say",
                "give --store s3://BUCKET/PREFIX, or make one: ferry store setup", mistake_code);
  OpenedStore out;
  TRY_SET(store, "", fleet::open_store(context.run_context(), uri, named.region, "", named.infra));
  out.store = std::move(store);
  if (uri.starts_with("s3://")) {
    TRY_SET(session, "", fleet::open_s3(context.run_context(), uri, named.region, "", named.infra));
    out.session = std::move(session);
  }
  return out;
}

Result<bool> goes_ahead(const std::string& question, bool yes) {
  if (yes || says_yes()) return true;
  if (!os::is_terminal(0) || !may_ask())
    return fail(Kind::bad_input, "this needs a yes: " + question, "nobody is here to be asked",
                "the same line with --yes", mistake_code);
  const auto said = os::ask(question + " [y/N] ");
  return said && (said->starts_with('y') || said->starts_with('Y'));
}

}  // namespace ferry::cli
