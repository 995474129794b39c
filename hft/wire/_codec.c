/*
 * The fast path of the codecs: messages of one constant layout, written into and read from buffers in one step.
 *
 * A Codec holds where each field of a record lies (checked when it is made: all inside `size` bytes, none inside the
 * template) and the message's image: its template with zeros behind. Writing is a copy of the image and a store a
 * field. Reading is taken only when the buffer begins with the template and is no shorter than `size` and no longer
 * than any message may be (what follows a message is nobody's). Any other buffer goes to the Python functions that
 * the Codec was given (hft/wire/foreign.py), which verify it in full. So no byte of a buffer is ever trusted to say
 * where another one lies.
 *
 * None of these objects takes part in garbage collection: there is one a record type, and they live as long as their
 * modules.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "FlatBuffers are little-endian, and so must this machine be"
#endif

#ifdef Py_GIL_DISABLED
#error "the table of keys is guarded by the GIL"
#endif

#define MAXIMUM_SIZE 65536 /* hft.wire.layout.MAXIMUM_BYTES */
#define MAXIMUM_FIELDS 128
#define KEY_BYTES 32
#define KEY_BITS 9

enum kind { UNSIGNED, SIGNED, BYTES, TEXT };

typedef struct {
    uint32_t kind, offset, bytes;
} Field;

typedef struct {
    PyObject_HEAD
    PyTypeObject *record;
    PyObject *names;
    PyObject *length; /* size as an int, so that writing allocates nothing */
    PyObject *refuse, *decode_foreign, *verify_foreign, *read_foreign;
    Py_ssize_t size, head, count;
    uint8_t *image;
    Field fields[MAXIMUM_FIELDS];
} Codec;

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    Codec *codec;
    PyObject *names;
    Py_ssize_t count;
    int single;
    Field fields[MAXIMUM_FIELDS];
} Reader;

/* ---- one field ---- */

static int store_bytes(const Field *field, uint8_t *at, PyObject *value)
{
    const char *data;
    Py_ssize_t length;
    if (PyBytes_Check(value)) {
        data = PyBytes_AS_STRING(value);
        length = PyBytes_GET_SIZE(value);
    } else if (PyByteArray_Check(value)) {
        data = PyByteArray_AS_STRING(value);
        length = PyByteArray_GET_SIZE(value);
    } else {
        return -1;
    }
    if (length != (Py_ssize_t)field->bytes && (field->kind == BYTES || length > (Py_ssize_t)field->bytes))
        return -1;
    memcpy(at, data, (size_t)length);
    return 0;
}

static int store_integer(const Field *field, uint8_t *at, PyObject *value)
{
    int bits = (int)(8 * field->bytes);
    uint64_t number;
    if (field->kind == SIGNED) {
        long long wide = PyLong_AsLongLong(value);
        if (wide == -1 && PyErr_Occurred())
            return -1;
        if (bits < 64 && (wide < -(1LL << (bits - 1)) || wide >= 1LL << (bits - 1)))
            return -1;
        number = (uint64_t)wide;
    } else {
        number = PyLong_AsUnsignedLongLong(value);
        if (number == UINT64_MAX && PyErr_Occurred())
            return -1;
        if (bits < 64 && number >> bits)
            return -1;
    }
    switch (field->bytes) {
    case 8: memcpy(at, &number, 8); break;
    case 4: memcpy(at, &number, 4); break;
    case 2: memcpy(at, &number, 2); break;
    default: *at = (uint8_t)number;
    }
    return 0;
}

/* 0, or -1 if the value does not fit; an exception may then be set. */
static int store(const Field *field, uint8_t *message, PyObject *value)
{
    uint8_t *at = message + field->offset;
    if (field->kind >= BYTES)
        return store_bytes(field, at, value);
    if (PyLong_Check(value))
        return store_integer(field, at, value);
    PyObject *index = PyNumber_Index(value);
    if (index == NULL)
        return -1;
    int result = store_integer(field, at, index);
    Py_DECREF(index);
    return result;
}

/*
 * A 32-byte key as bytes, the same object as the last time if it was among those seen lately: a pipeline meets the
 * same few hundred mints and pools in each message, and a bytes object keeps its hash for the dictionaries it keys.
 */
