/* The load of bench/fanout: N Socket.IO clients and the one producer, in one thread on epoll.
 *
 *   load HOST PORT SERVER_PID CLIENT_AUTH_JSON PRODUCER_PATH DIALECT TOKEN RUNNER_ID
 *
 * Commands on stdin, an answer of one JSON line to each:
 *   open N                    connect clients until there are N, each joined to the village
 *   flight W WARM SECONDS     keep W events in flight; an event is over when every client has it
 *   rate R WARM SECONDS       R events a second, evenly, whatever the server does; latency from the intended moment
 *   idle SECONDS              answer pings
 *   close                     close all clients at once
 *
 * DIALECT, what a producer's message is: none (there is no producer), runner (townwatch.runner.v1), event (one runner
 * event), or packet (the finished
 * Socket.IO packet, for the C baseline). Every event carries "@@number,nanoseconds@@" in its data: each client counts
 * what is lost, double or out of order, and takes the latency. Times are CLOCK_MONOTONIC, sent and received here.
 */
#include "wire.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define EVENT_BYTES 300
#define MAX_CLIENTS 20000
#define OPENING 128          /* handshakes under way at once */
#define MAX_FLIGHT 2048      /* events under way; a server further behind is overloaded */
#define BUFFER (1 << 20)
#define SUB 64               /* latency buckets per power of two: 1.6 % */
#define DRAIN_NS 60000000000ull

enum state { CONNECTING, UPGRADING, GREETED, JOINED, OVER };
struct client {
    int fd;
    enum state state;
    uint64_t next;           /* the number of the event it waits for */
    uint64_t seen;           /* bit i: number next - 1 - i was received */
    uint8_t *rest;           /* the beginning of a frame whose end has not come */
    size_t rest_bytes;
};

static struct client clients[MAX_CLIENTS], producer;
static int total, opened, joined, epoll_fd, closed_by_server;
static struct sockaddr_in address;
static const char *auth, *path, *dialect, *token, *runner_id;
static pid_t server_pid;
static uint8_t buffer[BUFFER];

static uint64_t last_number, session_number;
static uint32_t arrived[MAX_FLIGHT * 2];   /* clients that have the event, by number modulo */
static int in_flight;
static struct { uint64_t deliveries, reads, lost, twice, disordered, pings, events; } count;
static uint64_t latency[64 * SUB];
static int counting;

/* --- sending ------------------------------------------------------------------------------------------------------ */

static void say(struct client *c, int opcode, const char *text, size_t length) {
    static uint8_t out[8192];
    if (length > sizeof out - 16) die("load: a message is too long");
    size_t head = frame_head(out, opcode, length, 1);
    memcpy(out + head, text, length);
    if (send(c->fd, out, head + length, MSG_NOSIGNAL) != (ssize_t)(head + length) && c == &producer)
        die("load: the server does not read what the producer sends: %s", strerror(errno));
}

static void say_text(struct client *c, const char *text) { say(c, TEXT, text, strlen(text)); }

static void produce(uint64_t stamp) {
    char event[EVENT_BYTES + 64], message[EVENT_BYTES + 512];
    uint64_t number = ++last_number;
    int packet = !strcmp(dialect, "packet");
    int n = packet
        ? snprintf(event, sizeof event, "42[\"work_stream_event\",{\"agentId\":\"runner_bench-00\",\"sessionId\":\"bench-%010llu\","
                   "\"type\":\"output\",\"payload\":{\"data\":\"@@%010llu,%016llu@@", (unsigned long long)session_number,
                   (unsigned long long)number, (unsigned long long)stamp)
        : snprintf(event, sizeof event, "{\"type\":\"TERMINAL_CHUNK\",\"sessionId\":\"bench-%010llu\",\"orgId\":\"demo\","
                   "\"repoRef\":{\"provider\":\"local\",\"path\":\"/srv/demo\"},\"ts\":1700000000000,\"seq\":%llu,\"stream\":\"stdout\","
                   "\"data\":\"@@%010llu,%016llu@@", (unsigned long long)session_number,
                   (unsigned long long)(number), (unsigned long long)number, (unsigned long long)stamp);
    /* the baseline's packet is as long as ours: the same filling as in an event, and the fields around it */
    int filling = packet ? 330 - n : EVENT_BYTES - 2 - n;
    memset(event + n, 'x', (size_t)filling);
    snprintf(event + n + filling, sizeof event - (size_t)(n + filling), "\"}");
    int length;
    if (packet)
        length = snprintf(message, sizeof message, "%.*s\",\"stream\":\"stdout\"},\"timestamp\":\"2023-11-14T22:13:20.000Z\","
                          "\"seq\":%07llu},\"01234567.0123\"]", n + filling, event, (unsigned long long)number);
    else
        length = snprintf(message, sizeof message, strcmp(dialect, "runner") ? "%s" : "{\"type\":\"events\",\"events\":[%s]}", event);
    arrived[number % (MAX_FLIGHT * 2)] = 0;
    in_flight++;
    say(&producer, TEXT, message, (size_t)length);
}

