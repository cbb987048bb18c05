// The engine: its peers, its transfers, and the pass over them that progress() makes. Knows the
// interfaces Net, ControlNet, Gpu and Clock; src/library chooses the implementations.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "sluice/engine.h"
#include "src/base/clock.h"
#include "src/base/slot_pool.h"
#include "src/engine/bootstrap.h"
#include "src/engine/context.h"
#include "src/engine/one_sided.h"
#include "src/engine/peer.h"
#include "src/engine/secret.h"
#include "src/engine/slice_order.h"
#include "src/gpu/gpu.h"
#include "src/net/control.h"
#include "src/net/net.h"
#include "src/observe/recorder.h"

namespace sluice {

struct EngineParts {
  Options options;  // Validated.
  std::shared_ptr<const Clock> clock;
  std::unique_ptr<Net> net;
  std::unique_ptr<ControlNet> control;  // Not listening yet.
  std::unique_ptr<Gpu> gpu;
  std::string advertise_host;  // For address(); numeric.
  std::uint32_t device = 0;    // Of the net.
  std::uint32_t channels = 2;  // Per peer and direction; options.channels resolved.
};

// Starts listening. Errors: those of ControlNet::listen().
Result<std::unique_ptr<Engine>> make_engine(EngineParts parts);

class EngineImpl final : public Engine {
 public:
  explicit EngineImpl(EngineParts parts);
  ~EngineImpl() override;
  Status start();

  Result<RegionId> register_memory(void* base, std::size_t length, Memory kind) override;
  Status deregister(RegionId region) override;
  [[nodiscard]] std::string address() const override;
  Result<PeerId> connect(std::string_view address) override;
  Status disconnect(PeerId peer) override;
  Result<TransferId> send(PeerId peer, Slice from, Priority priority) override;
  Result<TransferId> recv(PeerId peer, Slice into) override;
  Result<std::string> export_region(RegionId region, Access access) override;
  Result<RemoteRegionId> import_region(PeerId peer, std::string_view bytes) override;
  Status forget_region(RemoteRegionId region) override;
  Result<TransferId> write(PeerId peer, std::span<const Slice> from,
                           std::span<const RemoteSlice> to,
                           const TransferOptions& options) override;
  Result<TransferId> read(PeerId peer, std::span<const Slice> into,
                          std::span<const RemoteSlice> from,
                          const TransferOptions& options) override;
  Result<TransferId> notify(PeerId peer, std::span<const std::byte> bytes) override;
  Status cancel(TransferId transfer) override;
  std::size_t poll_notifications(std::span<Notification> out) override;
  std::size_t progress() override;
  std::size_t poll(std::span<Completion> out) override;
  std::size_t poll_peers(std::span<PeerEvent> out) override;
  void wait(std::chrono::microseconds limit) override;
  void interrupt() override;
  std::chrono::microseconds arm() override;
  void disarm() override;
  [[nodiscard]] int wake_fd() const override { return control_->wake_fd(); }
  [[nodiscard]] EngineCounters counters() const override;
  std::string report() override;
  Status record_to(const std::string& path) override;

 private:
  // A connection whose owner is gone and whose last frames are not delivered yet.
  struct Leaving {
    std::unique_ptr<FrameStream> link;
    Nanoseconds deadline;
  };

  // Peers that are still are not looked at before their time: it is here, not in their memory.
  struct Live {
    Peer* peer;
    Nanoseconds next_time;
  };

  // How wait() and arm() spend the time until there is work.
  enum class Cadence : std::uint8_t { kAdapt, kSpin, kYield, kSleep };

  static Cadence cadence_of(const Options& options);
  void stand_down();
  PeerFacts facts_of(const Peer& peer, Nanoseconds now);
  void look_for_stalls(Nanoseconds now);
  Status record(const std::string& path, std::string_view reason);
  std::string keep_recording(std::string_view reason);
  [[nodiscard]] Nanoseconds spin_end(Nanoseconds start, Nanoseconds end) const;
  Result<TransferId> transfer(Direction direction, PeerId peer, Slice slice, Priority priority);
  Result<TransferId> one_sided(Direction direction, PeerId peer, std::span<const Slice> local,
                               std::span<const RemoteSlice> remote, const TransferOptions& options);
  Result<TransferId> lay_out(Direction direction, PeerId peer, std::span<const Slice> local,
                             std::span<const RemoteSlice> remote, const TransferOptions& options,
                             Layout& layout);
  static Status no_such_peer(PeerId peer);
  Peer* find_peer(PeerId peer);
  // Passes go over it from now on, as long as it is not still.
  void rouse(Peer& peer);
  void leave_out_still();
  std::size_t handle_ready();
  std::size_t look_at_all();
  void look_at_all_next() {
    speaker_ = PeerId(0);
    blind_passes_ = 0;
  }
  std::size_t hear(Peer& peer);
  std::size_t accept_strangers();
  std::size_t handle_outcomes();
  void welcome(Bootstrap::Outcome outcome);
  std::size_t move_chunks(Nanoseconds now);
  void handle_time(Nanoseconds now);
  std::size_t bury_gone();
  std::size_t see_off(Nanoseconds now);
  void close();
  [[nodiscard]] Nanoseconds sleep_limit(Nanoseconds now);

  const Options options_;
  const std::shared_ptr<const Clock> clock_;
  // Destroyed from the bottom: peers before what they use.
  const std::unique_ptr<Net> net_;
  const std::unique_ptr<ControlNet> control_;
  const std::unique_ptr<Gpu> gpu_;
  const std::string advertise_host_;
  const std::string name_;
  const Secret secret_;
  Recorder recorder_;
  TransferTable transfers_;
  RemoteRegions remote_regions_;
  SliceOrder slice_order_;
  PackBatch packs_;
  SumBatch sums_;
  const Context context_;
  const wire::Limits own_limits_;
  Bootstrap bootstrap_;
  SlotPool<std::unique_ptr<Peer>> peers_;
  std::vector<Live> live_;  // Of peers_: all.
  // Of these: what a pass goes over, beginning with another each time. A peer that is not in it is
  // still; one that is may be.
  std::vector<Peer*> awake_;
  std::deque<PeerEvent> peer_events_;
  std::deque<Notification> last_notifications_;  // Of peers that are gone.
  std::vector<Leaving> leaving_;
  UnpackBatch batch_;
  PeerId speaker_{0};               // The only one that was ready at the last look; 0: none.
  std::uint32_t blind_passes_ = 0;  // To come without a look.
  Nanoseconds next_time_ = 0;
  const Cadence cadence_;
  EngineCounters counters_;
  std::uint64_t completed_ = 0;   // Completions that passes have counted as steps.
  Nanoseconds worked_at_ = 0;     // When a pass last found something to do.
  std::uint32_t recordings_ = 0;  // In recorder_dir.
  bool accepting_ = true;         // False: as many strangers as may be are at the door.
  bool short_gaps_ = true;        // Work has come within spin_us of late: spinning is worth it.
  std::atomic<bool> interrupted_{false};
  std::atomic<bool> sleeping_{false};
};

}  // namespace sluice
