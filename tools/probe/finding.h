// What a case of `sluice probe` came to.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace sluice::probe {

enum class Verdict : std::uint8_t {
  kPass,
  kDeviation,  // Not what NCCL's contract says, but the engine copes: the consequence says how.
  kFail,
};
[[nodiscard]] const char* to_string(Verdict verdict);  // "pass", "deviation", "fail"

struct Finding {
  Verdict verdict = Verdict::kFail;
  std::string seen;
  std::string consequence;  // "" for a pass.
  nlohmann::json facts;     // Null, or what else there is to tell of the plugin.
};

}  // namespace sluice::probe
