/**
 * What is to be known of a session for its texts to be read: whether backslashes escape in '…',
 * and whether a letter may hide one. The server tells; but a client may be ahead of it, so a
 * session that has changed either by itself is read both ways from then on.
 */
import { StartupMessage } from '../../sdk/assembly/postgres/frontend'
import { isTextIgnoringCase, lengthOf, ptrOf, Slice } from '../../sdk/assembly/slice'
import { Quoting } from '../../sdk/assembly/sql/quoting'
import { sessionGetNumber, sessionSetNumber } from '../../sdk/assembly/store'

const KEY = 'firewall.uncertain'

const quoting = new Quoting()

export class Reading {
  /** standard_conforming_strings. */
  static standardStrings: bool = true
  /** True where it may be otherwise by now. */
  static isUncertain: bool = false
  /** True for encodings in which a letter may end in a backslash. */
  static isUnsafe: bool = false
}

/** Takes a ParameterStatus or a StartupMessage. */
export function observe(ptr: usize, len: i32): void {
  quoting.observe(ptr, len)
}

/** Gets what is known of the present session; only for texts where it matters. */
export function loadReading(): void {
  quoting.load()
  Reading.standardStrings = quoting.standardStrings
  Reading.isUncertain = sessionGetNumber(KEY) != 0
  Reading.isUnsafe = quoting.isUnsafe || Reading.isUncertain
}

export function assumeReading(): void {
  Reading.standardStrings = true
  Reading.isUncertain = false
  Reading.isUnsafe = false
}

/** The session has changed, or may have changed, how its texts are read. */
export function becomeUncertain(): void {
  if (sessionGetNumber(KEY) == 0) sessionSetNumber(KEY, 1)
}

/** Looks for settings by which a client begins; true where it wants to write. */
export function readStartup(startup: StartupMessage): bool {
  let isWriting = false
  if (!startup.isStartup) return false
  startup.rewind()
  while (startup.next()) {
    if (contains(startup.name, 'read_only') || contains(startup.value, 'read_only')) {
      isWriting = isWriting || !isTextIgnoringCase(startup.value, 'on')
    }
    const isQuoting = contains(startup.name, 'standard_conforming_strings')
      || contains(startup.value, 'standard_conforming_strings')
      || contains(startup.value, 'client_encoding')
    if (isQuoting) becomeUncertain()
  }
  return isWriting
}

/** Settings may be written in any case, and with - for _ in `options`. */
function contains(run: Slice, text: string): bool {
  const length = lengthOf(run)
  for (let at = 0; at + text.length <= length; at++) {
    let met = 0
    const from = ptrOf(run) + at
    while (met < text.length && isLetter(load<u8>(from + met), text.charCodeAt(met))) met++
    if (met == text.length) return true
  }
  return false
}

function isLetter(byte: u8, wanted: i32): bool {
  const folded = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte == 0x2d ? 0x5f : byte
  return <i32>folded == wanted
}

const HIGH: u64 = 0x8080_8080_8080_8080
const LOW: u64 = 0x0101_0101_0101_0101
const BACKSLASHES: u64 = 0x5c5c_5c5c_5c5c_5c5c

/** False where a text has a backslash or a letter beyond ASCII: only then the session matters. */
export function isPlain(text: Slice): bool {
  const end = ptrOf(text) + lengthOf(text)
  let ptr = ptrOf(text)
  for (; ptr + 8 <= end; ptr += 8) {
    const eight = load<u64>(ptr)
    const differing = eight ^ BACKSLASHES
    if (((eight | ((differing - LOW) & ~differing)) & HIGH) != 0) return false
  }
  for (; ptr < end; ptr++) if (load<u8>(ptr) == 0x5c || load<u8>(ptr) >= 0x80) return false
  return true
}
