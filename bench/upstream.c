/* A provider on loopback that costs next to nothing: OpenAI chat and Gemini generateContent, plain or as SSE.
 *
 * usage: upstream PORT        (0: a free one; the port is the first line printed)
 *
 * The model's name says what to send: "…-50x20" streams 50 events 20 ms apart. Event k's text begins with
 * "nKKKK ", so that the other end can see that every event came once and in order.
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

enum { HEAD_LIMIT = 65536, TEXT = 120, MAX_EVENTS = 1000 };

typedef struct Conn {
    int fd, in_size, in_used, gemini, events, delay_ms, sent_events;
    size_t out_size, out_sent, out_room;
    double due_s;
    struct Conn *later; /* next in the queue of streams waiting for their moment */
    int waiting, dead;
    char *in, *out;
} Conn;

static int poller;
static const char *filler =
    "The quick brown fox jumps over the lazy dog while seventeen patient engineers measure how long each hop takes, "
    "write the figure down, and measure again before they believe it. ";

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void put(Conn *c, const char *bytes, size_t size) {
    if (c->out_size + size > c->out_room) {
        c->out_room = (c->out_size + size) * 2;
        if (!(c->out = realloc(c->out, c->out_room))) abort();
    }
    memcpy(c->out + c->out_size, bytes, size);
    c->out_size += size;
}

static void put_chunk(Conn *c, const char *bytes, size_t size) {
    char head[32];
    put(c, head, sprintf(head, "%zx\r\n", size));
    put(c, bytes, size);
    put(c, "\r\n", 2);
}

