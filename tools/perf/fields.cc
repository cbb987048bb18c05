#include "tools/perf/fields.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace sluice::perf {

std::string printable(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return result;
}

std::uint64_t Fields::number(const char* name, std::uint64_t min, std::uint64_t max) {
  const auto field = object_.find(name);
  if (field == object_.end() || !field->is_number_unsigned()) return fail(name), min;
  const auto value = field->get<std::uint64_t>();
  if (value < min || value > max) return fail(name), min;
  return value;
}

std::uint64_t Fields::optional_number(const char* name, std::uint64_t min, std::uint64_t max,
                                      std::uint64_t otherwise) {
  return object_.contains(name) ? number(name, min, max) : otherwise;
}

double Fields::positive(const char* name) {
  const auto field = object_.find(name);
  if (field == object_.end() || !field->is_number()) return fail(name), 0;
  const auto value = field->get<double>();
  if (!std::isfinite(value) || value < 0) return fail(name), 0;
  return value;
}

bool Fields::truth(const char* name) {
  const auto field = object_.find(name);
  if (field == object_.end() || !field->is_boolean()) return fail(name), false;
  return field->get<bool>();
}

std::string Fields::text(const char* name) {
  const auto field = object_.find(name);
  if (field == object_.end() || !field->is_string()) return fail(name), "";
  const auto& value = field->get_ref<const std::string&>();
  if (value.size() > kLongestText) return fail(name), "";
  return printable(value);
}

std::string Fields::optional_text(const char* name) {
  return object_.contains(name) ? text(name) : std::string();
}

bool Fields::is_first(const char* name, std::string_view first, std::string_view second) {
  const std::string value = text(name);
  if (value != first && value != second) fail(name);
  return value == first;
}

void Fields::fail(const char* name) {
  if (failure_.empty()) failure_ = fmt::format("field {} is missing or out of range", name);
}

}  // namespace sluice::perf
