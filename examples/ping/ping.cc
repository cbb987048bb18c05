// Two engines in one process; Alice sends Bob a message.
#include <sluice/engine.h>

#include <array>
#include <iostream>
#include <string>

int main() {
  sluice::Options options;
  options.listen_host = "127.0.0.1";
  auto alice = sluice::Engine::create(options);
  auto bob = sluice::Engine::create(options);
  if (!alice.ok() || !bob.ok()) return 1;

  // Bob's address holds his secret. Alice may send at once; it goes out when they are connected.
  std::string message = "hello", received(message.size(), '?');
  auto from = (*alice)->register_memory(message.data(), message.size(), sluice::Memory::kHost);
  auto into = (*bob)->register_memory(received.data(), received.size(), sluice::Memory::kHost);
  auto peer = (*alice)->connect((*bob)->address());
  if (!peer.ok() || !(*alice)->send(*peer, {*from, 0, message.size()}).ok()) return 1;

  std::array<sluice::PeerEvent, 1> event;
  std::array<sluice::Completion, 1> done;
  do {
    (*alice)->progress();
    if ((*bob)->progress() == 0) (*bob)->wait(std::chrono::microseconds(100));
    if ((*bob)->poll_peers(event) == 1) {
      if (!(*bob)->recv(event[0].peer, {*into, 0, received.size()}).ok()) return 1;
    }
  } while ((*bob)->poll(done) == 0);

  std::cout << received << ' ' << done[0].status.to_string() << '\n';
  return done[0].status.ok() && received == message ? 0 : 1;
}
