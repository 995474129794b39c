/* ringbuf._core: the crossing between Python and _core.h. Signatures and contracts stand in _core.pyi.
 *
 * Speed comes from crossing rarely and cheaply: METH_FASTCALL, and memoryviews that are made once (_memory.h).
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <sched.h>
#include <signal.h>
#include <structmember.h>
#include <sys/mman.h>
#include <unistd.h>

#include "_core.h"
#include "_memory.h"

#ifdef RINGBUF_CRASH_POINTS
static int crash_at, crash_after;
void rb_crash_point(int point) {
    if (point == crash_at && crash_after-- <= 0)
        kill(getpid(), SIGKILL);
}
static PyObject *core_crash_at(PyObject *Py_UNUSED(m), PyObject *args) {
    if (!PyArg_ParseTuple(args, "ii", &crash_at, &crash_after))
        return NULL;
    Py_RETURN_NONE;
}
#endif

/* ---------------------------------------------------------------- Publication */

#define CLAIM_VIEWS 4 /* the caller's variable still holds the last view or two when it claims again */

typedef struct {
    PyObject_HEAD
    Py_buffer buffer;
    rb_publisher p;
    rb_cell *claimed;
    uint32_t length;
    unsigned turn;
    PyObject *views[CLAIM_VIEWS];
} Publication;

static PyObject *pub_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    Publication *self = (Publication *)memory_new(type, args, kwargs);
    if (self)
        rb_publisher_init(&self->p, self->buffer.buf);
    return (PyObject *)self;
}

static void pub_clear(Publication *self) {
    self->claimed = NULL;
    for (int i = 0; i < CLAIM_VIEWS; i++) {
        if (self->views[i])
            view_close(self->views[i]);
        view_drop(&self->views[i]);
    }
    PyBuffer_Release(&self->buffer);
}

static void pub_dealloc(Publication *self) {
    pub_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *pub_release(Publication *self, PyObject *Py_UNUSED(ignored)) {
    pub_clear(self);
    Py_RETURN_NONE;
}

static PyObject *pub_claim(Publication *self, PyObject *arg) {
    CHECK_OPEN(self);
    Py_ssize_t length = PyLong_AsSsize_t(arg);
    if (RB_UNLIKELY(length < 1 || (uint64_t)length > self->p.mtu)) {
        if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError))
            return NULL;
        return FAIL(RecordTooLong, "a record of %R bytes; this ring carries 1 to %llu", arg, self->p.mtu);
    }
    if (RB_UNLIKELY(self->claimed != NULL))
        return FAIL(RingError, "sequence %llu is claimed already: commit or abort it first", self->p.sequence);
    rb_cell *cell = rb_claim(&self->p);
    if (!cell)
        Py_RETURN_NONE;
    PyObject *view = view_open(&self->views[self->turn], self->buffer.obj, cell->data, length, 0);
    if (!view)
        return NULL;
    self->claimed = cell;
    self->length = (uint32_t)length;
    return Py_NewRef(view);
}

static int pub_end_claim(Publication *self) {
    if (RB_UNLIKELY(!self->claimed)) {
        PyErr_Format(RingError, "nothing is claimed at sequence %llu", self->p.sequence);
        return -1;
    }
    self->claimed = NULL;
    view_close(self->views[self->turn]);
    self->turn = (self->turn + 1) % CLAIM_VIEWS;
    return 0;
}

static PyObject *pub_commit(Publication *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    CHECK_OPEN(self);
    uint32_t length = self->length;
    if (RB_UNLIKELY((n = arguments("commit", n, names, 0, 1, "length")) < 0))
        return NULL;
    if (n && args[0] != Py_None) {
        Py_ssize_t given = PyLong_AsSsize_t(args[0]);
        if (given < 1 || given > (Py_ssize_t)length) {
            if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError))
                return NULL;
            return FAIL(RecordTooLong, "commit of %R bytes; 1 to %u are claimed", args[0], length);
        }
        length = (uint32_t)given;
    }
    if (pub_end_claim(self))
        return NULL;
    RB_CRASH(RB_WRITE_DONE);
    if (RB_UNLIKELY(rb_commit(&self->p, length)))
        rb_unpark_all(self->p.ring);
    Py_RETURN_NONE;
}

static PyObject *pub_abort(Publication *self, PyObject *Py_UNUSED(ignored)) {
    CHECK_OPEN(self);
    return pub_end_claim(self) ? NULL : Py_NewRef(Py_None);
}

