/* One opcode at a time; each takes at least one byte and makes at most one value, so the pickle's size bounds
 * everything. */
#include "weights/pickle.h"
#include "base/memory.h"
#include "weights/content.h"

#include <stdbool.h>
#include <string.h>

typedef struct machine {
    const uint8_t *start, *at, *end;
    const char *file;
    dipp_arena *arena;
    dipp_pickle_value **stack, **memo;
    size_t count, capacity, memo_count, memo_capacity;
    dipp_error *error;
} machine;

typedef enum known_role {
    MAKE_DICT,
    MAKE_TENSOR,
    MAKE_PARAMETER,
    MAKE_SIZE,
    MAKE_LIST, /* from a list */
    MAKE_SAME, /* from a value, and its type or a number beside it */
    STORAGE_TYPE,
    ONLY_A_NAME /* a key of what PyTorch Lightning keeps beside the weights */
} known_role;

enum { PROGRAM_CLASS = -1 }; /* in place of a row of known_names */

/* The only names that a file may say, beside a program's own classes. None of them is looked up anywhere: the machine does what they stand for. */
static const struct known_name {
    const char *module, *name;
    known_role role;
} known_names[] = {
    {"collections", "OrderedDict", MAKE_DICT},
    {"torch._utils", "_rebuild_tensor_v2", MAKE_TENSOR},
    {"torch._utils", "_rebuild_parameter", MAKE_PARAMETER},
    {"torch", "Size", MAKE_SIZE},
    {"torch.jit._pickle", "build_intlist", MAKE_LIST},
    {"torch.jit._pickle", "build_doublelist", MAKE_LIST},
    {"torch.jit._pickle", "build_boollist", MAKE_LIST},
    {"torch.jit._pickle", "build_tensorlist", MAKE_LIST},
    {"torch.jit._pickle", "restore_type_tag", MAKE_SAME},
    {"torch", "device", MAKE_SAME},
    {"pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint", ONLY_A_NAME},
    {"torch", "DoubleStorage", STORAGE_TYPE},
    {"torch", "FloatStorage", STORAGE_TYPE},
    {"torch", "HalfStorage", STORAGE_TYPE},
    {"torch", "BFloat16Storage", STORAGE_TYPE},
    {"torch", "LongStorage", STORAGE_TYPE},
    {"torch", "IntStorage", STORAGE_TYPE},
    {"torch", "ShortStorage", STORAGE_TYPE},
    {"torch", "CharStorage", STORAGE_TYPE},
    {"torch", "ByteStorage", STORAGE_TYPE},
    {"torch", "BoolStorage", STORAGE_TYPE},
    {"torch", "ComplexFloatStorage", STORAGE_TYPE},
    {"torch", "ComplexDoubleStorage", STORAGE_TYPE},
};

static dipp_status fail_at(machine *m, dipp_status code, const char *format, ...) DIPP_PRINTF(3, 4);

static dipp_status fail_at(machine *m, dipp_status code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    dipp_fail_v(m->error, code, format, arguments);
    va_end(arguments);
    if (m->error)
        dipp_error_context(m->error, "%s: data.pkl, before byte %zu", m->file, (size_t)(m->at - m->start));
    return code;
}

static dipp_status fail_memory(machine *m)
{
    fail_at(m, DIPP_E_MEMORY, "out of memory");
    return DIPP_E_MEMORY;
}

static dipp_status fail_damaged(machine *m, const char *what)
{
    fail_at(m, DIPP_E_FORMAT, "%s; the pickle is damaged", what);
    return DIPP_E_FORMAT;
}

static dipp_status push(machine *m, dipp_pickle_value *value)
{
    if (!dipp_grow((void **)&m->stack, &m->capacity, m->count + 1, sizeof *m->stack))
        return fail_memory(m);
    m->stack[m->count++] = value;
    return DIPP_OK;
}

/* Pushes a new value of this kind; *made may be filled after. */
static dipp_status push_new(machine *m, dipp_pickle_kind kind, dipp_pickle_value **made)
{
    *made = dipp_arena_allocate_zeroed(m->arena, 1, sizeof **made);
    if (!*made)
        return fail_memory(m);
    (*made)->kind = kind;
    return push(m, *made);
}