/* --- receiving ---------------------------------------------------------------------------------------------------- */

static int bucket(uint64_t us) {
    if (us < SUB) return (int)us;
    int power = 63 - __builtin_clzll(us);
    return (power - 5) * SUB + (int)((us >> (power - 6)) & (SUB - 1));
}

static uint64_t bucket_us(int index) {
    if (index < SUB) return (uint64_t)index;
    int power = index / SUB + 5;
    return (1ull << power) + ((uint64_t)(index % SUB) << (power - 6));
}

static void over(uint64_t number) {
    if (++arrived[number % (MAX_FLIGHT * 2)] == (uint32_t)total) {
        in_flight--;
        count.events += (uint64_t)counting;
    }
}

/* Event `number` at a client: whether it is new to it. */
static int note(struct client *c, uint64_t number) {
    if (number == c->next) {
        c->seen = c->seen << 1 | 1;
        c->next++;
        return 1;
    }
    if (number > c->next) {                       /* the ones between are lost, until they come after all */
        uint64_t hole = number - c->next;
        count.lost += hole;
        c->seen = hole >= 63 ? 1 : c->seen << (hole + 1) | 1;
        c->next = number + 1;
        return 1;
    }
    uint64_t back = c->next - 1 - number;
    if (back >= 64 || c->seen >> back & 1) {
        count.twice++;
        return 0;
    }
    c->seen |= 1ull << back;
    count.lost--;
    count.disordered++;
    return 1;
}

static uint64_t digits(const uint8_t *text, int n) {
    uint64_t value = 0;
    for (int i = 0; i < n; i++) value = value * 10 + (uint64_t)(text[i] - '0');
    return value;
}

static void take_event(struct client *c, const struct frame *f, uint64_t now) {
    static size_t where;                          /* the mark is where it was in the last event */
    const uint8_t *mark = f->payload + where;
    if (where + 31 > f->length || mark[0] != '@' || mark[1] != '@' || mark[12] != ',' || mark[29] != '@') {
        mark = memmem(f->payload, f->length, "@@", 2);
        if (!mark || mark + 31 > f->payload + f->length) return;
        where = (size_t)(mark - f->payload);
    }
    uint64_t number = digits(mark + 2, 10), sent = digits(mark + 13, 16);
    if (!note(c, number)) return;
    over(number);
    if (counting) {
        count.deliveries++;
        latency[bucket((now - sent) / 1000)]++;
    }
}

static int begins(const struct frame *f, const char *text) {
    size_t n = strlen(text);
    return f->length >= n && !memcmp(f->payload, text, n);
}

static void take_text(struct client *c, struct frame *f, uint64_t now) {
    if (c == &producer) {
        if (memmem(f->payload, f->length < 200 ? f->length : 200, "\"welcome\"", 9)) c->state = JOINED;
        else if (begins(f, "{\"type\":\"nack\"") || begins(f, "{\"type\":\"error\""))
            die("load: the producer was told %.*s", (int)f->length, f->payload);
    } else if (begins(f, "42[\"work_stream_event\"")) {
        take_event(c, f, now);
    } else if (f->length == 1 && f->payload[0] == '2') {
        say_text(c, "3");
        count.pings++;
    } else if (begins(f, "0{")) {
        char text[2048];
        snprintf(text, sizeof text, "40%s", auth);
        say_text(c, text);
    } else if (begins(f, "40")) {
        say_text(c, "420[\"join_village\",{\"villageId\":\"demo\"}]");
    } else if (begins(f, "430")) {
        if (!memmem(f->payload, f->length, "true", 4)) die("load: a join was refused: %.*s", (int)f->length, f->payload);
        c->state = JOINED;
        c->next = last_number + 1;
        joined++;
    } else if (begins(f, "42") && f->length > 3 && f->payload[2] != '[') {   /* it wants an acknowledgement */
        char text[32];
        size_t n = 2;
        while (n < f->length && n < 20 && f->payload[n] != '[') n++;
        say_text(c, (snprintf(text, sizeof text, "43%.*s[]", (int)n - 2, f->payload + 2), text));
    } else if (begins(f, "44")) {
        die("load: a connection was refused: %.*s", (int)f->length, f->payload);
    }
}