/* The bytes of a record that this ring can carry now; 0 or -1 with an error set. */
static int record_arg(Publication *self, PyObject *record, Py_buffer *b) {
    b->obj = NULL;
    if (PyBytes_CheckExact(record)) {
        b->buf = PyBytes_AS_STRING(record);
        b->len = PyBytes_GET_SIZE(record);
    } else if (PyObject_GetBuffer(record, b, PyBUF_SIMPLE)) {
        return -1;
    }
    if (RB_UNLIKELY(b->len < 1 || (uint64_t)b->len > self->p.mtu))
        PyErr_Format(RecordTooLong, "a record of %zd bytes; this ring carries 1 to %llu", b->len, self->p.mtu);
    else if (RB_UNLIKELY(self->claimed != NULL))
        PyErr_Format(RingError, "sequence %llu is claimed already: commit or abort it first", self->p.sequence);
    else
        return 0;
    if (b->obj)
        PyBuffer_Release(b);
    return -1;
}

static void write_record(rb_cell *cell, Py_buffer *b) {
#ifdef RINGBUF_CRASH_POINTS
    memcpy(cell->data, b->buf, (size_t)b->len / 2);
    RB_CRASH(RB_WRITE_HALF);
#endif
    rb_copy(cell->data, b->buf, (size_t)b->len);
    RB_CRASH(RB_WRITE_DONE);
    if (b->obj)
        PyBuffer_Release(b);
}

static PyObject *pub_offer(Publication *self, PyObject *record) {
    Py_buffer b;
    CHECK_OPEN(self);
    if (record_arg(self, record, &b))
        return NULL;
    rb_cell *cell = rb_claim(&self->p);
    if (!cell) {
        if (b.obj)
            PyBuffer_Release(&b);
        Py_RETURN_FALSE;
    }
    uint32_t length = (uint32_t)b.len;
    write_record(cell, &b);
    if (RB_UNLIKELY(rb_commit(&self->p, length)))
        rb_unpark_all(self->p.ring);
    Py_RETURN_TRUE;
}

static PyObject *pub_offer_batch(Publication *self, PyObject *records) {
    Py_buffer b;
    CHECK_OPEN(self);
    PyObject *fast = PySequence_Fast(records, "offer_batch() takes a sequence of bytes-like records");
    if (!fast)
        return NULL;
    uint64_t n = (uint64_t)PySequence_Fast_GET_SIZE(fast), done = 0, room;
    for (uint64_t i = 0; i < n && !record_arg(self, PySequence_Fast_GET_ITEM(fast, i), &b); i++)
        if (b.obj)
            PyBuffer_Release(&b);
    while (done < n && !PyErr_Occurred() && (room = rb_claim_many(&self->p, n - done))) {
        for (uint64_t i = 0; i < room && !record_arg(self, PySequence_Fast_GET_ITEM(fast, done + i), &b); i++) {
            rb_cell *cell = rb_cell_at(self->p.cells, self->p.mask, self->p.stride, self->p.sequence + i);
            __atomic_store_n(&cell->length, (uint32_t)b.len, __ATOMIC_RELAXED);
            write_record(cell, &b);
        }
        if (PyErr_Occurred())
            break;
        if (RB_UNLIKELY(rb_publish(&self->p, room)))
            rb_unpark_all(self->p.ring);
        done += room;
    }
    Py_DECREF(fast);
    return PyErr_Occurred() ? NULL : PyLong_FromUnsignedLongLong(done);
}

static PyMethodDef pub_methods[] = {
    {"claim", (PyCFunction)pub_claim, METH_O, NULL},
    {"commit", FAST(pub_commit), NULL},
    {"abort", (PyCFunction)pub_abort, METH_NOARGS, NULL},
    {"offer", (PyCFunction)pub_offer, METH_O, NULL},
    {"offer_batch", (PyCFunction)pub_offer_batch, METH_O, NULL},
    {"release", (PyCFunction)pub_release, METH_NOARGS, NULL},
    {0},
};
static PyMemberDef pub_members[] = {
    {"sequence", T_ULONGLONG, offsetof(Publication, p.sequence), READONLY, NULL},
    {"depth", T_ULONGLONG, offsetof(Publication, p.depth), READONLY, NULL},
    {"mtu", T_ULONGLONG, offsetof(Publication, p.mtu), READONLY, NULL},
    {0},
};
static PyTypeObject PublicationType = {
    TYPE(Publication, Publication, pub_new, pub_dealloc),
    .tp_methods = pub_methods,
    .tp_members = pub_members,
};

/* ---------------------------------------------------------------- Subscription */

