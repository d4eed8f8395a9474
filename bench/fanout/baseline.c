/* The floor: a program that writes the same bytes to the same sockets, and does nothing else.
 *
 *   baseline
 *
 * Prints "port N". A connection to /runner is the producer: each of its messages is a finished Socket.IO packet, which
 * is framed and goes to every client. What came in with one read goes out with one send a client: the coalescing of our
 * service. Everybody else is a client: greeted, connected, joined with canned answers. No rooms, no ids, no journal, no
 * slow clients (one is an error), no authentication: what is left is the price of the kernel.
 */
#include "wire.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MAX_CLIENTS 20000
#define MAX_FD 20480
#define BUFFER (1 << 20)

enum kind { NEW, CLIENT, PRODUCER };
static struct peer {
    enum kind kind;
    int joined;                   /* its place in `members` + 1 */
    uint8_t *rest;
    size_t rest_bytes;
} peers[MAX_FD];
static int members[MAX_CLIENTS], member_count, epoll_fd;
static uint8_t in[BUFFER], out[BUFFER + (BUFFER >> 2)];

static void put(int fd, const void *data, size_t length) {
    if (send(fd, data, length, MSG_NOSIGNAL) != (ssize_t)length && errno == EAGAIN)
        die("baseline: a client is too slow for this program");
}

static void put_text(int fd, const char *text) {
    uint8_t frame[512];
    size_t head = frame_head(frame, TEXT, strlen(text), 0);
    memcpy(frame + head, text, strlen(text));
    put(fd, frame, head + strlen(text));
}

static void hang_up(int fd) {
    struct peer *peer = &peers[fd];
    if (peer->joined) {
        int last = members[--member_count];
        members[peer->joined - 1] = last;
        peers[last].joined = peer->joined;
    }
    free(peer->rest);
    *peer = (struct peer){0};
    close(fd);
}

static void hear(int fd, const struct frame *f) {
    if (f->opcode != TEXT) return;
    if (f->length >= 2 && !memcmp(f->payload, "40", 2)) {
        put_text(fd, "40{\"sid\":\"s\"}");
    } else if (f->length >= 3 && !memcmp(f->payload, "420", 3)) {
        put_text(fd, "430[{\"ok\":true}]");
        if (member_count == MAX_CLIENTS) die("baseline: too many clients");
        members[member_count++] = fd;
        peers[fd].joined = member_count;
    }
}

static void greet(int fd, uint8_t **data, size_t *have) {
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n";
    uint8_t *end = memmem(*data, *have, "\r\n\r\n", 4);
    if (!end) return;
    peers[fd].kind = memmem(*data, (size_t)(end - *data), "/runner", 7) ? PRODUCER : CLIENT;
    *have -= (size_t)(end + 4 - *data);
    *data = end + 4;
    put(fd, answer, sizeof answer - 1);
    if (peers[fd].kind == CLIENT)
        put_text(fd, "0{\"sid\":\"e\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}");
}

static void readable(int fd) {
    struct peer *peer = &peers[fd];
    if (peer->rest_bytes) memcpy(in, peer->rest, peer->rest_bytes);
    ssize_t got = recv(fd, in + peer->rest_bytes, BUFFER - peer->rest_bytes, 0);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) hang_up(fd);
        return;
    }
    uint8_t *data = in;
    size_t have = peer->rest_bytes + (size_t)got, used, joined = 0;
    struct frame f;
    if (peer->kind == NEW) greet(fd, &data, &have);
    while (peer->kind != NEW && (used = frame_read(data, have, &f))) {
        data += used;
        have -= used;
        if (peer->kind == CLIENT) {
            hear(fd, &f);
        } else if (f.opcode == TEXT) {
            joined += frame_head(out + joined, TEXT, f.length, 0);
            memcpy(out + joined, f.payload, f.length);
            joined += f.length;
        }
    }
    if (have && have > peer->rest_bytes) peer->rest = realloc(peer->rest, have);
    if (have) memcpy(peer->rest, data, have);
    peer->rest_bytes = have;
    if (joined)
        for (int i = 0; i < member_count; i++) put(members[i], out, joined);
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096)) die("baseline: %s", strerror(errno));
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    epoll_fd = epoll_create1(0);
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listener}, ready[512];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &wanted);
    for (;;) {
        int n = epoll_wait(epoll_fd, ready, 512, -1);
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            if (fd != listener) {
                readable(fd);
                continue;
            }
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                if (fd >= MAX_FD) die("baseline: too many open files");
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
                wanted.data.fd = fd;
                epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &wanted);
            }
        }
    }
}
