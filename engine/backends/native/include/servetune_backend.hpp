/* servetune_backend.hpp: a thin C++17 coat for servetune_backend.h; all of it is here, and optional.
 *
 * guard() turns exceptions into errors, Response sends itself or goes away, values<T>() looks at an
 * input. `host()` holds what servetune_initialize was given: define it once with SERVETUNE_HOST.
 */
#ifndef SERVETUNE_BACKEND_HPP
#define SERVETUNE_BACKEND_HPP

#include <cstddef>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "servetune_backend.h"

/* Hidden: two libraries in one process must not share host(). */
namespace servetune __attribute__((visibility("hidden"))) {

inline const servetune_host *&host() {
  static const servetune_host *kept = nullptr;
  return kept;
}

/* An error with a code; thrown here, and returned to the engine by guard(). */
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string &text, int32_t code = SERVETUNE_INTERNAL)
      : std::runtime_error(text), code_(code) {}
  int32_t code() const { return code_; }

 private:
  int32_t code_;
};

/* Throw an error that a function of the host returned. */
inline void check(servetune_error *error) {
  if (error == nullptr) return;
  Error thrown(host()->error_text(error), host()->error_code(error));
  host()->error_free(error);
  throw thrown;
}

/* Run `act`; what it throws becomes the error that is returned. */
template <typename Act>
servetune_error *guard(Act act) noexcept {
  try {
    act();
    return nullptr;
  } catch (const Error &error) {
    return host()->error_new(error.code(), error.what());
  } catch (const std::exception &error) {
    return host()->error_new(SERVETUNE_INTERNAL, error.what());
  } catch (...) {
    return host()->error_new(SERVETUNE_UNKNOWN, "an exception that is no std::exception");
  }
}

inline const servetune_tensor *find(const servetune_request &request, const char *name) {
  for (uint32_t i = 0; i < request.inputs_count; ++i)
    if (std::strcmp(request.inputs[i].name, name) == 0) return &request.inputs[i];
  return nullptr;
}

inline const servetune_tensor &input(const servetune_request &request, const char *name) {
  if (const servetune_tensor *found = find(request, name)) return *found;
  throw Error(std::string("input '") + name + "' is missing", SERVETUNE_INVALID_ARGUMENT);
}

inline bool wants(const servetune_request &request, const char *name) {
  for (uint32_t i = 0; i < request.outputs_count; ++i)
    if (std::strcmp(request.outputs[i], name) == 0) return true;
  return false;
}

/* The elements of a tensor; T has to be what dtype says. */
template <typename T>
const T *values(const servetune_tensor &tensor) {
  return static_cast<const T *>(tensor.data);
}

inline std::size_t elements(const servetune_tensor &tensor) {
  std::size_t count = 1;
  for (uint32_t i = 0; i < tensor.dims_count; ++i) count *= static_cast<std::size_t>(tensor.dims[i]);
  return count;
}

/* A response: add outputs, then send() or fail(); one that is not sent goes away. */
class Response {
 public:
  explicit Response(const servetune_request &request) {
    check(host()->response_new(&request, &response_));
  }
  Response(const Response &) = delete;
  Response &operator=(const Response &) = delete;
  ~Response() {
    if (response_ != nullptr) host()->response_free(response_);
  }

  void *output(const char *name, int32_t dtype, const std::vector<int64_t> &dims,
               uint64_t byte_size) {
    void *memory = nullptr;
    check(host()->response_output(response_, name, dtype, dims.data(),
                                  static_cast<uint32_t>(dims.size()), byte_size, &memory));
    return memory;
  }

  /* An output of the type, shape and size of a tensor. */
  void *like(const char *name, const servetune_tensor &tensor) {
    return output(name, tensor.dtype, {tensor.dims, tensor.dims + tensor.dims_count},
                  tensor.byte_size);
  }

  void parameters(const char *json) { check(host()->response_parameters(response_, json)); }
  void send(uint32_t flags = SERVETUNE_FINAL) { end(nullptr, flags); }
  void fail(const std::string &text, int32_t code = SERVETUNE_INTERNAL,
            uint32_t flags = SERVETUNE_FINAL) {
    end(host()->error_new(code, text.c_str()), flags);
  }

 private:
  void end(servetune_error *failure, uint32_t flags) {
    servetune_response *sent = response_;
    response_ = nullptr;
    check(host()->response_send(sent, failure, flags));
  }
  servetune_response *response_ = nullptr;
};

}  // namespace servetune

/* Defines servetune_abi_version and servetune_initialize; write it once, in one source file. */
#define SERVETUNE_HOST                                                                   \
  extern "C" SERVETUNE_EXPORT uint32_t servetune_abi_version(void) {                     \
    return SERVETUNE_ABI_VERSION;                                                        \
  }                                                                                      \
  extern "C" SERVETUNE_EXPORT servetune_error *servetune_initialize(                     \
      const servetune_host *given) {                                                     \
    servetune::host() = given;                                                           \
    return nullptr;                                                                      \
  }

#endif