typedef struct {
    PyObject_HEAD
    Py_buffer buffer;
    rb_subscriber s;
    PyObject *scratch, *view, *scratch_view;
    int busy; /* in a handler, or waiting without the GIL */
} Subscription;

#define CHECK_FREE(self) \
    CHECK_OPEN(self); \
    if (RB_UNLIKELY((self)->busy)) \
    return FAIL(RingError, "the subscription is in its own handler, or another thread waits on it")

static PyObject *sub_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs)) {
    PyObject *memory;
    unsigned index;
    int gating, resume, held, from_start;
    if (!PyArg_ParseTuple(args, "OIpppp", &memory, &index, &gating, &resume, &held, &from_start))
        return NULL;
    Subscription *self = memory_hold(type, memory);
    if (!self)
        return NULL;
    rb_ring *r = self->buffer.buf;
    self->scratch = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)r->header.params[1]);
    if (self->scratch)
        rb_join(&self->s, r, index, gating, resume, held, from_start);
    else
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void sub_clear(Subscription *self) {
    if (self->view)
        view_close(self->view);
    if (self->scratch_view)
        view_close(self->scratch_view);
    view_drop(&self->view);
    view_drop(&self->scratch_view);
    Py_CLEAR(self->scratch);
    PyBuffer_Release(&self->buffer);
}

static void sub_dealloc(Subscription *self) {
    sub_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *sub_release(Subscription *self, PyObject *Py_UNUSED(ignored)) {
    if (!self->buffer.obj)
        Py_RETURN_NONE;
    CHECK_FREE(self);
    atomic_fetch_and_explicit(&self->s.ring->may_park, ~self->s.bit, memory_order_relaxed);
    sub_clear(self);
    Py_RETURN_NONE;
}

/* The next record's bytes and length (0: none), in place or in the scratch when they might change under us. */
static uint32_t sub_next(Subscription *self, uint8_t **data) {
    rb_subscriber *s = &self->s;
    if (!rb_available(s))
        return 0;
    if (s->next < s->settled) {
        *data = (uint8_t *)PyByteArray_AS_STRING(self->scratch);
        return rb_copy_next(s, *data);
    }
    rb_cell *cell = rb_cell_at(s->cells, s->mask, s->stride, s->next);
    *data = cell->data;
    return cell->length <= s->mtu ? cell->length : (uint32_t)s->mtu;
}

static PyObject *sub_poll(Subscription *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    CHECK_FREE(self);
    Py_ssize_t limit = 64, done = 0;
    if (RB_UNLIKELY((n = arguments("poll", n, names, 1, 2, "limit")) < 0))
        return NULL;
    if (n == 2 && (limit = PyLong_AsSsize_t(args[1])) == -1 && PyErr_Occurred())
        return NULL;
    while (done < limit) {
        uint8_t *data;
        uint32_t length = sub_next(self, &data);
        if (!length)
            break;
        RB_CRASH(RB_POLL_SEEN);
        int copied = self->s.next < self->s.settled;
        PyObject **keep = copied ? &self->scratch_view : &self->view;
        PyObject *view = view_open(keep, copied ? self->scratch : self->buffer.obj, data, length, 1);
        if (!view)
            return NULL;
        self->busy = 1;
        PyObject *result = PyObject_CallOneArg(args[0], view);
        self->busy = 0;
        view_close(view);
        uint64_t sequence = self->s.next;
        int exported = ((PyMemoryViewObject *)view)->exports || view_master(view)->exports > 1;
        RB_CRASH(RB_POLL_HANDLED);
        rb_advance(&self->s, sequence + 1);
        RB_CRASH(RB_POLL_ADVANCED);
        done++;
        if (!result)
            return NULL;
        Py_DECREF(result);
        if (RB_UNLIKELY(exported))
            return FAIL(ViewExpired, "the handler kept a slice or an export of record %llu; keep bytes(view)",
                        sequence);
    }
    return PyLong_FromSsize_t(done);
}

static PyObject *sub_take_one(Subscription *self) {
    uint8_t *data;
    uint32_t length = sub_next(self, &data);
    if (!length)
        return NULL;
    PyObject *record = PyBytes_FromStringAndSize((char *)data, length);
    if (record)
        rb_advance(&self->s, self->s.next + 1);
    return record;
}

static PyObject *sub_take(Subscription *self, PyObject *Py_UNUSED(ignored)) {
    CHECK_FREE(self);
    PyObject *record = sub_take_one(self);
    if (!record && !PyErr_Occurred())
        Py_RETURN_NONE;
    return record;
}

static PyObject *sub_take_batch(Subscription *self, PyObject *arg) {
    CHECK_FREE(self);
    Py_ssize_t limit = PyLong_AsSsize_t(arg);
    if (limit == -1 && PyErr_Occurred())
        return NULL;
    PyObject *list = PyList_New(0), *record;
    while (list && PyList_GET_SIZE(list) < limit && (record = sub_take_one(self))) {
        if (PyList_Append(list, record))
            Py_CLEAR(list);
        Py_DECREF(record);
    }
    if (PyErr_Occurred())
        Py_CLEAR(list);
    return list;
}

/* After a stretch without the GIL: 0, or -1 when a signal's handler raised or closed the subscription. */
static int sub_signals(Subscription *self) {
    self->busy = 0;
    if (PyErr_CheckSignals())
        return -1;
    if (self->buffer.obj)
        return 0;
    PyErr_SetString(Closed, "the subscription was closed by a signal's handler");
    return -1;
}

/* When to give up, from the one argument timeout_ns; -1 with an error set. */
static int64_t deadline(const char *method, PyObject *const *args, Py_ssize_t n, PyObject *names, int64_t now) {
    if (arguments(method, n, names, 1, 1, "timeout_ns") < 0)
        return -1;
    int64_t timeout = PyLong_AsLongLong(args[0]);
    if (timeout < 0) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_ValueError, "%s() for %R ns", method, args[0]);
        return -1;
    }
    return timeout > INT64_MAX - now ? INT64_MAX : now + timeout;
}

