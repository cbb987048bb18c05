// Bytes on a control connection: of a stranger, before the handshake is over, and of a peer that
// has proved itself and then says anything. It has receives to aim at, whose memory is watched.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "src/base/log.h"
#include "src/engine/bootstrap.h"
#include "src/engine/peer.h"
#include "src/gpu/host_gpu.h"
#include "tests/fuzz/fuzz_target.h"

namespace sluice::fuzz {
namespace {

// Gives out `input`, a few bytes at a time, then ends; swallows what is written.
class ScriptedStream final : public ByteStream {
 public:
  explicit ScriptedStream(std::span<const std::byte> input) : input_(input) {}
  IoResult read(std::span<std::byte> into) override {
    if (input_.empty()) return {IoAnswer::kEnd, 0};
    const std::size_t count = std::min({into.size(), input_.size(), std::size_t{61}});
    std::memcpy(into.data(), input_.data(), count);
    input_ = input_.subspan(count);
    return {IoAnswer::kSome, count};
  }
  IoResult write(std::span<const std::byte> from) override {
    return {IoAnswer::kSome, from.size()};
  }
  void end_writes() override {}
  [[nodiscard]] bool delivered() const override { return true; }
  [[nodiscard]] Status failure() const override { return {}; }
  void set_reading(bool on) override { (void)on; }
  [[nodiscard]] std::string local_host() const override { return "127.0.0.1"; }
  [[nodiscard]] std::string remote() const override { return "fuzzer"; }

 private:
  std::span<const std::byte> input_;
};

// Never connects anything.
class DeafListener final : public Listener {
 public:
  [[nodiscard]] std::span<const std::byte> handle() const override { return handle_; }
  MakeAnswer accept(std::unique_ptr<RecvChannel>&, Status&) override { return MakeAnswer::kNotYet; }

 private:
  std::array<std::byte, 16> handle_{};
};
class DeafConnector final : public Connector {
 public:
  MakeAnswer connect(std::unique_ptr<SendChannel>&, Status&) override {
    return MakeAnswer::kNotYet;
  }
};
class DeafMemory final : public NetMemory {};
class DeafNet final : public Net {
 public:
  DeafNet() : devices_(1) {}
  [[nodiscard]] std::string_view name() const override { return "tcp"; }
  [[nodiscard]] const std::vector<Device>& devices() const override { return devices_; }
  Result<std::unique_ptr<NetMemory>> register_memory(std::span<std::byte>, Memory) override {
    return std::unique_ptr<NetMemory>(std::make_unique<DeafMemory>());
  }
  Result<std::unique_ptr<Listener>> listen(std::uint32_t, std::string_view) override {
    return std::unique_ptr<Listener>(std::make_unique<DeafListener>());
  }
  Result<std::unique_ptr<Connector>> connect(std::uint32_t, std::span<const std::byte>) override {
    return std::unique_ptr<Connector>(std::make_unique<DeafConnector>());
  }
  void progress() override {}
  [[nodiscard]] int wake_fd() const override { return -1; }
  void arm() override {}
  void disarm() override {}

