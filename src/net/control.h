// The byte streams that control connections run on, and the one place where an engine sleeps: a
// seam with a TCP version (src/net/tcp) and a simulated one (tests/sim_net). One thread; nothing
// blocks but ControlNet::sleep().
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "sluice/status.h"

namespace sluice {

enum class IoAnswer : std::uint8_t {
  kSome,    // `bytes` > 0 were moved.
  kNotYet,  // None now; ready() will name the stream when it is worth trying again.
  kEnd,     // The other end has closed its side. Reads only.
  kFailed,  // failure() says why; only to be destroyed now.
};
struct IoResult {
  IoAnswer answer;
  std::size_t bytes;
};

// One connection. Starts connecting or connected; reads and writes answer kNotYet while connecting.
class ByteStream {
 public:
  virtual ~ByteStream() = default;  // Closes at once. What the kernel holds is still delivered.

  virtual IoResult read(std::span<std::byte> into) = 0;
  virtual IoResult write(std::span<const std::byte> from) = 0;
  // No write follows: the other end reads kEnd once it has read everything.
  virtual void end_writes() = 0;
  // True when every written byte has been acknowledged by the peer's kernel, so that closing now
  // loses nothing.
  [[nodiscard]] virtual bool delivered() const = 0;
  [[nodiscard]] virtual Status failure() const = 0;

  // Stops or resumes being named by ready() for reading: back-pressure.
  virtual void set_reading(bool on) = 0;

  [[nodiscard]] virtual std::string local_host() const = 0;  // "10.0.0.1", no port. "" if unknown.
  [[nodiscard]] virtual std::string remote() const = 0;      // "10.0.0.2:41234"

  // What the connection is like now, in words, for a report. "": it cannot tell.
  [[nodiscard]] virtual std::string diagnosis() const { return {}; }

  // The owner's mark, handed back by ready().
  std::uint64_t tag = 0;
};

class ControlNet {
 public:
  virtual ~ControlNet() = default;  // After every stream it made.

  // Once. kUnavailable: the address is in use; kNotFound: no such host or interface.
  virtual Status listen(std::string_view host, std::uint16_t port) = 0;
  [[nodiscard]] virtual std::uint16_t port() const = 0;  // After listen().
  // The next connection that came in, or nullptr.
  virtual std::unique_ptr<ByteStream> accept() = 0;
  // Stops or resumes naming kAcceptTag: those who knock wait in the kernel's queue meanwhile.
  virtual void set_accepting(bool on) = 0;
  // `host` is numeric. Returns at once; the outcome shows in the stream's answers.
  virtual Result<std::unique_ptr<ByteStream>> connect(std::string_view host,
                                                      std::uint16_t port) = 0;

  // The tags of streams worth reading, writing or asking; level-triggered for reading. Fills `tags`
  // from the front and returns how many; the rest comes next time. kAcceptTag: call accept().
  static constexpr std::uint64_t kAcceptTag = UINT64_MAX;
  virtual std::size_t ready(std::span<std::uint64_t> tags) = 0;

  // Waking. sleep() blocks until a stream is ready, a watched fd is readable, interrupt() was
  // called, or `limit` has passed.
  virtual Status watch(int fd) = 0;
  // Readable when sleep() would return before its limit; -1 where there is no such descriptor.
  [[nodiscard]] virtual int wake_fd() const = 0;
  virtual void sleep(std::chrono::microseconds limit) = 0;
  virtual void interrupt() = 0;  // Thread-safe; wakes the sleep() of now or the next one.
};

}  // namespace sluice
