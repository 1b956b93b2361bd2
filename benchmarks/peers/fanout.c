/* The floor of bench_fanout.py: accepts N connections on 127.0.0.1, then, as it is told, sends SIZE bytes to each with
 * send(2), so many times, so many milliseconds apart. Commands on stdin: "go ROUNDS MS SIZE". It prints its port, then
 * "ready" when all are there, then the CPU seconds of every command. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double cpu(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
    int clients = argc > 1 ? atoi(argv[1]) : 1000, listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    int *sockets = malloc(sizeof(int) * clients);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 2048)) return 1;
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (int i = 0; i < clients; i++) {
        sockets[i] = accept(listener, NULL, NULL);
        setsockopt(sockets[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    printf("ready\n");
    fflush(stdout);
    int rounds, ms, size;
    while (scanf(" go %d %d %d", &rounds, &ms, &size) == 3) {
        char *data = malloc(size);
        memset(data, 'x', size);
        double before = cpu();
        for (int round = 0; round < rounds; round++) {
            struct timespec pause = {ms / 1000, (ms % 1000) * 1000000L};
            nanosleep(&pause, NULL);
            for (int i = 0; i < clients; i++)
                if (send(sockets[i], data, size, MSG_NOSIGNAL) != size) return 2;
        }
        printf("%.6f\n", cpu() - before);
        fflush(stdout);
        free(data);
    }
    return 0;
}
