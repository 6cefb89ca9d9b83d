/* A stand-in for the NVIDIA driver's libnvidia-ml.so.1, for tests on machines without a GPU.

   It has the C interface that the binding nvidia-ml-py calls, as NVIDIA's nvml.h documents it,
   and takes its answers from the environment variable TINY_NVML: words of the form name=value,
   separated by spaces.
     count=N           so many GPUs (default 1)
     init=CODE         nvmlInit fails with that code
     NAME=CODE         that question fails with that code: memory, utilization, power, limit,
                       energy, name
   GPU i has uuid GPU-tiny-i, 1000 + i MiB of 80 GiB used, 40 + i % utilisation, 100 + i of 300 + i
   watts,
   and an energy counter that grows by 50 + i watts. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, MOST = 16 };
enum { MIB = 1 << 20 };

struct device {
  int index;
};
static struct device devices[MOST];

static long setting(const char *name, long otherwise) {
  const char *text = getenv("TINY_NVML");
  size_t length = strlen(name);
  while (text != NULL && *text != '\0') {
    text += strspn(text, " ");
    if (strncmp(text, name, length) == 0 && text[length] == '=')
      return strtol(text + length + 1, NULL, 10);
    text += strcspn(text, " ");
  }
  return otherwise;
}

int nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  return (int)setting("init", SUCCESS);
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code) { return code == 3 ? "Not Supported" : "Some Error"; }

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
  *device = &devices[index];
  return SUCCESS;
}

int nvmlDeviceGetUUID(struct device *device, char *text, unsigned size) {
  snprintf(text, size, "GPU-tiny-%d", device->index);
  return SUCCESS;
}

int nvmlDeviceGetName(struct device *device, char *text, unsigned size) {
  snprintf(text, size, "Tiny GPU %d", device->index);
  return (int)setting("name", SUCCESS);
}

struct memory {
  unsigned long long total, free, used;
};

int nvmlDeviceGetMemoryInfo(struct device *device, struct memory *memory) {
  memory->total = 80ULL * 1024 * MIB;
  memory->used = (1000ULL + (unsigned)device->index) * MIB;
  memory->free = memory->total - memory->used;
  return (int)setting("memory", SUCCESS);
}

struct rates {
  unsigned gpu, memory;
};

int nvmlDeviceGetUtilizationRates(struct device *device, struct rates *rates) {
  rates->gpu = 40U + (unsigned)device->index;
  rates->memory = 10;
  return (int)setting("utilization", SUCCESS);
}

int nvmlDeviceGetPowerUsage(struct device *device, unsigned *milliwatts) {
  *milliwatts = 1000U * (100U + (unsigned)device->index);
  return (int)setting("power", SUCCESS);
}

int nvmlDeviceGetPowerManagementLimit(struct device *device, unsigned *milliwatts) {
  *milliwatts = 1000U * (300U + (unsigned)device->index);
  return (int)setting("limit", SUCCESS);
}

int nvmlDeviceGetTotalEnergyConsumption(struct device *device, unsigned long long *millijoules) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  double seconds = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
  *millijoules = (unsigned long long)(seconds * 1000.0 * (50.0 + device->index));
  return (int)setting("energy", SUCCESS);
}
