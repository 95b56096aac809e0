/* Websockets: the handshake's answer, and an echo of every frame until the client leaves. */
#ifndef WEBSOCKET_H
#define WEBSOCKET_H

#include <stddef.h>

/* The Sec-WebSocket-Accept value for a client's key, as RFC 6455 has it; `accept` takes 29 bytes. */
void websocket_accept_value(const char *key, char *accept);

/* Echo until the client closes or the connection ends; what was read past the handshake comes first. */
void websocket_echo(int connection, const char *early, size_t early_length);

#endif
