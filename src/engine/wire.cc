#include "src/engine/wire.h"

#include <algorithm>

namespace sluice::wire {
namespace {

constexpr auto kLastCode = static_cast<std::uint8_t>(StatusCode::kCorrupted);

template <std::size_t kBytes>
void read_array(ByteReader& in, std::array<std::byte, kBytes>& out) {
  const auto part = in.bytes(kBytes);
  if (part.size() == kBytes) std::copy(part.begin(), part.end(), out.begin());
}

}  // namespace

void Header::encode(ByteWriter& out) const {
  out.u32(body_bytes);
  out.u8(static_cast<std::uint8_t>(type));
  out.u8(0);
  out.u16(0);
}

bool Header::decode(ByteReader& in) {
  body_bytes = in.u32();
  type = static_cast<FrameType>(in.u8());
  const std::uint8_t zero = in.u8();
  const std::uint16_t zeros = in.u16();
  return in.ok() && zero == 0 && zeros == 0;
}

void Hello::encode(ByteWriter& out) const {
  out.u64(kMagic);
  out.u16(oldest_version);
  out.u16(newest_version);
  out.bytes(nonce);
}

bool Hello::decode(ByteReader& in) {
  const std::uint64_t magic = in.u64();
  oldest_version = in.u16();
  newest_version = in.u16();
  read_array(in, nonce);
  return in.finished() && magic == kMagic && oldest_version <= newest_version;
}

void Challenge::encode(ByteWriter& out) const {
  out.u64(kMagic);
  out.u16(version);
  out.bytes(nonce);
}

bool Challenge::decode(ByteReader& in) {
  const std::uint64_t magic = in.u64();
  version = in.u16();
  read_array(in, nonce);
  return in.finished() && magic == kMagic;
}

void Limits::encode(ByteWriter& out) const {
  out.u64(generation);
  out.u64(chunk_bytes);
  out.u32(small_bytes);
  out.u32(channels);
  out.u32(peer_timeout_ms);
  out.u64(request_bytes);
  out.u64(kept_list_bytes);
  out.u8(checksum ? 1 : 0);
  out.text(net);
  out.text(name);
}

bool Limits::decode(ByteReader& in) {
  generation = in.u64();
  chunk_bytes = in.u64();
  small_bytes = in.u32();
  channels = in.u32();
  peer_timeout_ms = in.u32();
  request_bytes = in.u64();
  kept_list_bytes = in.u64();
  const std::uint8_t check = in.u8();
  checksum = check == 1;
  net = in.text(kLongestName);
  name = in.text(kLongestName);
  return in.finished() && check <= 1 && chunk_bytes > 0 && channels > 0 &&
         channels <= kMostChannels && peer_timeout_ms > 0;
}

void Proof::encode(ByteWriter& out) const {
  out.bytes(proof);
  limits.encode(out);
}

bool Proof::decode(ByteReader& in) {
  read_array(in, proof);
  return limits.decode(in);
}

void Farewell::encode(ByteWriter& out) const {
  out.u8(static_cast<std::uint8_t>(code));
  out.text(reason.substr(0, kLongestReason));
}

bool Farewell::decode(ByteReader& in) {
  const std::uint8_t raw = in.u8();
  reason = in.text(kLongestReason);
  if (!in.finished() || raw == 0 || raw > kLastCode) return false;
  code = static_cast<StatusCode>(raw);
  return true;
}

void Credit::encode(ByteWriter& out) const {
  out.u16(static_cast<std::uint16_t>(count));
  for (std::uint32_t i = 0; i < count; ++i) out.u64(capacity[i]);
}

bool Credit::decode(ByteReader& in) {
  count = in.u16();
  if (count == 0 || count > kMostCreditsPerFrame) return false;
  for (std::uint32_t i = 0; i < count; ++i) capacity[i] = in.u64();
  return in.finished();
}

void Small::encode(ByteWriter& out) const {
  out.u64(sequence);
  out.bytes(bytes);
}

bool Small::decode(ByteReader& in) {
  sequence = in.u64();
  bytes = in.bytes(in.remaining());
  return in.finished();
}

void Manifest::encode(ByteWriter& out) const {
  out.u8(static_cast<std::uint8_t>(of));
  out.u64(sequence);
  out.u64(message_bytes);
  out.u64(chunk_bytes);
  out.u16(static_cast<std::uint16_t>(count));
  for (std::uint32_t i = 0; i < count; ++i) {
    out.u16(chunks[i].channel);
    out.u32(chunks[i].index);
  }
}

bool Manifest::decode(ByteReader& in) {
  const std::uint8_t raw = in.u8();
  if (raw > static_cast<std::uint8_t>(Of::kRead)) return false;
  of = static_cast<Of>(raw);
  sequence = in.u64();
  message_bytes = in.u64();
  chunk_bytes = in.u64();
  count = in.u16();
  if (!in.ok() || chunk_bytes == 0 || count == 0 || count > kMostChunksPerManifest) return false;
  const std::uint64_t most = chunk_count(message_bytes, chunk_bytes);
  for (std::uint32_t i = 0; i < count; ++i) {
    chunks[i].channel = in.u16();
    chunks[i].index = in.u32();
    if (chunks[i].index >= most) return false;
  }
  return in.finished();
}

void Sum::encode(ByteWriter& out) const {
  out.u8(static_cast<std::uint8_t>(of));
  out.u64(sequence);
  out.u32(crc32c);
}

bool Sum::decode(ByteReader& in) {
  const std::uint8_t raw = in.u8();
  if (raw > static_cast<std::uint8_t>(Manifest::Of::kRead)) return false;
  of = static_cast<Manifest::Of>(raw);
  sequence = in.u64();
  crc32c = in.u32();
  return in.finished();
}

void TooLong::encode(ByteWriter& out) const {
  out.u64(sequence);
  out.u64(message_bytes);
}

bool TooLong::decode(ByteReader& in) {
  sequence = in.u64();
  message_bytes = in.u64();
  return in.finished();
}

void ChannelsWanted::encode(ByteWriter& out) const {
  out.u16(static_cast<std::uint16_t>(count));
  out.text(reason.substr(0, kLongestReason));
}

bool ChannelsWanted::decode(ByteReader& in) {
  count = in.u16();
  reason = in.text(kLongestReason);
  return in.finished() && count > 0 && count <= kMostChannels;
}

void ChannelsLost::encode(ByteWriter& out) const {
  out.u32(set);
  out.text(reason.substr(0, kLongestReason));
}

bool ChannelsLost::decode(ByteReader& in) {
  set = in.u32();
  reason = in.text(kLongestReason);
  return in.finished() && set > 0;
}

void Missing::encode(ByteWriter& out) const {
  out.u64(writes);
  out.u64(reads);
  out.u16(static_cast<std::uint16_t>(count));
  for (std::uint32_t i = 0; i < count; ++i) out.u64(sequences[i]);
}

bool Missing::decode(ByteReader& in) {
  writes = in.u64();
  reads = in.u64();
  count = in.u16();
  if (!in.ok() || count > kMostCredits) return false;
  for (std::uint32_t i = 0; i < count; ++i) {
    sequences[i] = in.u64();
    if (i > 0 && sequences[i] <= sequences[i - 1]) return false;
  }
  return in.finished();
}

void ChannelsOffered::encode(ByteWriter& out) const {
  out.u16(static_cast<std::uint16_t>(count));
  for (std::uint32_t i = 0; i < count; ++i) {
    out.u16(static_cast<std::uint16_t>(handles[i].size()));
    out.bytes(handles[i]);
  }
}

bool ChannelsOffered::decode(ByteReader& in) {
  count = in.u16();
  if (count == 0 || count > kMostChannels) return false;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::size_t length = in.u16();
    if (length == 0 || length > Net::kHandleBytes) return false;
    handles[i] = in.bytes(length);
  }
  return in.finished();
}

