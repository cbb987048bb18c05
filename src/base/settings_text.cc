// How values and names of settings are read and told.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <utility>
#include <vector>

#include "src/base/settings.h"

namespace sluice {
namespace {

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr std::uint64_t kGiB = 1024 * kMiB;

// Insertions, deletions and changes that turn one word into the other.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

Result<std::uint64_t> parse_number(std::string_view text) {
  const auto refuse = [&](std::string_view what) {
    return Status(StatusCode::kInvalidArgument, fmt::format("\"{}\" is {}", text, what));
  };
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t value = 0;
  std::size_t at = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    const auto digit = static_cast<std::uint64_t>(text[at] - '0');
    if (value > (kMost - digit) / 10) return refuse("too large a number");
    value = value * 10 + digit;
  }
  if (at == 0) return refuse("not a number");
  if (at + 1 < text.size() && text[at] == ' ') ++at;
  std::string suffix(text.substr(at));
  for (char& c : suffix) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  constexpr std::pair<std::string_view, std::uint64_t> kFactors[] = {
      {"", 1}, {"k", kKiB}, {"m", kMiB}, {"g", kGiB}, {"kib", kKiB}, {"mib", kMiB}, {"gib", kGiB},
  };
  for (const auto& [word, factor] : kFactors) {
    if (suffix != word) continue;
    if (value > kMost / factor) return refuse("too large a number");
    return value * factor;
  }
  return refuse("not a number (suffixes are K, M, G and KiB, MiB, GiB)");
}

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::pair<std::uint64_t, std::string_view> kUnits[] = {
      {kGiB, " GiB"}, {kMiB, " MiB"}, {kKiB, " KiB"}};
  for (const auto& [unit, name] : kUnits) {
    if (bytes >= unit && bytes % unit == 0) return fmt::format("{}{}", bytes / unit, name);
  }
  return fmt::format("{}", bytes);
}

std::string_view nearest_name(std::span<const std::string_view> names, std::string_view word) {
  std::string_view best;
  std::size_t fewest = std::numeric_limits<std::size_t>::max();
  for (const std::string_view name : names) {
    // A name cut short is as near as one with a single slip.
    const bool begins = !word.empty() && name.starts_with(word);
    const std::size_t edits = begins ? 1 : edit_distance(word, name);
    if (edits < fewest && (begins || 2 * edits <= word.size())) {
      fewest = edits;
      best = name;
    }
  }
  return best;
}

}  // namespace sluice