static dipp_status push_int(machine *m, dipp_pickle_kind kind, int64_t integer)
{
    dipp_pickle_value *made;
    dipp_status status = push_new(m, kind, &made);
    if (!status)
        made->integer = integer;
    return status;
}

/* The top, which stays the machine's; never a mark. */
static dipp_status pop(machine *m, dipp_pickle_value **value)
{
    if (!m->count || m->stack[m->count - 1]->kind == DIPP_PICKLE_MARK)
        return fail_damaged(m, "an opcode takes more values than there are");
    *value = m->stack[--m->count];
    return DIPP_OK;
}

static bool take_bytes(machine *m, size_t count, const uint8_t **bytes)
{
    if (count > (size_t)(m->end - m->at))
        return false;
    *bytes = m->at;
    m->at += count;
    return true;
}

/* An unsigned little-endian number of 1, 2, 4 or 8 bytes. */
static bool take_number(machine *m, size_t width, uint64_t *number)
{
    const uint8_t *bytes;
    if (!take_bytes(m, width, &bytes))
        return false;
    *number = 0;
    for (size_t i = 0; i < width; i++)
        *number |= (uint64_t)bytes[i] << (8 * i);
    return true;
}

static dipp_status fail_cut(machine *m)
{
    return fail_damaged(m, "it ends inside an opcode");
}

static dipp_status push_text(machine *m, size_t width)
{
    uint64_t length;
    const uint8_t *bytes;
    dipp_pickle_value *made;
    if (!take_number(m, width, &length) || length > SIZE_MAX || !take_bytes(m, (size_t)length, &bytes))
        return fail_cut(m);
    dipp_status status = push_new(m, DIPP_PICKLE_TEXT, &made);
    if (!status) {
        made->text.bytes = (const char *)bytes;
        made->text.length = (size_t)length;
    }
    return status;
}

static dipp_status push_long(machine *m)
{
    uint64_t length;
    const uint8_t *bytes;
    if (!take_number(m, 1, &length) || !take_bytes(m, (size_t)length, &bytes))
        return fail_cut(m);
    uint64_t bits = length && bytes[length - 1] & 0x80 ? UINT64_MAX : 0; /* two's complement of any length */
    for (size_t i = 0; i < length && i < 8; i++)
        bits = (bits & ~((uint64_t)0xff << (8 * i))) | (uint64_t)bytes[i] << (8 * i);
    return push_int(m, length > 8 ? DIPP_PICKLE_HUGE : DIPP_PICKLE_INT, (int64_t)bits);
}

static dipp_status push_double(machine *m)
{
    const uint8_t *bytes;
    dipp_pickle_value *made;
    if (!take_bytes(m, 8, &bytes))
        return fail_cut(m);
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | bytes[i]; /* the one big-endian number of the format */
    dipp_status status = push_new(m, DIPP_PICKLE_FLOAT, &made);
    if (!status)
        memcpy(&made->number, &bits, sizeof bits);
    return status;
}

static dipp_status append(machine *m, dipp_pickle_value *list, dipp_pickle_value *const *items, size_t count)
{
    if (count > list->list.capacity - list->list.count) {
        size_t capacity = 2 * list->list.count + count;
        dipp_pickle_value **grown = dipp_arena_allocate(m->arena, capacity * sizeof *grown);
        if (!grown)
            return fail_memory(m);
        if (list->list.count)
            memcpy(grown, list->list.items, list->list.count * sizeof *grown);
        list->list.items = grown;
        list->list.capacity = capacity;
    }
    if (count)
        memcpy(list->list.items + list->list.count, items, count * sizeof *items);
    list->list.count += count;
    return DIPP_OK;
}

/* The last count values become a tuple. */
static dipp_status push_tuple(machine *m, size_t count)
{
    if (count > m->count)
        return fail_damaged(m, "a tuple takes more values than there are");
    dipp_pickle_value **items = m->stack + m->count - count, *made;
    for (size_t i = 0; i < count; i++)
        if (items[i]->kind == DIPP_PICKLE_MARK)
            return fail_damaged(m, "a tuple takes more values than there are");
    made = dipp_arena_allocate_zeroed(m->arena, 1, sizeof *made);
    if (!made)
        return fail_memory(m);
    made->kind = DIPP_PICKLE_TUPLE;
    dipp_status status = append(m, made, items, count);
    m->count -= count;
    return status ? status : push(m, made);
}