 private:
  std::vector<Device> devices_;
};

constexpr std::size_t kSlice = 256;
constexpr std::size_t kLargestBody = wire::kLargestFixedBody + (16 << 10);

void stranger(std::span<const std::byte> input) {
  const Options options;
  const Secret secret = secret_of("token");
  const wire::Limits own{1, 524288, 16384, 2, 10000, 1 << 21, 1 << 16, false, "tcp", "victim"};
  const ManualClock clock;
  Bootstrap bootstrap(options, secret, own, clock);
  if (!bootstrap.make_room()) std::abort();
  auto stream = std::make_unique<ScriptedStream>(input);
  ScriptedStream* raw = stream.get();
  bootstrap.add_inbound(std::move(stream));
  const std::uint64_t tag = raw->tag;
  while (bootstrap.on_ready(tag) > 0) {
  }
  if (bootstrap.has_outcome()) std::abort();  // Nobody gets in without the token.
}

// Bytes outside of the slices of receives never change, and every transfer completes once.
// `checked`: every transfer has a Sum; frames go without, or none would be read.
void hostile_peer(std::span<const std::byte> input, bool checked) {
  const Options options;
  const ManualClock clock;
  DeafNet net;
  HostGpu gpu;
  TransferTable transfers(8, 1);
  PackBatch packs(16);
  SumBatch sums(16);
  Recorder recorder(0);
  const Context context{options,  net, gpu, clock, transfers, packs, sums,
                        recorder, 0,   2,   16,    4096,      4,     1};
  Bytes memory(8 * kSlice, std::byte{0x5a});
  const RegionId region =
      *transfers.add_region(memory, Memory::kHost, std::make_unique<DeafMemory>());

  Peer peer(context, 77, "fuzzer");
  peer.awake = true;                     // Passes go over it all the time.
  for (std::size_t i = 0; i < 4; ++i) {  // Every second slice is a receive.
    const auto id = transfers.add(Direction::kRecv, PeerId(77), {region, 2 * i * kSlice, kSlice});
    peer.enqueue(static_cast<std::uint64_t>(*id), Direction::kRecv);
  }
  const auto send = transfers.add(Direction::kSend, PeerId(77), {region, kSlice, kSlice});
  peer.enqueue(static_cast<std::uint64_t>(*send), Direction::kSend);
  PeerLimits limits{1, 4096, 128, 2, 10000, 1 << 21, 1 << 16, checked, "fuzzer"};
  Layout& layout = transfers.take_layout();
  std::uint64_t bytes = 0;
  const std::array<Slice, 1> into{Slice{region, 6 * kSlice, kSlice / 2}};
  if (!transfers.lay_out(into, layout, bytes).ok()) std::abort();
  const auto read = transfers.add(Direction::kRead, PeerId(77), bytes, layout, Priority::kNormal);
  const auto reading = static_cast<std::uint64_t>(*read);
  const int cancel_at = input.empty() ? 0 : std::to_integer<int>(input.back()) % 8;
  peer.enqueue(reading, Direction::kRead);
  peer.join(
      std::make_unique<FrameStream>(std::make_unique<ScriptedStream>(input), kLargestBody, clock),
      limits);
  UnpackBatch batch(8);
  for (int pass = 0; pass < 400 && !peer.gone(); ++pass) {
    peer.advance(batch.launch(gpu), clock.now());
    if (pass == cancel_at && transfers.find(reading) != nullptr) {
      (void)peer.cancel(reading, Direction::kRead);
    }
    peer.on_ready();
    peer.reap(batch, clock.now());
  }
  peer.fail({StatusCode::kClosed, "over"});
  if (!peer.gone()) std::abort();
  std::array<Completion, 8> done;
  if (transfers.poll(done) != 6) std::abort();
  for (std::size_t i = 1; i < 8; i += 2) {
    const auto slice = memory.begin() + static_cast<long>(i * kSlice);
    if (std::count(slice, slice + kSlice, std::byte{0x5a}) != kSlice) std::abort();
  }
}

template <typename Body>
void append(Bytes& script, wire::FrameType type, const Body& body) {
  Bytes buffer(kLargestBody + wire::kHeaderBytes);
  ByteWriter writer(std::span<std::byte>(buffer).subspan(wire::kHeaderBytes));
  body.encode(writer);
  ByteWriter header(buffer);
  wire::Header{static_cast<std::uint32_t>(writer.written()), type}.encode(header);
  script.insert(script.end(), buffer.begin(),
                buffer.begin() + static_cast<long>(wire::kHeaderBytes + writer.written()));
}

// A write of 64 bytes to the only region of the victim, at the second slice.
Bytes write_payload(const Bytes& list) {
  Bytes payload(wire::RegionRef::kBytes);
  ByteWriter writer(payload);
  wire::RegionRef{1ull << 24, 3, {}}.encode(writer);
  payload.insert(payload.end(), list.begin(), list.end());
  payload.resize(payload.size() + 64);
  return payload;
}

Bytes script_of_a_peer(bool checked) {
  Bytes list;
  BlockPacker packer;
  packer.begin(list);
  packer.add({0, kSlice, 64});
  packer.finish();
  const Bytes payload = write_payload(list);
  Bytes script{checked ? std::byte{2} : std::byte{1}};
  wire::Credit credit;
  credit.count = 2;
  credit.capacity[0] = kSlice;
  append(script, wire::FrameType::kCredit, credit);
  const Bytes body(100, std::byte{1});
  append(script, wire::FrameType::kSmall, wire::Small{0, body});
  append(script, wire::FrameType::kChannelsWanted, wire::ChannelsWanted{2});
  wire::Manifest manifest;
  manifest.sequence = 1;
  manifest.message_bytes = kSlice;
  manifest.chunk_bytes = kSlice / 2;
  manifest.count = 2;
  manifest.chunks[1] = {1, 1};
  append(script, wire::FrameType::kManifest, manifest);
  if (checked) append(script, wire::FrameType::kSum, wire::Sum{manifest.of, 1, 0});
  append(script, wire::FrameType::kTooLong, wire::TooLong{2, 1000});
  append(script, wire::FrameType::kChannelsWanted, wire::ChannelsWanted{2, "they broke"});
  append(script, wire::FrameType::kChannelsLost, wire::ChannelsLost{1, "they broke"});
  wire::Missing missing;
  missing.writes = missing.reads = 1;
  missing.count = 1;
  append(script, wire::FrameType::kMissing, missing);
  wire::Request request;
  request.slot = 1;
  request.operation = wire::Operation::kNotify;
  request.flags = wire::Request::kNotifies;
  request.notification_bytes = 8;
  append(script, wire::FrameType::kRequest, request);
  append(script, wire::FrameType::kPart, wire::SlotBytes{1, std::span(body).first(8)});
  request = {};
  request.operation = wire::Operation::kWrite;
  request.flags = wire::Request::kCarriesData | wire::Request::kKeepsList;
  request.bytes = 64;
  request.regions = 1;
  request.list_bytes = static_cast<std::uint32_t>(list.size());
  request.payload = payload;
  append(script, wire::FrameType::kRequest, request);
  const Bytes without_list = write_payload({});
  request.slot = 2;
  request.flags = wire::Request::kCarriesData | wire::Request::kNamesList;
  request.list_bytes = 0;
  request.payload = without_list;
  append(script, wire::FrameType::kRequest, request);
  append(script, wire::FrameType::kGranted, wire::Granted{0, 128});
  append(script, wire::FrameType::kDenied, wire::Denied{1, StatusCode::kDenied, "no"});
  append(script, wire::FrameType::kGot, wire::Slot{0});
  append(script, wire::FrameType::kAbort, wire::Denied{1, StatusCode::kCancelled, "no"});
  append(script, wire::FrameType::kAborted, wire::Slot{0});
  append(script, wire::FrameType::kGoodbye, wire::Farewell{StatusCode::kClosed, "bye"});
  return script;
}

}  // namespace

// The first byte says who speaks.
void run(std::span<const std::byte> input) {
  set_log_sink([](LogLevel, std::string_view) {});
  if (input.empty()) return;
  if (input[0] == std::byte{0}) {
    stranger(input.subspan(1));
  } else {
    hostile_peer(input.subspan(1), input[0] == std::byte{2});
  }
}

std::vector<Bytes> seeds() {
  Bytes stranger_script{std::byte{0}};
  append(stranger_script, wire::FrameType::kHello, wire::Hello{});
  wire::Proof proof;
  proof.limits = {1, 4096, 16, 2, 1000, 1 << 21, 1 << 16, false, "tcp", "me"};
  append(stranger_script, wire::FrameType::kProof, proof);
  return {stranger_script, script_of_a_peer(false), script_of_a_peer(true)};
}

}  // namespace sluice::fuzz
