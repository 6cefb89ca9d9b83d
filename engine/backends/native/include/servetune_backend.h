/* servetune_backend.h: the C interface between servetune's engine and a native backend.
 *
 * A backend is a shared library, libtriton_<name>.so, that exports the functions at the end of this
 * file. For a model whose config.pbtxt says   backend: "<name>"   the engine looks for it in the
 * version's folder, in the model's folder, and in <backend-directory>/<name>/, in this order.
 * The three functions marked REQUIRED have to be there; what the others do is done without them.
 *
 * This is not Triton's TRITONBACKEND interface, and libraries built for that one do not load.
 *
 * Rules:
 *  1. Texts are UTF-8 and end with a zero byte. What the engine passes to a function lives until
 *     that function returns, unless it says otherwise here.
 *  2. A function that returns servetune_error* returns NULL when it did what it should. An error is
 *     made with host->error_new. Whoever gets one owns it: the engine frees those a library
 *     returns; a library frees those of the host's functions with host->error_free, or returns
 *     them.
 *  3. servetune_host's functions may be called by any thread, at any time from
 *     servetune_initialize until servetune_finalize returns.
 *  4. The engine calls execute of one instance by one thread at a time; different instances run side
 *     by side. C++ exceptions must not leave a function.
 *  5. By default the library runs in a process of its own for each instance; where the
 *     configuration says  parameters { key: "isolation" value { string_value: "none" } }  it runs
 *     inside the server, and all instances there share one model object. There a crash of the library
 *     ends the server.
 */
#ifndef SERVETUNE_BACKEND_H
#define SERVETUNE_BACKEND_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The interface's version. An engine loads libraries of its own major version whose minor version is
 * not above its own. A new minor version adds fields at the end of structs, values and optional
 * functions, and changes nothing that is here. */
#define SERVETUNE_ABI_MAJOR 1
#define SERVETUNE_ABI_MINOR 1
#define SERVETUNE_ABI_VERSION (((uint32_t)SERVETUNE_ABI_MAJOR << 16) | (uint32_t)SERVETUNE_ABI_MINOR)

#if defined(__GNUC__)
#define SERVETUNE_EXPORT __attribute__((visibility("default")))
#else
#define SERVETUNE_EXPORT
#endif

/* Why something failed; the numbers are those of TRITONSERVER_Error_Code. */
enum servetune_code {
  SERVETUNE_UNKNOWN = 0,
  SERVETUNE_INTERNAL = 1,
  SERVETUNE_NOT_FOUND = 2,
  SERVETUNE_INVALID_ARGUMENT = 3,
  SERVETUNE_UNAVAILABLE = 4,
  SERVETUNE_UNSUPPORTED = 5,
  SERVETUNE_ALREADY_EXISTS = 6,
  SERVETUNE_CANCELLED = 7
};

/* Types of elements; the numbers are those of config.pbtxt's DataType. */
enum servetune_dtype {
  SERVETUNE_BOOL = 1,
  SERVETUNE_UINT8 = 2,
  SERVETUNE_UINT16 = 3,
  SERVETUNE_UINT32 = 4,
  SERVETUNE_UINT64 = 5,
  SERVETUNE_INT8 = 6,
  SERVETUNE_INT16 = 7,
  SERVETUNE_INT32 = 8,
  SERVETUNE_INT64 = 9,
  SERVETUNE_FP16 = 10,
  SERVETUNE_FP32 = 11,
  SERVETUNE_FP64 = 12,
  SERVETUNE_BYTES = 13, /* each element: its length as a little-endian uint32, then itself */
  SERVETUNE_BF16 = 14
};

enum servetune_level {
  SERVETUNE_LOG_DEBUG = 0,
  SERVETUNE_LOG_INFO = 1,
  SERVETUNE_LOG_WARNING = 2,
  SERVETUNE_LOG_ERROR = 3
};

enum servetune_kind { SERVETUNE_CPU = 0, SERVETUNE_GPU = 1 };

