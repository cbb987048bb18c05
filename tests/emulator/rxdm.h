// Stands in for rxdm, the daemon that owns a GPU's bounce pool and steers flows into it: answers
// the plugin on rxdm's unix sockets, one request with one reply each.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "src/base/fd.h"
#include "tests/emulator/rxdm_wire.h"

namespace sluice::emulator {

// What it hands out. The descriptors stay the caller's and must outlive the Rxdm.
struct RxdmResources {
  std::string folder;  // Of the sockets.
  std::string gpu;     // PCI address, lower case.
  int pool_fd = -1;    // The pool's memory: a memfd, or what CUDA exported.
  std::uint64_t pool_bytes = 0;
  std::uint64_t pool_alignment = 0;
  int pages_fd = -1;  // The pool's PageTable: only the preloaded library asks for it.
};

inline constexpr char kPagesSocket[] = "emulator_pages";  // The one that a real rxdm has not.

class Rxdm {
 public:
  // Opens the sockets and starts the thread that serves them.
  static Result<std::unique_ptr<Rxdm>> start(const RxdmResources& resources);
  Rxdm(const Rxdm&) = delete;
  Rxdm& operator=(const Rxdm&) = delete;
  ~Rxdm();  // Ends the thread and removes the sockets.

 private:
  enum class Service { kInstall, kUninstall, kPoolFd, kPoolMetadata, kRegistry, kPagesFd };
  struct Listener {
    Service service;
    std::string path;
    Fd socket;
  };
  struct Client {
    Service service;
    Fd socket;
    std::vector<std::byte> input;  // The frame so far.
  };

  Rxdm(const RxdmResources& resources, EventFd stop)
      : resources_(resources), stop_(std::move(stop)) {}
  Status open_sockets();
  void serve();
  void accept_from(const Listener& listener);
  // False when the client is to be dropped: it left, or sent what is no request.
  bool read_from(Client& client);
  bool answer(Client& client, std::span<const std::byte> message);
  std::string change_rule(Service service, const FlowRule& rule);
  [[nodiscard]] std::string metadata() const;

  RxdmResources resources_;
  std::vector<Listener> listeners_;
  std::vector<Client> clients_;  // Of the thread, as are the rules.
  std::vector<FlowRule> rules_;
  EventFd stop_;
  std::thread thread_;
};

}  // namespace sluice::emulator