/* Takes away the topmost mark; *first is where the values above it start, *count how many there are. */
static dipp_status pop_mark(machine *m, size_t *first, size_t *count)
{
    size_t place = m->count;
    while (place && m->stack[place - 1]->kind != DIPP_PICKLE_MARK)
        place--;
    if (!place)
        return fail_damaged(m, "a mark is missing");
    *count = m->count - place;
    memmove(m->stack + place - 1, m->stack + place, *count * sizeof *m->stack);
    m->count--;
    *first = place - 1;
    return DIPP_OK;
}

static dipp_status push_marked_tuple(machine *m)
{
    size_t first = 0, count = 0;
    dipp_status status = pop_mark(m, &first, &count);
    return status ? status : push_tuple(m, count);
}

/* Adds the values from first on to the container below them. step: 1 for a list, 2 for the keys and values of a
 * dict. */
static dipp_status fill(machine *m, size_t first, size_t step)
{
    dipp_pickle_kind kind = step == 2 ? DIPP_PICKLE_DICT : DIPP_PICKLE_LIST;
    size_t count = m->count - first;
    if (!first || m->stack[first - 1]->kind != kind || count % step)
        return fail_damaged(m, step == 2 ? "items are set in what is no dict" : "items are added to what is no list");
    for (size_t i = first; i < m->count; i++)
        if (m->stack[i]->kind == DIPP_PICKLE_MARK)
            return fail_damaged(m, "a mark is among the items");
    dipp_status status = append(m, m->stack[first - 1], m->stack + first, count);
    m->count = first;
    return status;
}

static dipp_status fill_marked(machine *m, size_t step)
{
    size_t first = 0, count = 0;
    dipp_status status = pop_mark(m, &first, &count);
    return status ? status : fill(m, first, step);
}

static dipp_status fill_one(machine *m, size_t step)
{
    return m->count < step ? fail_damaged(m, "an item is missing") : fill(m, m->count - step, step);
}

static bool text_is(const char *bytes, size_t length, const char *expected)
{
    return length == strlen(expected) && !memcmp(bytes, expected, length);
}

/* Classes of a TorchScript program are compiled from the archive's code/, which is never read: __torch__ and below. */
static bool is_program(const char *module, size_t length)
{
    static const char root[] = "__torch__";
    size_t start = sizeof root - 1;
    return length >= start && !memcmp(module, root, start) && (length == start || module[start] == '.');
}

static dipp_status push_global(machine *m, const char *module, size_t module_length, const char *name, size_t length)
{
    if (is_program(module, module_length))
        return push_int(m, DIPP_PICKLE_GLOBAL, PROGRAM_CLASS);
    for (size_t i = 0; i < sizeof known_names / sizeof *known_names; i++)
        if (text_is(module, module_length, known_names[i].module) && text_is(name, length, known_names[i].name))
            return push_int(m, DIPP_PICKLE_GLOBAL, (int64_t)i);
    char full[DIPP_QUOTED_BYTES], quoted[DIPP_QUOTED_BYTES];
    size_t used = 0;
    for (size_t i = 0; i < module_length && used < 60; i++)
        full[used++] = module[i] && !(module[i] & 0x80) ? module[i] : '?';
    full[used++] = '.';
    for (size_t i = 0; i < length && used < sizeof full - 1; i++)
        full[used++] = name[i] && !(name[i] & 0x80) ? name[i] : '?';
    full[used] = 0;
    return fail_at(m, DIPP_E_FORMAT,
                   "the file asks for the Python object %s; only tensors, dicts, lists, texts and numbers are read and "
                   "nothing is executed. Load it in PyTorch and save its state dict alone",
                   dipp_weight_quote(full, quoted));
}

static dipp_status push_named_global(machine *m)
{
    const uint8_t *module = m->at, *first = memchr(m->at, '\n', (size_t)(m->end - m->at));
    const uint8_t *name = first ? first + 1 : NULL,
                  *second = first ? memchr(name, '\n', (size_t)(m->end - name)) : NULL;
    if (!second)
        return fail_cut(m);
    m->at = second + 1;
    return push_global(m, (const char *)module, (size_t)(first - module), (const char *)name, (size_t)(second - name));
}