void RegionRef::encode(ByteWriter& out) const {
  out.u64(region);
  out.u8(access);
  out.bytes(proof);
}

void RegionRef::decode(ByteReader& in) {
  region = in.u64();
  access = in.u8();
  read_array(in, proof);
}

void Request::encode(ByteWriter& out) const {
  out.u16(slot);
  out.u8(static_cast<std::uint8_t>(operation));
  out.u8(flags);
  out.u64(bytes);
  out.u64(chunk_bytes);
  out.u16(regions);
  out.u16(list_id);
  out.u32(list_bytes);
  out.u32(notification_bytes);
  out.bytes(payload);
}

bool Request::decode(ByteReader& in) {
  slot = in.u16();
  const std::uint8_t raw = in.u8();
  flags = in.u8();
  bytes = in.u64();
  chunk_bytes = in.u64();
  regions = in.u16();
  list_id = in.u16();
  list_bytes = in.u32();
  notification_bytes = in.u32();
  payload = in.bytes(in.remaining());
  if (!in.finished() || slot >= kMostSlots || raw < 1 || raw > 3) return false;
  operation = static_cast<Operation>(raw);
  const bool writes = operation == Operation::kWrite;
  const bool reads = operation == Operation::kRead;
  const std::uint8_t allowed = kNotifies | kUrgent | kKeepsList | kNamesList |
                               (writes ? kCarriesData : 0) | (reads ? kTakesData : 0);
  if ((flags & ~allowed) != 0 || regions > kMostRegionsPerRequest ||
      notification_bytes > kLongestNotification || (reads == (chunk_bytes == 0))) {
    return false;
  }
  if ((flags & kNotifies) == 0 && (notification_bytes != 0 || (!writes && !reads))) return false;
  if (!writes && !reads &&
      (bytes != 0 || regions != 0 || list_bytes != 0 || (flags & kNamesList) != 0)) {
    return false;
  }
  const bool names = (flags & kNamesList) != 0;
  const bool keeps = (flags & kKeepsList) != 0;
  if (list_id >= kMostKeptLists || (!names && !keeps && list_id != 0)) return false;
  if ((names && (keeps || list_bytes != 0)) || (keeps && list_bytes == 0)) return false;
  // Data that rides along is all here, and so is all before it.
  if ((flags & kCarriesData) != 0) {
    return bytes <= payload.size() && payload.size() - bytes == payload_bytes();
  }
  return payload.size() <= payload_bytes();
}

void SlotBytes::encode(ByteWriter& out) const {
  out.u16(slot);
  out.bytes(bytes);
}

bool SlotBytes::decode(ByteReader& in) {
  slot = in.u16();
  bytes = in.bytes(in.remaining());
  return in.finished() && slot < kMostSlots;
}

void Granted::encode(ByteWriter& out) const {
  out.u16(slot);
  out.u64(chunk_bytes);
}

bool Granted::decode(ByteReader& in) {
  slot = in.u16();
  chunk_bytes = in.u64();
  return in.finished() && slot < kMostSlots && chunk_bytes > 0;
}

void Denied::encode(ByteWriter& out) const {
  out.u16(slot);
  Farewell{code, reason}.encode(out);
}

bool Denied::decode(ByteReader& in) {
  slot = in.u16();
  Farewell farewell;
  if (!farewell.decode(in) || slot >= kMostSlots) return false;
  code = farewell.code;
  reason = farewell.reason;
  return true;
}

void Slot::encode(ByteWriter& out) const { out.u16(slot); }

bool Slot::decode(ByteReader& in) {
  slot = in.u16();
  return in.finished() && slot < kMostSlots;
}

}  // namespace sluice::wire
