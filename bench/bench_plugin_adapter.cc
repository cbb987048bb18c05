// What an adapter costs per chunk: an isend and its test through a plugin's table, through the
// adapter of its version, and through a channel with its window and its registrations. The plugin
// does nothing.
#include <benchmark/benchmark.h>

#include <array>

#include "src/net/plugin/plugin_adapter.h"
#include "src/net/plugin/plugin_net.h"

namespace sluice {
namespace {

using nccl_abi::ResultCode;

template <typename... Arguments>
ResultCode nothing(Arguments...) {
  return ResultCode::kSuccess;
}
ResultCode give_request(void** request) {
  *request = request;
  return ResultCode::kSuccess;
}
ResultCode isend_v7(void*, void*, int, int, void*, void** request) { return give_request(request); }
ResultCode isend_v12(void*, void*, std::size_t, int, void*, void*, void** request) {
  return give_request(request);
}
ResultCode test(void*, int* done, int* sizes) {
  *done = 1;
  sizes[0] = 4096;
  return ResultCode::kSuccess;
}
template <typename Size>
ResultCode reg_mr(void*, void*, Size, int, void** handle) {
  return give_request(handle);
}
ResultCode get_properties(int, nccl_abi::v7::Properties* properties) {
  properties->pointer_support = nccl_abi::kPointerHost;
  return ResultCode::kSuccess;
}
ResultCode listen_v7(int, void*, void** comm) { return give_request(comm); }
ResultCode connect_v7(int, void*, void** comm, nccl_abi::DeviceHandle**) {
  return give_request(comm);
}

nccl_abi::v7::Table table_v7() {
  nccl_abi::v7::Table t{};
  t.name = "Bench";
  t.init = nothing;
  t.devices = nothing;
  t.get_properties = get_properties;
  t.listen = listen_v7;
  t.connect = connect_v7;
  t.accept = nothing;
  t.reg_mr = reg_mr<int>;
  t.dereg_mr = nothing;
  t.isend = isend_v7;
  t.irecv = nothing;
  t.iflush = nothing;
  t.test = test;
  t.close_send = nothing;
  t.close_recv = nothing;
  t.close_listen = nothing;
  return t;
}

template <typename Isend>
void raw(benchmark::State& state, Isend&& isend) {
  std::array<int, nccl_abi::kTestSizes> sizes{};
  for (auto _ : state) {
    void* request = nullptr;
    int done = 0;
    benchmark::DoNotOptimize(isend(&request));
    benchmark::DoNotOptimize(test(request, &done, sizes.data()));
  }
}

void through(benchmark::State& state, PluginTable& table) {
  PluginTable* volatile opaque = &table;  // As behind the Net: the compiler does not know which.
  PluginTable* const adapter = opaque;
  for (auto _ : state) {
    void* request = nullptr;
    int done = 0;
    int size = 0;
    benchmark::DoNotOptimize(adapter->isend(nullptr, nullptr, 4096, nullptr, &request));
    benchmark::DoNotOptimize(adapter->test(request, &done, &size));
  }
}

void BM_TableV7(benchmark::State& state) {
  const nccl_abi::v7::Table t = table_v7();
  const nccl_abi::v7::Table* volatile table = &t;
  raw(state,
      [&](void** request) { return table->isend(nullptr, nullptr, 4096, 0, nullptr, request); });
}
void BM_AdapterV7(benchmark::State& state) {
  const nccl_abi::v7::Table t = table_v7();
  PluginAdapter<7> adapter(t);
  through(state, adapter);
}
void BM_AdapterV12(benchmark::State& state) {
  nccl_abi::v12::Table t{};
  t.name = "Bench";
  t.isend = isend_v12;
  t.test = test;
  PluginAdapter<12> adapter(t);
  through(state, adapter);
}
void BM_ChannelV7(benchmark::State& state) {
  static const nccl_abi::v7::Table t = table_v7();
  const SystemClock clock;
  LoadedPlugin plugin;
  plugin.table = adapt_plugin_table(7, &t).take();
  plugin.devices = 1;
  auto net = PluginNet::create(std::move(plugin), {}, clock).take();
  std::array<std::byte, 4096> bytes{};
  auto memory = net->register_memory(bytes, Memory::kHost).take();
  auto listener = net->listen(0, "").take();
  auto connector = net->connect(0, listener->handle()).take();
  std::unique_ptr<SendChannel> channel;
  Status failure;
  connector->connect(channel, failure);
  for (auto _ : state) {
    benchmark::DoNotOptimize(channel->post(bytes.data(), bytes.size(), *memory));
    benchmark::DoNotOptimize(channel->test_oldest());
  }
}

BENCHMARK(BM_TableV7);
BENCHMARK(BM_AdapterV7);
BENCHMARK(BM_AdapterV12);
BENCHMARK(BM_ChannelV7);

}  // namespace
}  // namespace sluice

BENCHMARK_MAIN();