static void put_answer(Conn *c, const char *body) {
    char head[200];
    put(c, head, sprintf(head,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", strlen(body)));
    put(c, body, strlen(body));
}

static void put_stream_head(Conn *c) {
    static const char *head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                              "Transfer-Encoding: chunked\r\n\r\n";
    put(c, head, strlen(head));
}

static void put_plain_answer(Conn *c) {
    char text[700] = "n0000 ", body[1600];
    while (strlen(text) + strlen(filler) < sizeof text) strcat(text, filler);
    if (c->gemini)
        sprintf(body, "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"%s\"}],\"role\":\"model\"},"
            "\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":200,"
            "\"candidatesTokenCount\":120,\"totalTokenCount\":320,\"promptTokensDetails\":"
            "[{\"modality\":\"TEXT\",\"tokenCount\":200}]},\"modelVersion\":\"gemini-bench\","
            "\"responseId\":\"bench0000000000000000\"}", text);
    else
        sprintf(body, "{\"id\":\"chatcmpl-bench00000000000000000000\",\"object\":\"chat.completion\","
            "\"created\":1760000000,\"model\":\"gpt-bench\",\"choices\":[{\"index\":0,\"message\":"
            "{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null},\"logprobs\":null,"
            "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":200,\"completion_tokens\":120,"
            "\"total_tokens\":320,\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},"
            "\"completion_tokens_details\":{\"reasoning_tokens\":0}},\"system_fingerprint\":\"fp_bench\"}", text);
    put_answer(c, body);
}

#define OPENAI_CHUNK "data: {\"id\":\"chatcmpl-bench00000000000000000000\",\"object\":\"chat.completion.chunk\"," \
    "\"created\":1760000000,\"model\":\"gpt-bench\",\"system_fingerprint\":\"fp_bench\",\"choices\":"

static void put_event(Conn *c) {
    char event[700];
    int k = c->sent_events, last = k + 1 == c->events;
    if (!c->gemini && k == 0) {
        static const char *role = OPENAI_CHUNK "[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                                               "\"logprobs\":null,\"finish_reason\":null}]}\n\n";
        put_chunk(c, role, strlen(role));
    }
    if (c->gemini) {
        char finish[60] = "";
        if (last) strcpy(finish, "\"finishReason\":\"STOP\",");
        sprintf(event, "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"n%04d %.*s\"}],\"role\": "
            "\"model\"},%s\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 200,\"candidatesTokenCount\": %d,"
            "\"totalTokenCount\": %d},\"modelVersion\": \"gemini-bench\"}\r\n\r\n",
            k, TEXT, filler, finish, k + 1, 201 + k);
    } else {
        sprintf(event, OPENAI_CHUNK "[{\"index\":0,\"delta\":{\"content\":\"n%04d %.*s\"},\"logprobs\":null,"
            "\"finish_reason\":null}]}\n\n", k, TEXT, filler);
    }
    put_chunk(c, event, strlen(event));
    c->sent_events++;
    if (!last) return;
    if (!c->gemini) {
        static const char *stop = OPENAI_CHUNK "[{\"index\":0,\"delta\":{},\"logprobs\":null,"
                                               "\"finish_reason\":\"stop\"}]}\n\n";
        static const char *done = "data: [DONE]\n\n";
        put_chunk(c, stop, strlen(stop));
        put_chunk(c, done, strlen(done));
    }
    put(c, "0\r\n\r\n", 5);
}

/* Streams wait in the order they are due. Almost always all have one delay, so a new one belongs at the end. */
static Conn *first, *last_waiting;

static void wait_turn(Conn *c, double due_s) {
    c->due_s = due_s;
    c->waiting = 1;
    c->later = NULL;
    if (!first) {
        first = last_waiting = c;
    } else if (due_s >= last_waiting->due_s) {
        last_waiting = last_waiting->later = c;
    } else {
        Conn **place = &first;
        while (*place && (*place)->due_s <= due_s) place = &(*place)->later;
        c->later = *place;
        *place = c;
    }
}

static void release(Conn *c) {
    free(c->in);
    free(c->out);
    free(c);
}

static void hang_up(Conn *c) {
    if (c->dead) return;
    c->dead = 1;
    close(c->fd);
    if (!c->waiting) release(c); /* else the queue still holds it; serve_due releases it */
}

/* 0 when the connection broke. */
static int flush_out(Conn *c) {
    while (c->out_sent < c->out_size) {
        ssize_t n = send(c->fd, c->out + c->out_sent, c->out_size - c->out_sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR) continue;
            return errno == EAGAIN || errno == EWOULDBLOCK;
        }
        c->out_sent += n;
    }
    c->out_sent = c->out_size = 0;
    return 1;
}

static void answer(Conn *c, const char *head, const char *body) {
    int get = !strncmp(head, "GET ", 4), events = 0, delay_ms = 0;
    char target[2048] = "";
    sscanf(head, "%*s %2047s", target);
    c->gemini = !!strstr(target, "/v1beta");
    if (get) {
        put_answer(c, c->gemini
            ? "{\"models\":[{\"name\":\"models/gemini-bench\",\"displayName\":\"Bench\",\"supportedGenerationMethods\":"
              "[\"generateContent\",\"countTokens\"],\"inputTokenLimit\":1048576,\"outputTokenLimit\":65536}]}"
            : "{\"object\":\"list\",\"data\":[{\"id\":\"gpt-bench\",\"object\":\"model\",\"created\":1760000000,"
              "\"owned_by\":\"bench\"}]}");
        return;
    }
    const char *model = c->gemini ? strstr(target, "/models/") : strstr(body, "\"model\"");
    model = model ? strstr(model, "bench") : NULL;
    if (model) sscanf(model, "bench-%dx%d", &events, &delay_ms);
    int stream = c->gemini ? !!strstr(target, ":streamGenerateContent") : !!strstr(body, "\"stream\":true");
    if (!stream) {
        put_plain_answer(c);
        return;
    }
    c->events = events < 1 ? 1 : events > MAX_EVENTS ? MAX_EVENTS : events;
    c->delay_ms = delay_ms;
    c->sent_events = 0;
    put_stream_head(c);
    put_event(c);
    while (!delay_ms && c->sent_events < c->events) put_event(c);
    if (c->sent_events < c->events) wait_turn(c, now_s() + delay_ms / 1e3);
}

/* Length of the first whole request in the buffer, 0 while it is not all there. Body: sized or chunked. */
static int whole_request(Conn *c, char **body) {
    c->in[c->in_used] = 0;
    char *end = strstr(c->in, "\r\n\r\n");
    if (!end) return 0;
    *body = end + 4;
    int head = (int)(*body - c->in);
    char *length = strcasestr(c->in, "\r\ncontent-length:");
    if (length && length < end) {
        int size = head + atoi(length + 17);
        return c->in_used >= size ? size : 0;
    }
    char *chunked = strcasestr(c->in, "\r\ntransfer-encoding: chunked");
    if (chunked && chunked <= end) {
        char *stop = strstr(end, "\r\n0\r\n\r\n");
        return stop ? (int)(stop + 7 - c->in) : 0;
    }
    return head;
}

static void read_requests(Conn *c) {
    for (;;) {
        if (c->in_used + 1 >= c->in_size && !(c->in = realloc(c->in, (c->in_size = c->in_size * 2 + 8192)))) abort();
        ssize_t n = recv(c->fd, c->in + c->in_used, c->in_size - c->in_used - 1, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (n <= 0 || c->in_used > HEAD_LIMIT * 16) {
            hang_up(c);
            return;
        }
        c->in_used += (int)n;
        if (c->in_used < c->in_size - 1) break;
    }
    char *body;
    int size = c->waiting ? 0 : whole_request(c, &body);
    if (size) {
        char kept = c->in[size];
        c->in[size] = 0;
        answer(c, c->in, body);
        c->in[size] = kept;
        memmove(c->in, c->in + size, c->in_used -= size);
    }
    if (!flush_out(c)) hang_up(c);
}

static void serve_due(void) {
    double now = now_s();
    while (first && first->due_s <= now) {
        Conn *c = first;
        first = c->later;
        c->waiting = 0;
        if (c->dead) {
            release(c);
            continue;
        }
        put_event(c);
        if (!flush_out(c)) {
            hang_up(c);
        } else if (c->sent_events < c->events) {
            wait_turn(c, c->due_s + c->delay_ms / 1e3);
        }
    }
}

static void welcome(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        Conn *c = calloc(1, sizeof *c);
        if (!c) abort();
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
    }
}

int main(int count, char **words) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(count > 1 ? atoi(words[1]) : 0),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096)) {
        perror("upstream");
        return 1;
    }
    getsockname(listener, (struct sockaddr *)&at, &size);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    signal(SIGPIPE, SIG_IGN);
    poller = epoll_create1(0);
    struct epoll_event door = {.events = EPOLLIN, .data.ptr = NULL}, events[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &door);
    for (;;) {
        int wait_ms = -1;
        if (first) {
            double left_ms = (first->due_s - now_s()) * 1e3;
            wait_ms = left_ms <= 0 ? 0 : (int)left_ms + 1;
        }
        int n = epoll_wait(poller, events, 256, wait_ms);
        for (int i = 0; i < n; i++) {
            if (!events[i].data.ptr) welcome(listener);
            else read_requests(events[i].data.ptr);
        }
        serve_due();
    }
}
