/*
 * orchestry-demo: a small HTTP server to try Orchestry with. It does what a well-behaved app does (answers, tells its
 * health, stops gracefully), and misbehaves on request.
 *
 *   /               orchestry-demo VERSION from HOSTNAME [at INSTANCE_IP]
 *   /version        VERSION                         /healthz      200, or 503 after /fail-health
 *   /fail-health    fail from now on                /pass-health  be well again
 *   /status?code=N  answer with that status         /message      the content of the file MESSAGE_FILE
 *   /slow?ms=N      answer after so long            /burn?ms=N    answer after so much cpu time
 *   /headers        the request's headers           /echo         the request's body, up to 1 MiB
 *   /ws             a websocket that echoes         /exit?code=N, /crash
 *
 * The last segment of the path is what counts, so /shop/version works behind a prefix too; any other path answers as
 * `/` does. Options: --port N (or PORT; 8080), --worker (no port; a line a minute). Environment: START_DELAY_MS
 * (listen only then), HEALTH=fail, ERROR_PERCENT (so many of the answers to `/` are a 500), EXIT_AFTER_MS and
 * EXIT_CODE (1), IGNORE_TERM=1.
 *
 * One thread a connection. As process 1 of its container it has no default signal handlers: SIGTERM and SIGINT arrive
 * on a descriptor, and then it accepts no more, finishes the requests it has, closes idle connections, and exits with 0.
 */
#define _GNU_SOURCE
#include "websocket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION "dev"
#endif
#define BACKLOG 1024
#define STACK_BYTES (96 * 1024)
#define MAX_HEAD_BYTES (16 * 1024)
#define MAX_BODY_BYTES (1024 * 1024)

struct connection {
    int socket;
    bool busy; /* from a request's first byte to its answer's last */
    struct connection *next, **link;
};

struct request {
    struct connection *connection;
    char *target, *headers; /* both end in a NUL; headers are the lines after the first */
    char *body;
    size_t body_length;
    bool head_only, keep_alive;
};

static char hostname[65];
static atomic_bool healthy = true, stopping;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the list and each `busy` */
static pthread_cond_t connection_ended = PTHREAD_COND_INITIALIZER;
static struct connection *connections;

/* --- small things --- */

static long number_from_environment(const char *name, long otherwise) {
    const char *value = getenv(name);
    return value && *value ? atol(value) : otherwise;
}

static void say(const char *format, ...) {
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    dprintf(STDOUT_FILENO, "orchestry-demo %s: %s\n", VERSION, line);
}

static void leave(int code) {
    say("exiting with code %d", code);
    _exit(code);
}

static double seconds_on(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void sleep_ms(long ms) {
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) && errno == EINTR) continue;
}

static void burn_ms(long ms) {
    double until = seconds_on(CLOCK_THREAD_CPUTIME_ID) + (double)ms / 1e3;
    while (seconds_on(CLOCK_THREAD_CPUTIME_ID) < until) continue;
}

/* --- answers --- */

static bool send_all(int socket, const char *data, size_t length, int flags) {
    while (length > 0) {
        ssize_t sent = send(socket, data, length, MSG_NOSIGNAL | flags);
        if (sent < 0) return false;
        data += sent;
        length -= (size_t)sent;
    }
    return true;
}

static const char *reason_of(int status) {
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    default: return "Status";
    }
}

static bool answer(struct request *request, int status, const char *body, size_t length) {
    char head[256];
    if (stopping) request->keep_alive = false;
    int head_length = snprintf(head, sizeof head,
                               "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n",
                               status, reason_of(status), length, request->keep_alive ? "keep-alive" : "close");
    bool has_body = length > 0 && !request->head_only;
    int socket = request->connection->socket;
    return send_all(socket, head, (size_t)head_length, has_body ? MSG_MORE : 0) &&
           (!has_body || send_all(socket, body, length, 0));
}

