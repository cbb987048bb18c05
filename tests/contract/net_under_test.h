// What the contract suite needs of a Net: two of them, one for each end of its channels, and a way
// to let time pass. One function here per Net; every_net() has them all.
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "src/net/net.h"

namespace sluice::contract {

class NetUnderTest {
 public:
  virtual ~NetUnderTest() = default;

  virtual Net& sending() = 0;
  virtual Net& receiving() = 0;
  // Lets a little time pass, and both Nets make progress.
  virtual void drive() = 0;
  // Lets time pass until `fd` is readable. False after a long time.
  virtual bool wait_readable(int fd) = 0;
  // A stranger comes to where a handle leads, and says something wrong. False: there is no way to.
  virtual bool send_stranger(std::span<const std::byte> handle) = 0;

  // What no caller can make up for in a foreign plugin. True for every Net of our own.
  virtual bool sees_too_long() { return true; }  // Which lengths did not fit; else only a failure.
  virtual bool notices_refusal() { return true; }         // Soon, where nobody listens.
  virtual bool makes_channels_quickly() { return true; }  // Thousands in a test.
};

struct NetFactory {
  std::string name;
  std::function<std::unique_ptr<NetUnderTest>()> make;
};
// For the test runner's messages.
inline void PrintTo(const NetFactory& factory, std::ostream* out) { *out << factory.name; }

[[nodiscard]] std::vector<NetFactory> sim_nets();
[[nodiscard]] std::vector<NetFactory> tcp_nets();
[[nodiscard]] std::vector<NetFactory> plugin_nets();
[[nodiscard]] std::vector<NetFactory> every_net();

}  // namespace sluice::contract