static PyObject *load_key(const uint8_t *at)
{
    static PyObject *seen[1 << KEY_BITS];
    uint64_t part;
    memcpy(&part, at, sizeof part);
    PyObject **entry = &seen[part * 0x9E3779B97F4A7C15 >> (64 - KEY_BITS)];
    if (*entry && memcmp(PyBytes_AS_STRING(*entry), at, KEY_BYTES) == 0)
        return Py_NewRef(*entry);
    PyObject *key = PyBytes_FromStringAndSize((const char *)at, KEY_BYTES);
    if (key)
        Py_XSETREF(*entry, Py_NewRef(key));
    return key;
}

static PyObject *load(const Field *field, const uint8_t *message)
{
    const uint8_t *at = message + field->offset;
    if (field->kind >= BYTES)
        return field->bytes == KEY_BYTES ? load_key(at) : PyBytes_FromStringAndSize((const char *)at, field->bytes);
    uint64_t number = 0;
    switch (field->bytes) {
    case 8: memcpy(&number, at, 8); break;
    case 4: memcpy(&number, at, 4); break;
    case 2: memcpy(&number, at, 2); break;
    default: number = *at;
    }
    if (field->kind == UNSIGNED)
        return PyLong_FromUnsignedLongLong(number);
    int unused = (int)(64 - 8 * field->bytes);
    return PyLong_FromLongLong((int64_t)(number << unused) >> unused);
}

/* ---- Codec ---- */

static int is_ours(const Codec *self, const Py_buffer *buffer)
{
    return buffer->len >= self->size && buffer->len <= MAXIMUM_SIZE &&
           memcmp(buffer->buf, self->image, (size_t)self->head) == 0;
}

/* The caller's arguments as one value a field, borrowed; NULL with TypeError if they do not match the names. */
static PyObject *const *bind(const Codec *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords,
                             PyObject **bound)
{
    Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
    if (given < 1 || given - 1 + named != self->count) {
        PyErr_Format(PyExc_TypeError, "encode_into() takes a view and %zd fields, not %zd arguments", self->count,
                     given + named);
        return NULL;
    }
    if (named == 0)
        return args + 1;
    memset(bound, 0, sizeof(PyObject *) * MAXIMUM_FIELDS);
    for (Py_ssize_t i = 1; i < given; i++)
        bound[i - 1] = args[i];
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *keyword = PyTuple_GET_ITEM(keywords, i);
        Py_ssize_t position = PySequence_Index(self->names, keyword);
        if (position < 0 || bound[position]) {
            PyErr_Format(PyExc_TypeError, "encode_into(): %U is no field, or is given twice", keyword);
            return NULL;
        }
        bound[position] = args[given + i];
    }
    return bound;
}

static PyObject *refused(const Codec *self, PyObject *view, PyObject *const *values)
{
    PyErr_Clear();
    PyObject *tuple = PyTuple_New(self->count);
    if (tuple == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < self->count; i++)
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(values[i]));
    PyObject *error = PyObject_CallFunctionObjArgs(self->refuse, view, tuple, NULL);
    Py_DECREF(tuple);
    if (error) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

static PyObject *codec_encode_into(Codec *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords)
{
    PyObject *bound[MAXIMUM_FIELDS];
    PyObject *const *values = bind(self, args, given, keywords, bound);
    Py_buffer buffer;
    if (values == NULL || PyObject_GetBuffer(args[0], &buffer, PyBUF_WRITABLE) < 0)
        return NULL;
    int result = buffer.len < self->size ? -1 : 0;
    if (result == 0)
        memcpy(buffer.buf, self->image, (size_t)self->size);
    for (Py_ssize_t i = 0; result == 0 && i < self->count; i++)
        result = store(&self->fields[i], buffer.buf, values[i]);
    PyBuffer_Release(&buffer);
    return result < 0 ? refused(self, args[0], values) : Py_NewRef(self->length);
}

static PyObject *codec_decode(Codec *self, PyObject *view)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(view, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    if (!is_ours(self, &buffer)) {
        PyBuffer_Release(&buffer);
        return PyObject_CallOneArg(self->decode_foreign, view);
    }
    PyObject *record = self->record->tp_alloc(self->record, self->count);
#if PY_VERSION_HEX >= 0x030E0000
    if (record)
        ((PyTupleObject *)record)->ob_hash = -1;
#endif
    for (Py_ssize_t i = 0; record && i < self->count; i++) {
        PyObject *value = load(&self->fields[i], buffer.buf);
        if (value == NULL)
            Py_CLEAR(record);
        else
            PyTuple_SET_ITEM(record, i, value);
    }
    PyBuffer_Release(&buffer);
    return record;
}

