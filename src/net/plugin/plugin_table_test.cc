#include "src/net/plugin/plugin_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/net/plugin/fake_plugin_fixture.h"
#include "src/net/plugin/plugin_log.h"

namespace sluice {
namespace {

using fake::ResultCode;
using fake::state;
using testing::HasSubstr;

template <typename Version>
class PluginTableTest : public testing::Test {
 protected:
  static constexpr int kVersion = Version::value;

  void SetUp() override {
    state() = {};
    raw = fake::make_table<kVersion>();
    auto adapted = adapt_plugin_table(kVersion, &raw);
    ASSERT_TRUE(adapted.ok()) << adapted.status().to_string();
    table = adapted.take();
  }
  typename PluginAbi<kVersion>::Table raw;
  std::unique_ptr<PluginTable> table;
};

template <int kVersion>
using V = std::integral_constant<int, kVersion>;
using Versions = testing::Types<V<5>, V<6>, V<7>, V<8>, V<9>, V<10>, V<11>, V<12>>;
TYPED_TEST_SUITE(PluginTableTest, Versions);

TYPED_TEST(PluginTableTest, SaysWhatItIs) {
  EXPECT_EQ(this->table->version(), this->kVersion);
  EXPECT_EQ(this->table->name(), "Fake");
  EXPECT_EQ(this->table->wants_consumed(), this->kVersion >= 7);
  EXPECT_EQ(plugin_symbol(this->kVersion), "ncclNetPlugin_v" + std::to_string(this->kVersion));
  EXPECT_EQ(this->table->largest_registration() > INT32_MAX, this->kVersion >= 8);
}

TYPED_TEST(PluginTableTest, ContextGoesFromInitToFinalize) {
  const nccl_abi::DebugLogger logger = plugin_logger;
  EXPECT_EQ(this->table->init(logger), ResultCode::kSuccess);
  EXPECT_EQ(state().logger, logger);
  std::array<std::byte, nccl_abi::kHandleBytes> handle{};
  void* comm = nullptr;
  void* const context = this->kVersion >= 11 ? &state() : nullptr;
  EXPECT_EQ(this->table->listen(1, handle.data(), &comm), ResultCode::kSuccess);
  EXPECT_EQ(comm, &state());
  EXPECT_EQ(handle[0], std::byte{0x41}) << "device 1";
  EXPECT_EQ(state().context, context);
  state().context = nullptr;
  EXPECT_EQ(this->table->connect(0, handle.data(), &comm), ResultCode::kSuccess);
  EXPECT_EQ(state().context, context);
  EXPECT_EQ(state().traffic_class, this->kVersion >= 10 ? -1 : 0);
  EXPECT_FALSE(state().device_storage) << "a sender has none";
  state().context = nullptr;
  EXPECT_EQ(this->table->finalize(), ResultCode::kSuccess);
  EXPECT_EQ(state().context, context);
}

TYPED_TEST(PluginTableTest, PropertiesOfEveryVersion) {
  state().device_type = nccl_abi::kDeviceUnpack;
  state().device_version = 7;
  PluginDevice device;
  EXPECT_EQ(this->table->get_properties(1, device), ResultCode::kSuccess);
  EXPECT_EQ(device.name, "eth2");
  EXPECT_EQ(device.pci_path, "");
  EXPECT_EQ(device.speed_mbits, 200'000);
  EXPECT_EQ(device.pointer_support, 3);
  EXPECT_EQ(device.device_type, this->kVersion >= 7 ? 1 : 0);
  EXPECT_EQ(device.device_version, this->kVersion >= 7 ? 7 : 0);
  EXPECT_EQ(device.largest_message, this->kVersion >= 9 ? 1ul << 33 : 1ul << 30);
}

TYPED_TEST(PluginTableTest, StorageForADeviceHandleReachesAccept) {
  nccl_abi::DeviceHandle storage{};
  void* comm = nullptr;
  EXPECT_EQ(this->table->accept(nullptr, &comm, &storage), ResultCode::kSuccess);
  EXPECT_EQ(state().device_storage, this->kVersion >= 7);
  EXPECT_EQ(storage.type, this->kVersion >= 7 ? 1 : 0);
  EXPECT_EQ(this->table->accept(nullptr, &comm, nullptr), ResultCode::kSuccess);
  EXPECT_FALSE(state().device_storage);
}

TYPED_TEST(PluginTableTest, SizesKeepTheirBits) {
  void* handle = nullptr;
  void* request = nullptr;
  const std::size_t registered = this->kVersion >= 8 ? 5ul << 30 : INT32_MAX;
  EXPECT_EQ(this->table->reg_mr(nullptr, nullptr, registered, 2, &handle), ResultCode::kSuccess);
  EXPECT_EQ(state().bytes, registered);
  EXPECT_EQ(state().type, 2);
  const std::size_t message = this->kVersion >= 9 ? 1ul << 33 : 1ul << 30;
  EXPECT_EQ(this->table->isend(nullptr, nullptr, message, handle, &request), ResultCode::kSuccess);
  EXPECT_EQ(state().bytes, message);
  EXPECT_EQ(this->table->irecv(nullptr, nullptr, message - 1, handle, &request),
            ResultCode::kSuccess);
  EXPECT_EQ(state().bytes, message - 1);
  EXPECT_EQ(request, reinterpret_cast<void*>(2));
}

TYPED_TEST(PluginTableTest, TestKeepsASizeThatIsNotWritten) {
  int done = 7;
  int size = -99;
  state().done_up_to = 1;
  state().in_flight = 2;
  EXPECT_EQ(this->table->test(reinterpret_cast<void*>(1), &done, &size), ResultCode::kSuccess);
  EXPECT_EQ(done, 1);
  EXPECT_EQ(size, -99);
  state().size = 12;
  EXPECT_EQ(this->table->test(reinterpret_cast<void*>(1), &done, &size), ResultCode::kSuccess);
  EXPECT_EQ(size, 12);
}

TYPED_TEST(PluginTableTest, ResultsComeThroughWhateverTheyAre) {
  for (const int code : {0, 1, 2, 3, 7, 99, -1}) {
    state().result = static_cast<ResultCode>(code);
    int count = 0;
    EXPECT_EQ(static_cast<int>(this->table->devices(&count)), code);
  }
}

TYPED_TEST(PluginTableTest, AFunctionThatMustBeThereIsNamedWhenItIsNot) {
  const auto missing = [&](auto member, const char* name) {
    auto broken = this->raw;
    broken.*member = nullptr;
    const auto adapted = adapt_plugin_table(this->kVersion, &broken);
    ASSERT_FALSE(adapted.ok()) << name;
    EXPECT_EQ(adapted.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(adapted.status().message()), HasSubstr(name));
  };
  using Table = typename PluginAbi<TypeParam::value>::Table;
  missing(&Table::name, "name");
  missing(&Table::init, "init");
  missing(&Table::connect, "connect");
  missing(&Table::isend, "isend");
  missing(&Table::test, "test");
  missing(&Table::close_listen, "closeListen");
  if constexpr (TypeParam::value >= 11) missing(&Table::finalize, "finalize");
}

TYPED_TEST(PluginTableTest, FunctionsThatMayBeMissingMay) {
  if constexpr (TypeParam::value >= 7) this->raw.irecv_consumed = nullptr;
  const auto adapted = adapt_plugin_table(this->kVersion, &this->raw);
  ASSERT_TRUE(adapted.ok()) << adapted.status().to_string();
  EXPECT_FALSE((*adapted)->wants_consumed());
}

TEST(ResultCodes, HaveNames) {
  EXPECT_EQ(to_string(ResultCode::kInternalError), "InternalError (3)");
  EXPECT_EQ(to_string(static_cast<ResultCode>(-5)), "unknown result (-5)");
  EXPECT_EQ(to_string(static_cast<ResultCode>(8)), "unknown result (8)");
}

}  // namespace
}  // namespace sluice
