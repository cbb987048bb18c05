// Bounds-checked reading and writing of little-endian bytes: every decoder of a peer's, a plugin's
// or a file's bytes goes through these. Nothing here allocates or throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace sluice {

// Reads from the front. A read past the end yields zeros and makes ok() false for good, so a
// decoder reads all its fields and checks once.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::size_t remaining() const { return bytes_.size(); }
  // True when every byte was read and no read failed: what a whole frame must end with.
  [[nodiscard]] bool finished() const { return ok_ && bytes_.empty(); }

  std::uint8_t u8() { return number<std::uint8_t>(); }
  std::uint16_t u16() { return number<std::uint16_t>(); }
  std::uint32_t u32() { return number<std::uint32_t>(); }
  std::uint64_t u64() { return number<std::uint64_t>(); }

  // The next `count` bytes, in place. Empty when there are fewer.
  std::span<const std::byte> bytes(std::size_t count) {
    if (count > bytes_.size()) {
      fail();
      return {};
    }
    auto result = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return result;
  }
  // A u16 length and that many bytes, at most `longest`.
  std::string_view text(std::size_t longest) {
    const std::size_t length = u16();
    if (length > longest) {
      fail();
      return {};
    }
    auto part = bytes(length);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }

 private:
  template <typename T>
  T number() {
    auto part = bytes(sizeof(T));
    if (part.size() != sizeof(T)) return 0;
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      value = static_cast<T>(value | static_cast<T>(static_cast<T>(part[i]) << (8 * i)));
    }
    return value;
  }
  void fail() {
    ok_ = false;
    bytes_ = {};
  }

  std::span<const std::byte> bytes_;
  bool ok_ = true;
};

// Writes to the front of a buffer. A write past the end makes ok() false and writes nothing.
class ByteWriter {
 public:
  explicit ByteWriter(std::span<std::byte> buffer) : buffer_(buffer) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::size_t written() const { return written_; }

  void u8(std::uint8_t value) { number(value); }
  void u16(std::uint16_t value) { number(value); }
  void u32(std::uint32_t value) { number(value); }
  void u64(std::uint64_t value) { number(value); }
  void bytes(std::span<const std::byte> value) {
    if (value.size() > buffer_.size() - written_) {
      ok_ = false;
      return;
    }
    if (!value.empty()) std::memcpy(buffer_.data() + written_, value.data(), value.size());
    written_ += value.size();
  }
  // A u16 length and the bytes; longer text than 65,535 bytes is not ok.
  void text(std::string_view value) {
    const std::size_t room = buffer_.size() - written_;
    if (value.size() > UINT16_MAX || room < sizeof(std::uint16_t) + value.size()) {
      ok_ = false;
      return;
    }
    u16(static_cast<std::uint16_t>(value.size()));
    bytes(std::as_bytes(std::span(value.data(), value.size())));
  }

 private:
  template <typename T>
  void number(T value) {
    std::byte raw[sizeof(T)];
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      raw[i] = static_cast<std::byte>((value >> (8 * i)) & 0xff);
    }
    bytes(raw);
  }

  std::span<std::byte> buffer_;
  std::size_t written_ = 0;
  bool ok_ = true;
};

}  // namespace sluice
