/* ringbuf's lock-free logic without Python, by threads, for the sanitizers: every record checked by content.
 * Usage: core_stress ROUNDS. Exits 0, or 1 with a line on stderr. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "_core.h"

#define MTU 2000
#define READERS 4 /* first two gating, one of them sleeping, and two observing; then all observing */
#define CHECK(condition, ...) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, __VA_ARGS__); \
            exit(1); \
        } \
    } while (0)

static uint64_t rounds;
static uint32_t gates, mtu = 96;
static rb_ring *ring;
static rb_table *table;
static rb_counters *page;
static rb_control *control;
static pthread_mutex_t joining = PTHREAD_MUTEX_INITIALIZER; /* the segment's lock */
static _Atomic int winners, writing = 1;

static uint32_t fill(uint8_t *record, uint64_t sequence) {
    uint32_t length = 8 + sequence % (mtu - 8);
    memcpy(record, &sequence, 8);
    for (uint32_t i = 8; i < length; i++)
        record[i] = (uint8_t)(sequence * 31 + i);
    return length;
}

static uint64_t check(const uint8_t *record, uint32_t length) {
    uint8_t expected[MTU];
    uint64_t sequence;
    memcpy(&sequence, record, 8);
    CHECK(length == fill(expected, sequence) && !memcmp(record, expected, length), "torn record %lu of %u bytes\n",
          (unsigned long)sequence, length);
    return sequence;
}

static void *publish(void *unused) {
    rb_publisher p;
    uint8_t record[MTU];
    rb_publisher_init(&p, ring);
    for (uint64_t i = 0; i < rounds; i++) {
        rb_cell *cell;
        while (!(cell = rb_claim(&p)))
            sched_yield();
        if (i % 7 == 3) { /* an aborted claim */
            fill(record, ~i);
            rb_copy(cell->data, record, mtu);
            cell = rb_claim(&p);
        }
        uint32_t length = fill(record, i);
        rb_copy(cell->data, record, length);
        if (rb_commit(&p, length))
            rb_unpark_all(ring);
    }
    return unused;
}

static void *read_all(void *argument) {
    uint32_t index = (uint32_t)(uintptr_t)argument;
    int gating = index < gates;
    rb_subscriber s;
    uint8_t copy[MTU];
    uint64_t seen = 0, last = 0;
    pthread_mutex_lock(&joining);
    RB_STORE(&ring->slots[index].gating, gating, relaxed);
    rb_join(&s, ring, index, gating, 0, 0, 0);
    pthread_mutex_unlock(&joining);
    uint64_t first = s.next;
    while (s.next < rounds) {
        if (!rb_available(&s)) {
            if (index == 0 && gating) {
                atomic_fetch_or(&ring->may_park, s.bit);
                uint32_t word = rb_park(&s);
                if (!rb_available(&s))
                    rb_sleep(ring, word, 20000000);
            }
            sched_yield();
            continue;
        }
        uint32_t length;
        const uint8_t *data = copy;
        if (s.next < s.settled) {
            if (!(length = rb_copy_next(&s, copy)))
                continue;
        } else {
            rb_cell *cell = rb_cell_at(s.cells, s.mask, s.stride, s.next);
            data = cell->data;
            length = cell->length;
        }
        uint64_t sequence = check(data, length);
        CHECK(sequence == s.next && (!seen || sequence > last), "reader %u: %lu at %lu\n", index,
              (unsigned long)sequence, (unsigned long)s.next);
        CHECK(!gating || !seen || sequence == last + 1, "reader %u: a gap before %lu\n", index, (unsigned long)sequence);
        last = sequence;
        seen++;
        rb_advance(&s, s.next + 1);
    }
    CHECK(seen + s.lost == rounds - first, "reader %u: %lu seen, %lu lost of %lu\n", index, (unsigned long)seen,
          (unsigned long)s.lost, (unsigned long)(rounds - first));
    return NULL;
}

static void key_of(uint8_t key[32], unsigned i) {
    memset(key, (int)i, 32);
}

static void *put_all(void *unused) {
    uint8_t key[32], record[MTU];
    for (uint64_t i = 0; i < rounds; i++) {
        key_of(key, (unsigned)(i % 5));
        uint32_t length = fill(record, i);
        CHECK(rb_put(table, key, record, length, mtu) == (int64_t)(i / 5) + 1, "put %lu\n", (unsigned long)i);
    }
    atomic_store(&writing, 0);
    return unused;
}

static void *get_all(void *unused) {
    uint8_t key[32], copy[MTU];
    uint64_t versions[5] = {0}, place;
    while (atomic_load(&writing))
        for (unsigned i = 0; i < 5; i++) {
            const uint8_t *data;
            uint32_t length;
            key_of(key, i);
            rb_entry *e = rb_find(table, key, &place);
            if (!e || !RB_LOAD(&e->version, acquire))
                continue;
            uint64_t version = rb_read_begin(table, e, &data, &length);
            rb_copy(copy, data, length);
            if (!rb_read_done(e, version))
                continue;
            CHECK(check(copy, length) == (version - 1) * 5 + i && version >= versions[i], "table version %lu\n",
                  (unsigned long)version);
            versions[i] = version;
        }
    return unused;
}

