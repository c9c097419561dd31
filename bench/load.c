/* Sends one request again and again over kept-alive connections, and checks every answer.
 *
 * usage: load PORT CONCURRENCY REQUESTS FILE EVENTS [RATE]
 *
 * With RATE so many requests begin each second, whether answers came or not, and each is timed from the moment it was
 * due: what waits for a free connection waited for the server. SIGTERM ends it early, with what was seen.
 *
 * FILE is a whole HTTP/1.1 request as it goes on the wire. Every answer must be a 200 that holds EVENTS texts
 * beginning n0000, n0001, … in this order (a plain answer holds one). Prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IDLE, SENDING, HEAD, BODY };
enum { STALL_S = 20, MARK = 7, RECEIVE = 65536 };

typedef struct {
    int fd, state, sent, status, chunked, closes, seen, disordered, tail_size;
    long left;        /* bytes of the sized body, or of the chunk at hand, still to come; -1: until the end */
    int chunk_state;  /* 0 size line, 1 data, 2 line end after data, 3 trailer */
    int trailer_size;
    double began_s, first_s;
    char head[16384];
    int head_size;
    char tail[16];    /* the last bytes of the body so far: a mark may be cut in two */
} Conn;

static struct sockaddr_in server = {.sin_family = AF_INET};
static int poller, expected_events, request_size, concurrency;
static long wanted, started, finished, errors, reconnects, total_events, body_bytes;
static char *request, first_error[400];
static double *took_s, *first_byte_s, rate, began_all_s;
static Conn **idle;
static int idle_count;
static volatile sig_atomic_t ending;

static void end_early(int number) {
    (void)number;
    ending = 1;
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void dial(Conn *c) {
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server)) {
        perror("load: connect");
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e);
}

/* The request is small enough for any socket buffer, so that a blocking send never waits here. */
static void begin(Conn *c) {
    c->state = IDLE;
    if (started >= wanted) return;
    double due_s = rate ? began_all_s + started / rate : 0;
    if (rate && now_s() < due_s) {
        idle[idle_count++] = c;
        return;
    }
    started++;
    c->state = HEAD;
    c->status = c->chunked = c->closes = c->seen = c->disordered = c->tail_size = c->head_size = 0;
    c->chunk_state = 0;
    c->left = -1;
    c->first_s = 0;
    c->began_s = rate ? due_s : now_s();
    if (send(c->fd, request, request_size, MSG_NOSIGNAL) != request_size) c->closes = 1;
}

static void end(Conn *c, int whole, const char *why) {
    int good = whole && c->status == 200 && c->seen == expected_events && !c->disordered;
    double now = now_s();
    if (good) {
        took_s[finished - errors] = now - c->began_s;
        first_byte_s[finished - errors] = c->first_s - c->began_s;
    } else {
        if (!errors)
            snprintf(first_error, sizeof first_error, "%s: status %d, %d of %d events%s", why, c->status, c->seen,
                     expected_events, c->disordered ? ", out of order" : "");
        errors++;
    }
    finished++;
    total_events += c->seen;
    if (c->closes || !whole) {
        close(c->fd);
        if (started < wanted) {
            reconnects++;
            dial(c);
        }
    }
    begin(c);
}

/* A mark is "n0042 with its quote and the blank after it. */
static int is_mark(const char *at) {
    for (int i = 2; i < 6; i++)
        if (at[i] < '0' || at[i] > '9') return 0;
    return at[0] == '"' && at[1] == 'n' && at[6] == ' ';
}

static void look(Conn *c, const char *bytes, int size) {
    static char text[sizeof c->tail + RECEIVE];
    if (!size) return;
    if (!c->first_s) c->first_s = now_s();
    body_bytes += size;
    memcpy(text, c->tail, c->tail_size);
    memcpy(text + c->tail_size, bytes, size);
    int all = c->tail_size + size, at = 0;
    char *found;
    while (all - at >= MARK && (found = memmem(text + at, all - at, "\"n", 2)) && found + MARK <= text + all) {
        at = (int)(found - text) + 2;
        if (!is_mark(found)) continue;
        if (atoi(found + 2) != c->seen) c->disordered = 1;
        c->seen++;
    }
    int from = all - (MARK - 1) > at ? all - (MARK - 1) : at;
    c->tail_size = all - from;
    memcpy(c->tail, text + from, c->tail_size);
}

/* Takes body bytes; 1 when the answer is complete. */
static int take(Conn *c, const char *bytes, int size) {
    while (size > 0) {
        if (!c->chunked) {
            int n = c->left >= 0 && c->left < size ? (int)c->left : size;
            look(c, bytes, n);
            if (c->left >= 0) c->left -= n;
            return c->left == 0;
        }
        if (c->chunk_state == 1) {
            int n = c->left < size ? (int)c->left : size;
            look(c, bytes, n);
            bytes += n, size -= n, c->left -= n;
            if (!c->left) c->chunk_state = 2;
            continue;
        }
        char byte = *bytes++;
        size--;
        if (c->chunk_state == 2) {
            if (byte == '\n') c->chunk_state = 0, c->left = 0;
        } else if (c->chunk_state == 0) {
            int letter = byte | 32;
            if (c->left < 0) c->left = 0;
            if (byte >= '0' && byte <= '9') c->left = c->left * 16 + byte - '0';
            if (letter >= 'a' && letter <= 'f') c->left = c->left * 16 + letter - 'a' + 10;
            if (byte == '\n') {
                c->chunk_state = c->left ? 1 : 3;
                c->trailer_size = 0;
            }
        } else if (byte == '\n') {
            if (!c->trailer_size) return 1;
            c->trailer_size = 0;
        } else if (byte != '\r') {
            c->trailer_size++;
        }
    }
    return !c->chunked && c->left == 0;
}

