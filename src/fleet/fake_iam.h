#pragma once
/// \file
/// For tests: IAM in memory behind the HTTP door, as strict as AWS's about what is there, what is in use and what is
/// missing; with permissions that are lacking, answers that are lost, and a ferry that is killed at any call.

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/text.h"
#include "os/http.h"

namespace ferry::fleet {

/// What a ferry that is killed looks like to a test.
struct Killed {};

class FakeIam final : public os::HttpClient {
 public:
  struct Role {
    std::string path, boundary;
    std::map<std::string, std::string> policies, tags;
  };
  struct Profile {
    std::string path, role;
    std::map<std::string, std::string> tags;
  };
  using Form = std::map<std::string, std::string>;

  std::map<std::string, Role> roles;
  std::map<std::string, Profile> profiles;
  std::map<std::string, std::string> policies;  ///< documents by ARN
  std::set<std::string> denied;                 ///< actions
  std::vector<std::string> asked;               ///< actions, in order
  int kill_at = -1;                             ///< the number of a call, from 0, that is the last
  bool kill_after = false;                      ///< it is done all the same
  std::function<void(const std::string& action)> before;

  Result<os::HttpResponse> send(const os::HttpRequest& request) override {
    Form form;
    for (const auto& pair : split(request.body, '&')) {
      const auto equals = std::min(pair.find('='), pair.size());
      form[percent_decoded(pair.substr(0, equals))] = percent_decoded(pair.substr(std::min(equals + 1, pair.size())));
    }
    const std::string action = form["Action"];
    const bool is_last = static_cast<int>(asked.size()) == kill_at;
    asked.push_back(action);
    if (before) before(action);
    if (is_last && !kill_after) throw Killed();
    auto answer = denied.contains(action) ? fault("AccessDenied", 403) : done(action, form);
    if (is_last) throw Killed();
    return answer;
  }

  bool is_empty() const { return roles.empty() && profiles.empty(); }

 private:
  static os::HttpResponse fault(const std::string& code, int status = 409) {
    return {
        .status = status,
        .headers = {},
        .body = "<ErrorResponse><Error><Code>" + code + "</Code><Message>because</Message></Error></ErrorResponse>"};
  }
  static os::HttpResponse good(const std::string& action, const std::string& result = {}) {
    return {.status = 200,
            .headers = {},
            .body = "<" + action + "Response><" + action + "Result>" + result + "</" + action + "Result></" + action +
                    "Response>"};
  }
  static std::string element(const std::string& name, const std::string& text) {
    return "<" + name + ">" + text + "</" + name + ">";
  }

  static std::string tags_xml(const std::map<std::string, std::string>& tags) {
    std::string all;
    for (const auto& [key, value] : tags) all += element("member", element("Key", key) + element("Value", value));
    return element("Tags", all);
  }
  static std::map<std::string, std::string> tags_of(Form& form) {
    std::map<std::string, std::string> tags;
    for (int i = 1; form.contains("Tags.member." + std::to_string(i) + ".Key"); ++i) {
      const std::string tag = "Tags.member." + std::to_string(i);
      tags[form[tag + ".Key"]] = form[tag + ".Value"];
    }
    return tags;
  }
  std::string role_xml(const std::string& name) const {
    const auto& role = roles.at(name);
    const auto boundary =
        role.boundary.empty() ? "" : element("PermissionsBoundary", element("PermissionsBoundaryArn", role.boundary));
    return element("RoleName", name) + element("Path", role.path) + boundary + tags_xml(role.tags);
  }
  std::string profile_xml(const std::string& name) const {
    const auto& profile = profiles.at(name);
    const auto role = profile.role.empty() ? "" : element("member", element("RoleName", profile.role));
    return element("InstanceProfileName", name) + element("Path", profile.path) + element("Roles", role) +
           tags_xml(profile.tags);
  }

  os::HttpResponse done(const std::string& action, Form& form) {
    const std::string role = form["RoleName"], profile = form["InstanceProfileName"];
    if (action == "GetCallerIdentity") return good(action, element("Account", "123456789012") + element("Arn", "me"));
    if (action == "DescribeInstances") return {.status = 200, .headers = {}, .body = "<DescribeInstancesResponse/>"};
    if (action == "GetPolicy")
      return policies.contains(form["PolicyArn"]) ? good(action, element("Policy", element("PolicyName", "p")))
                                                  : fault("NoSuchEntity", 404);
    if (action == "GetPolicyVersion")
      return good(action,
                  element("PolicyVersion", element("Document", percent_encoded(policies.at(form["PolicyArn"])))));
    if (action == "ListRoles") {
      std::string all;
      for (const auto& [name, one] : roles) all += element("member", element("RoleName", name));
      return good(action, element("Roles", all));
    }
    if (action == "CreateRole") {
      if (roles.contains(role)) return fault("EntityAlreadyExists");
      const auto boundary = form["PermissionsBoundary"];
      if (!boundary.empty() && !policies.contains(boundary)) return fault("NoSuchEntity", 404);
      roles[role] = {form["Path"], boundary, {}, tags_of(form)};
      return good(action, element("Role", role_xml(role)));
    }
    if (action == "CreateInstanceProfile") {
      if (profiles.contains(profile)) return fault("EntityAlreadyExists");
      profiles[profile] = {form["Path"], "", tags_of(form)};
      return good(action, element("InstanceProfile", profile_xml(profile)));
    }
    if (!role.empty() && !roles.contains(role)) return fault("NoSuchEntity", 404);
    if (!profile.empty() && !profiles.contains(profile)) return fault("NoSuchEntity", 404);
    if (action == "GetRole") return good(action, element("Role", role_xml(role)));
    if (action == "GetInstanceProfile") return good(action, element("InstanceProfile", profile_xml(profile)));
    if (action == "PutRolePolicy") roles[role].policies[form["PolicyName"]] = form["PolicyDocument"];
    if (action == "DeleteRolePolicy" && roles[role].policies.erase(form["PolicyName"]) == 0)
      return fault("NoSuchEntity", 404);
    if (action == "AddRoleToInstanceProfile" && !profiles[profile].role.empty()) return fault("LimitExceeded");
    if (action == "AddRoleToInstanceProfile") profiles[profile].role = role;
    if (action == "RemoveRoleFromInstanceProfile") {
      if (profiles[profile].role != role) return fault("NoSuchEntity", 404);
      profiles[profile].role.clear();
    }
    if (action == "DeleteInstanceProfile") {
      if (!profiles[profile].role.empty()) return fault("DeleteConflict");
      profiles.erase(profile);
    }
    if (action == "DeleteRole") {
      const bool is_lent =
          std::any_of(profiles.begin(), profiles.end(), [&](const auto& one) { return one.second.role == role; });
      if (is_lent || !roles[role].policies.empty()) return fault("DeleteConflict");
      roles.erase(role);
    }
    return good(action);
  }
};

}  // namespace ferry::fleet