static void drop(struct client *c) {
    if (c->state == OVER) return;
    if (c == &producer) die("load: the server closed the producer's connection");
    joined -= c->state == JOINED;
    c->state = OVER;
    close(c->fd);
    free(c->rest);
    c->rest = NULL;
    c->rest_bytes = 0;
}

static void upgraded(struct client *c, uint8_t **data, size_t *have) {
    uint8_t *end = memmem(*data, *have, "\r\n\r\n", 4);
    if (!end) return;
    if (!memmem(*data, *have, " 101 ", 5) || !memmem(*data, *have, ACCEPT, strlen(ACCEPT)))
        die("load: no WebSocket: %.*s", (int)*have, *data);
    *have -= (size_t)(end + 4 - *data);
    *data = end + 4;
    c->state = GREETED;
    if (c != &producer) return;
    if (strcmp(dialect, "runner")) {
        c->state = JOINED;
    } else {
        char hello[256];
        snprintf(hello, sizeof hello, "{\"type\":\"hello\",\"runnerId\":\"%s\",\"name\":\"bench\",\"version\":\"1\",\"sessions\":[]}", runner_id);
        say_text(c, hello);
    }
}

static void readable(struct client *c) {
    memcpy(buffer, c->rest, c->rest_bytes);
    ssize_t got = recv(c->fd, buffer + c->rest_bytes, BUFFER - c->rest_bytes, 0);
    if (got <= 0) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        closed_by_server += c->state == JOINED;
        drop(c);
        return;
    }
    uint64_t now = now_ns();
    uint8_t *data = buffer;
    size_t have = c->rest_bytes + (size_t)got, used;
    struct frame f;
    count.reads += (uint64_t)(counting && c != &producer);
    if (c->state == UPGRADING) upgraded(c, &data, &have);
    while (c->state != UPGRADING && (used = frame_read(data, have, &f))) {
        data += used;
        have -= used;
        if (f.opcode == TEXT) take_text(c, &f, now);
        else if (f.opcode == PING) say(c, PONG, (char *)f.payload, f.length);
        else if (f.opcode == CLOSE) { closed_by_server += c->state == JOINED; drop(c); return; }
    }
    if (have && have > c->rest_bytes) c->rest = realloc(c->rest, have);
    if (have) memcpy(c->rest, data, have);
    c->rest_bytes = have;
}

/* --- connecting --------------------------------------------------------------------------------------------------- */

static void dial(struct client *c) {
    int yes = 1;
    *c = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), .state = CONNECTING};
    if (c->fd < 0) die("load: socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        die("load: connect: %s", strerror(errno));
    struct epoll_event wanted = {.events = EPOLLOUT, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &wanted);
}

static void connected(struct client *c) {
    char request[1024], authorization[512] = "";
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) die("load: connect: %s", strerror(error));
    if (c == &producer && *token) snprintf(authorization, sizeof authorization, "Authorization: Bearer %s\r\n", token);
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                     c == &producer ? path : "/socket.io/?EIO=4&transport=websocket", ntohs(address.sin_port), authorization);
    if (send(c->fd, request, (size_t)n, MSG_NOSIGNAL) != n) die("load: send: %s", strerror(errno));
    c->state = UPGRADING;
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &wanted);
}

static void turn(int timeout_ms) {
    struct epoll_event ready[512];
    int n = epoll_wait(epoll_fd, ready, 512, timeout_ms);
    for (int i = 0; i < n; i++) {
        struct client *c = ready[i].data.ptr;
        if (c->state == CONNECTING) connected(c);
        else if (c->state != OVER) readable(c);
    }
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

static double cpu_of(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t)) die("load: the server is gone");
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t percentile(double share) {
    uint64_t below = 0, all = 0;
    for (int i = 0; i < 64 * SUB; i++) all += latency[i];
    for (int i = 0; i < 64 * SUB; i++)
        if ((below += latency[i]) && (double)below >= share * (double)all) return bucket_us(i);
    return 0;
}

static void open_clients(int wanted) {
    uint64_t begun = now_ns();
    if (wanted > MAX_CLIENTS) die("load: at most %d clients", MAX_CLIENTS);
    total = wanted;
    while (joined < wanted) {
        while (opened < wanted && opened - joined < OPENING) dial(&clients[opened++]);
        turn(1000);
        if (closed_by_server || now_ns() - begun > 300000000000ull) die("load: %d of %d joined, %d cut", joined, wanted, closed_by_server);
    }
    double seconds = (double)(now_ns() - begun) / 1e9;
    if (!producer.fd && strcmp(dialect, "none")) {
        dial(&producer);
        while (producer.state != JOINED) turn(1000);
    }
    printf("{\"joined\":%d,\"seconds\":%.3f}\n", joined, seconds);
}

