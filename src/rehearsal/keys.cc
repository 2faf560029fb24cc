// Key pairs.
#include "base/text.h"
#include "os/clock.h"
#include "rehearsal/actions.h"
#include "rehearsal/ssh_key.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {
namespace {

Api<KeyPair> new_pair(Call& call) {
  API_SET(name, call.params.required("KeyName"));
  if (name.size() > 255) return invalid_value(name, "KeyName", "Length exceeds maximum of 255.");
  if (call.state.key_named(name))
    return refuse("InvalidKeyPair.Duplicate", fmt::format("The keypair already exists: '{}'", name));
  KeyPair pair;
  pair.id = new_id("key-");
  pair.name = name;
  pair.created_ms = call.now_ms;
  API_SET(tags, read_tag_specifications(call.params, {"key-pair"}));
  set_tags(call.state, pair.id, tags["key-pair"]);
  return pair;
}

Xml described(const Call& call, const KeyPair& pair) {
  Xml xml;
  xml.text("keyName", pair.name).text("keyFingerprint", pair.fingerprint);
  write_tags(xml, call.state, pair.id);
  return xml.text("keyPairId", pair.id);
}

}  // namespace

Api<Xml> import_key_pair(Call& call) {
  API_SET(pair, new_pair(call));
  API_SET(material, call.params.required("PublicKeyMaterial"));
  const auto text = from_base64(material);
  auto key = text ? parse_public_key(*text) : Result<PublicKey>(fail(Kind::corrupt, "not base64"));
  if (!key) return refuse("InvalidKey.Format", "Key is not in valid OpenSSH public key format");
  pair.type = key->type;
  pair.fingerprint = imported_fingerprint(*key);
  pair.public_key = key->line + " " + pair.name;
  call.state.keys[pair.id] = pair;
  return described(call, pair);
}

Api<Xml> create_key_pair(Call& call) {
  API_SET(pair, new_pair(call));
  pair.type = call.params.get("KeyType", "rsa");
  if (pair.type != "rsa" && pair.type != "ed25519")
    return invalid_value(pair.type, "KeyType", "Valid values are rsa and ed25519.");
  if (call.params.get("KeyFormat", "pem") != "pem")
    return invalid_value(call.params.get("KeyFormat"), "KeyFormat", "Only pem is offered here.");
  const auto made = make_private_key(pair.type, pair.name);
  if (!made) return refuse("InternalError", made.error().what, 500);
  pair.fingerprint = imported_fingerprint(made->public_half);
  pair.public_key = made->public_half.line + " " + pair.name;
  call.state.keys[pair.id] = pair;
  return described(call, pair).text("keyMaterial", made->private_pem);
}

Api<Xml> describe_key_pairs(Call& call) {
  API_SET(filters, Filters::read(call.params, {"key-name", "key-pair-id", "fingerprint", "key-type"}));
  API_SET(with_public, call.params.flag("IncludePublicKey", false));
  const auto names = call.params.list("KeyName"), ids = call.params.list("KeyPairId");
  for (const auto& name : names)
    if (!call.state.key_named(name))
      return refuse("InvalidKeyPair.NotFound", fmt::format("The key pair '{}' does not exist", name));
  for (const auto& id : ids)
    if (!call.state.keys.contains(id))
      return refuse("InvalidKeyPair.NotFound", fmt::format("The key pair '{}' does not exist", id));
  const auto listed = [](const std::vector<std::string>& list, const std::string& word) {
    return std::find(list.begin(), list.end(), word) != list.end();
  };
  std::vector<const KeyPair*> found;
  for (const auto& [id, pair] : call.state.keys) {
    Facts facts;
    facts.add("key-name", pair.name)
        .add("key-pair-id", id)
        .add("fingerprint", pair.fingerprint)
        .add("key-type", pair.type);
    facts.add_tags(tags_of(call.state, id));
    const bool asked = (names.empty() && ids.empty()) || listed(names, pair.name) || listed(ids, id);
    if (asked && filters.match(facts)) found.push_back(&pair);
  }
  Xml xml;
  return xml.list("keySet", found, [&](const KeyPair* pair) {
    xml.text("keyPairId", pair->id)
        .text("keyFingerprint", pair->fingerprint)
        .text("keyName", pair->name)
        .text("keyType", pair->type);
    write_tags(xml, call.state, pair->id);
    if (with_public) xml.text("publicKey", pair->public_key + "\n");
    xml.text("createTime", os::iso_time(pair->created_ms, true));
  });
}

Api<Xml> delete_key_pair(Call& call) {
  const auto name = call.params.get("KeyName"), id = call.params.get("KeyPairId");
  if (name.empty() && id.empty()) return missing_parameter("KeyName");
  Xml xml;
  xml.flag("return", true);
  for (auto at = call.state.keys.begin(); at != call.state.keys.end(); ++at) {
    if (at->first != id && at->second.name != name) continue;
    xml.text("keyPairId", at->first);
    call.state.tags.erase(at->first);
    call.state.keys.erase(at);
    break;
  }
  return xml;  // deleting what is not there succeeds, as on EC2
}

}  // namespace ferry::rehearsal
