/**
 * Postern's WASM ABI 1 for AssemblyScript, direct form: what the host gives and where it writes.
 * Nothing here is collected, so a plugin built on it alone may use the runtime that never frees.
 */

// @ts-ignore: decorator
@external('postern', 'output')
declare function hostOutput(ptr: usize, len: i32): void
// @ts-ignore: decorator
@external('postern', 'log')
declare function hostLog(level: i32, ptr: usize, len: i32): void
// @ts-ignore: decorator
@external('postern', 'config')
declare function hostConfig(key: usize, keyLen: i32, ptr: usize, cap: i32): i32
// @ts-ignore: decorator
@external('postern', 'connection')
declare function hostConnection(ptr: usize, cap: i32): i32
// @ts-ignore: decorator
@external('postern', 'session_get')
declare function hostSessionGet(key: usize, keyLen: i32, ptr: usize, cap: i32): i32
// @ts-ignore: decorator
@external('postern', 'session_set')
declare function hostSessionSet(key: usize, keyLen: i32, ptr: usize, len: i32): i32
// @ts-ignore: decorator
@external('postern', 'kv_get')
declare function hostKvGet(key: usize, keyLen: i32, ptr: usize, cap: i32): i32
// @ts-ignore: decorator
@external('postern', 'kv_set')
declare function hostKvSet(key: usize, keyLen: i32, ptr: usize, len: i32, ttlMs: i32): i32
// @ts-ignore: decorator
@external('postern', 'kv_delete')
declare function hostKvDelete(key: usize, keyLen: i32): i32
// @ts-ignore: decorator
@external('postern', 'kv_output')
declare function hostKvOutput(key: usize, keyLen: i32): i32
// @ts-ignore: decorator
@external('postern', 'signal')
declare function hostSignal(name: usize, nameLen: i32, json: usize, jsonLen: i32): i32
// @ts-ignore: decorator
@external('postern', 'metric')
declare function hostMetric(id: i32, value: f64, labels: usize, labelsLen: i32): void
// @ts-ignore: decorator
@external('postern', 'now_ms')
declare function hostNowMs(): f64
// @ts-ignore: decorator
@external('postern', 'random')
declare function hostRandom(ptr: usize, len: i32): void

export const CONTINUE: i32 = 0
export const REPLACE: i32 = 1
export const RESPOND: i32 = 2
export const DENY: i32 = 3
export const CLOSE: i32 = 4
export const ROUTE: i32 = 5

export const TRACE: i32 = 0
export const DEBUG: i32 = 1
export const INFO: i32 = 2
export const WARN: i32 = 3
export const ERROR: i32 = 4

/**
 * Bytes that grow: one place in memory, taken again and again. Growing leaves the old place behind
 * for good; doubling keeps what is left behind smaller than what is held.
 */
@final
export class Bytes {
  ptr: usize = 0
  length: i32 = 0
  private room: i32 = 0

  /** Makes room for `wanted` bytes in all; false where that is more than there can be. */
  reserve(wanted: i32): bool {
    if (wanted <= this.room) return true
    // A quarter of the addresses: what is left behind by growing must fit beside it.
    if (wanted < 0 || wanted > 0x4000_0000) return false
    let room = max(this.room, 1024)
    while (room < wanted) room <<= 1
    const grown = heap.alloc(room)
    memory.copy(grown, this.ptr, this.length)
    this.ptr = grown
    this.room = room
    return true
  }

  clear(): this {
    this.length = 0
    return this
  }

  byte(value: u8): this {
    if (this.reserve(this.length + 1)) {
      store<u8>(this.ptr + this.length, value)
      this.length++
    }
    return this
  }

  raw(ptr: usize, length: i32): this {
    if (this.reserve(this.length + length)) {
      memory.copy(this.ptr + this.length, ptr, length)
      this.length += length
    }
    return this
  }

  /** A text as UTF-8. */
  text(value: string): this {
    const units = value.length
    if (!this.reserve(this.length + units * 3)) return this
    const from = changetype<usize>(value)
    this.length += i32(String.UTF8.encodeUnsafe(from, units, this.ptr + this.length))
    return this
  }

