#include "tests/tcpx_standin/knobs.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace sluice::standin {
namespace {

// In the order of Fault; `number` is what stands for ":N" when it is left out.
struct Name {
  std::string_view name;
  std::uint64_t number;
};
constexpr std::array<Name, static_cast<std::size_t>(Fault::kCount)> kNames = {{
    {"stall", 0},           {"error", 0},      {"leak", 1},          {"late", 3},
    {"unsent", 0},          {"exit", 0},       {"storm", 10},        {"busy", 3},
    {"tiny", 512},          {"unaligned", 0},  {"aligned", 0},       {"bad-source", 0},
    {"bad-destination", 0}, {"bad-length", 0}, {"bad-count", 0},     {"short-sum", 0},
    {"oversize", 0},        {"at-once", 0},    {"connect-fails", 0}, {"accept-fails", 0},
}};

[[noreturn]] void malformed(const char* variable, std::string_view value, const char* legal) {
  std::fprintf(stderr, "sluice-standin: %s: \"%.*s\" is not %s\n", variable,
               static_cast<int>(value.size()), value.data(), legal);
  std::abort();
}

std::string_view text_of(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

bool parse(std::string_view text, std::uint64_t& number) {
  const auto end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end;
}

template <typename Number>
void read(const char* variable, std::uint64_t least, std::uint64_t most, Number& number) {
  const std::string_view text = text_of(variable);
  if (text.empty()) return;
  std::uint64_t value = 0;
  if (!parse(text, value) || value < least || value > most) {
    const std::string legal =
        "a number from " + std::to_string(least) + " to " + std::to_string(most);
    malformed(variable, text, legal.c_str());
  }
  number = static_cast<Number>(value);
}

constexpr char kFaultVariable[] = "SLUICE_STANDIN_FAULT";

// True: `word` begins with `prefix`, which is taken off.
bool take_prefix(std::string_view& word, std::string_view prefix) {
  if (!word.starts_with(prefix)) return false;
  word.remove_prefix(prefix.size());
  return true;
}

struct Given {
  std::size_t fault;
  std::uint64_t number;
  bool ours;  // Of the side that is asked about.
};

// [send-|recv-]NAME[:N]
Given parse_fault(std::string_view word, Side side) {
  const std::string_view whole = word;
  bool ours = true;
  if (take_prefix(word, "send-"))
    ours = side == Side::kSend;
  else if (take_prefix(word, "recv-"))
    ours = side == Side::kReceive;
  const std::size_t colon = word.find(':');
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i].name != word.substr(0, colon)) continue;
    std::uint64_t number = kNames[i].number;
    if (colon != std::string_view::npos && !parse(word.substr(colon + 1), number)) break;
    return {i, number, ours};
  }
  std::string legal = "[send-|recv-]NAME[:N] with NAME one of";
  for (const Name& name : kNames) legal.append(" ").append(name.name);
  malformed(kFaultVariable, whole, legal.c_str());
}

}  // namespace

Knobs Knobs::from_environment(Side side) {
  Knobs knobs;
  read("NCCL_DYNAMIC_CHUNK_SIZE", 0, 1u << 30, knobs.chunk_bytes);
  read("NCCL_NSOCKS_PERTHREAD", 1, 8, knobs.sockets_per_thread);
  read("NCCL_SOCKET_NTHREADS", 1, 16, knobs.threads);
  read("SLUICE_STANDIN_STRICT", 0, 1, knobs.strict);
  if (const auto name = text_of("SLUICE_STANDIN_INTERFACE"); !name.empty()) knobs.interface = name;
  read("SLUICE_STANDIN_DEVICES", 1, 16, knobs.devices);
  read("SLUICE_STANDIN_STEP_MS", 0, 10'000, knobs.step_ms);
  read("SLUICE_STANDIN_ACCEPT_WAIT_MS", 0, 600'000, knobs.accept_wait_ms);
  read("SLUICE_STANDIN_CONNECT_TRIES", 1, 1'000'000, knobs.connect_tries);
  read("SLUICE_STANDIN_POOL_PAGES", 1, 1u << 20, knobs.pool_pages);
  std::string_view rest = text_of(kFaultVariable);
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    const Given given = parse_fault(rest.substr(0, comma), side);
    if (given.ours) knobs.faults.numbers_[given.fault] = given.number;
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  return knobs;
}

}  // namespace sluice::standin