/* Look until a record waits or `until` has passed, at the clock every 32 looks; the time. */
static int64_t spin_until(rb_subscriber *s, int64_t now, int64_t until) {
    for (; !rb_available(s) && now < until; now = rb_now_ns())
        for (int i = 0; i < 32 && !rb_available(s); i++)
            rb_pause();
    return now;
}

/* 2 us with the GIL held, then without; signals every 1 ms. */
static PyObject *sub_spin(Subscription *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    CHECK_FREE(self);
    int64_t now = rb_now_ns(), end = deadline("spin", args, n, names, now);
    if (end < 0)
        return NULL;
    now = spin_until(&self->s, now, now + 2000 < end ? now + 2000 : end);
    while (!rb_available(&self->s) && now < end) {
        int64_t stop = now + 1000000 < end ? now + 1000000 : end;
        self->busy = 1;
        Py_BEGIN_ALLOW_THREADS
        now = spin_until(&self->s, now, stop);
        Py_END_ALLOW_THREADS
        if (sub_signals(self))
            return NULL;
    }
    return PyBool_FromLong(rb_available(&self->s) != 0);
}

static PyObject *sub_wait(Subscription *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    CHECK_FREE(self);
    int64_t now = rb_now_ns(), end = deadline("wait", args, n, names, now);
    if (end < 0)
        return NULL;
    rb_ring *r = self->s.ring;
    uint32_t bit = self->s.bit;
    /* A commit under way may have looked at may_park before we set it: the first sleep is short. */
    int first = !(atomic_fetch_or_explicit(&r->may_park, bit, memory_order_seq_cst) & bit);
    while (!rb_available(&self->s) && now < end) {
        uint32_t word = rb_park(&self->s);
        if (rb_available(&self->s))
            break;
        int64_t nap = first && end - now > 100000 ? 100000 : end - now;
        first = 0;
        self->busy = 1;
        Py_BEGIN_ALLOW_THREADS
        rb_sleep(r, word, nap);
        Py_END_ALLOW_THREADS
        if (sub_signals(self))
            return NULL;
        now = rb_now_ns();
    }
    atomic_fetch_and_explicit(&r->parked, ~bit, memory_order_relaxed);
    return PyBool_FromLong(rb_available(&self->s) != 0);
}

static PyObject *sub_lag(Subscription *self, void *Py_UNUSED(c)) {
    CHECK_OPEN(self);
    uint64_t published = RB_LOAD(&self->s.ring->published, acquire);
    return PyLong_FromUnsignedLongLong(published > self->s.next ? published - self->s.next : 0);
}

static PyMethodDef sub_methods[] = {
    {"poll", FAST(sub_poll), NULL},
    {"take", (PyCFunction)sub_take, METH_NOARGS, NULL},
    {"take_batch", (PyCFunction)sub_take_batch, METH_O, NULL},
    {"spin", FAST(sub_spin), NULL},
    {"wait", FAST(sub_wait), NULL},
    {"release", (PyCFunction)sub_release, METH_NOARGS, NULL},
    {0},
};
static PyMemberDef sub_members[] = {
    {"sequence", T_ULONGLONG, offsetof(Subscription, s.next), READONLY, NULL},
    {"lost", T_ULONGLONG, offsetof(Subscription, s.lost), READONLY, NULL},
    {0},
};
static PyGetSetDef sub_getset[] = {{"lag", (getter)sub_lag, NULL, NULL, NULL}, {0}};
static PyTypeObject SubscriptionType = {
    TYPE(Subscription, Subscription, sub_new, sub_dealloc),
    .tp_methods = sub_methods,
    .tp_members = sub_members,
    .tp_getset = sub_getset,
};