static PyObject *codec_verify(Codec *self, PyObject *view)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(view, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    int ours = is_ours(self, &buffer);
    PyBuffer_Release(&buffer);
    return ours ? Py_NewRef(Py_None) : PyObject_CallOneArg(self->verify_foreign, view);
}

/* A field from (name, struct code, offset, bytes, is text), if it lies between the template and the end. */
static int codec_add_field(Codec *self, Py_ssize_t position, PyObject *shape)
{
    PyObject *name;
    const char *code;
    Py_ssize_t offset, bytes;
    int text;
    if (!PyTuple_Check(shape)) {
        PyErr_SetString(PyExc_TypeError, "a field is a tuple (name, code, offset, bytes, is text)");
        return -1;
    }
    if (!PyArg_ParseTuple(shape, "Usnnp", &name, &code, &offset, &bytes, &text))
        return -1;
    char last = code[0] ? code[strlen(code) - 1] : 0;
    int integer = last && strchr("bBhHiIqQ", last) != NULL;
    if ((!integer && last != 's') || (integer && bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) ||
        bytes < 1 || bytes > self->size || offset < self->head || offset > self->size - bytes) {
        PyErr_Format(PyExc_ValueError, "field %U: code %s, %zd bytes at %zd do not fit between %zd and %zd", name,
                     code, bytes, offset, self->head, self->size);
        return -1;
    }
    enum kind number = strchr("bhiq", last) ? SIGNED : UNSIGNED;
    uint32_t kind = integer ? number : text ? TEXT : BYTES;
    self->fields[position] = (Field){kind, (uint32_t)offset, (uint32_t)bytes};
    PyTuple_SET_ITEM(self->names, position, Py_NewRef(name));
    return 0;
}

static PyObject *codec_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyTypeObject *record;
    PyObject *shapes, *refuse, *decode, *verify, *read;
    Py_buffer head;
    Py_ssize_t size;
    if (keywords && PyDict_GET_SIZE(keywords)) {
        PyErr_SetString(PyExc_TypeError, "Codec() takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O!y*nO!OOOO", &PyType_Type, &record, &head, &size, &PyTuple_Type, &shapes,
                          &refuse, &decode, &verify, &read))
        return NULL;
    Codec *self = NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(shapes);
    if (!PyType_IsSubtype(record, &PyTuple_Type) || record->tp_basicsize != PyTuple_Type.tp_basicsize ||
        record->tp_itemsize != PyTuple_Type.tp_itemsize) {
        PyErr_SetString(PyExc_ValueError, "record must be a tuple type without attributes of its own");
    } else if (size < 8 || size > MAXIMUM_SIZE || head.len < 8 || head.len > size || count > MAXIMUM_FIELDS) {
        PyErr_Format(PyExc_ValueError, "a message of %zd bytes, template %zd, %zd fields: out of range", size,
                     head.len, count);
    } else {
        self = (Codec *)type->tp_alloc(type, 0);
    }
    if (self) {
        self->record = (PyTypeObject *)Py_NewRef(record);
        self->refuse = Py_NewRef(refuse);
        self->decode_foreign = Py_NewRef(decode);
        self->verify_foreign = Py_NewRef(verify);
        self->read_foreign = Py_NewRef(read);
        self->size = size;
        self->head = head.len;
        self->count = count;
        self->image = PyMem_Calloc(1, (size_t)size);
        if (self->image)
            memcpy(self->image, head.buf, (size_t)head.len);
        self->length = PyLong_FromSsize_t(size);
        self->names = self->image && self->length ? PyTuple_New(count) : PyErr_NoMemory();
        for (Py_ssize_t i = 0; self->names && i < count; i++)
            if (codec_add_field(self, i, PyTuple_GET_ITEM(shapes, i)) < 0)
                Py_CLEAR(self->names);
        if (self->names == NULL)
            Py_CLEAR(self);
    }
    PyBuffer_Release(&head);
    return (PyObject *)self;
}