static dipp_status push_stack_global(machine *m)
{
    dipp_pickle_value *name = NULL, *module = NULL;
    dipp_status status = pop(m, &name);
    if (!status)
        status = pop(m, &module);
    if (status)
        return status;
    if (name->kind != DIPP_PICKLE_TEXT || module->kind != DIPP_PICKLE_TEXT)
        return fail_damaged(m, "the name of an object is no text");
    return push_global(m, module->text.bytes, module->text.length, name->text.bytes, name->text.length);
}

static bool is_global(const dipp_pickle_value *value, known_role role)
{
    return value->kind == DIPP_PICKLE_GLOBAL && value->integer != PROGRAM_CLASS &&
           known_names[value->integer].role == role;
}

/* ("storage", torch.FloatStorage, key, device, count): the device says where the tensor was and means nothing here. */
static dipp_status push_storage(machine *m)
{
    dipp_pickle_value *id = NULL, *made;
    dipp_status status = pop(m, &id);
    if (status)
        return status;
    dipp_pickle_value **part = id->list.items;
    if (id->kind != DIPP_PICKLE_TUPLE || id->list.count != 5 || part[0]->kind != DIPP_PICKLE_TEXT ||
        !text_is(part[0]->text.bytes, part[0]->text.length, "storage") || !is_global(part[1], STORAGE_TYPE) ||
        part[2]->kind != DIPP_PICKLE_TEXT || part[4]->kind != DIPP_PICKLE_INT || part[4]->integer < 0)
        return fail_damaged(m, "a persistent id is not (\"storage\", type, key, device, count)");
    status = push_new(m, DIPP_PICKLE_STORAGE, &made);
    if (!status) {
        made->storage.type = known_names[part[1]->integer].name;
        made->storage.key = part[2];
        made->storage.count = part[4]->integer;
    }
    return status;
}

static bool is_int_tuple(const dipp_pickle_value *value)
{
    enum { MOST = 64 }; /* as many dimensions as PyTorch has */
    if (value->kind != DIPP_PICKLE_TUPLE || value->list.count > MOST)
        return false;
    for (size_t i = 0; i < value->list.count; i++)
        if (value->list.items[i]->kind != DIPP_PICKLE_INT || value->list.items[i]->integer < 0)
            return false;
    return true;
}

/* _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks[, metadata]) */
static dipp_status push_tensor(machine *m, const dipp_pickle_value *arguments)
{
    dipp_pickle_value **part = arguments->list.items, *made;
    if (arguments->list.count < 6 || arguments->list.count > 7 || part[0]->kind != DIPP_PICKLE_STORAGE ||
        part[1]->kind != DIPP_PICKLE_INT || part[1]->integer < 0 || !is_int_tuple(part[2]) || !is_int_tuple(part[3]) ||
        part[2]->list.count != part[3]->list.count)
        return fail_damaged(m,
                            "a tensor is not made of (storage, offset, shape, strides, ...) of numbers of at least 0");
    dipp_status status = push_new(m, DIPP_PICKLE_TENSOR, &made);
    if (!status) {
        made->tensor.storage = part[0];
        made->tensor.offset = part[1]->integer;
        made->tensor.shape = part[2];
        made->tensor.strides = part[3];
    }
    return status;
}

/* What is called and a tuple of arguments, from the stack. */
static dipp_status pop_call(machine *m, dipp_pickle_value **function, dipp_pickle_value **arguments)
{
    dipp_status status = pop(m, arguments);
    if (!status)
        status = pop(m, function);
    if (!status && ((*function)->kind != DIPP_PICKLE_GLOBAL || (*arguments)->kind != DIPP_PICKLE_TUPLE))
        return fail_damaged(m, "a call is not a known name and a tuple");
    return status;
}

/* An object without attributes yet; BUILD brings them. */
static dipp_status push_object(machine *m, const dipp_pickle_value *type, const dipp_pickle_value *arguments)
{
    dipp_pickle_value *made;
    if (type->integer != PROGRAM_CLASS || arguments->list.count)
        return fail_damaged(m, "an object is not made of a program's class and no arguments");
    return push_new(m, DIPP_PICKLE_OBJECT, &made);
}

