// A comm of the HOST profile: what a plain, well-behaved plugin does. One TCP connection, no
// threads; every call moves what the socket takes. Requests may be tested in any order, sizes are
// written, no room is a NULL request, and a peer that is gone is an error.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "src/net/plugin/abi.h"
#include "tests/tcpx_standin/knobs.h"
#include "tests/tcpx_standin/owner.h"
#include "tests/tcpx_standin/sockets.h"

namespace sluice::standin {

// Before every message. Host byte order.
struct MessageHeader {
  std::uint64_t magic;
  std::uint64_t bytes;
};
inline constexpr std::uint64_t kMessageMagic = 0x534c4943454d5347;

class HostComm;

struct HostRequest {
  HostComm* comm = nullptr;
  std::uint64_t position = 0;
  std::byte* data = nullptr;
  std::uint64_t bytes = 0;    // To send; room to receive, then what came.
  std::uint64_t padding = 0;  // Fault kOversize
  std::uint64_t late = 0;     // Tests to come before it may be done.
  enum class State : std::uint8_t { kFree, kPosted, kMoved } state = State::kFree;
};

class HostComm {
 public:
  static constexpr std::size_t kRequests = nccl_abi::kMostRequests;

  HostComm(Side side, Socket socket, const Knobs& knobs);

  // The calls of the table, by the caller's one thread.
  ResultCode post(void* data, std::uint64_t bytes, void** request);
  // Fills `size` when done, unless it is null.
  ResultCode test(HostRequest& request, int* done, int* size);
  // The object stays with the Owner, so that what is called afterwards can be told; all else goes.
  ResultCode close();

 private:
  HostRequest& at(std::uint64_t position) { return ring_[position % kRequests]; }
  // Moves what the socket takes; stops at the first failure, for good.
  void move();
  bool send_next(HostRequest& request);
  bool receive_next(HostRequest& request);
  // Bytes that the socket took or gave; 0: not now, or failed.
  std::uint64_t send_some(const void* from, std::uint64_t bytes);
  std::uint64_t receive_some(void* into, std::uint64_t bytes);
  void fail(ResultCode code);

  const Side side_;
  const Knobs knobs_;
  Socket socket_;
  std::array<HostRequest, kRequests> ring_{};
  std::uint64_t posted_ = 0;  // Positions; moved_ <= posted_
  std::uint64_t moved_ = 0;
  std::uint64_t done_ = 0;   // Requests that were told; in any order.
  std::uint64_t posts_ = 0;  // Tries, for kBusy.
  // Of the message that is on its way.
  MessageHeader header_{};
  std::uint64_t header_moved_ = 0;
  std::uint64_t body_moved_ = 0;
  ResultCode failure_ = ResultCode::kSuccess;
  bool closed_ = false;
};

}  // namespace sluice::standin
