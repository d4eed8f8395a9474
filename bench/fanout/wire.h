/* What both C programs of the bench need: the clock, WebSocket frames (RFC 6455), the end with a message. */
#ifndef WIRE_H
#define WIRE_H
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="             /* the key of the RFC's example … */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="      /* … and what a server has to make of it */
enum { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };

#define die(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The head of a frame into `out`; a client's is masked, here with zeros, which leave the payload as it is. */
static inline size_t frame_head(uint8_t *out, int opcode, size_t length, int masked) {
    uint8_t mask = masked ? 0x80 : 0;
    size_t n = 0;
    out[n++] = (uint8_t)(0x80 | opcode);
    if (length < 126) {
        out[n++] = (uint8_t)(mask | length);
    } else if (length < 65536) {
        out[n++] = mask | 126;
        out[n++] = (uint8_t)(length >> 8);
        out[n++] = (uint8_t)length;
    } else {
        out[n++] = mask | 127;
        for (int shift = 56; shift >= 0; shift -= 8) out[n++] = (uint8_t)((uint64_t)length >> shift);
    }
    if (masked) {
        memset(out + n, 0, 4);
        n += 4;
    }
    return n;
}

struct frame {
    int opcode;
    uint8_t *payload;
    size_t length;
};

/* The first frame of `data`: how many bytes it takes, 0 while it is not whole. Masked payloads are unmasked in place. */
static inline size_t frame_read(uint8_t *data, size_t have, struct frame *frame) {
    if (have < 2) return 0;
    size_t head = 2, length = data[1] & 0x7f;
    if (length == 126) {
        if (have < 4) return 0;
        length = (size_t)data[2] << 8 | data[3];
        head = 4;
    } else if (length == 127) {
        if (have < 10) return 0;
        length = 0;
        for (int i = 2; i < 10; i++) length = length << 8 | data[i];
        head = 10;
    }
    uint8_t *mask = NULL;
    if (data[1] & 0x80) {
        mask = data + head;
        head += 4;
    }
    if (have < head + length) return 0;
    *frame = (struct frame){data[0] & 0x0f, data + head, length};
    if (mask)
        for (size_t i = 0; i < length; i++) frame->payload[i] ^= mask[i & 3];
    return head + length;
}

#endif
