// What clients and rxdm say to each other on rxdm's unix sockets: frames of a big-endian u16 length
// and that many bytes of protobuf (proto2, message UnixSocketProto of google/tcpgpudmarxd). The few
// fields that are needed are read and written by hand, with every length checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace sluice::emulator {

inline constexpr std::size_t kLengthBytes = 2;
inline constexpr std::size_t kLongestMessage = 65535;

struct FlowEnd {
  std::string address;  // As text: 127.0.0.1
  std::uint32_t port = 0;
  friend bool operator==(const FlowEnd&, const FlowEnd&) = default;
};

struct FlowRule {
  static constexpr std::int64_t kTcp4 = 1;  // TCP_V4_FLOW of linux/ethtool.h
  std::int64_t flow_type = 0;
  FlowEnd source;
  FlowEnd destination;
  std::string gpu;  // PCI address
  friend bool operator==(const FlowRule&, const FlowRule&) = default;
};

// One message; at most one of them is set.
struct RxdmMessage {
  std::optional<std::string> raw;
  std::optional<FlowRule> rule;
  std::optional<bool> registers;
};

// Nothing if the bytes are no message. Unknown fields are skipped, as protobuf wants it; of several
// payloads the last one counts.
std::optional<RxdmMessage> decode(std::span<const std::byte> bytes);

// The message with its length in front. At most kLongestMessage bytes of raw fit.
std::string frame_of_raw(std::string_view raw);
std::string frame_of_rule(const FlowRule& rule);
std::string frame_of_register(bool registers);

// The length that a frame's first two bytes announce.
std::size_t announced_length(std::span<const std::byte, kLengthBytes> bytes);

}  // namespace sluice::emulator
