// The preloaded library's side of rxdm's unix sockets. It links nothing of the engine.
#pragma once

#include <string>

namespace sluice::emulator {

// Asks the socket at `path` for a descriptor, naming `gpu`. Blocks until rxdm answers. The
// descriptor is the caller's; -1, and why in `wrong`, on failure.
int ask_for_fd(const std::string& path, const std::string& gpu, std::string* wrong);

// A connected socket, the caller's; -1 with errno.
int connect_unix(const std::string& path);

// The descriptor that comes with the next byte on `socket`; -1 if none does.
int receive_fd(int socket);

}  // namespace sluice::emulator
