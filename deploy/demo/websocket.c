/*
 * The least a websocket server needs (RFC 6455): SHA-1 and base64 for the handshake, frames of up to 4 KiB echoed as
 * they came, a pong for every ping, and a close frame when either side ends. Larger frames are refused with 1009.
 */
#include "websocket.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_PAYLOAD 4096

enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };
enum { GOING_AWAY = 1001, PROTOCOL_ERROR = 1002, TOO_BIG = 1009 };

struct reader {
    int connection;
    const char *early;
    size_t early_length;
};

static uint32_t rotate(uint32_t word, int bits) { return word << bits | word >> (32 - bits); }

static void sha1_block(uint32_t state[5], const uint8_t *block) {
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) f = (b & c) | (~b & d), k = 0x5a827999;
        else if (i < 40) f = b ^ c ^ d, k = 0x6ed9eba1;
        else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
        else f = b ^ c ^ d, k = 0xca62c1d6;
        uint32_t next = rotate(a, 5) + f + e + k + w[i];
        e = d, d = c, c = rotate(b, 30), b = a, a = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* Of at most 119 bytes: two blocks, which is all a handshake needs. */
static void sha1(const char *text, uint8_t digest[20]) {
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t padded[128] = {0};
    size_t length = strlen(text), blocks = length < 56 ? 1 : 2;
    memcpy(padded, text, length);
    padded[length] = 0x80;
    padded[64 * blocks - 2] = (uint8_t)(length * 8 >> 8);
    padded[64 * blocks - 1] = (uint8_t)(length * 8);
    for (size_t i = 0; i < blocks; i++) sha1_block(state, padded + 64 * i);
    for (int i = 0; i < 20; i++) digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

void websocket_accept_value(const char *key, char *accept) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[100];
    uint8_t digest[21] = {0};
    snprintf(text, sizeof text, "%.60s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1(text, digest);
    for (int i = 0, out = 0; i < 21; i += 3) {
        uint32_t bits = (uint32_t)digest[i] << 16 | digest[i + 1] << 8 | digest[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6) accept[out++] = letters[bits >> shift & 63];
    }
    strcpy(accept + 27, "="); /* 20 bytes: the last of 28 letters is padding */
}

static int read_exactly(struct reader *reader, uint8_t *into, size_t length) {
    while (length > 0) {
        ssize_t count;
        if (reader->early_length > 0) {
            count = (ssize_t)(length < reader->early_length ? length : reader->early_length);
            memcpy(into, reader->early, (size_t)count);
            reader->early += count;
            reader->early_length -= (size_t)count;
        } else if ((count = recv(reader->connection, into, length, 0)) <= 0) {
            return 0;
        }
        into += count;
        length -= (size_t)count;
    }
    return 1;
}

static int send_frame(int connection, int kind, const uint8_t *payload, size_t length) {
    uint8_t head[4] = {(uint8_t)(0x80 | kind), (uint8_t)length};
    size_t head_length = 2;
    if (length > 125) {
        head[1] = 126;
        head[2] = (uint8_t)(length >> 8);
        head[3] = (uint8_t)length;
        head_length = 4;
    }
    return send(connection, head, head_length, MSG_NOSIGNAL | MSG_MORE) >= 0 &&
           send(connection, payload, length, MSG_NOSIGNAL) >= 0;
}

static void send_close(int connection, int code) {
    uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    send_frame(connection, CLOSE, payload, 2);
}

/* One frame in, its echo out. Returns the code to close with, 0 to go on, -1 where the client has closed. */
static int echo_frame(struct reader *reader) {
    uint8_t head[2], wide[2], mask[4], payload[MAX_PAYLOAD];
    if (!read_exactly(reader, head, 2)) return GOING_AWAY;
    int kind = head[0] & 15;
    size_t length = head[1] & 127;
    if (!(head[0] & 0x80) || !(head[1] & 0x80)) return PROTOCOL_ERROR; /* a fragment, or not masked */
    if (length == 127) return TOO_BIG;
    if (length == 126) {
        if (!read_exactly(reader, wide, 2)) return GOING_AWAY;
        length = (size_t)wide[0] << 8 | wide[1];
    }
    if (length > MAX_PAYLOAD) return TOO_BIG;
    if (!read_exactly(reader, mask, 4) || !read_exactly(reader, payload, length)) return GOING_AWAY;
    for (size_t i = 0; i < length; i++) payload[i] ^= mask[i % 4];
    if (kind == PONG) return 0;
    if (kind == PING) kind = PONG;
    int sent = send_frame(reader->connection, kind, payload, length);
    return kind == CLOSE || !sent ? -1 : 0;
}

void websocket_echo(int connection, const char *early, size_t early_length) {
    struct reader reader = {connection, early, early_length};
    int code;
    while ((code = echo_frame(&reader)) == 0) continue;
    if (code > 0) send_close(connection, code);
}