static void close_clients(void) {
    for (int i = 0; i < opened; i++) drop(&clients[i]);
    opened = joined = 0;
    printf("{\"joined\":0}\n");
}

static void run(int width, double rate, double warm, double seconds) {
    uint64_t begun = now_ns(), from = begun + (uint64_t)(warm * 1e9), until = from + (uint64_t)(seconds * 1e9), due = begun;
    uint64_t wall = 0, overload = 0;
    clockid_t server = (~(clockid_t)server_pid) << 3 | 2;
    double server_cpu = 0, own_cpu = 0;
    memset(&count, 0, sizeof count);
    memset(latency, 0, sizeof latency);
    for (uint64_t now = begun; now < until; now = now_ns()) {
        if (!counting && now >= from) {
            counting = 1;
            wall = now;
            server_cpu = cpu_of(server), own_cpu = cpu_of(CLOCK_PROCESS_CPUTIME_ID);
        }
        if (rate > 0) {
            for (; due <= now && !overload; due += (uint64_t)(1e9 / rate)) {
                if (in_flight >= MAX_FLIGHT) overload = 1;
                else produce(due);
            }
            turn(due > now ? (int)((due - now) / 1000000) : 0);
        } else {
            while (in_flight < width) produce(now_ns());
            turn(100);
        }
        if (closed_by_server || overload) break;
    }
    counting = 0;
    wall = now_ns() - wall;
    server_cpu = cpu_of(server) - server_cpu, own_cpu = cpu_of(CLOCK_PROCESS_CPUTIME_ID) - own_cpu;
    for (uint64_t end = now_ns() + DRAIN_NS; in_flight && now_ns() < end;) turn(100);
    for (int i = 0; i < opened; i++) {
        count.lost += last_number + 1 - clients[i].next;   /* what never came */
        clients[i].next = last_number + 1;
    }
    in_flight = 0;
    double s = (double)wall / 1e9;
    printf("{\"seconds\":%.4f,\"deliveries\":%llu,\"events\":%llu,\"per_second\":%.1f,\"server_cpu\":%.5f,\"load_cpu\":%.5f,\"reads\":%llu,"
           "\"p50_us\":%llu,\"p99_us\":%llu,\"lost\":%llu,\"twice\":%llu,\"disordered\":%llu,\"cut\":%d,\"overload\":%llu}\n",
           s, (unsigned long long)count.deliveries, (unsigned long long)count.events, (double)count.deliveries / s, server_cpu, own_cpu,
           (unsigned long long)count.reads, (unsigned long long)percentile(.5), (unsigned long long)percentile(.99),
           (unsigned long long)count.lost, (unsigned long long)count.twice, (unsigned long long)count.disordered, closed_by_server,
           (unsigned long long)overload);
}

static void idle(double seconds) {
    count.pings = 0;
    for (uint64_t end = now_ns() + (uint64_t)(seconds * 1e9); now_ns() < end;) turn(100);
    printf("{\"joined\":%d,\"pings\":%llu,\"cut\":%d}\n", joined, (unsigned long long)count.pings, closed_by_server);
}

int main(int argc, char **argv) {
    if (argc != 9) die("usage: load HOST PORT SERVER_PID CLIENT_AUTH_JSON PRODUCER_PATH DIALECT TOKEN RUNNER_ID");
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &address.sin_addr);
    server_pid = atoi(argv[3]), auth = argv[4], path = argv[5], dialect = argv[6], token = argv[7], runner_id = argv[8];
    epoll_fd = epoll_create1(0);
    session_number = now_ns() / 1000 % 10000000000ull;
    char line[256];
    double a, b, c;
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "open %lf", &a) == 1) open_clients((int)a);
        else if (sscanf(line, "flight %lf %lf %lf", &a, &b, &c) == 3) run((int)a, 0, b, c);
        else if (sscanf(line, "rate %lf %lf %lf", &a, &b, &c) == 3) run(0, a, b, c);
        else if (sscanf(line, "idle %lf", &a) == 1) idle(a);
        else if (!strncmp(line, "close", 5)) close_clients();
        else die("load: what is %s", line);
        fflush(stdout);
    }
    return 0;
}
