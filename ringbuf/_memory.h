/* What all types of ringbuf._core share: errors, arguments, the memory they hold, views of it. Included by _core.c
 * alone.
 *
 * A view is a memoryview that is made once and re-aimed. It is opened for the time its bytes may be touched and closed
 * after: closed, it and all its slices raise ValueError on use. One that somebody kept is left to them, closed for
 * ever, and replaced. The GIL guards this.
 */
#ifdef Py_GIL_DISABLED
#error "ringbuf's views are guarded by the GIL"
#endif

static PyObject *RingError, *ViewExpired, *RecordTooLong, *TableFull, *Closed;

#define FAIL(type, ...) (PyErr_Format(type, __VA_ARGS__), NULL)
#define FAST(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS
#define TYPE(name, struct, new, dealloc) \
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "ringbuf._core." #name, .tp_basicsize = sizeof(struct), \
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, .tp_new = new, .tp_dealloc = (destructor)dealloc
#define CHECK_OPEN(self) \
    if (RB_UNLIKELY(!(self)->buffer.obj)) \
    return FAIL(Closed, "%s is closed", Py_TYPE(self)->tp_name)

/* ---------------------------------------------------------------- arguments */

static int u64_arg(PyObject *o, const char *name, uint64_t *out) {
    unsigned long long v = PyLong_AsUnsignedLongLong(o);
    if (v == (unsigned long long)-1 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError) || PyErr_ExceptionMatches(PyExc_ValueError)) {
            PyErr_Clear();
            PyErr_Format(PyExc_ValueError, "%s must lie in 0..2**64-1, is %R", name, o);
        }
        return -1;
    }
    *out = v;
    return 0;
}

/* The number of arguments, the optional last one given by position or by its name; -1 with an error set. */
static Py_ssize_t arguments(const char *method, Py_ssize_t n, PyObject *names, Py_ssize_t low, Py_ssize_t high,
                            const char *last) {
    if (names && PyTuple_GET_SIZE(names) == 1 && n == high - 1 &&
        !PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), last))
        n++, names = NULL; /* its value stands right behind the positional ones */
    if (n >= low && n <= high && (!names || !PyTuple_GET_SIZE(names)))
        return n;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd arguments, of which only %s may be named", method, low, high,
                 last);
    return -1;
}

/* ---------------------------------------------------------------- memory */

typedef struct { /* every type begins like this */
    PyObject_HEAD
    Py_buffer buffer;
} Memory;

/* A new object of this type on a segment's memory. */
static void *memory_hold(PyTypeObject *type, PyObject *memory) {
    Memory *self = (Memory *)type->tp_alloc(type, 0);
    if (self && PyObject_GetBuffer(memory, &self->buffer, PyBUF_WRITABLE))
        Py_CLEAR(self);
    return self;
}

static PyObject *memory_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs)) {
    PyObject *memory;
    return PyArg_ParseTuple(args, "O", &memory) ? memory_hold(type, memory) : NULL;
}

static void memory_dealloc(Memory *self) {
    PyBuffer_Release(&self->buffer);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *memory_release(Memory *self, PyObject *Py_UNUSED(ignored)) {
    PyBuffer_Release(&self->buffer);
    Py_RETURN_NONE;
}

/* ---------------------------------------------------------------- views */

static _PyManagedBufferObject *view_master(PyObject *view) { return ((PyMemoryViewObject *)view)->mbuf; }

static int view_kept(PyObject *view) { return Py_REFCNT(view) != 1 || view_master(view)->exports != 1; }

static void view_close(PyObject *view) { view_master(view)->flags |= _Py_MANAGED_BUFFER_RELEASED; }

static void view_drop(PyObject **view) {
    if (*view && !view_kept(*view))
        view_master(*view)->flags &= ~_Py_MANAGED_BUFFER_RELEASED; /* lets its owner go; a kept one never does */
    Py_CLEAR(*view);
}

static PyObject *view_open(PyObject **view, PyObject *owner, void *data, Py_ssize_t length, int readonly) {
    if (RB_UNLIKELY(!*view || view_kept(*view))) {
        view_drop(view);
        *view = PyMemoryView_FromObject(owner);
        if (!*view)
            return NULL;
    }
    PyMemoryViewObject *v = (PyMemoryViewObject *)*view;
    v->mbuf->flags &= ~_Py_MANAGED_BUFFER_RELEASED;
    v->hash = -1;
    v->view.buf = data;
    v->view.len = v->view.shape[0] = length;
    v->view.readonly = readonly;
    return *view;
}
