// Messages between two ends of which one is not well, and two processes.
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "tools/probe/cases.h"

namespace sluice::probe {
namespace {

// One chunk, as announcements of TCPX go, and more than the system's buffers of a connection take.
constexpr std::size_t kCutBytes = 8 << 20;
constexpr int kMostMessages = 500;

constexpr char kControlFindsOut[] =
    "the control connection finds dead peers, and ends what is posted";

bool write_all(int socket, std::span<const std::byte> bytes) {
  return ::write(socket, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
}
bool read_all(int socket, std::span<std::byte> bytes) {
  return ::recv(socket, bytes.data(), bytes.size(), MSG_WAITALL) ==
         static_cast<ssize_t>(bytes.size());
}
// One byte each way: until the other end says so.
void tell(int socket) { (void)write_all(socket, std::array<std::byte, 1>{}); }
bool is_told(int socket) {
  std::array<std::byte, 1> byte;
  return read_all(socket, byte);
}

void connect_to_peer(Probe& probe, Sender& sender, int socket) {
  std::array<std::byte, nccl_abi::kHandleBytes> handle;
  if (!read_all(socket, handle)) probe.fails("no handle of the other process");
  sender.begin(handle);
  if (!Probe::within(kSetUpSeconds, [&] { return sender.poll(); })) probe.fails("no connection");
}

void accept_peer(Probe& probe, Receiver& receiver, int socket) {
  receiver.listen();
  if (!write_all(socket, receiver.handle())) probe.fails("the other process is gone");
  if (!Probe::within(kSetUpSeconds, [&] { return receiver.poll(); })) probe.fails("no connection");
}

void two_processes(Probe& probe) {
  constexpr std::uint64_t kCount = 200;
  const Probe::Peer peer = probe.fork_peer([](Probe& sending, int socket) {
    sending.load();
    Sender sender(sending, kChunkBytes);
    connect_to_peer(sending, sender, socket);
    for (std::uint64_t i = 0; i < kCount; ++i) {
      sender.fill(kChunkBytes - i, i);
      void* sent = sender.post(kChunkBytes - i);
      if (!Probe::within(kArriveSeconds, [&] { return sender.done(sent); })) {
        sending.fails("a send is not done");
      }
    }
    is_told(socket);
  });
  probe.load();
  Receiver receiver(probe, kChunkBytes);
  accept_peer(probe, receiver, peer.socket);
  for (std::uint64_t i = 0; i < kCount; ++i) {
    void* received = receiver.post(kChunkBytes);
    int size = 0;
    if (!Probe::within(kArriveSeconds, [&] { return receiver.done(received, size); })) {
      probe.fails("a message does not arrive");
    }
    receiver.collect(received, kChunkBytes, kChunkBytes - i, i);
  }
  tell(peer.socket);
  probe.pass(fmt::format("{} messages", kCount));
}

void close_in_flight(Probe& probe) {
  probe.load();
  Link link(probe, kChunkBytes);
  std::array<void*, 4> sends{};
  for (void*& sent : sends) {
    sent = link.sender.post(kChunkBytes);
    link.receiver.post(kChunkBytes);
  }
  (void)link.sender.done(sends[0]);  // Begins to move them.
  link.sender.close();
  link.receiver.close();
  link.receiver.close_listen();
  probe.step("a connection after that");
  Link(probe, 4096).exchange(64, 64, 1);
  probe.pass("with 4 messages in flight");
}

// The peer is idle and dies: a posted receive must fail.
void sender_dies(Probe& probe) {
  const Probe::Peer peer = probe.fork_peer([](Probe& sending, int socket) {
    sending.load();
    Sender sender(sending, 4096);
    connect_to_peer(sending, sender, socket);
    is_told(socket);
    ::raise(SIGKILL);
  });
  probe.load();
  Receiver receiver(probe, 4096);
  accept_peer(probe, receiver, peer.socket);
  void* received = receiver.post(64);
  tell(peer.socket);
  ::waitpid(peer.pid, nullptr, 0);
  probe.step("test of a receive whose sender is dead");
  ResultCode code = ResultCode::kSuccess;
  if (!Probe::within(kSilenceSeconds, [&] {
        int done = 0;
        int size = 0;
        code = probe.net().test(received, &done, &size);
        return code != ResultCode::kSuccess;
      })) {
    probe.deviates("a receive from a dead sender has no error", kControlFindsOut);
  }
  probe.pass(sluice::to_string(code));
}

// Sends one message after the other until one is not done for a while, because nobody receives:
// the system's buffers are full. That one's request.
void* fill_up(Probe& probe, Sender& sender, std::size_t bytes) {
  for (int i = 0; i < kMostMessages; ++i) {
    void* sent = sender.post(bytes);
    if (!Probe::within(0.5, [&] { return sender.done(sent); })) return sent;
  }
  probe.fails(
      fmt::format("{} sends of {} bytes are done though nobody receives", kMostMessages, bytes));
}

// The peer dies with a message cut in two, because nobody has received yet: what was sent arrives,
// and the receive of the cut message must fail.
void sender_dies_in_message(Probe& probe) {
  ::setenv("NCCL_DYNAMIC_CHUNK_SIZE", std::to_string(kCutBytes).c_str(), 1);
  const Probe::Peer peer = probe.fork_peer([](Probe& sending, int socket) {
    sending.load();
    Sender sender(sending, kCutBytes);
    connect_to_peer(sending, sender, socket);
    fill_up(sending, sender, kCutBytes);
    ::raise(SIGKILL);
  });
  probe.load();
  Receiver receiver(probe, kCutBytes);
  accept_peer(probe, receiver, peer.socket);
  ::waitpid(peer.pid, nullptr, 0);
  probe.step("receives of what a dead sender has left");
  for (std::size_t arrived = 0;; ++arrived) {
    void* received = nullptr;
    if (receiver.try_post(kCutBytes, received) != ResultCode::kSuccess) {
      probe.pass(fmt::format("irecv fails after {} messages", arrived));
    }
    ResultCode code = ResultCode::kSuccess;
    int done = 0;
    if (!Probe::within(kSilenceSeconds, [&] {
          int size = 0;
          code = probe.net().test(received, &done, &size);
          return code != ResultCode::kSuccess || done != 0;
        })) {
      probe.deviates(
          fmt::format("after {} messages of a dead sender silence, and no error", arrived),
          kControlFindsOut);
    }
    if (code != ResultCode::kSuccess) {
      probe.pass(fmt::format("{} after {} messages", sluice::to_string(code), arrived));
    }
    receiver.consume(received);
  }
}

// The peer dies while its message is on its way into a posted receive. When exactly is chance, so
// several die, each a little later.
void sender_dies_while_receiving(Probe& probe) {
  ::setenv("NCCL_DYNAMIC_CHUNK_SIZE", std::to_string(kCutBytes).c_str(), 1);
  std::vector<Probe::Peer> peers;
  for (const double after_ms : {0.5, 1.0, 2.0, 4.0, 8.0}) {
    peers.push_back(probe.fork_peer([=](Probe& sending, int socket) {
      sending.load();
      Sender sender(sending, kCutBytes);
      connect_to_peer(sending, sender, socket);
      is_told(socket);
      void* sent = sender.post(kCutBytes);
      (void)Probe::within(after_ms / 1e3, [&] { return sender.done(sent); });
      ::raise(SIGKILL);
    }));
  }
  probe.load();
  std::string seen;
  for (const Probe::Peer& peer : peers) {
    Receiver receiver(probe, kCutBytes);
    accept_peer(probe, receiver, peer.socket);
    probe.step("a receive whose sender dies");
    void* received = receiver.post(kCutBytes);
    tell(peer.socket);
    ResultCode code = ResultCode::kSuccess;
    int done = 0;
    if (!Probe::within(kSilenceSeconds, [&] {
          int size = 0;
          code = probe.net().test(received, &done, &size);
          return code != ResultCode::kSuccess || done != 0;
        })) {
      probe.deviates("a message that its sender's death has cut is silence, and no error",
                     kControlFindsOut);
    }
    seen = code == ResultCode::kSuccess ? "arrived before the death" : sluice::to_string(code);
  }
  probe.pass(seen);
}

// What was sent and done arrives, though the sender has closed since.
void sender_closes(Probe& probe) {
  probe.load();
  Link link(probe, 4096);
  constexpr std::size_t kCount = 4;
  for (std::size_t i = 0; i < kCount; ++i) {
    link.sender.fill(64, i);
    void* sent = link.sender.post(64);
    // A plugin may want the receive first: then there is nothing to find out here.
    if (!Probe::within(kSilenceSeconds, [&] { return link.sender.done(sent); })) {
      probe.pass("sends wait for their receives");
    }
  }
  link.sender.close();
  probe.tolerate("an engine that closes keeps its channels until its peer has everything");
  for (std::size_t i = 0; i < kCount; ++i) {
    void* received = link.receiver.post(64);
    int size = 0;
    if (!Probe::within(kSilenceSeconds, [&] { return link.receiver.done(received, size); })) {
      probe.fails(fmt::format("message {} does not arrive after closeSend", i));
    }
    link.receiver.collect(received, 64, 64, i);
  }
  probe.pass("all of it");
}

// What is not done while the peer lives cannot become done because it dies.
void receiver_dies(Probe& probe) {
  const Probe::Peer peer = probe.fork_peer([](Probe& receiving, int socket) {
    receiving.load();
    Receiver receiver(receiving, 4096);
    accept_peer(receiving, receiver, socket);
    is_told(socket);
    ::raise(SIGKILL);
  });
  probe.load();
  Sender sender(probe, kChunkBytes);
  connect_to_peer(probe, sender, peer.socket);
  probe.step("sends that nobody receives");
  void* const waiting = fill_up(probe, sender, kChunkBytes);
  tell(peer.socket);
  ::waitpid(peer.pid, nullptr, 0);
  probe.step("test of sends whose receiver is dead");
  ResultCode code = ResultCode::kSuccess;
  int done = 0;
  const bool answered = Probe::within(kSilenceSeconds, [&] {
    int size = 0;
    code = probe.net().test(waiting, &done, &size);
    return code != ResultCode::kSuccess || done != 0;
  });
  if (done != 0) {
    probe.deviates("a send is done because its receiver died unread",
                   "done means that the memory is free: delivery is the engine's to confirm");
  }
  if (!answered) {
    probe.deviates("a send to a dead receiver has no error", kControlFindsOut);
  }
  probe.pass(sluice::to_string(code));
}

void sigpipe(Probe& probe) {
  const Probe::Peer peer = probe.fork_peer([](Probe& receiving, int socket) {
    receiving.load();
    Receiver receiver(receiving, 4096);
    accept_peer(receiving, receiver, socket);
    is_told(socket);
    ::raise(SIGKILL);
  });
  probe.load();
  Sender sender(probe, 4096);
  connect_to_peer(probe, sender, peer.socket);
  ::signal(SIGPIPE, SIG_DFL);
  tell(peer.socket);
  ::waitpid(peer.pid, nullptr, 0);
  probe.step("sends to a dead receiver, with SIGPIPE as the system has it");
  (void)Probe::within(kSilenceSeconds, [&] {
    void* request = nullptr;
    if (sender.try_post(64, request) != ResultCode::kSuccess) return true;
    if (request == nullptr) return false;
    // Errors are looked past: the next write is the one that kills.
    int done = 0;
    int size = 0;
    for (int i = 0; i < 100; ++i) (void)probe.net().test(request, &done, &size);
    return false;
  });
  probe.pass("no signal");
}

constexpr char kCloseNotClean[] = "a channel is closed when nothing is posted on it, or not at all";
constexpr char kSigpipe[] = "threads that enter the plugin have SIGPIPE blocked";

const Case kCases[] = {
    {"two-processes", "messages between two processes", two_processes},
    {"close-in-flight", "close with messages in flight", close_in_flight, kCloseNotClean,
     kCloseNotClean},
    {"sender-dies", "a dead sender is an error", sender_dies},
    {"sender-dies-in-message", "also in the middle of a message", sender_dies_in_message},
    {"sender-dies-while-receiving", "also beneath a posted receive", sender_dies_while_receiving},
    {"sender-closes", "what was sent before a close arrives", sender_closes},
    {"receiver-dies", "a dead receiver is an error", receiver_dies},
    {"sigpipe", "a broken socket raises no signal", sigpipe, kSigpipe},
};

}  // namespace

std::span<const Case> failure_cases() { return kCases; }

std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (const auto& cases : {set_up_cases(), message_cases(), failure_cases()}) {
    all.insert(all.end(), cases.begin(), cases.end());
  }
  return all;
}

}  // namespace sluice::probe