#include "_pages.h"

/* ---------------------------------------------------------------- module */

/* The word at this offset of a segment, bounds checked; NULL with the buffer released. */
static _Atomic uint64_t *word_at(Py_buffer *b, Py_ssize_t offset) {
    if (offset >= 0 && offset % 8 == 0 && offset + 8 <= b->len)
        return (void *)((uint8_t *)b->buf + offset);
    PyErr_Format(PyExc_IndexError, "offset %zd of %zd bytes", offset, b->len);
    PyBuffer_Release(b);
    return NULL;
}

static PyObject *core_load(PyObject *Py_UNUSED(m), PyObject *args) {
    Py_ssize_t offset;
    Py_buffer b;
    _Atomic uint64_t *word;
    if (!PyArg_ParseTuple(args, "w*n", &b, &offset) || !(word = word_at(&b, offset)))
        return NULL;
    uint64_t value = RB_LOAD(word, acquire); /* [magic] */
    PyBuffer_Release(&b);
    return PyLong_FromUnsignedLongLong(value);
}

static PyObject *core_store(PyObject *Py_UNUSED(m), PyObject *args) {
    PyObject *memory, *given;
    Py_ssize_t offset;
    Py_buffer b;
    uint64_t value;
    _Atomic uint64_t *word;
    if (!PyArg_ParseTuple(args, "OnO", &memory, &offset, &given) || u64_arg(given, "value", &value) ||
        PyObject_GetBuffer(memory, &b, PyBUF_WRITABLE) || !(word = word_at(&b, offset)))
        return NULL;
    RB_STORE(word, value, release); /* [magic] */
    PyBuffer_Release(&b);
    Py_RETURN_NONE;
}

static PyObject *core_pause(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(ignored)) {
    rb_pause();
    Py_RETURN_NONE;
}

static PyObject *core_sched_yield(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(ignored)) {
    Py_BEGIN_ALLOW_THREADS
    sched_yield();
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *core_nap(PyObject *Py_UNUSED(m), PyObject *arg) {
    int64_t ns = PyLong_AsLongLong(arg);
    if (ns < 0)
        return PyErr_Occurred() ? NULL : FAIL(PyExc_ValueError, "a nap of %R ns", arg);
    struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    Py_BEGIN_ALLOW_THREADS
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL); /* a signal ends it early */
    Py_END_ALLOW_THREADS
    if (PyErr_CheckSignals())
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef core_methods[] = {
    {"load", core_load, METH_VARARGS, NULL},
    {"store", core_store, METH_VARARGS, NULL},
    {"pause", core_pause, METH_NOARGS, NULL},
    {"sched_yield", core_sched_yield, METH_NOARGS, NULL},
    {"nap", core_nap, METH_O, NULL},
#ifdef RINGBUF_CRASH_POINTS
    {"crash_at", core_crash_at, METH_VARARGS, NULL},
#endif
    {0},
};
static PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ringbuf._core",
    .m_size = -1,
    .m_methods = core_methods,
};

PyMODINIT_FUNC PyInit__core(void) {
    PyObject *errors = PyImport_ImportModule("ringbuf.errors"), *m = errors ? PyModule_Create(&core_module) : NULL;
    PyTypeObject *types[] = {&PublicationType, &SubscriptionType, &TableType, &CountersType, &ControlType, &LatchType};
    int failed = !m || !(RingError = PyObject_GetAttrString(errors, "RingError")) ||
                 !(ViewExpired = PyObject_GetAttrString(errors, "ViewExpired")) ||
                 !(RecordTooLong = PyObject_GetAttrString(errors, "RecordTooLong")) ||
                 !(TableFull = PyObject_GetAttrString(errors, "TableFull")) ||
                 !(Closed = PyObject_GetAttrString(errors, "Closed")) ||
                 PyModule_AddIntConstant(m, "HISTOGRAM_BYTES", sizeof(rb_histogram));
    for (size_t i = 0; !failed && i < sizeof types / sizeof *types; i++)
        failed = PyModule_AddType(m, types[i]);
    if (failed)
        Py_CLEAR(m);
    Py_XDECREF(errors);
    return m;
}