/* Flags of requests and calls. */
#define SERVETUNE_SEQUENCE_START 1u
#define SERVETUNE_SEQUENCE_END 2u
/* Flag of responses and answers: no other follows. */
#define SERVETUNE_FINAL 1u

typedef struct servetune_error servetune_error;       /* the engine's */
typedef struct servetune_response servetune_response; /* the engine's */

/* A tensor: row-major, dense, in the CPU's memory. Of a batching model (max_batch_size above 0) the
 * first dimension is the batch's. */
typedef struct servetune_tensor {
  const char *name;
  const int64_t *dims;
  const void *data; /* never write to it; NULL may stand for no bytes */
  uint64_t byte_size;
  uint32_t dims_count;
  int32_t dtype; /* enum servetune_dtype */
} servetune_tensor;

/* One request. It lives until its final response was sent and execute has returned. If execute
 * returns an error, requests without a final response end with it, and are gone. */
typedef struct servetune_request {
  const char *id;               /* "" if the client gave none */
  const char *correlation_text; /* the sequence's id if that is a text, else "" */
  uint64_t correlation_id;      /* the sequence's id if that is a number, else 0 */
  const servetune_tensor *inputs;
  const char *const *outputs; /* those wanted; all of the model's if the client named none */
  const char *parameters;     /* a JSON object of the request's own parameters */
  uint64_t timeout_us;
  uint64_t priority;
  uint32_t inputs_count;
  uint32_t outputs_count;
  uint32_t flags; /* SERVETUNE_SEQUENCE_START, SERVETUNE_SEQUENCE_END */
  uint32_t reserved;
} servetune_request;

/* A question to another model of the same server. What stands in it need live no longer than the call
 * of infer or infer_async. */
typedef struct servetune_call {
  const char *model;
  int64_t version; /* -1: the newest that the model's version policy serves */
  const char *id;  /* NULL for none; so for the texts that follow */
  const char *correlation_text;
  uint64_t correlation_id;
  const servetune_tensor *inputs;
  const char *const *outputs; /* none: all of them */
  const char *parameters;     /* a JSON object */
  uint64_t timeout_us;
  uint64_t priority;
  uint32_t inputs_count;
  uint32_t outputs_count;
  uint32_t flags;
  uint32_t reserved;
} servetune_call;

/* What another model answered; lives until the function it was passed to returns. */
typedef struct servetune_answer {
  const servetune_tensor *outputs;
  const char *failure;  /* NULL, or why there are no outputs */
  uint32_t outputs_count;
  int32_t failure_code; /* enum servetune_code */
  uint32_t flags;       /* SERVETUNE_FINAL */
  uint32_t reserved;
} servetune_answer;

typedef void (*servetune_answered)(void *to, const servetune_answer *answer);
typedef void (*servetune_told)(void *to, const char *text);