static bool answer_line(struct request *request, int status, const char *format, ...) {
    char body[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(body, sizeof body, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof body) length = sizeof body - 1;
    return answer(request, status, body, (size_t)length);
}

static bool answer_greeting(struct request *request) {
    static atomic_uint greetings;
    long error_percent = number_from_environment("ERROR_PERCENT", 0);
    if (greetings++ * 37 % 100 < (unsigned)error_percent) /* spread evenly, and the same on every run */
        return answer_line(request, 500, "orchestry-demo %s failed, as ERROR_PERCENT asks\n", VERSION);
    const char *address = getenv("INSTANCE_IP");
    return answer_line(request, 200, "orchestry-demo %s from %s%s%s\n", VERSION, hostname, address ? " at " : "",
                       address ? address : "");
}

static bool answer_message(struct request *request) {
    const char *path = getenv("MESSAGE_FILE");
    char text[4096];
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return answer_line(request, 404, "no message: MESSAGE_FILE names no readable file\n");
    size_t length = fread(text, 1, sizeof text, file);
    fclose(file);
    return answer(request, 200, text, length);
}

/* The value of a header, or NULL; it ends where the line does. */
static const char *header(const struct request *request, const char *name) {
    size_t length = strlen(name);
    for (const char *line = request->headers; line && *line; line = strstr(line, "\r\n"), line = line ? line + 2 : NULL)
        if (!strncasecmp(line, name, length) && line[length] == ':') return line + length + 1 + strspn(line + length + 1, " ");
    return NULL;
}

static bool header_has(const struct request *request, const char *name, const char *word) {
    const char *value = header(request, name);
    return value && !strncasecmp(value, word, strlen(word));
}

static bool answer_websocket(struct request *request) {
    char head[256], key[64] = "", accept[32];
    const char *sent_key = header(request, "Sec-WebSocket-Key");
    if (!sent_key || !header_has(request, "Upgrade", "websocket"))
        return answer_line(request, 400, "/ws speaks websocket: Upgrade and Sec-WebSocket-Key are missing\n");
    sscanf(sent_key, "%63[^\r ]", key);
    websocket_accept_value(key, accept);
    int length = snprintf(head, sizeof head,
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Accept: %s\r\n\r\n",
                          accept);
    return send_all(request->connection->socket, head, (size_t)length, 0);
}

/* --- what is asked --- */

static long parameter(const char *query, const char *name, long otherwise) {
    size_t length = strlen(name);
    for (; query && *query; query = strchr(query, '&'), query = query ? query + 1 : NULL)
        if (!strncmp(query, name, length) && query[length] == '=') return atol(query + length + 1);
    return otherwise;
}

static bool set_health(struct request *request, bool well) {
    healthy = well;
    return answer_line(request, 200, "/healthz answers %d from now on\n", well ? 200 : 503);
}

/* False ends the connection. */
static bool respond(struct request *request) {
    char *query = strchr(request->target, '?');
    if (query) *query++ = '\0';
    const char *slash = strrchr(request->target, '/');
    const char *name = slash ? slash + 1 : "";
    if (!strcmp(name, "healthz"))
        return healthy ? answer_line(request, 200, "ok\n") : answer_line(request, 503, "unwell, as asked\n");
    if (!strcmp(name, "version")) return answer_line(request, 200, "%s\n", VERSION);
    if (!strcmp(name, "fail-health")) return set_health(request, false);
    if (!strcmp(name, "pass-health")) return set_health(request, true);
    if (!strcmp(name, "message")) return answer_message(request);
    if (!strcmp(name, "headers")) return answer(request, 200, request->headers, strlen(request->headers));
    if (!strcmp(name, "echo")) return answer(request, 200, request->body, request->body_length);
    if (!strcmp(name, "ws")) return answer_websocket(request);
    if (!strcmp(name, "status")) {
        long code = parameter(query, "code", 200);
        return answer_line(request, code >= 200 && code <= 599 ? (int)code : 400, "status %ld\n", code);
    }
    if (!strcmp(name, "slow")) sleep_ms(parameter(query, "ms", 1000));
    if (!strcmp(name, "burn")) burn_ms(parameter(query, "ms", 100));
    if (!strcmp(name, "crash")) __builtin_trap(); /* a signal that even process 1 can't ignore */
    if (!strcmp(name, "exit")) {
        int code = (int)parameter(query, "code", 0);
        answer_line(request, 200, "exiting with code %d\n", code);
        leave(code);
    }
    return answer_greeting(request);
}

/* --- one connection --- */

static void set_busy(struct connection *connection, bool busy) {
    pthread_mutex_lock(&lock);
    connection->busy = busy;
    pthread_mutex_unlock(&lock);
}

/* Fill `buffer` until it holds a whole head; the head's length, 0 at the end of the connection, -1 where it is too long. */
static ssize_t read_head(struct connection *connection, char *buffer, size_t *used) {
    char *end;
    buffer[*used] = '\0';
    while (!(end = strstr(buffer, "\r\n\r\n"))) {
        if (*used == MAX_HEAD_BYTES) return -1;
        ssize_t count = recv(connection->socket, buffer + *used, MAX_HEAD_BYTES - *used, 0);
        if (count <= 0) return 0;
        set_busy(connection, true);
        *used += (size_t)count;
        buffer[*used] = '\0';
    }
    return end + 4 - buffer;
}

static bool parse_head(struct request *request, char *head, size_t length) {
    head[length - 2] = '\0'; /* the last header keeps its own line end */
    char *line_end = strstr(head, "\r\n"), *target = strchr(head, ' ');
    if (!line_end || !target || target > line_end) return false;
    char *protocol = strstr(target + 1, " HTTP/1.");
    if (!protocol || protocol > line_end) return false;
    *protocol = *line_end = '\0';
    request->target = target + 1;
    request->headers = line_end + 2;
    request->head_only = !strncmp(head, "HEAD ", 5);
    request->keep_alive = protocol[8] == '0' ? header_has(request, "Connection", "keep-alive")
                                             : !header_has(request, "Connection", "close");
    return true;
}

/* The body, whose beginning may have come with the head. Returns the status to refuse with, or 0. */
static int read_body(struct request *request, const char *early, size_t *early_used) {
    const char *length = header(request, "Content-Length");
    if (header(request, "Transfer-Encoding")) return 411;
    size_t wanted = length ? strtoul(length, NULL, 10) : 0;
    if (wanted > MAX_BODY_BYTES) return 413;
    if (wanted == 0) return 0;
    if (!(request->body = malloc(wanted))) return 503;
    *early_used = wanted < *early_used ? wanted : *early_used;
    memcpy(request->body, early, *early_used);
    int socket = request->connection->socket;
    if (*early_used < wanted && header_has(request, "Expect", "100-continue"))
        send_all(socket, "HTTP/1.1 100 Continue\r\n\r\n", 25, 0);
    for (request->body_length = *early_used; request->body_length < wanted;) {
        ssize_t count = recv(socket, request->body + request->body_length, wanted - request->body_length, 0);
        if (count <= 0) return 400;
        request->body_length += (size_t)count;
    }
    return 0;
}

/* A refusal, and the end of the connection. What the client is still sending is read, for a while: closing over it
 * would make the kernel reset the connection, and the answer with it. */
static bool refuse(struct request *request, int status) {
    char scrap[4096];
    int socket = request->connection->socket;
    request->keep_alive = false;
    answer_line(request, status, "%s\n", reason_of(status));
    shutdown(socket, SHUT_WR);
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 1}, sizeof(struct timeval));
    ssize_t count;
    for (ssize_t left = 4 * MAX_BODY_BYTES; left > 0 && (count = recv(socket, scrap, sizeof scrap, 0)) > 0; left -= count)
        continue;
    return false;
}