static int take_head(Conn *c, const char *bytes, int size) {
    int room = (int)sizeof c->head - 1 - c->head_size, n = size < room ? size : room;
    int before = c->head_size;
    memcpy(c->head + c->head_size, bytes, n);
    c->head[c->head_size += n] = 0;
    char *stop = strstr(c->head, "\r\n\r\n");
    if (!stop) return -1;
    *stop = 0;
    c->status = atoi(c->head + 9);
    c->chunked = !!strcasestr(c->head, "\r\ntransfer-encoding: chunked");
    c->closes = !!strcasestr(c->head, "\r\nconnection: close");
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    c->left = length ? atol(length + 17) : -1;
    c->state = BODY;
    return (int)(stop + 4 - c->head) - before;
}

static void hear(Conn *c) {
    static char buffer[RECEIVE];
    ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) return;
    if (c->state == IDLE) {
        close(c->fd);
        return;
    }
    if (n <= 0) {
        end(c, c->state == BODY && !c->chunked && c->left < 0, "the connection ended");
        return;
    }
    int used = 0;
    if (c->state == HEAD && (used = take_head(c, buffer, (int)n)) < 0) return;
    if (take(c, buffer + used, (int)n - used) || (!c->chunked && !c->left)) end(c, 1, "an answer");
}

static double at_share(double *values, long count, double share) {
    return count ? values[(long)(share * (count - 1) + 0.5)] * 1e6 : 0;
}

int main(int count, char **words) {
    if (count != 6 && count != 7) {
        fprintf(stderr, "usage: load PORT CONCURRENCY REQUESTS FILE EVENTS [RATE]\n");
        return 2;
    }
    server.sin_port = htons(atoi(words[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    concurrency = atoi(words[2]);
    wanted = atol(words[3]);
    expected_events = atoi(words[5]);
    rate = count == 7 ? atof(words[6]) : 0;
    FILE *file = fopen(words[4], "rb");
    request = malloc(1 << 20);
    took_s = calloc(wanted, sizeof *took_s);
    first_byte_s = calloc(wanted, sizeof *first_byte_s);
    Conn *conns = calloc(concurrency, sizeof *conns);
    idle = calloc(concurrency, sizeof *idle);
    if (!idle || !file || !request || !took_s || !first_byte_s || !conns) {
        perror("load");
        return 1;
    }
    request_size = (int)fread(request, 1, 1 << 20, file);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, end_early);
    poller = epoll_create1(0);
    for (int i = 0; i < concurrency; i++) dial(&conns[i]);
    double began_s = now_s(), heard_s = began_s;
    began_all_s = began_s;
    for (int i = 0; i < concurrency; i++) begin(&conns[i]);
    struct epoll_event events[256];
    while (finished < wanted) {
        int wait_ms = 1000;
        if (ending) wanted = started;
        if (rate && started < wanted && idle_count) {
            double left_s = began_all_s + started / rate - now_s();
            wait_ms = left_s > 0.001 ? (int)(left_s * 1000) : 0;
        }
        int n = epoll_wait(poller, events, 256, wait_ms);
        if (n > 0) heard_s = now_s();
        if (finished >= wanted) break;
        while (idle_count && started < wanted && now_s() >= began_all_s + started / rate) begin(idle[--idle_count]);
        if (now_s() - heard_s > STALL_S) {
            snprintf(first_error, sizeof first_error, "nothing came for %d s, %ld answers missing", STALL_S,
                     wanted - finished);
            errors += wanted - finished;
            finished = wanted;
        }
        for (int i = 0; i < n; i++) hear(events[i].data.ptr);
    }
    double spent_s = now_s() - began_s;
    long good = finished - errors;
    qsort(took_s, good, sizeof *took_s, by_size);
    qsort(first_byte_s, good, sizeof *first_byte_s, by_size);
    printf("{\"good\": %ld, \"errors\": %ld, \"first_error\": \"%s\", \"reconnects\": %ld, \"seconds\": %.6f, "
           "\"per_s\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"first_byte_p50_us\": %.1f, "
           "\"first_byte_p99_us\": %.1f, \"p999_us\": %.1f, \"most_us\": %.1f, \"body_bytes\": %ld, \"events\": %ld}\n",
           good, errors, first_error, reconnects, spent_s, good / spent_s, at_share(took_s, good, .5),
           at_share(took_s, good, .99), at_share(first_byte_s, good, .5), at_share(first_byte_s, good, .99),
           at_share(took_s, good, .999), at_share(took_s, good, 1), body_bytes, total_events);
    return 0;
}
