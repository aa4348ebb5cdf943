/* Refuses every statement with the word "drop" in it. Direct form of the ABI, no library at all. */

typedef unsigned char byte;
typedef unsigned int u32;

/* What the gateway grants us, and what we give it; the names are those of the ABI. */
#define HOST(name) __attribute__((import_module("postern"), import_name(#name)))
#define GUEST(name) __attribute__((export_name(#name)))

HOST(output) extern void host_output(const void *at, u32 length);
HOST(metric) extern void host_metric(u32 id, double value, const void *labels, u32 length);

enum { CONTINUE = 0, DENY = 3 };
enum { HEADER = 5, PAGE = 65536 };

static const char MANIFEST[] =
    "{\"abi\":1,\"name\":\"no-drop\",\"version\":\"1.0.0\","
    "\"hooks\":[{\"name\":\"onTrafficFromClient\",\"messages\":[\"Query\",\"Parse\"]}],"
    "\"metrics\":[{\"name\":\"no_drop_refused_total\",\"type\":\"counter\","
    "\"help\":\"Statements refused\"}]}";

static const char REFUSAL[] =
    "{\"code\":\"42501\",\"message\":\"nothing is dropped here\",\"hint\":\"Ask an operator.\"}";

static const char WORD[] = "drop";

/* Says what we are. Called once, before anything else. */
GUEST(describe) u32 describe(void) {
    host_output(MANIFEST, sizeof MANIFEST - 1);
    return 0;
}

/* The linker's name for the first byte behind our data: messages lie there, one at a time. */
extern byte __heap_base;

GUEST(postern_alloc) u32 postern_alloc(u32 length) {
    u32 from = (u32)&__heap_base;
    u32 has = (u32)__builtin_wasm_memory_size(0) * PAGE;
    /* Beyond our 64 MiB (memoryBytesMax) growing fails, and 0 says that there is no room. */
    if (length > has - from) {
        u32 pages = (length - (has - from) + PAGE - 1) / PAGE;
        if (__builtin_wasm_memory_grow(0, pages) == (unsigned long)-1) return 0;
    }
    return from;
}

static int is_letter(byte one) {
    byte lower = one | 32;
    return (lower >= 'a' && lower <= 'z') || (one >= '0' && one <= '9') || one == '_' || one > 127;
}

/* True where the word stands at this place, in any case. */
static int stands_at(const byte *at, const byte *end) {
    for (u32 place = 0; place < sizeof WORD - 1; place++) {
        if (at + place >= end || (at[place] | 32) != WORD[place]) return 0;
    }
    at += sizeof WORD - 1;
    return at >= end || !is_letter(*at);
}

/* One message, its header included: a byte for its type, four for its length, its body. */
GUEST(on_traffic_from_client) u32 on_traffic_from_client(const byte *at, u32 length) {
    const byte *end = at + length;
    byte before = 0;
    for (at += HEADER; at < end; before = *at++) {
        if (is_letter(before) || !stands_at(at, end)) continue;
        host_metric(0, 1, "", 0);
        host_output(REFUSAL, sizeof REFUSAL - 1);
        return DENY;
    }
    return CONTINUE;
}
