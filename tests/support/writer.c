/*
 * writer: writes the host's name into DIRECTORY/journal, a line every few milliseconds, for as long as it runs: also
 * while it takes its time to stop. It listens on port 8080 until there is a file DIRECTORY/sick-HOSTNAME.
 *
 *   writer DIRECTORY STOP_MS [EXIT_MS]    stop so long after SIGTERM; exit by itself, with 1, after so long, and
 *                                         never listen meanwhile
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t told;

static void note(int signal) { told = signal; }

static long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 16)) perror("listen"), exit(2);
    return listener;
}

int main(int count, char **arguments) {
    char line[80] = "", journal[200], sick[300];
    if (count < 3) return 2;
    gethostname(line, 70);
    snprintf(journal, sizeof journal, "%s/journal", arguments[1]);
    snprintf(sick, sizeof sick, "%s/sick-%s", arguments[1], line);
    strcat(line, "\n");
    signal(SIGTERM, note);
    int file = open(journal, O_WRONLY | O_APPEND | O_CREAT, 0666), listener = count > 3 ? -1 : listen_on(8080);
    if (file < 0) return perror(journal), 2;
    long stop_ms = atol(arguments[2]), ends_at = count > 3 ? now_ms() + atol(arguments[3]) : 0, stops_at = 0;
    for (;;) {
        if (write(file, line, strlen(line)) < 0) return perror(journal), 2;
        if (told && !stops_at) stops_at = now_ms() + stop_ms;
        if (stops_at && now_ms() >= stops_at) return 0;
        if (ends_at && now_ms() >= ends_at) return 1;
        if (listener >= 0 && !access(sick, F_OK)) close(listener), listener = -1;
        for (int client; listener >= 0 && (client = accept(listener, NULL, NULL)) >= 0;) close(client);
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
}
