#include "tests/emulator/rxdm_wire.h"

#include <string_view>

#include "src/base/bytes.h"

namespace sluice::emulator {
namespace {

using Bytes = std::span<const std::byte>;

// Wire types of protobuf.
enum : std::uint64_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

struct Field {
  std::uint64_t number = 0;
  std::uint64_t value = 0;  // Of a varint.
  Bytes bytes;              // Of a length-delimited field.
};

std::optional<std::uint64_t> read_varint(ByteReader& reader) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const std::uint8_t byte = reader.u8();
    if (!reader.ok()) return std::nullopt;
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return std::nullopt;  // More than ten bytes.
}

std::optional<Field> read_field(ByteReader& reader) {
  const std::optional<std::uint64_t> key = read_varint(reader);
  if (!key || *key >> 3 == 0) return std::nullopt;
  Field field;
  field.number = *key >> 3;
  switch (*key & 7) {
    case kVarint: {
      const std::optional<std::uint64_t> value = read_varint(reader);
      if (!value) return std::nullopt;
      field.value = *value;
      break;
    }
    case kLengthDelimited: {
      const std::optional<std::uint64_t> length = read_varint(reader);
      if (!length || *length > reader.remaining()) return std::nullopt;
      field.bytes = reader.bytes(*length);
      break;
    }
    case kFixed64:
      reader.u64();
      break;
    case kFixed32:
      reader.u32();
      break;
    default:
      return std::nullopt;
  }
  if (!reader.ok()) return std::nullopt;
  return field;
}

// Calls `use(field)` for each field. False if the bytes are no message or `use` says so.
template <typename Use>
bool for_each_field(Bytes bytes, Use use) {
  ByteReader reader(bytes);
  while (reader.remaining() > 0) {
    const std::optional<Field> field = read_field(reader);
    if (!field || !use(*field)) return false;
  }
  return true;
}

std::string text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool decode_end(Bytes bytes, FlowEnd& end) {
  return for_each_field(bytes, [&](const Field& field) {
    if (field.number == 1) end.address = text_of(field.bytes);
    if (field.number == 2) end.port = static_cast<std::uint32_t>(field.value);
    return true;
  });
}

bool decode_tuple(Bytes bytes, FlowRule& rule) {
  return for_each_field(bytes, [&](const Field& field) {
    if (field.number == 1) rule.flow_type = static_cast<std::int64_t>(field.value);
    if (field.number == 2) return decode_end(field.bytes, rule.source);
    if (field.number == 3) return decode_end(field.bytes, rule.destination);
    return true;
  });
}

bool decode_rule(Bytes bytes, FlowRule& rule) {
  return for_each_field(bytes, [&](const Field& field) {
    if (field.number == 1) return decode_tuple(field.bytes, rule);
    if (field.number == 3) rule.gpu = text_of(field.bytes);
    return true;
  });
}

void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(0x80 | (value & 0x7f));
  out += static_cast<char>(value);
}

void put_number(std::string& out, std::uint64_t number, std::uint64_t value) {
  put_varint(out, number << 3 | kVarint);
  put_varint(out, value);
}

void put_bytes(std::string& out, std::uint64_t number, std::string_view bytes) {
  put_varint(out, number << 3 | kLengthDelimited);
  put_varint(out, bytes.size());
  out += bytes;
}

std::string encode_end(const FlowEnd& end) {
  std::string out;
  put_bytes(out, 1, end.address);
  put_number(out, 2, end.port);
  return out;
}

std::string framed(const std::string& message) {
  std::string out;
  out += static_cast<char>(message.size() >> 8 & 0xff);
  out += static_cast<char>(message.size() & 0xff);
  return out + message;
}

}  // namespace

std::optional<RxdmMessage> decode(Bytes bytes) {
  RxdmMessage message;
  const bool whole = for_each_field(bytes, [&](const Field& field) {
    if (field.number == 1) {
      message = {};
      message.raw = text_of(field.bytes);
    } else if (field.number == 2) {
      message = {};
      return decode_rule(field.bytes, message.rule.emplace());
    } else if (field.number == 6) {
      message = {};
      return for_each_field(field.bytes, [&](const Field& inner) {
        if (inner.number == 1) message.registers = inner.value != 0;
        return true;
      });
    }
    return true;
  });
  if (!whole) return std::nullopt;
  return message;
}

std::string frame_of_raw(std::string_view raw) {
  std::string message;
  put_bytes(message, 1, raw);
  return framed(message);
}

std::string frame_of_rule(const FlowRule& rule) {
  std::string tuple;
  put_number(tuple, 1, static_cast<std::uint64_t>(rule.flow_type));
  put_bytes(tuple, 2, encode_end(rule.source));
  put_bytes(tuple, 3, encode_end(rule.destination));
  std::string request;
  put_bytes(request, 1, tuple);
  put_bytes(request, 3, rule.gpu);
  std::string message;
  put_bytes(message, 2, request);
  return framed(message);
}

std::string frame_of_register(bool registers) {
  std::string request;
  put_number(request, 1, registers ? 1 : 0);
  std::string message;
  put_bytes(message, 6, request);
  return framed(message);
}

std::size_t announced_length(std::span<const std::byte, kLengthBytes> bytes) {
  return std::to_integer<std::size_t>(bytes[0]) << 8 | std::to_integer<std::size_t>(bytes[1]);
}

}  // namespace sluice::emulator