static void codec_dealloc(Codec *self)
{
    PyMem_Free(self->image);
    Py_XDECREF(self->record);
    Py_XDECREF(self->names);
    Py_XDECREF(self->length);
    Py_XDECREF(self->refuse);
    Py_XDECREF(self->decode_foreign);
    Py_XDECREF(self->verify_foreign);
    Py_XDECREF(self->read_foreign);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* ---- Reader ---- */

static PyObject *reader_call(PyObject *callable, PyObject *const *args, size_t flags, PyObject *keywords)
{
    Reader *self = (Reader *)callable;
    Py_buffer buffer;
    if (PyVectorcall_NARGS(flags) != 1 || (keywords && PyTuple_GET_SIZE(keywords))) {
        PyErr_SetString(PyExc_TypeError, "a reader takes one argument, the message");
        return NULL;
    }
    if (PyObject_GetBuffer(args[0], &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *result = NULL;
    if (!is_ours(self->codec, &buffer)) {
        PyBuffer_Release(&buffer);
        PyObject *values = PyObject_CallFunctionObjArgs(self->codec->read_foreign, args[0], self->names, NULL);
        if (values == NULL || !self->single)
            return values;
        result = PySequence_GetItem(values, 0);
        Py_DECREF(values);
        return result;
    }
    if (self->single) {
        result = load(&self->fields[0], buffer.buf);
    } else {
        result = PyTuple_New(self->count);
        for (Py_ssize_t i = 0; result && i < self->count; i++) {
            PyObject *value = load(&self->fields[i], buffer.buf);
            if (value == NULL)
                Py_CLEAR(result);
            else
                PyTuple_SET_ITEM(result, i, value);
        }
    }
    PyBuffer_Release(&buffer);
    return result;
}

static void reader_dealloc(Reader *self)
{
    Py_XDECREF(self->codec);
    Py_XDECREF(self->names);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyTypeObject Reader_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "hft.wire._codec.Reader",
    .tp_doc = "Reads some fields of a message: one value, or a tuple.",
    .tp_basicsize = sizeof(Reader),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_vectorcall_offset = offsetof(Reader, call),
    .tp_call = PyVectorcall_Call,
    .tp_dealloc = (destructor)reader_dealloc,
};

static PyObject *codec_reader(Codec *self, PyObject *args)
{
    PyObject *names;
    int single;
    if (!PyArg_ParseTuple(args, "O!p", &PyTuple_Type, &names, &single))
        return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(names);
    if (count < 1 || count > MAXIMUM_FIELDS || (single && count != 1)) {
        PyErr_SetString(PyExc_ValueError, "a reader reads at least one field, a single one exactly one");
        return NULL;
    }
    Reader *reader = (Reader *)Reader_Type.tp_alloc(&Reader_Type, 0);
    if (reader == NULL)
        return NULL;
    reader->call = reader_call;
    reader->codec = (Codec *)Py_NewRef(self);
    reader->names = Py_NewRef(names);
    reader->count = count;
    reader->single = single;
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_ssize_t position = PySequence_Index(self->names, PyTuple_GET_ITEM(names, i));
        if (position < 0) {
            Py_DECREF(reader);
            return NULL;
        }
        reader->fields[i] = self->fields[position];
    }
    return (PyObject *)reader;
}

static PyMethodDef codec_methods[] = {
    {"encode_into", (PyCFunction)(void (*)(void))codec_encode_into, METH_FASTCALL | METH_KEYWORDS,
     "encode_into(view, *fields): write one message at the start of view; its size."},
    {"decode", (PyCFunction)codec_decode, METH_O, "decode(view): the record of a message."},
    {"verify", (PyCFunction)codec_verify, METH_O, "verify(view): check a message."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "Codec[Record], for type checkers."},
    {"reader", (PyCFunction)codec_reader, METH_VARARGS, "reader(names, single): a reader of these fields."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject Codec_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "hft.wire._codec.Codec",
    .tp_doc = "Writes and reads messages of one constant layout.",
    .tp_basicsize = sizeof(Codec),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = codec_new,
    .tp_dealloc = (destructor)codec_dealloc,
    .tp_methods = codec_methods,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "hft.wire._codec",
    .m_doc = "The fast path of the codecs.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__codec(void)
{
    if (PyType_Ready(&Codec_Type) < 0 || PyType_Ready(&Reader_Type) < 0)
        return NULL;
    PyObject *self = PyModule_Create(&module);
    if (self && PyModule_AddObjectRef(self, "Codec", (PyObject *)&Codec_Type) < 0)
        Py_CLEAR(self);
    return self;
}