static void *count_and_trip(void *argument) {
    if (argument) {
        uint64_t before = 0, *last = &before;
        for (uint64_t i = 0; i < rounds / 4; i++) { /* outside, while it is written */
            uint64_t now = RB_LOAD((_Atomic uint64_t *)((uint8_t *)page + page->header.params[3]), relaxed);
            CHECK(now >= *last, "a counter ran backwards\n");
            *last = now;
        }
    } else {
        rb_histogram *h = (void *)((uint8_t *)page + page->header.params[4]);
        for (uint64_t i = 0; i < rounds; i++) {
            rb_add((_Atomic uint64_t *)((uint8_t *)page + page->header.params[3]), 1);
            rb_record(h, i * i);
        }
    }
    winners += rb_trip(control);
    CHECK(rb_killed(control), "tripped and not killed\n");
    return NULL;
}

/* A story whose every word follows from its number; the odd ones tell of trips. */
static void story_of(rb_story *story, uint64_t number) {
    memset(story, 0, sizeof *story);
    story->trips = (number + 1) / 2;
    story->resets = number / 2;
    story->reason = number;
    story->monotonic_ns = story->unix_ns = (int64_t)(number * 7);
    memset(story->by, (int)(number % 251), sizeof story->by);
    memset(story->message, (int)(number % 241), sizeof story->message);
}

static void *trip_all(void *unused) {
    rb_story story;
    for (uint64_t i = 0; i < rounds / 8; i++) {
        while (!rb_trip(control))
            sched_yield();
        story_of(&story, 2 * i + 1);
        rb_tell(control, 1, &story);
    }
    return unused;
}

static void *reset_all(void *unused) {
    rb_story story;
    for (uint64_t i = 0; i < rounds / 8; i++) {
        while (rb_read_story(control, &story) != 1)
            sched_yield();
        CHECK(rb_killed(control), "a trip is told, and the latch is open\n");
        story_of(&story, 2 * i + 2);
        rb_reset(control, &story);
    }
    atomic_store(&writing, 0);
    return unused;
}

static void *read_stories(void *unused) {
    rb_story story, expected;
    while (atomic_load(&writing)) {
        int tripped = rb_read_story(control, &story);
        if (tripped < 0)
            continue;
        story_of(&expected, story.reason);
        CHECK(!memcmp(&story, &expected, sizeof story) && tripped == (int)(story.reason & 1), "torn story %lu\n",
              (unsigned long)story.reason);
    }
    return unused;
}

static void run_together(void *(*const *work)(void *), int n) {
    pthread_t threads[8];
    writing = 1;
    for (uintptr_t i = 0; i < (uintptr_t)n; i++)
        pthread_create(&threads[i], NULL, work[i], (void *)(i & 1));
    while (n)
        pthread_join(threads[--n], NULL);
}

static void *segment(size_t bytes) {
    void *memory = aligned_alloc(4096, (bytes + 4095) & ~(size_t)4095);
    return memset(memory, 0, (bytes + 4095) & ~(size_t)4095);
}

static void stream(uint64_t depth, uint32_t gating, uint32_t longest) {
    uint64_t stride = longest + 32, cells = sizeof(rb_ring) + READERS * sizeof(rb_slot);
    pthread_t threads[READERS + 1];
    gates = gating;
    mtu = longest;
    ring = segment(cells + depth * stride);
    memcpy(ring->header.params, (uint64_t[]){depth, mtu, stride, READERS, cells}, 40);
    for (uintptr_t i = 0; i < READERS; i++)
        pthread_create(&threads[i], NULL, read_all, (void *)i);
    for (uint32_t i = 0; i < READERS; i++)
        while (RB_LOAD(&ring->slots[i].state, acquire) != RB_SLOT_ACTIVE)
            sched_yield();
    pthread_create(&threads[READERS], NULL, publish, NULL);
    for (int i = 0; i <= READERS; i++)
        pthread_join(threads[i], NULL);
    free(ring);
}

int main(int argc, char **argv) {
    rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000;
    uint64_t entries = 512 + 64 + 4 * 1024 + 64, data = entries + 8 * sizeof(rb_entry);
    entries = (entries + 127) & ~(uint64_t)127;
    data = entries + 8 * sizeof(rb_entry);
    table = segment(data + 8 * 256);
    memcpy(table->header.params, (uint64_t[]){8, 16, 1024, 8 * 256, 512, 576, entries, data}, 64);
    table->header.size = data + 8 * 256;
    page = segment(512 + sizeof(rb_histogram));
    memcpy(page->header.params, (uint64_t[]){1, 1, 384, 384, 512}, 40);
    control = segment(sizeof(rb_control));
    RB_STORE(&control->header.magic, RB_CONTROL_MAGIC, release);
    RB_STORE(&control->latch, RB_RUNNING, release);

    stream(16, 2, 96);
    stream(2, 0, MTU); /* long copies under a writer that nobody holds back */
    mtu = 96;

    run_together((void *(*const[])(void *)){trip_all, reset_all, read_stories}, 3);
    run_together((void *(*const[])(void *)){put_all, get_all, get_all, count_and_trip, count_and_trip, get_all}, 6);
    CHECK(winners == 1, "%d threads closed the latch\n", (int)winners);
    for (unsigned b = 0; b + 1 < RB_BUCKETS; b++)
        CHECK(rb_bucket_of(rb_bucket_middle(b)) == b, "bucket %u\n", b);
    free(table);
    free(page);
    free(control);
    return 0;
}
