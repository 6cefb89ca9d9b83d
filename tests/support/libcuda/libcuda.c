/* A stand-in for the CUDA driver: two devices, one shared allocation of 32 bytes on device 1. */
#include <stdint.h>
#include <string.h>

typedef int CUresult;
typedef struct { char reserved[64]; } CUipcMemHandle;

static char memory[32];
static int inited, mapped, pending;
static intptr_t current = -1;

CUresult cuInit(unsigned flags) { inited = 1; return flags ? 1 : 0; }

CUresult cuDeviceGet(int *device, int ordinal) {
  if (!inited) return 3;
  if (ordinal < 0 || ordinal > 1) return 101;
  *device = ordinal + 10;
  return 0;
}

CUresult cuDevicePrimaryCtxRetain(void **context, int device) {
  *context = (void *)(intptr_t)(device * 100);
  return 0;
}

CUresult cuCtxSetCurrent(void *context) { current = (intptr_t)context; return 0; }

CUresult cuIpcOpenMemHandle_v2(uint64_t *address, CUipcMemHandle handle, unsigned flags) {
  for (int i = 0; i < 64; i++)
    if (handle.reserved[i] != (char)i) return 1;
  if (current != 1100 || flags != 1 || mapped) return 1;
  mapped = 1;
  for (int i = 0; i < 32; i++) memory[i] = (char)i;
  *address = (uint64_t)(uintptr_t)memory;
  return 0;
}

CUresult cuMemGetAddressRange_v2(uint64_t *base, size_t *size, uint64_t address) {
  if (base || address != (uint64_t)(uintptr_t)memory) return 1;
  *size = sizeof memory;
  return 0;
}

static int inside(uint64_t address, size_t size) {
  uint64_t start = (uint64_t)(uintptr_t)memory;
  return mapped && current == 1100 && address >= start && address + size <= start + sizeof memory;
}

CUresult cuMemcpyDtoH_v2(void *to, uint64_t from, size_t size) {
  if (!inside(from, size)) return 1;
  memcpy(to, (void *)(uintptr_t)from, size);
  return 0;
}

CUresult cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t size) {
  if (!inside(to, size)) return 1;
  memcpy((void *)(uintptr_t)to, from, size);
  return 0;
}

CUresult cuMemcpyDtoD_v2(uint64_t to, uint64_t from, size_t size) {
  if (!inside(to, size) || !inside(from, size)) return 1;
  memmove((void *)(uintptr_t)to, (void *)(uintptr_t)from, size);
  pending = 1;
  return 0;
}

CUresult cuStreamSynchronize(void *stream) {
  if (stream || current != 1100 || !pending) return 1;
  pending = 0;
  return 0;
}

CUresult cuIpcCloseMemHandle(uint64_t address) {
  if (!inside(address, 1)) return 1;
  mapped = 0;
  return 0;
}

CUresult cuGetErrorName(CUresult error, const char **name) {
  *name = error == 101 ? "CUDA_ERROR_INVALID_DEVICE" : "CUDA_ERROR_INVALID_VALUE";
  return 0;
}
