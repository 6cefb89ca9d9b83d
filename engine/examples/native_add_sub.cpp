// A native model: OUTPUT0 = INPUT0 + INPUT1, OUTPUT1 = INPUT0 - INPUT1, element by element.
#include <servetune_backend.hpp>

SERVETUNE_HOST

namespace {

// Answers one request; what it throws is the request's answer.
void answer(const servetune_request &request) {
  const servetune_tensor &left = servetune::input(request, "INPUT0");
  const servetune_tensor &right = servetune::input(request, "INPUT1");
  const std::size_t count = servetune::elements(left);
  if (count != servetune::elements(right))
    throw servetune::Error("INPUT0 and INPUT1 differ in shape", SERVETUNE_INVALID_ARGUMENT);
  const float *a = servetune::values<float>(left), *b = servetune::values<float>(right);
  servetune::Response response(request);
  if (servetune::wants(request, "OUTPUT0")) {
    float *sums = static_cast<float *>(response.like("OUTPUT0", left));
    for (std::size_t i = 0; i < count; ++i) sums[i] = a[i] + b[i];
  }
  if (servetune::wants(request, "OUTPUT1")) {
    float *differences = static_cast<float *>(response.like("OUTPUT1", left));
    for (std::size_t i = 0; i < count; ++i) differences[i] = a[i] - b[i];
  }
  response.send();
}

}  // namespace

extern "C" servetune_error *servetune_instance_execute(void *, const servetune_request *const *requests,
                                                       uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    try {
      answer(*requests[i]);
    } catch (const servetune::Error &error) {
      servetune_error *lost = servetune::guard(
          [&] { servetune::Response(*requests[i]).fail(error.what(), error.code()); });
      if (lost != nullptr) return lost;  // the answer to all that have none yet
    }
  }
  return nullptr;
}