  /** A whole number in decimal digits. */
  number(value: i32): this {
    let rest = <u32>value
    if (value < 0) {
      this.byte(0x2d)
      rest = 0 - rest
    }
    let scale: u32 = 1
    while (rest / scale >= 10) scale *= 10
    for (; scale > 0; scale /= 10) this.byte(u8(0x30 + (rest / scale) % 10))
    return this
  }

  /** Bytes within a JSON string: quotes, backslashes and control characters escaped. */
  json(ptr: usize, length: i32): this {
    for (let at = 0; at < length; at++) {
      const value = load<u8>(ptr + at)
      if (value == 0x22 || value == 0x5c) this.byte(0x5c).byte(value)
      else if (value < 0x20 || value == 0x7f) this.text("\\u00").hex(value >> 4).hex(value & 15)
      else this.byte(value)
    }
    return this
  }

  private hex(digit: u8): this {
    return this.byte(digit < 10 ? 0x30 + digit : 0x57 + digit)
  }
}

const input = new Bytes()
/** Keys and names on their way to the host. */
const key = new Bytes()

/** Where the host writes what a hook is given; the same place every time. */
export function postern_alloc(len: i32): usize {
  return input.reserve(len) ? input.ptr : 0
}

/** The place of the value that a getter answers with, kept until the next getter. */
export const answer = new Bytes()

export function output(bytes: Bytes): void {
  hostOutput(bytes.ptr, bytes.length)
}

export function outputAt(ptr: usize, len: i32): void {
  hostOutput(ptr, len)
}

export function outputText(text: string): void {
  output(key.clear().text(text))
}

/** Writes a line: a text, or a JSON object with `message` and fields. */
export function log(level: i32, line: Bytes): void {
  hostLog(level, line.ptr, line.length)
}

/** Asks again with more room while the value is larger than `answer`. */
function settle(found: i32): bool {
  if (found < 0) {
    answer.length = 0
    return true
  }
  const fitted = answer.length >= found
  answer.length = found
  return fitted
}

/** A value of the entry's configuration in `answer`; false where there is none. */
export function config(name: string): bool {
  key.clear().text(name)
  let found: i32
  do found = hostConfig(key.ptr, key.length, room(), answer.length)
  while (!settle(found))
  return found >= 0
}

/** The connection as JSON in `answer`; false outside of one. */
export function connection(): bool {
  let found: i32
  do found = hostConnection(room(), answer.length)
  while (!settle(found))
  return found >= 0
}

export function sessionGet(name: string): bool {
  key.clear().text(name)
  let found: i32
  do found = hostSessionGet(key.ptr, key.length, room(), answer.length)
  while (!settle(found))
  return found >= 0
}

export function kvGet(name: string): bool {
  key.clear().text(name)
  let found: i32
  do found = hostKvGet(key.ptr, key.length, room(), answer.length)
  while (!settle(found))
  return found >= 0
}

/** The place of `answer`, its length set to the room that the host may use. */
function room(): usize {
  if (answer.length < 1024) answer.length = 1024
  assert(answer.reserve(answer.length), 'no room for an answer of the host')
  return answer.ptr
}

export function sessionSet(name: string, ptr: usize, len: i32): bool {
  key.clear().text(name)
  return hostSessionSet(key.ptr, key.length, ptr, len) == 0
}

export function kvSet(name: string, ptr: usize, len: i32, ttlMs: i32): bool {
  key.clear().text(name)
  return hostKvSet(key.ptr, key.length, ptr, len, ttlMs) == 0
}

export function kvDelete(name: string): bool {
  key.clear().text(name)
  return hostKvDelete(key.ptr, key.length) == 0
}

export function kvOutput(name: string): bool {
  key.clear().text(name)
  return hostKvOutput(key.ptr, key.length) >= 0
}

export function signal(name: string, json: Bytes): bool {
  key.clear().text(name)
  return hostSignal(key.ptr, key.length, json.ptr, json.length) == 0
}

/** Records a value of the metric at position `id` of the manifest. */
export function metric(id: i32, value: f64, labels: usize, labelsLen: i32): void {
  hostMetric(id, value, labels, labelsLen)
}

export function nowMs(): f64 {
  return hostNowMs()
}

export function random(ptr: usize, len: i32): void {
  hostRandom(ptr, len)
}
