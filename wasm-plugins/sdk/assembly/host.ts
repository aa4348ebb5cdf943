/**
 * What the host gives, as ABI 1 has it (wasm-plugins/abi/README.md), one function each. The parts
 * of the SDK beside this one are nicer to use; this is what they are made of.
 */
import { resetArena } from './arena'
import { Bytes } from './bytes'
import { NONE, Slice, lengthOf, ptrOf } from './slice'

// @ts-ignore: decorator
@external('postern', 'output')
declare function hostOutput(ptr: usize, len: i32): void
// @ts-ignore: decorator
@external('postern', 'log')
declare function hostLog(level: i32, ptr: usize, len: i32): void
// @ts-ignore: decorator
@external('postern', 'log_enabled')
declare function hostLogEnabled(level: i32): i32
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

const ANSWER_BYTES_MIN: i32 = 1024
/** What one call may carry; the host would end the hook for more. */
const CALL_BYTES_MAX: i32 = 0x1_0000
/** What `kvSetAt` may carry by the host's default. */
const STORED_BYTES_MAX: i32 = 0x100_0000

const input = new Bytes()
/** Names on their way to the host. */
const key = new Bytes()

/** Where the host writes what a hook is given; the same place every time. */
export function postern_alloc(len: i32): usize {
  resetArena()
  return input.reserve(len) ? input.ptr : 0
}

/** The place of the value that a getter answers with, kept until the next getter. */
export const answer = new Bytes()

/** A name as UTF-8 for the host, good until the next one. */
export function keyOf(name: string): Slice {
  return key.clear().text(name).slice
}

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

/** False where a line of this level would be thrown away. */
export function logEnabled(level: i32): bool {
  return hostLogEnabled(level) != 0
}

/** The place of `answer`, its length set to the room that the host may use; 0: no memory. */
function room(): usize {
  const wanted = max(answer.length, ANSWER_BYTES_MIN)
  answer.length = 0
  if (!answer.reserve(wanted)) return 0
  answer.length = wanted
  return answer.ptr
}

/** False where the value is larger than the room was: then ask again with what it needs. */
function settle(found: i32): bool {
  const fitted = found <= answer.length
  answer.length = max(found, 0)
  return fitted
}

/** A value of the entry's configuration in `answer`; false where there is none. */
export function config(name: string): bool {
  const named = keyOf(name)
  let found: i32
  do {
    const place = room()
    if (place == 0) return false
    found = hostConfig(ptrOf(named), lengthOf(named), place, answer.length)
  } while (!settle(found))
  return found >= 0
}

/** The connection as JSON in `answer`; false outside of one. */
export function connection(): bool {
  let found: i32
  do {
    const place = room()
    if (place == 0) return false
    found = hostConnection(place, answer.length)
  } while (!settle(found))
  return found >= 0
}

/** What is kept with the connection under a key, in `answer`, or NONE. */
export function sessionGetAt(named: Slice): Slice {
  if (lengthOf(named) > CALL_BYTES_MAX) return NONE
  let found: i32
  do {
    const place = room()
    if (place == 0) return NONE
    found = hostSessionGet(ptrOf(named), lengthOf(named), place, answer.length)
  } while (!settle(found))
  return found < 0 ? NONE : answer.slice
}

/** What this plugin has stored under a key, in `answer`, or NONE. */
export function kvGetAt(named: Slice): Slice {
  if (lengthOf(named) > CALL_BYTES_MAX) return NONE
  let found: i32
  do {
    const place = room()
    if (place == 0) return NONE
    found = hostKvGet(ptrOf(named), lengthOf(named), place, answer.length)
  } while (!settle(found))
  return found < 0 ? NONE : answer.slice
}

export function sessionSetAt(named: Slice, value: Slice): bool {
  if (max(lengthOf(named), lengthOf(value)) > CALL_BYTES_MAX) return false
  return hostSessionSet(ptrOf(named), lengthOf(named), ptrOf(value), lengthOf(value)) == 0
}

export function kvSetAt(named: Slice, value: Slice, ttlMs: i32): bool {
  if (lengthOf(named) > CALL_BYTES_MAX || lengthOf(value) > STORED_BYTES_MAX) return false
  return hostKvSet(ptrOf(named), lengthOf(named), ptrOf(value), lengthOf(value), ttlMs) == 0
}

export function kvDeleteAt(named: Slice): bool {
  if (lengthOf(named) > CALL_BYTES_MAX) return false
  return hostKvDelete(ptrOf(named), lengthOf(named)) == 0
}

/** Makes a stored value the payload without a copy through the guest; its length, or -1. */
export function kvOutputAt(named: Slice): i32 {
  if (lengthOf(named) > CALL_BYTES_MAX) return -1
  return hostKvOutput(ptrOf(named), lengthOf(named))
}

export function signalAt(named: Slice, json: Slice): bool {
  if (max(lengthOf(named), lengthOf(json)) > CALL_BYTES_MAX) return false
  return hostSignal(ptrOf(named), lengthOf(named), ptrOf(json), lengthOf(json)) == 0
}

/** Records a value of the metric at position `id` of the manifest. */
export function metric(id: i32, value: f64, labels: usize, labelsLen: i32): void {
  hostMetric(id, value, labels, labelsLen)
}

/** Unix time in milliseconds. */
export function nowMs(): f64 {
  return hostNowMs()
}

/** Fills a place with bytes that nobody can foresee. */
export function random(ptr: usize, len: i32): void {
  hostRandom(ptr, len)
}