static dipp_status new_object(machine *m)
{
    dipp_pickle_value *arguments = NULL, *type = NULL;
    dipp_status status = pop_call(m, &type, &arguments);
    return status ? status : push_object(m, type, arguments);
}

static dipp_status reduce(machine *m)
{
    dipp_pickle_value *arguments = NULL, *function = NULL, *made;
    dipp_status status = pop_call(m, &function, &arguments);
    if (status)
        return status;
    if (function->integer == PROGRAM_CLASS)
        return push_object(m, function, arguments);
    switch (known_names[function->integer].role) {
    case MAKE_DICT:
        if (arguments->list.count)
            return fail_damaged(m, "collections.OrderedDict has arguments");
        return push_new(m, DIPP_PICKLE_DICT, &made);
    case MAKE_TENSOR: return push_tensor(m, arguments);
    case MAKE_PARAMETER: /* (tensor, requires_grad, hooks) */
        if (arguments->list.count < 1 || arguments->list.items[0]->kind != DIPP_PICKLE_TENSOR)
            return fail_damaged(m, "a parameter is not made of a tensor");
        return push(m, arguments->list.items[0]);
    case MAKE_SIZE:
        if (arguments->list.count != 1 || !is_int_tuple(arguments->list.items[0]))
            return fail_damaged(m, "torch.Size is not made of a tuple of numbers");
        return push(m, arguments->list.items[0]);
    case MAKE_LIST:
        if (arguments->list.count != 1 || arguments->list.items[0]->kind != DIPP_PICKLE_LIST)
            return fail_damaged(m, "a program's list is not made of a list");
        return push(m, arguments->list.items[0]);
    case MAKE_SAME:
        if (!arguments->list.count)
            return fail_damaged(m, "a device or a program's value is made of nothing");
        return push(m, arguments->list.items[0]);
    case STORAGE_TYPE:
    case ONLY_A_NAME: break;
    }
    return fail_damaged(m, "a name is called that makes nothing");
}

/* State of an object: the attributes of a program's, which are kept. torch also keeps versions of modules as attributes of
 * its OrderedDict; they are not needed. */
static dipp_status take_state(machine *m)
{
    dipp_pickle_value *state = NULL;
    dipp_status status = pop(m, &state);
    if (status)
        return status;
    dipp_pickle_value *object = m->count ? m->stack[m->count - 1] : NULL;
    if (!object || (object->kind != DIPP_PICKLE_DICT && object->kind != DIPP_PICKLE_OBJECT))
        return fail_damaged(m, "attributes are given to what is no OrderedDict and no object of a program");
    if (object->kind == DIPP_PICKLE_DICT)
        return DIPP_OK;
    if (state->kind != DIPP_PICKLE_DICT || object->list.count)
        return fail_damaged(m, "the attributes of an object are no dict, or given twice");
    object->list = state->list;
    return DIPP_OK;
}

static dipp_status memo_put(machine *m, uint64_t place)
{
    if (!m->count || m->stack[m->count - 1]->kind == DIPP_PICKLE_MARK)
        return fail_damaged(m, "there is no value to remember");
    if (place >= (uint64_t)(m->end - m->start))
        return fail_damaged(m, "a value is remembered beyond all bounds");
    if (place >= m->memo_count) {
        if (!dipp_grow((void **)&m->memo, &m->memo_capacity, (size_t)place + 1, sizeof *m->memo))
            return fail_memory(m);
        memset(m->memo + m->memo_count, 0, ((size_t)place + 1 - m->memo_count) * sizeof *m->memo);
        m->memo_count = (size_t)place + 1;
    }
    m->memo[place] = m->stack[m->count - 1];
    return DIPP_OK;
}

static dipp_status memo_put_at(machine *m, size_t width)
{
    uint64_t place;
    return take_number(m, width, &place) ? memo_put(m, place) : fail_cut(m);
}

