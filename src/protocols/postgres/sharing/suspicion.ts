/**
 * Tells from the bytes of statements, in one quick pass, whether they may leave something behind
 * in their session: nearly all do not, and are not looked at again. Errs only to the safe side.
 */

function tableOf(holds: (character: string) => boolean): Uint8Array {
  return new Uint8Array(256).map((_, byte) => (holds(String.fromCharCode(byte)) ? 1 : 0))
}

/** 1 for each byte that a word may have; those of characters beyond ASCII are part of words. */
const WORD = tableOf((character) => /[A-Za-z0-9_$\x80-\xff]/.test(character))
/** 1 for each byte that a word below begins with. */
const FIRST = tableOf((character) => /[delhprst]/i.test(character))
const SPACE = tableOf((character) => /[\s\0]/.test(character))

const SLASH = 0x2f
const DASH = 0x2d
const NEWLINE = 0x0a
const SEMICOLON = 0x3b
const UNDERSCORE = 0x5f

function bytesOf(word: string): Uint8Array {
  return Uint8Array.from(word, (character) => character.charCodeAt(0))
}

/** By their first letter, in capitals or not, of which the lower five bits are the same. */
const WORDS: readonly (readonly Uint8Array[] | undefined)[] = (() => {
  const words = ['listen', 'load', 'prepare', 'execute', 'deallocate', 'hold', 'temp', 'temporary']
  const table: Uint8Array[][] = []
  for (const word of [...words, 'set_config', 'reset']) {
    const first = word.charCodeAt(0) & 31
    table[first] = [...(table[first] ?? []), bytesOf(word)]
  }
  return table
})()

const LETTER_P = 0x70 & 31
const LETTER_S = 0x73 & 31
const SET_LENGTH = 3

/** True where one of the statements from `from` to `to` may leave something in its session. */
export function isSuspicious(bytes: Uint8Array, from: number, to: number): boolean {
  let at = from
  while (at < to) {
    if (WORD[bytes[at]!] === 0) {
      at += 1
      continue
    }
    const begin = at
    do at += 1
    while (at < to && WORD[bytes[at]!] === 1)
    if (FIRST[bytes[begin]!] === 1 && isTelling(bytes, from, begin, at)) return true
  }
  return false
}

function isTelling(bytes: Uint8Array, from: number, begin: number, end: number): boolean {
  const first = bytes[begin]! & 31
  // Functions that lock, and the schema of temporary tables.
  if (first === LETTER_P && bytes[begin + 2] === UNDERSCORE) return isFunction(bytes, begin, end)
  if (first === LETTER_S && end - begin === SET_LENGTH) {
    return isWord(bytes, begin, SET) && mayBegin(bytes, from, begin)
  }
  const words = WORDS[first]
  if (words === undefined) return false
  for (const word of words) {
    if (word.length === end - begin && isWord(bytes, begin, word)) return true
  }
  return false
}

const SET = bytesOf('set')
const FUNCTIONS = ['pg_advisory_lock', 'pg_try_advisory_lock', 'pg_temp'].map(bytesOf)

/** Also longer names: those that lock in the `_shared` way. */
function isFunction(bytes: Uint8Array, begin: number, end: number): boolean {
  return FUNCTIONS.some((name) => name.length <= end - begin && isWord(bytes, begin, name))
}

function isWord(bytes: Uint8Array, begin: number, word: Uint8Array): boolean {
  for (let index = 0; index < word.length; index++) {
    const letter = word[index]!
    const byte = bytes[begin + index]!
    if (byte !== letter && (letter === UNDERSCORE || (byte | 32) !== letter)) return false
  }
  return true
}

/** False only where something stands before in the same statement, as in an UPDATE. */
function mayBegin(bytes: Uint8Array, from: number, begin: number): boolean {
  let at = begin - 1
  let lines = false
  while (at >= from && SPACE[bytes[at]!] === 1) {
    lines ||= bytes[at] === NEWLINE
    at -= 1
  }
  if (at < from || bytes[at] === SEMICOLON || bytes[at] === SLASH) return true
  // The words of a DO block; and what stands before may be a comment.
  return lines && hasComment(bytes, from, at) ? true : isBlockWord(bytes, from, at)
}

function hasComment(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = to; at > from; at--) {
    if (bytes[at] === DASH && bytes[at - 1] === DASH) return true
  }
  return false
}

const BLOCK_WORDS = ['begin', 'then', 'else', 'loop'].map(bytesOf)

function isBlockWord(bytes: Uint8Array, from: number, end: number): boolean {
  return BLOCK_WORDS.some(
    (word) => end - word.length + 1 >= from && isWord(bytes, end - word.length + 1, word),
  )
}
