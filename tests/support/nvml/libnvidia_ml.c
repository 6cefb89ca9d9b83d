/* A stand-in for the NVIDIA driver's libnvidia-ml.so.1, for tests on machines without a GPU.

   It has the C interface that the binding nvidia-ml-py calls, as NVIDIA's nvml.h documents it,
   and takes its answers from the environment variable TINY_NVML, which is read at every call: words
   of the form name=value, separated by spaces. Each may be said of one GPU only: name@1=value.
     count=N           so many GPUs (default 1)
     init=CODE         nvmlInit fails with that code
     lost=1            the GPU is lost: it answers nothing but that
     mig=N             the GPU is divided into N MIG instances, at every other index from 1 on
     NAME=CODE         that question fails with that code: handle, memory, utilization, power, limit,
                       energy, name, temperature, clock, throttle, processes
     throttled=BITS    why the clocks are down
     busy=PERCENT      its utilisation
     kind=N            its name is that of GPU N
     pid=N procs=N mib=N   N processes compute there, with ids from pid on, and mib MiB each; without
                       mib the driver does not say how much
   GPU i has uuid GPU-tiny-i, 1000 + i MiB of 80 GiB used (of these 100 by the driver itself), 40 + i % utilisation, 100 + i of 300 + i
   watts, 60 + i degrees, an SM clock of 1500 + i MHz and a memory clock of 2600 + i MHz, and an
   energy counter that grows by 50 + i watts. Its MIG instance j has uuid MIG-tiny-i-j and 100 + j MiB
   of 10 GiB used; what NVIDIA's driver tells of whole GPUs only it does not tell either.
   Compiled with OLD_DRIVER it lacks what drivers have learnt since. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
  SUCCESS = 0,
  INVALID_ARGUMENT = 2,
  NOT_SUPPORTED = 3,
  NOT_FOUND = 6,
  INSUFFICIENT_SIZE = 7,
  GPU_IS_LOST = 15,
  MOST = 16,
  WHOLE = -1
};
enum { MIB = 1 << 20 };
static const unsigned long long NOT_AVAILABLE = ~0ULL;

struct device {
  int index;
  int instance;
};
static struct device devices[MOST];

static int found(const char *name, long *value) {
  const char *text = getenv("TINY_NVML");
  size_t length = strlen(name);
  while (text != NULL && *text != '\0') {
    text += strspn(text, " ");
    if (strncmp(text, name, length) == 0 && text[length] == '=') {
      *value = strtol(text + length + 1, NULL, 0);
      return 1;
    }
    text += strcspn(text, " ");
  }
  return 0;
}

static long setting(const char *name, long otherwise) {
  found(name, &otherwise);
  return otherwise;
}

static long setting_of(const struct device *device, const char *name, long otherwise) {
  char one[64];
  snprintf(one, sizeof one, "%s@%d", name, device->index);
  return setting(one, setting(name, otherwise));
}

/* What comes of a question: the GPU may be lost, and it may be told to fail. */
static int result(const struct device *device, const char *question) {
  if (setting_of(device, "lost", 0))
    return GPU_IS_LOST;
  return (int)setting_of(device, question, SUCCESS);
}

static int result_of_whole(const struct device *device, const char *question) {
  return device->instance == WHOLE ? result(device, question) : NOT_SUPPORTED;
}

int nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  return (int)setting("init", SUCCESS);
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code) {
  return code == NOT_SUPPORTED ? "Not Supported" : code == GPU_IS_LOST ? "GPU is lost" : "Some Error";
}

int nvmlSystemGetDriverVersion(char *text, unsigned size) {
  snprintf(text, size, "999.1.tiny");
  return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
  *count = (unsigned)setting("count", 1);
  return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct device **device) {
  if (index >= MOST || (long)index >= setting("count", 1))
    return INVALID_ARGUMENT;
  devices[index].index = (int)index;
  devices[index].instance = WHOLE;
  *device = &devices[index];
  return result(*device, "handle");
}

int nvmlDeviceGetUUID(struct device *device, char *text, unsigned size) {
  if (device->instance == WHOLE)
    snprintf(text, size, "GPU-tiny-%d", device->index);
  else
    snprintf(text, size, "MIG-tiny-%d-%d", device->index, device->instance);
  return SUCCESS;
}

int nvmlDeviceGetName(struct device *device, char *text, unsigned size) {
  snprintf(text, size, "Tiny GPU %d", (int)setting_of(device, "kind", device->index));
  return device->instance == WHOLE ? result(device, "name") : NOT_SUPPORTED;
}

struct memory {
  unsigned long long total, free, used;
};

