// What strangers may send to the data port, what chunks say on it, and handles that come from a
// peer.
#include <algorithm>
#include <cstdlib>

#include "src/net/plugin/plugin_handle.h"
#include "src/net/striped/striped_wire.h"
#include "src/net/tcp/data_hello.h"
#include "tests/fuzz/fuzz_target.h"

namespace sluice::fuzz {

namespace {

void check_chunk_header(std::span<const std::byte, kChunkHeaderBytes> bytes) {
  ChunkHeader header;
  if (!decode_chunk_header(bytes, header)) return;
  const bool within =
      header.offset <= header.total && header.length <= header.total - header.offset;
  if (!within) std::abort();
}

}  // namespace

void run(std::span<const std::byte> input) {
  (void)decode_handle(input);
  (void)decode_striped_handle(input);
  (void)unwrap_handle(input, 7, true);
  if (input.size() >= kHelloBytes) (void)decode_hello(input.first<kHelloBytes>());
  if (input.size() >= kChunkHeaderBytes) check_chunk_header(input.first<kChunkHeaderBytes>());
}

std::vector<Bytes> seeds() {
  const auto address = SocketAddress::numeric("10.0.0.1", 4000);
  const EncodedHandle handle = encode_handle({random_data_nonce(), *address, 0});
  const auto hello = encode_hello({random_data_nonce(), 0, 0});
  const auto striped = encode_striped_handle({4, {random_data_nonce(), *address, 0}});
  const auto wrapped = wrap_handle({}, 7);
  std::array<std::byte, kChunkHeaderBytes> chunk;
  encode_chunk_header({1000, 3, 5000, 6000}, chunk);
  return {Bytes(chunk.begin(), chunk.end()), Bytes(striped.begin(), striped.end()),
          Bytes(wrapped.begin(), wrapped.end()),
          Bytes(handle.bytes.begin(), handle.bytes.begin() + static_cast<long>(handle.size)),
          Bytes(hello.begin(), hello.end())};
}

}  // namespace sluice::fuzz
