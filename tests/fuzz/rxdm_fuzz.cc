// What clients may send to the sockets of the emulator's rxdm.
#include <cstdlib>

#include "tests/emulator/rxdm_wire.h"
#include "tests/fuzz/fuzz_target.h"

namespace sluice::fuzz {
namespace {

// A frame without its length.
std::span<const std::byte> message_of(const std::string& frame) {
  return std::as_bytes(std::span(frame.data(), frame.size())).subspan(emulator::kLengthBytes);
}

}  // namespace

// What was understood survives being said again.
void run(std::span<const std::byte> input) {
  const auto message = emulator::decode(input);
  if (!message || !message->rule) return;
  const std::string again = emulator::frame_of_rule(*message->rule);
  const auto second = emulator::decode(message_of(again));
  if (!second || !(second->rule == message->rule)) std::abort();
}

std::vector<Bytes> seeds() {
  const emulator::FlowRule rule{
      emulator::FlowRule::kTcp4, {"10.0.0.1", 4000}, {"10.0.0.2", 5000}, "0000:04:00.0"};
  std::vector<Bytes> all;
  for (const std::string& frame : {emulator::frame_of_rule(rule), emulator::frame_of_raw("dmabuf"),
                                   emulator::frame_of_register(true)}) {
    const auto message = message_of(frame);
    all.emplace_back(message.begin(), message.end());
  }
  return all;
}

}  // namespace sluice::fuzz