int nvmlDeviceGetMemoryInfo(struct device *device, struct memory *memory) {
  int whole = device->instance == WHOLE;
  memory->total = (whole ? 80ULL : 10ULL) * 1024 * MIB;
  memory->used = (whole ? 1000ULL + (unsigned)device->index : 100ULL + (unsigned)device->instance) * MIB;
  memory->free = memory->total - memory->used;
  return result(device, "memory");
}

struct rates {
  unsigned gpu, memory;
};

int nvmlDeviceGetUtilizationRates(struct device *device, struct rates *rates) {
  rates->gpu = (unsigned)setting_of(device, "busy", 40 + device->index);
  rates->memory = 10;
  return result_of_whole(device, "utilization");
}

int nvmlDeviceGetPowerUsage(struct device *device, unsigned *milliwatts) {
  *milliwatts = 1000U * (100U + (unsigned)device->index);
  return result_of_whole(device, "power");
}

int nvmlDeviceGetPowerManagementLimit(struct device *device, unsigned *milliwatts) {
  *milliwatts = 1000U * (300U + (unsigned)device->index);
  return result_of_whole(device, "limit");
}

int nvmlDeviceGetTemperature(struct device *device, int sensor, unsigned *degrees) {
  *degrees = 60U + (unsigned)device->index;
  return sensor == 0 ? result_of_whole(device, "temperature") : INVALID_ARGUMENT;
}

int nvmlDeviceGetClockInfo(struct device *device, int clock, unsigned *megahertz) {
  *megahertz = (clock == 2 ? 2600U : 1500U) + (unsigned)device->index;
  return clock == 1 || clock == 2 ? result_of_whole(device, "clock") : INVALID_ARGUMENT;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(struct device *device, unsigned long long *bits) {
  *bits = (unsigned long long)setting_of(device, "throttled", 0);
  return result_of_whole(device, "throttle");
}

struct running {
  unsigned pid;
  unsigned long long bytes;
  unsigned gpu_instance, compute_instance;
};

int nvmlDeviceGetComputeRunningProcesses_v2(struct device *device, unsigned *count, struct running *list) {
  unsigned room = *count;
  int failed = result(device, "processes");
  if (failed)
    return failed;
  *count = (unsigned)setting_of(device, "procs", 0);
  if (list == NULL || room < *count)
    return *count ? INSUFFICIENT_SIZE : SUCCESS;
  for (unsigned i = 0; i < *count; i++) {
    long mib = setting_of(device, "mib", -1);
    list[i].pid = (unsigned)setting_of(device, "pid", 1) + i;
    list[i].bytes = mib < 0 ? NOT_AVAILABLE : (unsigned long long)mib * MIB;
    list[i].gpu_instance = list[i].compute_instance = ~0U;
  }
  return SUCCESS;
}

#ifndef OLD_DRIVER

static struct device instances[MOST][MOST];

struct memory_v2 {
  unsigned version;
  unsigned long long total, reserved, free, used;
};

int nvmlDeviceGetMemoryInfo_v2(struct device *device, struct memory_v2 *memory) {
  struct memory all;
  int failed = nvmlDeviceGetMemoryInfo(device, &all);
  memory->reserved = device->instance == WHOLE ? 100ULL * MIB : 0;
  memory->total = all.total;
  memory->free = all.free;
  memory->used = all.used - memory->reserved;
  return failed;
}

int nvmlDeviceGetTotalEnergyConsumption(struct device *device, unsigned long long *millijoules) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  double seconds = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
  *millijoules = (unsigned long long)(seconds * 1000.0 * (50.0 + device->index));
  return result_of_whole(device, "energy");
}

int nvmlDeviceGetCurrentClocksEventReasons(struct device *device, unsigned long long *bits) {
  return nvmlDeviceGetCurrentClocksThrottleReasons(device, bits);
}

int nvmlDeviceGetComputeRunningProcesses_v3(struct device *device, unsigned *count, struct running *list) {
  return nvmlDeviceGetComputeRunningProcesses_v2(device, count, list);
}

int nvmlDeviceGetMigMode(struct device *device, unsigned *current, unsigned *pending) {
  long parts = setting_of(device, "mig", -1);
  *current = *pending = parts > 0;
  return parts < 0 ? NOT_SUPPORTED : SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(struct device *device, unsigned *count) {
  (void)device;
  *count = 7;
  return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(struct device *device, unsigned index, struct device **part) {
  if (index % 2 == 0 || (long)(index / 2) >= setting_of(device, "mig", 0))
    return NOT_FOUND;
  *part = &instances[device->index][index];
  (*part)->index = device->index;
  (*part)->instance = (int)(index / 2);
  return SUCCESS;
}

#endif
