// What the kernel knows of a connected TCP socket, for people.
#pragma once

#include <string>

namespace sluice {

// "established, rtt 31 us, 10 segments allowed out, 0 sent again; 1024 bytes sent and not
// acknowledged, 0 bytes to read". Any thread; "" for what is no TCP socket.
[[nodiscard]] std::string describe_socket(int fd);

}  // namespace sluice
