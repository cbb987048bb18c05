// A data socket of a TCPX comm: raw bytes, six tasks (a task is one chunk), and a helper thread
// that moves them in order. The caller's thread enqueues and retires, the helper does the rest. The
// helper starts with the first task and ends without a word when the socket fails, as TCPX's do.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "src/net/plugin/abi.h"
#include "tests/tcpx_standin/bounce_pool.h"
#include "tests/tcpx_standin/knobs.h"
#include "tests/tcpx_standin/sockets.h"

namespace sluice::standin {

struct Task {
  std::uint64_t request = 0;  // Position in the comm.
  std::byte* at = nullptr;    // Source, or destination; a receive with none goes to the pool.
  std::uint32_t bytes = 0;
  std::uint32_t padding = 0;                     // Zeros to send behind them.
  std::uint32_t offset = 0;                      // In the request.
  std::uint32_t slot = 0;                        // Of the metadata.
  std::vector<nccl_abi::UnpackEntry> fragments;  // What the helper received.
  std::uint64_t end = 0;  // Bytes that the kernel had been given when a send had moved.
};

class DataSocket {
 public:
  static constexpr std::uint64_t kTasks = 6;

  virtual ~DataSocket() = default;

  // Of the caller's thread.
  [[nodiscard]] bool has_room() const { return posted_ - retired_ < kTasks; }
  virtual void enqueue(Task task);
  // The oldest task when it is finished, else nullptr; good until retire().
  [[nodiscard]] Task* finished();
  void retire() { ++retired_; }
  // Ends the helper, in the middle of a task if need be. For the destructors of the two below.
  void stop();

 protected:
  DataSocket(Socket socket, const Faults& faults);

  // The helper's. False: the socket is broken, or stop() was called.
  virtual bool move(Task& task) = 0;
  // A task that has moved: may it be retired?
  virtual bool settled(const Task& task) = 0;

  [[nodiscard]] int fd() const { return socket_.get(); }
  // Waits for `events` on the socket, or for `timeout_ms`. False: stop().
  bool wait(short events, int timeout_ms) const;

  const Faults faults_;
  std::mutex mutex_;

 private:
  void run();

  Socket socket_;
  Socket stopper_;  // An eventfd, readable from stop() on.
  std::array<Task, kTasks> ring_;
  std::uint64_t posted_ = 0;  // Positions; retired_ <= moved_ <= posted_
  std::atomic<std::uint64_t> moved_ = 0;
  std::uint64_t retired_ = 0;
  std::uint64_t wanted_ = 0;  // posted_, as the helper may see it: under mutex_, as is:
  bool stopping_ = false;
  std::condition_variable work_;
  std::thread helper_;
};

class SendSocket final : public DataSocket {
 public:
  SendSocket(Socket socket, const Faults& faults) : DataSocket(std::move(socket), faults) {}
  ~SendSocket() override { stop(); }

 private:
  bool move(Task& task) override;
  bool settled(const Task& task) override;
  bool send_part(const std::byte* from, std::size_t bytes);

  std::atomic<std::uint64_t> handed_ = 0;  // Bytes given to the kernel.
};

class RecvSocket final : public DataSocket {
 public:
  RecvSocket(Socket socket, const Faults& faults, BouncePool& pool, const void* owner)
      : DataSocket(std::move(socket), faults), pool_(pool), owner_(owner) {}
  ~RecvSocket() override { stop(); }

  // Forgets what earlier tasks of the same slot have received: the leak of TCPX v3.1.9 when a
  // request has more than one chunk on a socket.
  void enqueue(Task task) override;
  // The pages of a slot, which are the caller's from now on. True: it has carried data.
  std::vector<std::uint32_t> take_pages(std::uint32_t slot);

 private:
  struct Shape {
    std::uint32_t start;   // In the page.
    std::uint32_t length;  // bytes
  };
  bool move(Task& task) override;
  bool settled(const Task&) override { return true; }
  bool receive_into(std::byte* into, std::size_t bytes);
  bool take_page(std::uint32_t& page);
  Shape next_shape(std::uint32_t remaining);
  std::uint32_t random(std::uint32_t below);

  BouncePool& pool_;
  const void* const owner_;
  std::array<std::vector<std::uint32_t>, nccl_abi::kUnpackSlots> pages_;  // Under mutex_.
  std::uint64_t seed_ = 1;
};

}  // namespace sluice::standin
