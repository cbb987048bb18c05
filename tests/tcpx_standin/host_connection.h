// Connections of the HOST profile while they are made: nothing waits, and who does not prove that
// it has the handle gets nowhere.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "tests/tcpx_standin/host_comm.h"
#include "tests/tcpx_standin/knobs.h"
#include "tests/tcpx_standin/sockets.h"

namespace sluice::standin {

// What a connecting socket says first, and what it proves with that.
struct Hello {
  std::uint64_t magic;
  std::array<std::uint64_t, 2> secret;
};

// In the caller's handle, 128 bytes. Host byte order.
struct HostHandle {
  Hello hello;
  sockaddr_in address;
  std::uint64_t connecting;  // Which connect this buffer belongs to; 0: none yet.
};
static_assert(sizeof(HostHandle) <= nccl_abi::kHandleBytes);

class HostListen {
 public:
  // Null: the interface or the sockets would not.
  static std::unique_ptr<HostListen> make(const Knobs& knobs, HostHandle& handle);
  // A comm, or null: nobody yet.
  ResultCode accept(HostComm*& comm);

 private:
  struct Stranger {
    Socket socket;
    Hello hello;
    std::size_t received;  // bytes of it
  };
  // True: it is through, for better or worse. Fills `comm` when it knew the secret.
  bool hear(Stranger& stranger, HostComm*& comm);

  Knobs knobs_;
  Hello expected_{};
  Socket socket_;
  std::vector<Stranger> strangers_;
};

class HostConnect {
 public:
  HostConnect(const HostHandle& handle, const Knobs& knobs);
  // A comm, or null: not yet.
  ResultCode poll(HostComm*& comm);

 private:
  Knobs knobs_;
  HostHandle handle_;
  Socket socket_;
  bool failed_ = false;
};

}  // namespace sluice::standin
