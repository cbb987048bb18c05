// Two engines in one process; one sends the other a message.
#include <sluice/engine.h>

#include <array>
#include <iostream>
#include <string>

using namespace std::chrono_literals;

int main() {
  sluice::Options options;
  options.listen_host = "127.0.0.1";
  auto alice = sluice::Engine::create(options);
  auto bob = sluice::Engine::create(options);
  if (!alice.ok() || !bob.ok()) {
    std::cerr << alice.status().to_string() << ", " << bob.status().to_string() << '\n';
    return 1;
  }

  std::string message = "hello", received(message.size(), '?');
  auto from = (*alice)->register_memory(message.data(), message.size(), sluice::Memory::kHost);
  auto into = (*bob)->register_memory(received.data(), received.size(), sluice::Memory::kHost);

  // Alice is given Bob's address; Bob learns of her when she has connected.
  auto peer_bob = (*alice)->connect((*bob)->address());
  (void)(*alice)->send(*peer_bob, {*from, 0, message.size()});

  std::array<sluice::Completion, 1> done;
  std::array<sluice::PeerEvent, 1> event;
  for (bool arrived = false; !arrived;) {
    (*alice)->progress();
    (*bob)->progress();
    if ((*bob)->poll_peers(event) == 1) (void)(*bob)->recv(event[0].peer, {*into, 0, received.size()});
    arrived = (*bob)->poll(done) == 1;
  }
  std::cout << received << ", " << done[0].bytes << " bytes: " << done[0].status.to_string() << '\n';
  return done[0].status.ok() && received == message ? 0 : 1;
}
