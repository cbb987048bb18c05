#include "tests/sim_net/sim_making.h"

#include "src/base/bytes.h"
#include "src/base/check.h"

namespace sluice::sim {
namespace {

constexpr std::uint64_t kMagic = 0x00656c646e616873;  // "shandle"

SimMemory& sim_memory(NetMemory& memory) { return static_cast<SimMemory&>(memory); }

class SimSendChannel final : public SendChannel {
 public:
  SimSendChannel(SimNet& net, std::shared_ptr<SimLink> link) : part_(net), link_(std::move(link)) {}
  ~SimSendChannel() override { link_->close(SimLink::kSender); }

  PostAnswer post(const std::byte* from, std::uint64_t bytes, NetMemory& memory) override {
    return link_->post_send(from, bytes, sim_memory(memory));
  }
  TestAnswer test_oldest() override { return link_->test_send(remainder_); }
  void take_remainders(bool on) override { link_->take_remainders(SimLink::kSender, on); }
  [[nodiscard]] std::uint32_t remainder() const override { return remainder_; }
  void abort() override { link_->abort(SimLink::kSender); }
  [[nodiscard]] Status failure() const override { return link_->failure(SimLink::kSender); }

 private:
  SimPart part_;
  std::uint32_t remainder_ = 0;
  std::shared_ptr<SimLink> link_;
};

class SimRecvChannel final : public RecvChannel {
 public:
  SimRecvChannel(SimNet& net, std::shared_ptr<SimLink> link) : part_(net), link_(std::move(link)) {}
  ~SimRecvChannel() override { link_->close(SimLink::kReceiver); }

  PostAnswer post(std::byte* into, std::uint64_t bytes, NetMemory& memory) override {
    return link_->post_recv(into, bytes, sim_memory(memory));
  }
  TestAnswer test_oldest(Arrival& arrival) override { return link_->test_recv(arrival); }
  void consume_oldest() override { link_->consume(); }
  void take_remainders(bool on) override { link_->take_remainders(SimLink::kReceiver, on); }
  void abort() override { link_->abort(SimLink::kReceiver); }
  [[nodiscard]] Status failure() const override { return link_->failure(SimLink::kReceiver); }

 private:
  SimPart part_;
  std::shared_ptr<SimLink> link_;
};

}  // namespace

SimMaker::SimMaker(SimWorld& world, SimNet& net) : SimActor(world), part_(net) { net.enter(*this); }
SimMaker::~SimMaker() { part_.net().leave(*this); }

void SimMaker::notice() {
  step();
  if (has_come() && world_.now() >= ready_at_) noticed_ = true;
}

MakeAnswer SimMaker::answer(Status& failure) {
  SLUICE_CHECK(!answered_, "asked again after its answer, failure {}", failure_.to_string());
  if (!noticed_) return MakeAnswer::kNotYet;
  answered_ = true;
  if (failure_.ok()) return MakeAnswer::kMade;
  failure = failure_;
  return MakeAnswer::kFailed;
}

void SimMaker::come(std::shared_ptr<SimLink> link) {
  link_ = std::move(link);
  ready_at_ = world_.soon(world_.options().make_delay);
  world_.wake(id(), ready_at_);
}

void SimMaker::come(Status failure) {
  failure_ = std::move(failure);
  ready_at_ = world_.now();
}

void SimMaker::forget() {
  link_.reset();
  noticed_ = false;
}

void SimHandle::encode(std::span<std::byte> out) const {
  ByteWriter writer(out);
  writer.u64(kMagic);
  writer.u64(listener);
  writer.u64(secret);
}

bool SimHandle::decode(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  const std::uint64_t magic = reader.u64();
  listener = reader.u64();
  secret = reader.u64();
  return reader.finished() && magic == kMagic;
}

SimListener::SimListener(SimWorld& world, SimNet& net) : SimMaker(world, net) {
  told_ = {id(), world.draw(UINT64_MAX)};
  told_.encode(handle_);
}

SimListener::~SimListener() {
  if (link_ != nullptr && !answered()) link_->close(SimLink::kReceiver);
}

std::shared_ptr<SimLink> SimListener::offer(std::uint64_t secret, SimNet& sender) {
  if (secret != told_.secret || has_come() || !world_.alive(host())) return nullptr;
  auto link = std::make_shared<SimLink>(world_, sender, part_.net());
  come(link);
  return link;
}

// A sender that went away without having sent anything leaves the place to another one.
void SimListener::step() {
  if (link_ == nullptr || answered() || !link_->failed(SimLink::kSender) || link_->used()) return;
  link_->close(SimLink::kReceiver);
  forget();
}

MakeAnswer SimListener::accept(std::unique_ptr<RecvChannel>& channel, Status& failure) {
  const MakeAnswer result = answer(failure);
  if (result == MakeAnswer::kMade) {
    channel = std::make_unique<SimRecvChannel>(part_.net(), std::move(link_));
  }
  return result;
}

SimConnector::SimConnector(SimWorld& world, SimNet& net, const SimHandle& target)
    : SimMaker(world, net), target_(target), attempt_at_(world.soon(world.options().make_delay)) {
  world.wake(id(), attempt_at_);
}

SimConnector::~SimConnector() {
  if (link_ != nullptr && !answered()) link_->close(SimLink::kSender);
}

void SimConnector::step() {
  if (has_come() || answered() || world_.now() < attempt_at_) return;
  auto* listener = dynamic_cast<SimListener*>(world_.find(target_.listener));
  if (listener == nullptr) {
    come(Status(StatusCode::kUnavailable, "nobody listens for this handle"));
    return;
  }
  // Tried again when the host is resumed or the link is healed.
  if (world_.stopped(listener->host())) return;
  if (!world_.passes(part_.net().host(), listener->host())) return;
  auto link = world_.chance(world_.options().refuse_percent)
                  ? nullptr
                  : listener->offer(target_.secret, part_.net());
  if (link == nullptr) {
    come(Status(StatusCode::kUnavailable, "the channel was refused"));
  } else {
    come(std::move(link));
  }
}

MakeAnswer SimConnector::connect(std::unique_ptr<SendChannel>& channel, Status& failure) {
  const MakeAnswer result = answer(failure);
  if (result == MakeAnswer::kMade) {
    channel = std::make_unique<SimSendChannel>(part_.net(), std::move(link_));
  }
  return result;
}

}  // namespace sluice::sim
