// Reading JSON that a peer has sent.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace sluice::perf {

// Control characters become '?'.
[[nodiscard]] std::string printable(std::string_view text);

// Reads the fields of one object, which outlives this. A field that is missing, of another type or
// out of range makes failure() name it, and reads as the smallest legal value.
class Fields {
 public:
  static constexpr std::size_t kLongestText = 1000;  // bytes that are accepted

  explicit Fields(const nlohmann::json& object) : object_(object) {}

  std::uint64_t number(const char* name, std::uint64_t min, std::uint64_t max);
  // The same, or `otherwise` where there is none.
  std::uint64_t optional_number(const char* name, std::uint64_t min, std::uint64_t max,
                                std::uint64_t otherwise);
  double positive(const char* name);  // Or 0; finite.
  bool truth(const char* name);
  std::string text(const char* name);           // Printable.
  std::string optional_text(const char* name);  // The same, or "" where there is none.
  // One of the two words.
  bool is_first(const char* name, std::string_view first, std::string_view second);

  void fail(const char* name);
  [[nodiscard]] const std::string& failure() const { return failure_; }

 private:
  const nlohmann::json& object_;
  std::string failure_;
};

}  // namespace sluice::perf
