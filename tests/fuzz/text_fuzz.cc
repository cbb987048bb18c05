// The texts that people and peers give: addresses, values of settings.
#include <cstdlib>
#include <string>

#include "sluice/options.h"
#include "src/engine/secret.h"
#include "tests/fuzz/fuzz_target.h"

namespace sluice::fuzz {

void run(std::span<const std::byte> input) {
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  const auto address = Address::parse(text);
  if (address.ok()) {
    const auto again = Address::parse(address->to_string());
    if (!again.ok() || again->host != address->host || again->port != address->port ||
        again->secret != address->secret) {
      std::abort();
    }
  }
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return;
  Options options;
  const std::string_view name = text.substr(0, equals);
  if (!set_option(options, name, text.substr(equals + 1)).ok()) return;
  if (!validate(options).ok()) return;  // Some rules need more than the one value.
  const std::string value = get_option(options, name);
  Options again;
  if (!set_option(again, name, value).ok() || get_option(again, name) != value) std::abort();
}

std::vector<Bytes> seeds() {
  std::vector<Bytes> result{bytes_of(Address{"10.0.0.1", 20000, Secret{}}.to_string()),
                            bytes_of(Address{"fe80::1%eth0", 1, Secret{}}.to_string())};
  const Options defaults;
  for (const Setting& setting : settings()) {
    result.push_back(
        bytes_of(std::string(setting.name) + "=" + get_option(defaults, setting.name)));
    result.push_back(bytes_of(std::string(setting.name) + "=512KiB"));
  }
  return result;
}

}  // namespace sluice::fuzz
