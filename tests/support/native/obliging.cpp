// Does as the parameters of a request or of the configuration say; else gives inputs back as outputs.
#include <servetune_backend.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

SERVETUNE_HOST

namespace {

bool has(const char *text, const std::string &word) {
  return std::string(text).find("\"" + word + "\"") != std::string::npos;
}

struct Model {
  std::string config, version_directory, settings;
  std::atomic<int> instances{0};
};

struct Instance {
  Model *model;
  std::string name;
  int kind;
  std::vector<std::thread> threads;
};

void wait_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

void echo(const servetune_request &request, servetune::Response &response) {
  for (uint32_t i = 0; i < request.inputs_count; ++i) {
    const servetune_tensor &one = request.inputs[i];
    std::string name = std::string("SAME_") + one.name;
    if (!servetune::wants(request, name.c_str())) continue;
    void *memory = response.like(name.c_str(), one);
    if (one.byte_size) std::memcpy(memory, one.data, one.byte_size);
  }
}

std::string flags_of(const servetune_request &request) {
  return "{\"id\": \"" + std::string(request.id) + "\", \"text\": \"" + request.correlation_text +
         "\", \"number\": " + std::to_string(request.correlation_id) +
         ", \"flags\": " + std::to_string(request.flags) + ", \"priority\": " +
         std::to_string(request.priority) + ", \"timeout\": " + std::to_string(request.timeout_us) +
         ", \"batch\": true}";
}

struct Relay {
  const servetune_request *request;
  servetune::Response response;
  explicit Relay(const servetune_request &one) : request(&one), response(one) {}
};

// Hands what another model answered on as the answer to a request.
void relayed(void *to, const servetune_answer *answer) {
  Relay *relay = static_cast<Relay *>(to);
  if (answer->failure != nullptr) {
    relay->response.fail(std::string("asked in vain: ") + answer->failure, answer->failure_code);
  } else {
    for (uint32_t i = 0; i < answer->outputs_count; ++i) {
      const servetune_tensor &one = answer->outputs[i];
      std::memcpy(relay->response.like(one.name, one), one.data, one.byte_size);
    }
    relay->response.send();
  }
}

void ask(const servetune_request &request, bool wait) {
  servetune_call call{};
  const char *text = std::strstr(request.parameters, "\"ask\":\"") + 7;
  std::string model(text, std::strchr(text, '"'));
  call.model = model.c_str();
  call.version = -1;
  call.inputs = request.inputs;
  call.inputs_count = request.inputs_count;
  Relay *relay = new Relay(request);
  servetune::check((wait ? servetune::host()->infer : servetune::host()->infer_async)(
      &call, [](void *to, const servetune_answer *answer) {
        relayed(to, answer);
        if (answer->flags & SERVETUNE_FINAL) delete static_cast<Relay *>(to);
      }, relay));
}

// Three answers, the last final, from a thread of its own.
void repeat(const servetune_request *request) {
  for (int i = 0; i < 3; ++i) {
    servetune_error *lost = servetune::guard([&] {
      servetune::Response response(*request);
      echo(*request, response);
      response.send(i == 2 ? SERVETUNE_FINAL : 0);
    });
    if (lost != nullptr) std::abort();
  }
}

void until_cancelled(const servetune_request *request) {
  while (!servetune::host()->request_cancelled(request)) wait_ms(2);
  servetune::guard([&] { servetune::Response(*request).fail("taken back", SERVETUNE_CANCELLED); });
}

void answer(Instance &instance, const servetune_request &request, bool decoupled) {
  const char *told = request.parameters;
  if (has(told, "crash")) std::raise(SIGSEGV);
  if (has(told, "leave")) std::_Exit(3);
  if (has(told, "silent")) return;
  if (has(told, "slow")) wait_ms(50);
  if (has(told, "log")) servetune::host()->log(SERVETUNE_LOG_WARNING, "here I am");
  if (has(told, "fail")) {
    const char *code = std::strstr(told, "\"fail\":") + 7;
    servetune::Response(request).fail("as you wish", std::atoi(code));
    return;
  }
  if (has(told, "thread")) {
    servetune_error *lost = nullptr;
    std::thread([&] { lost = servetune::guard([&] { ask(request, true); }); }).join();
    return servetune::check(lost);
  }
  if (has(told, "ask")) return ask(request, !decoupled);
  if (has(told, "end")) return servetune::check(servetune::host()->request_end(&request));
  if (has(told, "watch")) {
    instance.threads.emplace_back(until_cancelled, &request);
    return;
  }
  if (decoupled) {
    instance.threads.emplace_back(repeat, &request);
    return;
  }
  servetune::Response response(request);
  const int64_t dims[] = {1, 4}, negative[] = {1, -4};
  void *memory = nullptr;
  const servetune_host *host = servetune::host();
  (void)host;
  if (has(told, "stranger")) response.output("STRANGER", SERVETUNE_FP32, {1, 4}, 16);
  if (has(told, "other_type")) response.output("SAME_FP32", SERVETUNE_INT32, {1, 4}, 16);
  if (has(told, "no_type")) response.output("SAME_FP32", 99, {1, 4}, 16);
  if (has(told, "negative")) response.output("SAME_FP32", SERVETUNE_FP32, {1, -4}, 16);
  if (has(told, "short")) response.output("SAME_FP32", SERVETUNE_FP32, {1, 4}, 12);
  if (has(told, "rank")) response.output("SAME_FP32", SERVETUNE_FP32, {4}, 16);
  if (has(told, "garbled")) {
    memory = response.output("SAME_BYTES", SERVETUNE_BYTES, {1, 2}, 8);
    std::memset(memory, 0xff, 8);
    return response.send();
  }
  (void)dims, (void)negative;
  if (has(told, "settings")) response.parameters(instance.model->settings.c_str());
  if (has(told, "parameters")) response.parameters(flags_of(request).c_str());
  echo(request, response);
  if (has(told, "twice")) {
    servetune::Response other(request);
    response.send();
    return other.send();
  }
  response.send();
}

}  // namespace

