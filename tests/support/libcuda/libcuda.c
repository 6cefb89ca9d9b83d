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

/* The allocation that was made last: what a client of a server shares with it. */
uint64_t last;
static size_t last_size;

CUresult cuIpcGetMemHandle(CUipcMemHandle *handle, uint64_t address) {
  if (!last || address != last) return 1;
  for (int i = 0; i < 64; i++) handle->reserved[i] = (char)(64 - i);
  return 0;
}

CUresult cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t size) {
  int own = last && to >= last && to + size <= last + last_size;
  if (!own && !inside(to, size)) return 1;
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

/* What an instance of a plan needs. Streams and graphs do at once what they are told; a graph is one
   copy, and is recorded only while its stream is captured. */
#include <stdlib.h>

static int allocated, hosted, streams, events, graphs, runnables, capturing, rank;
static struct { void *to; const void *from; size_t size; } recorded;

CUresult cuMemAlloc_v2(uint64_t *address, size_t size) {
  if (current < 1000) return 1;
  allocated++;
  last_size = size;
  return (last = *address = (uint64_t)(uintptr_t)malloc(size)) ? 0 : 2;
}

CUresult cuMemFree_v2(uint64_t address) {
  allocated--;
  if (address == last) last = 0;
  free((void *)(uintptr_t)address);
  return 0;
}

CUresult cuMemHostAlloc(void **place, size_t size, unsigned flags) {
  hosted++;
  return flags || !(*place = malloc(size));
}

CUresult cuMemFreeHost(void *place) { hosted--; free(place); return 0; }

CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest) {
  *least = 0;
  *greatest = -5;
  return 0;
}

CUresult cuStreamCreateWithPriority(void **stream, unsigned flags, int priority) {
  if (flags != 1) return 1;
  streams++;
  rank = priority;
  *stream = (void *)(uintptr_t)(7000 - priority);
  return 0;
}

CUresult cuStreamDestroy_v2(void *stream) { streams--; return stream ? 0 : 1; }

static int copy(void *to, const void *from, size_t size, void *stream) {
  if (!stream) return 1;
  if (capturing) {
    recorded.to = to;
    recorded.from = from;
    recorded.size = size;
  } else {
    memcpy(to, from, size);
  }
  return 0;
}

CUresult cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, void *stream) {
  return copy((void *)(uintptr_t)to, from, size, stream);
}

CUresult cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, void *stream) {
  return copy(to, (void *)(uintptr_t)from, size, stream);
}

CUresult cuEventCreate(void **event, unsigned flags) {
  if (flags != 2 && flags != 3) return 1;
  events++;
  *event = (void *)9;
  return 0;
}
CUresult cuEventRecord(void *event, void *stream) { return !event || !stream; }
CUresult cuEventSynchronize(void *event) { return !event; }
CUresult cuEventDestroy_v2(void *event) { events--; return !event; }

CUresult cuStreamBeginCapture_v2(void *stream, int mode) {
  if (!stream || mode != 1 || capturing) return 1;
  capturing = 1;
  return 0;
}

CUresult cuStreamEndCapture(void *stream, void **graph) {
  if (!stream || !capturing) return 1;
  capturing = 0;
  graphs++;
  *graph = (void *)11;
  return 0;
}

CUresult cuGraphInstantiateWithFlags(void **runnable, void *graph, unsigned long long flags) {
  if (flags || graph != (void *)11) return 1;
  runnables++;
  *runnable = (void *)12;
  return 0;
}

CUresult cuGraphDestroy(void *graph) { graphs--; return graph != (void *)11; }

CUresult cuGraphLaunch(void *graph, void *stream) {
  if (graph != (void *)12 || !stream) return 1;
  memcpy(recorded.to, recorded.from, recorded.size);
  return 0;
}

CUresult cuGraphExecDestroy(void *graph) { runnables--; return graph != (void *)12; }

int left(void) { return allocated + hosted + streams + events + graphs + runnables + capturing; }
int last_rank(void) { return rank; }

CUresult cuGetErrorName(CUresult error, const char **name) {
  *name = error == 101 ? "CUDA_ERROR_INVALID_DEVICE" : "CUDA_ERROR_INVALID_VALUE";
  return 0;
}
