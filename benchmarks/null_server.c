/* A server that computes nothing and reads next to nothing: what is left is the client's own cost.

   HTTP/1.1: a POST is answered with 200 and the body that the program was given the length of, any
   other request with 404. gRPC (HTTP/2 with prior knowledge): every stream that ends is answered with
   one message of that length and status 0. One thread, one epoll; the port is printed. */

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 1 << 16, MOST = 1 << 16, HEAD = 9 };

struct connection {
    int http2, greeted;
    size_t filled;
    char room[ROOM];
};

static struct connection *connections[MOST];
static char http_answer[ROOM], grpc_headers[256], grpc_message[ROOM], grpc_trailers[256];
static size_t http_length, headers_length, message_length, trailers_length;
static const char refusal[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}";
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static void say(int fd, const char *bytes, size_t length) {
    while (length) {
        ssize_t sent = write(fd, bytes, length);
        if (sent < 0 && errno != EAGAIN) return;
        if (sent > 0) bytes += sent, length -= (size_t)sent;
    }
}

static size_t frame(char *out, size_t length, int type, int flags, uint32_t stream) {
    out[0] = (char)(length >> 16), out[1] = (char)(length >> 8), out[2] = (char)length;
    out[3] = (char)type, out[4] = (char)flags;
    out[5] = (char)(stream >> 24), out[6] = (char)(stream >> 16);
    out[7] = (char)(stream >> 8), out[8] = (char)stream;
    return HEAD;
}

static size_t literal(char *out, const char *name, const char *value) {
    size_t n = strlen(name), v = strlen(value);
    out[0] = 0, out[1] = (char)n;
    memcpy(out + 2, name, n);
    out[2 + n] = (char)v;
    memcpy(out + 3 + n, value, v);
    return 3 + n + v;
}

static void prepare(size_t body) {
    http_length = (size_t)sprintf(http_answer,
                                  "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                                  "Content-Length: %zu\r\n\r\n", body);
    memset(http_answer + http_length, 'x', body);
    http_length += body;
    grpc_headers[0] = (char)0x88;
    headers_length = 1 + literal(grpc_headers + 1, "content-type", "application/grpc");
    grpc_message[3] = (char)(body >> 8), grpc_message[4] = (char)body;
    /* One field of the message that nobody knows, as long as the rest of it. */
    if (body > 4) {
        grpc_message[5] = (char)0xfa, grpc_message[6] = 0x01;
        size_t left = body - 4;
        grpc_message[7] = (char)(0x80 | (left & 0x7f)), grpc_message[8] = (char)(left >> 7);
        memset(grpc_message + 9, 'x', left);
    }
    message_length = 5 + body;
    trailers_length = literal(grpc_trailers, "grpc-status", "0");
}

static void answer_stream(int fd, uint32_t stream) {
    static char out[2 * ROOM];
    size_t at = frame(out, headers_length, 1, 4, stream);
    memcpy(out + at, grpc_headers, headers_length), at += headers_length;
    at += frame(out + at, message_length, 0, 0, stream);
    memcpy(out + at, grpc_message, message_length), at += message_length;
    at += frame(out + at, trailers_length, 1, 5, stream);
    memcpy(out + at, grpc_trailers, trailers_length), at += trailers_length;
    say(fd, out, at);
}

static size_t http2(int fd, struct connection *one) {
    size_t at = 0;
    uint32_t received = 0;
    char out[64];
    if (!one->greeted) {
        if (one->filled < sizeof preface - 1) return 0;
        at = sizeof preface - 1;
        one->greeted = 1;
        size_t length = frame(out, 0, 4, 0, 0);
        /* As large a window for the connection as there is. */
        length += frame(out + length, 4, 8, 0, 0);
        uint32_t more = htonl(0x7fffffff - 65535);
        memcpy(out + length, &more, 4);
        say(fd, out, length + 4);
    }
    while (one->filled - at >= HEAD) {
        unsigned char *head = (unsigned char *)one->room + at;
        size_t length = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        if (one->filled - at < HEAD + length) break;
        uint32_t stream;
        memcpy(&stream, head + 5, 4), stream = ntohl(stream);
        at += HEAD + length;
        if (head[3] == 0) received += (uint32_t)length;
        if (head[3] == 4 && !(head[4] & 1)) say(fd, out, frame(out, 0, 4, 1, 0));
        if (head[3] == 6 && !(head[4] & 1)) {
            size_t start = frame(out, 8, 6, 1, 0);
            memcpy(out + start, head + HEAD, 8);
            say(fd, out, start + 8);
        }
        if (head[3] <= 1 && head[4] & 1) answer_stream(fd, stream);
    }
    if (received) {
        size_t start = frame(out, 4, 8, 0, 0);
        uint32_t more = htonl(received);
        memcpy(out + start, &more, 4);
        say(fd, out, start + 4);
    }
    return at;
}

static size_t http1(int fd, struct connection *one) {
    size_t at = 0;
    for (;;) {
        char *begin = one->room + at;
        char *end = memmem(begin, one->filled - at, "\r\n\r\n", 4);
        if (!end) return at;
        char *field = memmem(begin, (size_t)(end - begin), "\r\nContent-Length: ", 18);
        size_t length = field ? strtoul(field + 18, NULL, 10) : 0;
        size_t whole = (size_t)(end + 4 - begin) + length;
        if (one->filled - at < whole) return at;
        if (memmem(begin, (size_t)(end - begin), "/infer", 6))
            say(fd, http_answer, http_length);
        else
            say(fd, refusal, sizeof refusal - 1);
        at += whole;
    }
}

static void leave(int fd) {
    free(connections[fd]);
    connections[fd] = NULL;
    close(fd);
}

static void serve(int fd) {
    struct connection *one = connections[fd];
    if (one->filled == ROOM) { leave(fd); return; }
    ssize_t got = read(fd, one->room + one->filled, ROOM - one->filled);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) leave(fd);
        return;
    }
    one->filled += (size_t)got;
    if (!one->greeted && one->filled >= 3) one->http2 = !memcmp(one->room, "PRI", 3);
    size_t used = one->http2 || one->greeted ? http2(fd, one) : http1(fd, one);
    memmove(one->room, one->room + used, one->filled - used);
    one->filled -= used;
}

int main(int count, char **words) {
    int yes = 1, listening = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    prepare(count > 1 ? strtoul(words[1], NULL, 10) : 164);
    bind(listening, (struct sockaddr *)&address, sizeof address);
    listen(listening, 4096);
    getsockname(listening, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listening}, events[256];
    epoll_ctl(poll, EPOLL_CTL_ADD, listening, &event);
    for (;;) {
        int ready = epoll_wait(poll, events, 256, -1);
        for (int at = 0; at < ready; at++) {
            int fd = events[at].data.fd;
            if (fd != listening) { serve(fd); continue; }
            int fresh = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
            if (fresh < 0) continue;
            if (fresh >= MOST || !(connections[fresh] = calloc(1, sizeof(struct connection)))) {
                close(fresh);
                continue;
            }
            setsockopt(fresh, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
            event.events = EPOLLIN, event.data.fd = fresh;
            epoll_ctl(poll, EPOLL_CTL_ADD, fresh, &event);
        }
    }
}
