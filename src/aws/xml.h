#pragma once
/// \file
/// Reading AWS's XML answers: for the parsers of this room only.

#include <map>
#include <pugixml.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace ferry::aws {

/// A document and its outermost element. pugixml expands no entities of a DOCTYPE, so size bounds the memory
/// used.
struct XmlAnswer {
  pugi::xml_document document;
  pugi::xml_node root;
};

/// Fails corrupt when `xml` is larger than any answer, is no XML, or when its outermost element is not
/// `root`.
Status load_xml(XmlAnswer& answer, std::string_view xml, const std::string& root);

/// The text of the child `name`, trimmed; "" when there is none.
std::string xml_text(const pugi::xml_node& parent, const char* name);
/// What its <tagSet> holds.
std::map<std::string, std::string> xml_tags(const pugi::xml_node& parent);
/// The child's number, or `otherwise` when it is absent, no number or too large.
int xml_number(const pugi::xml_node& parent, const char* name, int otherwise);

}  // namespace ferry::aws
