// Messages between two ends that are well.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "src/base/clock.h"
#include "tools/probe/cases.h"

namespace sluice::probe {
namespace {

constexpr std::size_t kSmallSizes[] = {0, 1, 15, 16, 17, 4095, 4096, 4097, 131'072, kChunkBytes};
constexpr std::size_t kLargeSizes[] = {1 << 20, 4 << 20};
constexpr std::size_t kLargest = 4 << 20;
// Several times the default bounce pool of TCPX, 4 GiB, if a seventh of each message is lost.
constexpr std::uint64_t kLeakBytes = 8ull << 30;

constexpr char kOneChunk[] = "a chunk is at most one NCCL_DYNAMIC_CHUNK_SIZE";

void sizes(Probe& probe) {
  probe.load();
  Link link(probe, kChunkBytes);
  std::uint64_t seed = 0;
  for (const std::size_t bytes : kSmallSizes) {
    probe.step(fmt::format("a message of {} bytes", bytes));
    for (int again = 0; again < 3; ++again) link.exchange(bytes, bytes, ++seed);
  }
  probe.pass("0 to 512 KiB arrive whole");
}

void large_sizes(Probe& probe) {
  probe.load();
  Link link(probe, kLargest);
  for (const std::size_t bytes : kLargeSizes) {
    probe.step(fmt::format("a message of {} bytes", bytes));
    for (std::uint64_t again = 0; again < 3; ++again) link.exchange(bytes, bytes, again);
  }
  probe.pass("1 and 4 MiB arrive whole");
}

void very_large(Probe& probe) {
  probe.load();
  constexpr std::size_t kBytes = 12 << 20;
  Link link(probe, kBytes);
  probe.step("a message of 12 MiB");
  link.exchange(kBytes, kBytes, 1);
  probe.pass("12 MiB arrive whole");
}

// Large messages one after the other, each consumed at once: a plugin that loses pages of a bounce
// pool stops when it is empty.
void page_leak(Probe& probe) {
  probe.load();
  if (!probe.unpacks()) probe.pass("has no bounce pool");
  Link link(probe, kLargest);
  link.sender.fill(kLargest, 1);
  const SystemClock clock;
  const Nanoseconds end = clock.now() + from_ms(40'000);
  std::uint64_t moved = 0;
  for (; moved < kLeakBytes && clock.now() < end; moved += kLargest) {
    void* received = link.receiver.post(kLargest);
    void* sent = link.sender.post(kLargest);
    bool send_done = false;
    bool receive_done = false;
    int size = 0;
    if (!Probe::within(kSilenceSeconds, [&] {
          send_done = send_done || link.sender.done(sent);
          receive_done = receive_done || link.receiver.done(received, size);
          return send_done && receive_done;
        })) {
      probe.deviates(fmt::format("stops for good after {} MiB in messages of 4 MiB, all consumed: "
                                 "pages of its pool are lost",
                                 moved >> 20),
                     kOneChunk);
    }
    link.receiver.consume(received);
  }
  probe.pass(fmt::format("{} MiB in messages of 4 MiB", moved >> 20));
}

void chunk_size_unset(Probe& probe) {
  ::unsetenv("NCCL_DYNAMIC_CHUNK_SIZE");
  probe.load();
  Link link(probe, 4096);
  probe.step("a message without NCCL_DYNAMIC_CHUNK_SIZE");
  void* received = link.receiver.post(64);
  void* sent = link.sender.post(64);
  bool send_done = false;
  int size = 0;
  if (!Probe::within(kSilenceSeconds, [&] {
        send_done = send_done || link.sender.done(sent);
        return link.receiver.done(received, size) && send_done;
      })) {
    probe.deviates("without NCCL_DYNAMIC_CHUNK_SIZE no send ever moves",
                   "the variable is set before the plugin is initialised");
  }
  probe.pass("does not need NCCL_DYNAMIC_CHUNK_SIZE");
}

void size_written(Probe& probe) {
  probe.load();
  Link link(probe, 4096);
  const int size = link.exchange(100, 4096, 1);
  if (size == Receiver::kUnwritten) {
    probe.deviates("test does not write the size of an arrival",
                   "sizes come from the fragments or the manifest, never from this plugin");
  }
  if (size != 100) probe.fails(fmt::format("test says {} of an arrival of 100 bytes", size));
  probe.pass("test writes the size of an arrival");
}

void shorter(Probe& probe) {
  probe.load();
  Link link(probe, kChunkBytes);
  for (const std::size_t bytes : {0u, 1u, 4097u, 100'000u}) {
    link.exchange(bytes, kChunkBytes, bytes);
  }
  probe.pass("less than the receive has room for");
}

void longer(Probe& probe) {
  probe.load();
  Link link(probe, 8192);
  link.sender.fill(8192, 1);
  probe.step("8192 bytes to a receive of 4096");
  void* received = link.receiver.post(4096);
  void* sent = link.sender.post(8192);
  ResultCode code = ResultCode::kSuccess;
  int done = 0;
  int size = 0;
  if (!Probe::within(kSilenceSeconds, [&] {
        int send_done = 0;
        if (sent != nullptr && probe.net().test(sent, &send_done, &size) == ResultCode::kSuccess &&
            send_done != 0) {
          sent = nullptr;
        }
        code = probe.net().test(received, &done, &size);
        return code != ResultCode::kSuccess || done != 0;
      })) {
    probe.deviates("a message longer than its receive is never reported",
                   "the engine never sends one; the receiver's deadline ends it");
  }
  if (code != ResultCode::kSuccess) probe.pass(sluice::to_string(code));
  link.receiver.unpack(0, 4096, 8192);  // Finds the fragment that is too far.
  probe.fails("a message longer than its receive is done without an error");
}

// `depth` of each, posted before anything is tested. Tells where a full queue begins.
void outstanding(Probe& probe, std::size_t depth) {
  probe.load();
  Link link(probe, 4096);
  link.sender.fill(64, 1);
  std::vector<void*> sends;
  std::vector<void*> receives;
  for (std::size_t i = 0; i < depth; ++i) {
    void* received = nullptr;
    void* sent = nullptr;
    probe.tolerate(fmt::format("a window of at most {} chunks is used", i));
    const ResultCode code = link.receiver.try_post(64, received);
    if (code != ResultCode::kSuccess) {
      probe.deviates(
          fmt::format("post {} says {} and not a NULL request", i + 1, sluice::to_string(code)),
          fmt::format("a window of at most {} chunks is used", i));
    }
    probe.want(link.sender.try_post(64, sent), "isend");
    // Busy: ordinary, and what is in flight must get through.
    if (received == nullptr || sent == nullptr) break;
    receives.push_back(received);
    sends.push_back(sent);
  }
  probe.tolerate("");
  for (std::size_t i = 0; i < receives.size(); ++i) {
    bool send_done = false;
    bool receive_done = false;
    int size = 0;
    if (!Probe::within(kArriveSeconds, [&] {
          send_done = send_done || link.sender.done(sends[i]);
          receive_done = receive_done || link.receiver.done(receives[i], size);
          return send_done && receive_done;
        })) {
      probe.fails(fmt::format("message {} of {} does not get through", i + 1, receives.size()));
    }
    link.receiver.collect(receives[i], 64, 64, 1);
  }
  probe.pass(receives.size() == depth ? fmt::format("{} in flight", depth)
                                      : fmt::format("busy beyond {} in flight", receives.size()));
}
void outstanding_8(Probe& probe) { outstanding(probe, 8); }
void outstanding_16(Probe& probe) { outstanding(probe, 16); }
void outstanding_32(Probe& probe) { outstanding(probe, 32); }

// Posts until a NULL request says busy, then goes on as places come free.
void null_request(Probe& probe) {
  probe.load();
  Link link(probe, kChunkBytes);
  link.sender.fill(4096, 1);
  constexpr std::size_t kMessages = 400;
  std::vector<void*> sends;
  std::vector<void*> receives;
  std::size_t sent = 0;
  std::size_t received = 0;
  std::size_t busy = 0;
  if (!Probe::within(kArriveSeconds, [&] {
        void* request = nullptr;
        for (bool more = true; more && receives.size() < kMessages;) {
          const ResultCode code = link.receiver.try_post(4096, request);
          if (code != ResultCode::kSuccess) {
            probe.deviates(
                fmt::format("with {} in flight irecv says {} and not a NULL request",
                            receives.size() - received, sluice::to_string(code)),
                fmt::format("never more than {} are posted on a channel, and this is a failure",
                            receives.size() - received));
          }
          more = request != nullptr;
          busy += more ? 0 : 1;
          if (more) receives.push_back(request);
        }
        for (bool more = true; more && sends.size() < kMessages;) {
          probe.want(link.sender.try_post(4096, request), "isend when full");
          more = request != nullptr;
          busy += more ? 0 : 1;
          if (more) sends.push_back(request);
        }
        int size = 0;
        if (sent < sends.size() && link.sender.done(sends[sent])) ++sent;
        if (received < receives.size() && link.receiver.done(receives[received], size)) {
          link.receiver.collect(receives[received++], 4096, 4096, 1);
        }
        return received == kMessages && sent == kMessages;
      })) {
    probe.fails(fmt::format("{} of {} messages got through", received, kMessages));
  }
  probe.pass(fmt::format("{} messages, busy {} times", kMessages, busy));
}

void out_of_order(Probe& probe) {
  probe.load();
  Link link(probe, 4096);
  link.sender.fill(64, 1);
  std::array<void*, 4> sends{};
  std::array<void*, 4> receives{};
  for (std::size_t i = 0; i < sends.size(); ++i) {
    receives[i] = link.receiver.post(64);
    sends[i] = link.sender.post(64);
  }
  probe.step("test of the newest request first");
  probe.tolerate("only the oldest chunk of a channel is ever tested");
  for (std::size_t i = sends.size(); i > 0; --i) {
    bool send_done = false;
    bool receive_done = false;
    int size = 0;
    if (!Probe::within(kSilenceSeconds, [&] {
          send_done = send_done || link.sender.done(sends[i - 1]);
          receive_done = receive_done || link.receiver.done(receives[i - 1], size);
          return send_done && receive_done;
        })) {
      probe.fails("a request that is not the oldest is never done");
    }
  }
  probe.pass("requests can be tested in any order");
}

// Several receives are done before any is consumed, and what they hold must stay.
void consumed_late(Probe& probe) {
  probe.load();
  if (!probe.net().wants_consumed()) probe.pass("has no irecvConsumed");
  Link link(probe, kChunkBytes);
  constexpr std::uint64_t kHeld = 8;
  for (std::uint64_t round = 0; round < 4; ++round) {
    std::array<void*, kHeld> receives{};
    for (void*& received : receives) {
      link.sender.fill(100'000, 7);
      received = link.receiver.post(100'000);
      void* sent = link.sender.post(100'000);
      bool send_done = false;
      bool receive_done = false;
      int size = 0;
      if (!Probe::within(kArriveSeconds, [&] {
            send_done = send_done || link.sender.done(sent);
            receive_done = receive_done || link.receiver.done(received, size);
            return send_done && receive_done;
          })) {
        probe.fails("a message does not arrive while others wait to be consumed");
      }
    }
    for (void* received : receives) link.receiver.collect(received, 100'000, 100'000, 7);
  }
  probe.pass("8 arrivals stay whole until they are consumed");
}

// NCCL's proxy service registers while its progress thread sends.
void register_while_sending(Probe& probe) {
  probe.load();
  Link link(probe, kChunkBytes);
  probe.step("regMr and deregMr in one thread, messages in another");
  std::atomic<bool> stop = false;
  std::atomic<ResultCode> worst = ResultCode::kSuccess;
  std::thread registering([&] {
    const Buffer memory(1 << 20);
    while (!stop) {
      void* handle = nullptr;
      ResultCode code = probe.net().reg_mr(link.sender.comm(), memory.data(), memory.bytes(),
                                           probe.memory_type(), &handle);
      if (code == ResultCode::kSuccess) code = probe.net().dereg_mr(link.sender.comm(), handle);
      if (code != ResultCode::kSuccess) worst = code;
    }
  });
  for (std::uint64_t i = 0; i < 200; ++i) link.exchange(65'536, 65'536, i);
  stop = true;
  registering.join();
  probe.want(worst, "regMr or deregMr");
  probe.pass("200 messages meanwhile");
}

const Case kCases[] = {
    {"sizes", "messages up to a chunk", sizes},
    {"large-sizes", "messages of 1 and 4 MiB", large_sizes, kOneChunk, kOneChunk},
    {"very-large", "a message of 12 MiB", very_large, kOneChunk, kOneChunk},
    {"page-leak", "large messages leave nothing behind", page_leak, kOneChunk, kOneChunk},
    {"chunk-size-unset", "NCCL_DYNAMIC_CHUNK_SIZE need not be set", chunk_size_unset},
    {"size-written", "test tells the size", size_written},
    {"shorter", "a message may be shorter than its receive", shorter},
    {"longer", "a longer one is an error", longer},
    {"outstanding-8", "8 in flight", outstanding_8},
    {"outstanding-16", "16 in flight", outstanding_16},
    {"outstanding-32", "32 in flight", outstanding_32},
    {"null-request", "a full queue is a NULL request", null_request},
    {"out-of-order", "any request can be tested", out_of_order,
     "only the oldest chunk of a channel is ever tested"},
    {"consumed-late", "arrivals stay until consumed", consumed_late},
    {"register-while-sending", "regMr beside isend", register_while_sending},
};

}  // namespace

std::span<const Case> message_cases() { return kCases; }

}  // namespace sluice::probe
