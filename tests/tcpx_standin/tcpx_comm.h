// A comm of the TCPX profile: a ring of 16 requests, of which each state is a stretch, and the
// rules by which TCPX v3.1.9 moves them on. Everything happens in test(), for the whole comm,
// whichever request is passed.
//
//   freed_ <= finished_ <= handed_ <= activated_ <= posted_        (positions, rising for ever)
//        \______/    \_______/   \______/     \________/
//        inactive    transmitting  active       posted
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "src/net/plugin/abi.h"
#include "tests/tcpx_standin/connection.h"
#include "tests/tcpx_standin/current_device.h"
#include "tests/tcpx_standin/data_socket.h"
#include "tests/tcpx_standin/knobs.h"
#include "tests/tcpx_standin/owner.h"

namespace sluice::standin {

// What regMr gives out.
struct Registration {
  std::byte* data;
  std::size_t bytes;
  int type;  // kPointerHost, kPointerCuda
};

// Sender to receiver on the control socket: one chunk. Host byte order.
struct ControlMessage {
  std::uint16_t type;    // 0: a chunk, 1: inline; only requests of no bytes are
  std::uint16_t socket;  // Index of the data socket that carries it.
  std::uint32_t bytes;
  std::uint32_t offset;  // In the request.
  std::uint32_t total;   // Of the request.
};
static_assert(sizeof(ControlMessage) == 16);

class TcpxComm;

// As far apart as TCPX's; the same 16 addresses again and again.
struct alignas(128) Request {
  TcpxComm* comm = nullptr;
  std::uint64_t position = 0;
  std::byte* data = nullptr;
  std::uint32_t bytes = 0;    // A receive's become the sender's once it has announced them.
  std::uint32_t padding = 0;  // Fault kOversize
  std::uint32_t handed = 0;   // Bytes given to sockets.
  std::uint32_t pending = 0;  // Of those, not finished yet.
  std::uint64_t late = 0;     // Tests to come before it may be done.
  int type = 0;               // Of its registration.
  bool announced = false;     // A receive that has a slot.
  std::uint32_t slot = 0;
};

class TcpxComm {
 public:
  static constexpr std::uint64_t kRequests = 16;

  TcpxComm(Side side, std::shared_ptr<Connection> connection, const Knobs& knobs);
  virtual ~TcpxComm() = default;

  // The calls of the table, by the caller's one thread. `padding` as Request's.
  ResultCode post(void* data, int bytes, void* registration, void** request);
  ResultCode test(Request& request, int* done);
  virtual ResultCode consumed(int count, Request& request) = 0;
  // The object stays with the Owner, so that what is called afterwards can be told; all else goes.
  ResultCode close();

  [[nodiscard]] Side side() const { return side_; }
  // Current where the comm was made.
  [[nodiscard]] int device() const { return device_; }
  [[nodiscard]] const Knobs& knobs() const { return knobs_; }

  // One per entry of the caller, to find two at once.
  class Entry {
   public:
    explicit Entry(TcpxComm& comm);
    ~Entry() { comm_.entered_ = false; }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

   private:
    TcpxComm& comm_;
  };

 protected:
  // The connection has been made: its sockets are ours.
  virtual void connected(Connection::Sockets sockets) = 0;
  // Takes over what the helpers have finished.
  virtual void retire_tasks() = 0;
  // Goes on with the oldest active request; true once all of it is in the hands of the sockets.
  virtual bool advance(Request& request, ResultCode& result) = 0;
  virtual void finish(Request& request) = 0;
  virtual void release() = 0;

  Request& at(std::uint64_t position) { return ring_[position % kRequests]; }
  [[nodiscard]] int control() const { return control_.get(); }

  const Knobs knobs_;
  std::uint64_t posted_ = 0;
  std::uint64_t activated_ = 0;
  std::uint64_t handed_ = 0;
  std::uint64_t finished_ = 0;
  std::uint64_t freed_ = 0;
  Socket control_;

 private:
  enum class Ready { kYes, kNotYet, kFailed };
  Ready ready();
  ResultCode progress();
  void complain_at_every_test() const;

  const Side side_;
  const int device_ = current_device();
  std::shared_ptr<Connection> connection_;  // Until its sockets are ours.
  std::array<Request, kRequests> ring_{};
  std::uint64_t posts_ = 0;  // Tries, for kBusy.
  bool closed_ = false;
  std::atomic<bool> entered_ = false;
};

class TcpxSend final : public TcpxComm {
 public:
  TcpxSend(std::shared_ptr<Connection> connection, const Knobs& knobs)
      : TcpxComm(Side::kSend, std::move(connection), knobs) {}
  ResultCode consumed(int count, Request& request) override;

 private:
  void connected(Connection::Sockets sockets) override;
  void retire_tasks() override;
  bool advance(Request& request, ResultCode& result) override;
  void finish(Request& request) override;
  void release() override;
  ResultCode announce(const ControlMessage& message);
  ResultCode flush();

  std::vector<std::unique_ptr<SendSocket>> sockets_;
  std::size_t next_socket_ = 0;
  std::vector<std::byte> unsent_;  // Control bytes that the socket did not take.
};

class TcpxRecv final : public TcpxComm {
 public:
  TcpxRecv(std::shared_ptr<Connection> connection, const Knobs& knobs);
  // `handle`: of the caller; may be null, and then nothing can be received.
  void fill(nccl_abi::DeviceHandle* handle);
  ResultCode consumed(int count, Request& request) override;

 private:
  void connected(Connection::Sockets sockets) override;
  void retire_tasks() override;
  bool advance(Request& request, ResultCode& result) override;
  void finish(Request& request) override;
  void release() override;
  // True: a message is in `message_`.
  bool read_message(ResultCode& result);
  void take_slot(Request& request);
  void retire(const Task& task);
  void publish(Request& request);
  void spoil(Request& request);
  void let_go_of_pages(const Request& request);

  std::vector<std::unique_ptr<RecvSocket>> sockets_;
  std::shared_ptr<BouncePool> pool_;
  std::unique_ptr<nccl_abi::UnpackMeta> meta_;
  nccl_abi::UnpackDeviceHandle device_{};  // In "device" memory, which is host memory here.
  bool has_device_handle_ = false;
  std::array<std::uint64_t, nccl_abi::kUnpackSlots> counts_{};  // Published when complete.
  std::uint64_t slot_head_ = 0;
  std::uint64_t slot_tail_ = 0;
  std::uint64_t consumed_ = 0;
  // Read ahead, eight messages at most.
  std::array<std::byte, 8 * sizeof(ControlMessage)> buffer_{};
  std::size_t buffered_ = 0;  // bytes
  ControlMessage message_{};
  bool has_message_ = false;
};

}  // namespace sluice::standin