/* One request and its answer. `buffer` keeps what came beyond it, for the next one. False ends the connection. */
static bool serve_request(struct connection *connection, char *buffer, size_t *used) {
    struct request request = {.connection = connection, .headers = ""};
    ssize_t head_length = read_head(connection, buffer, used);
    if (head_length == 0) return false;
    if (head_length < 0) return refuse(&request, 431);
    if (!parse_head(&request, buffer, (size_t)head_length)) return refuse(&request, 400);
    char *rest = buffer + head_length;
    size_t rest_length = *used - (size_t)head_length, body_in_rest = rest_length;
    int refusal = read_body(&request, rest, &body_in_rest);
    if (!request.body) body_in_rest = 0;
    bool going_on = false;
    if (refusal) {
        refuse(&request, refusal);
    } else if (respond(&request) && header_has(&request, "Upgrade", "websocket")) {
        set_busy(connection, false);
        if (stopping) shutdown(connection->socket, SHUT_RD);
        websocket_echo(connection->socket, rest, rest_length);
    } else {
        going_on = request.keep_alive;
    }
    free(request.body);
    *used = rest_length - body_in_rest;
    memmove(buffer, rest + body_in_rest, *used);
    return going_on;
}

static void *serve_connection(void *argument) {
    struct connection *connection = argument;
    char buffer[MAX_HEAD_BYTES + 1];
    size_t used = 0;
    while (serve_request(connection, buffer, &used)) {
        if (used == 0) set_busy(connection, false);
        if (used == 0 && stopping) break;
    }
    shutdown(connection->socket, SHUT_WR); /* the answer's last byte goes out before the end does */
    pthread_mutex_lock(&lock);
    if ((*connection->link = connection->next)) connection->next->link = connection->link;
    close(connection->socket);
    pthread_cond_signal(&connection_ended);
    pthread_mutex_unlock(&lock);
    free(connection);
    return NULL;
}