static dipp_status memo_get(machine *m, size_t width)
{
    uint64_t place;
    if (!take_number(m, width, &place))
        return fail_cut(m);
    if (place >= m->memo_count || !m->memo[place])
        return fail_damaged(m, "a value is recalled that was not remembered");
    return push(m, m->memo[place]);
}

static dipp_status push_number(machine *m, size_t width)
{
    uint64_t number;
    if (!take_number(m, width, &number))
        return fail_cut(m);
    return push_int(m, DIPP_PICKLE_INT, width == 4 ? (int64_t)(int32_t)(uint32_t)number : (int64_t)number);
}

static dipp_status skip_frame(machine *m)
{
    uint64_t length;
    if (!take_number(m, 8, &length))
        return fail_cut(m);
    return length > (uint64_t)(m->end - m->at) ? fail_damaged(m, "a frame is longer than the file") : DIPP_OK;
}

static dipp_status step(machine *m, uint8_t opcode)
{
    dipp_pickle_value *made;
    switch (opcode) {
    case '(': return push_new(m, DIPP_PICKLE_MARK, &made);
    case 'N': return push_new(m, DIPP_PICKLE_NONE, &made);
    case '}': return push_new(m, DIPP_PICKLE_DICT, &made);
    case ']': return push_new(m, DIPP_PICKLE_LIST, &made);
    case ')': return push_tuple(m, 0);
    case 0x85: return push_tuple(m, 1);
    case 0x86: return push_tuple(m, 2);
    case 0x87: return push_tuple(m, 3);
    case 't': return push_marked_tuple(m);
    case 0x88: return push_int(m, DIPP_PICKLE_BOOL, 1);
    case 0x89: return push_int(m, DIPP_PICKLE_BOOL, 0);
    case 'K': return push_number(m, 1);
    case 'M': return push_number(m, 2);
    case 'J': return push_number(m, 4);
    case 0x8a: return push_long(m);
    case 'G': return push_double(m);
    case 0x8c: return push_text(m, 1);
    case 'X': return push_text(m, 4);
    case 0x8d: return push_text(m, 8);
    case 'c': return push_named_global(m);
    case 0x93: return push_stack_global(m);
    case 'Q': return push_storage(m);
    case 'R': return reduce(m);
    case 'b': return take_state(m);
    case 0x81: return new_object(m);
    case 'a': return fill_one(m, 1);
    case 's': return fill_one(m, 2);
    case 'e': return fill_marked(m, 1);
    case 'u': return fill_marked(m, 2);
    case 'q': return memo_put_at(m, 1);
    case 'r': return memo_put_at(m, 4);
    case 0x94: return memo_put(m, m->memo_count);
    case 'h': return memo_get(m, 1);
    case 'j': return memo_get(m, 4);
    case 0x95: return skip_frame(m);
    default:
        return fail_at(m, DIPP_E_FORMAT, "opcode 0x%02x is not among those that PyTorch writes for weights", opcode);
    }
}

static dipp_status run(machine *m, const dipp_pickle_value **root)
{
    if (m->end - m->at < 2 || m->at[0] != 0x80 || m->at[1] < 2 || m->at[1] > 5)
        return fail_at(m, DIPP_E_FORMAT, "expected a pickle of protocol 2 to 5");
    m->at += 2;
    while (m->at < m->end) {
        uint8_t opcode = *m->at++;
        if (opcode == '.') {
            if (m->count != 1 || m->stack[0]->kind == DIPP_PICKLE_MARK)
                return fail_damaged(m, "it does not end with one value");
            *root = m->stack[0];
            return DIPP_OK;
        }
        dipp_status status = step(m, opcode);
        if (status)
            return status;
    }
    return fail_damaged(m, "it has no end");
}

dipp_status dipp_pickle_load(const uint8_t *bytes, size_t size, const char *file, dipp_arena *arena,
                             const dipp_pickle_value **root, dipp_error *error)
{
    if (size > DIPP_PICKLE_LIMIT)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: data.pkl has %zu bytes, more than the %d that are read", file, size,
                         (int)DIPP_PICKLE_LIMIT);
    machine m = {.start = bytes, .at = bytes, .end = bytes + size, .file = file, .arena = arena, .error = error};
    dipp_status status = run(&m, root);
    dipp_release(m.stack);
    dipp_release(m.memo);
    return status;
}
