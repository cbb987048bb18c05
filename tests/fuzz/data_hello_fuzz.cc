// What strangers may send to the data port, and handles that come from a peer.
#include <algorithm>

#include "src/net/plugin/plugin_handle.h"
#include "src/net/striped/striped_wire.h"
#include "src/net/tcp/data_hello.h"
#include "tests/fuzz/fuzz_target.h"

namespace sluice::fuzz {

void run(std::span<const std::byte> input) {
  (void)decode_handle(input);
  (void)decode_striped_handle(input);
  (void)unwrap_handle(input, 7, true);
  if (input.size() >= kHelloBytes) (void)decode_hello(input.first<kHelloBytes>());
}

std::vector<Bytes> seeds() {
  const auto address = SocketAddress::numeric("10.0.0.1", 4000);
  const EncodedHandle handle = encode_handle({random_data_nonce(), *address, 0});
  const auto hello = encode_hello({random_data_nonce(), 0, 0});
  const auto striped = encode_striped_handle({4, {random_data_nonce(), *address, 0}});
  const auto wrapped = wrap_handle({}, 7);
  return {Bytes(striped.begin(), striped.end()), Bytes(wrapped.begin(), wrapped.end()),
          Bytes(handle.bytes.begin(), handle.bytes.begin() + static_cast<long>(handle.size)),
          Bytes(hello.begin(), hello.end())};
}

}  // namespace sluice::fuzz