extern "C" {

servetune_error *servetune_model_complete(const servetune_model_args *args, servetune_told told,
                                          void *to) {
  return servetune::guard([&] {
    std::string config = args->config;
    if (has(config.c_str(), "refuse"))
      throw servetune::Error("I do not want this configuration", SERVETUNE_INVALID_ARGUMENT);
    if (has(config.c_str(), "nonsense")) return told(to, "no JSON");
    if (!has(config.c_str(), "complete")) return;
    std::string name = args->name;
    told(to, ("{\"name\": \"" + name + "\", \"max_batch_size\": 4, \"input\": [{\"name\": \"FP32\", "
              "\"data_type\": \"TYPE_FP32\", \"dims\": [4]}], \"output\": [{\"name\": \"SAME_FP32\", "
              "\"data_type\": \"TYPE_FP32\", \"dims\": [4]}]}").c_str());
  });
}

servetune_error *servetune_model_create(const servetune_model_args *args, void **model) {
  return servetune::guard([&] {
    if (has(args->config, "crash_at_load")) std::raise(SIGSEGV);
    if (has(args->config, "fail_load"))
      throw servetune::Error("no weights", SERVETUNE_NOT_FOUND);
    Model *made = new Model;
    made->config = args->config;
    made->version_directory = args->version_directory;
    made->settings = args->settings;
    *model = made;
  });
}

void servetune_model_destroy(void *model) {
  std::string file = static_cast<Model *>(model)->version_directory + "/destroyed";
  if (std::FILE *opened = std::fopen(file.c_str(), "a")) {
    std::fputs("1\n", opened);
    std::fclose(opened);
  }
  delete static_cast<Model *>(model);
}

servetune_error *servetune_instance_create(void *model, const servetune_instance_args *args,
                                           void **instance) {
  Model *owner = static_cast<Model *>(model);
  ++owner->instances;
  *instance = new Instance{owner, args->name, args->kind, {}};
  return nullptr;
}

void servetune_instance_destroy(void *instance) {
  Instance *one = static_cast<Instance *>(instance);
  if (has(one->model->config.c_str(), "hang_at_close"))
    while (true) wait_ms(1000);
  for (std::thread &thread : one->threads) thread.join();
  delete one;
}

servetune_error *servetune_instance_execute(void *instance, const servetune_request *const *requests,
                                            uint32_t count) {
  Instance &one = *static_cast<Instance *>(instance);
  const bool decoupled = one.model->config.find("\"decoupled\": true") != std::string::npos;
  for (uint32_t i = 0; i < count; ++i)
    if (has(requests[i]->parameters, "fail_all"))
      return servetune::host()->error_new(SERVETUNE_UNAVAILABLE, "all of you");
  for (uint32_t i = 0; i < count; ++i)
    if (servetune_error *error = servetune::guard([&] { answer(one, *requests[i], decoupled); }))
      return error;
  return nullptr;
}

servetune_error *servetune_instance_ready(void *instance) {
  if (has(static_cast<Instance *>(instance)->model->config.c_str(), "never_ready"))
    return servetune::host()->error_new(SERVETUNE_UNAVAILABLE, "still warming up");
  return nullptr;
}

}  // extern "C"