/* What the engine does for a library. */
typedef struct servetune_host {
  uint32_t abi_version; /* the engine's; fields added by a minor version follow the last one here */
  uint32_t size;

  servetune_error *(*error_new)(int32_t code, const char *text);
  int32_t (*error_code)(const servetune_error *error);
  const char *(*error_text)(const servetune_error *error); /* lives as long as the error */
  void (*error_free)(servetune_error *error);

  /* Write a line to the server's log. */
  void (*log)(int32_t level, const char *text);

  /* Begin a response. A model that is not decoupled gives one to each request, before execute
   * returns; a decoupled one any number, also after it. */
  servetune_error *(*response_new)(const servetune_request *request, servetune_response **response);

  /* Add an output, and get the memory for its elements: byte_size bytes, which the library fills
   * before it sends the response. Nothing is copied from there inside the process. */
  servetune_error *(*response_output)(servetune_response *response, const char *name, int32_t dtype,
                                      const int64_t *dims, uint32_t dims_count, uint64_t byte_size,
                                      void **data);

  /* Give a JSON object of texts, numbers and booleans to the client with the response. */
  servetune_error *(*response_parameters)(servetune_response *response, const char *json);

  /* Send a response; it is gone afterwards, whatever is returned. With a failure the outputs are not
   * sent but the error is, which the call takes over. flags: SERVETUNE_FINAL, which is implied
   * where the model is not decoupled. */
  servetune_error *(*response_send)(servetune_response *response, servetune_error *failure,
                                    uint32_t flags);

  /* Give up a response without sending it. */
  void (*response_free)(servetune_response *response);

  /* Say that a decoupled model has sent its last response to a request. */
  servetune_error *(*request_end)(const servetune_request *request);

  /* Whether the client has taken the request back: 1 or 0. */
  int32_t (*request_cancelled)(const servetune_request *request);

  /* Ask another model. infer calls `answered` in its own thread for every answer (one, unless the
   * model asked is decoupled) and then returns; infer_async returns at once and calls it from a
   * thread of the engine's, the last time with SERVETUNE_FINAL. Neither is called any more once
   * an error was returned. A final answer may be empty: no outputs and no failure. A call that could
   * never be answered, as it came back to a model whose instances all wait for it, fails. */
  servetune_error *(*infer)(const servetune_call *call, servetune_answered answered, void *to);
  servetune_error *(*infer_async)(const servetune_call *call, servetune_answered answered, void *to);
} servetune_host;

typedef struct servetune_model_args {
  uint32_t size;
  uint32_t reserved;
  const char *name;
  int64_t version;
  const char *config; /* the model's configuration as JSON, as GET /v2/models/<name>/config gives */
  const char *model_directory;
  const char *version_directory;
  const char *settings; /* a JSON object of texts: --backend-config=<backend>,<key>=<value> (1.1) */
} servetune_model_args;

typedef struct servetune_instance_args {
  uint32_t size;
  int32_t kind;     /* enum servetune_kind */
  int32_t device;   /* the GPU's number; 0 for a CPU instance */
  uint32_t threads; /* its fair share of the machine's cores */
  const char *name;
} servetune_instance_args;

/* ---- What a library exports ---- */

/* REQUIRED. Return SERVETUNE_ABI_VERSION. */
SERVETUNE_EXPORT uint32_t servetune_abi_version(void);

/* REQUIRED. Called once in a process before any other; `host` lives until the process ends. */
SERVETUNE_EXPORT servetune_error *servetune_initialize(const servetune_host *host);

/* Called when no model of the library is left in the process. servetune_initialize may follow. */
SERVETUNE_EXPORT void servetune_finalize(void);

/* Complete a configuration: pass the whole of it, as JSON, to `told(to, text)`, or return without
 * calling it to leave it as it is. Inputs, outputs, max_batch_size, dynamic_batching and
 * model_transaction_policy are taken. */
SERVETUNE_EXPORT servetune_error *servetune_model_complete(const servetune_model_args *args,
                                                           servetune_told told, void *to);

/* Make and unmake what all instances of a model in one process share. */
SERVETUNE_EXPORT servetune_error *servetune_model_create(const servetune_model_args *args,
                                                         void **model);
SERVETUNE_EXPORT void servetune_model_destroy(void *model);

/* Make and unmake what executes. */
SERVETUNE_EXPORT servetune_error *servetune_instance_create(void *model,
                                                            const servetune_instance_args *args,
                                                            void **instance);
SERVETUNE_EXPORT void servetune_instance_destroy(void *instance);

/* REQUIRED. Answer `count` requests, or, if the model is decoupled, see that they will be answered. An
 * error returned is the answer to those that have none. Without servetune_instance_create,
 * `instance` is NULL. */
SERVETUNE_EXPORT servetune_error *servetune_instance_execute(
    void *instance, const servetune_request *const *requests, uint32_t count);

/* Say whether the instance can answer: NULL for yes. Called by another thread than execute. */
SERVETUNE_EXPORT servetune_error *servetune_instance_ready(void *instance);

#ifdef __cplusplus
}
#endif

#endif