/* --- the server --- */

static void accept_one(int listener, const pthread_attr_t *attributes) {
    pthread_t thread;
    int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (socket < 0) return;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) leave(1);
    connection->socket = socket;
    pthread_mutex_lock(&lock);
    connection->link = &connections;
    if ((connection->next = connections)) connections->link = &connection->next;
    connections = connection;
    if (pthread_create(&thread, attributes, serve_connection, connection)) {
        say("no thread for another connection");
        connections = connection->next;
        if (connections) connections->link = &connections;
        close(socket);
        free(connection);
    }
    pthread_mutex_unlock(&lock);
}

static int listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, BACKLOG)) {
        say("can't listen on port %d: %s", port, strerror(errno));
        leave(1);
    }
    say("listening on port %d", port);
    return listener;
}

/* Requests that have arrived are answered; connections without one end now. */
static void finish(int listener, const pthread_attr_t *attributes) {
    say("stopping");
    for (struct pollfd waiting = {listener, POLLIN, 0}; poll(&waiting, 1, 0) > 0;) accept_one(listener, attributes);
    stopping = true;
    close(listener);
    pthread_mutex_lock(&lock);
    for (struct connection *each = connections; each; each = each->next)
        if (!each->busy) shutdown(each->socket, SHUT_RD); /* what was received before can still be read */
    while (connections) pthread_cond_wait(&connection_ended, &lock);
    pthread_mutex_unlock(&lock);
    leave(0);
}

/* Waits for a signal to stop, for the other descriptor (-1: none), or for so long (-1: for ever). True on the signal. */
static bool told_to_stop(int signals, int other, int ms) {
    static int ignore_term = -1;
    if (ignore_term < 0) ignore_term = number_from_environment("IGNORE_TERM", 0) != 0;
    struct pollfd waiting[] = {{signals, POLLIN, 0}, {other, POLLIN, 0}};
    poll(waiting, 2, ms);
    if (!waiting[0].revents) return false;
    struct signalfd_siginfo signal;
    if (read(signals, &signal, sizeof signal) < 0 || ignore_term) return say("ignoring a signal to stop"), false;
    return true;
}

static void serve(int signals, int port) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int listener = listen_on(port);
    while (!told_to_stop(signals, listener, -1)) accept_one(listener, &attributes);
    finish(listener, &attributes);
}

static void work(int signals) {
    do say("working"); while (!told_to_stop(signals, -1, 60000));
    leave(0);
}

static void *exit_after(void *ms) {
    sleep_ms((long)ms);
    leave((int)number_from_environment("EXIT_CODE", 1));
    return NULL;
}

static int block_stop_signals(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

int main(int count, char **arguments) {
    int port = (int)number_from_environment("PORT", 8080);
    bool worker = false;
    for (int i = 1; i < count; i++) {
        if (!strcmp(arguments[i], "--worker")) worker = true;
        else if (!strcmp(arguments[i], "--port") && i + 1 < count) port = atoi(arguments[++i]);
        else return say("unknown option %s; --port N and --worker are known", arguments[i]), 2;
    }
    int signals = block_stop_signals();
    const char *health = getenv("HEALTH");
    healthy = !(health && !strcmp(health, "fail"));
    gethostname(hostname, sizeof hostname - 1);
    pthread_t timer;
    long exit_after_ms = number_from_environment("EXIT_AFTER_MS", -1);
    if (exit_after_ms >= 0) pthread_create(&timer, NULL, exit_after, (void *)exit_after_ms);
    long start_delay_ms = number_from_environment("START_DELAY_MS", 0);
    if (start_delay_ms > 0) say("starting in %ld ms", start_delay_ms);
    if (told_to_stop(signals, -1, (int)start_delay_ms)) leave(0);
    if (worker) work(signals);
    else serve(signals, port);
}
