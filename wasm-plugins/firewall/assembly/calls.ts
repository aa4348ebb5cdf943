/** The names of the functions that a statement calls, as rules want to know them. */
import { Bytes } from '../../sdk/assembly/bytes'
import { Slice, slice } from '../../sdk/assembly/slice'
import { appendPart } from '../../sdk/assembly/sql/names'
import { Word } from '../../sdk/assembly/sql/words'
import { lengthOf, ptrOf } from '../../sdk/assembly/slice'

const CALLS_MAX: i32 = 64

const text = new Bytes()
const starts = new StaticArray<i32>(CALLS_MAX)
const ends = new StaticArray<i32>(CALLS_MAX)
let count: i32 = 0
let more: bool = false

export function clearCalls(): void {
  text.clear()
  count = 0
  more = false
}

/** Takes a name before a parenthesis, its schema if any, and the word before it. */
export function noteCall(schema: Slice, name: Slice, before: Word): void {
  // Here a list of columns follows, no list of values.
  if (before == Word.Into || before == Word.Copy || before == Word.As || before == Word.With) return
  if (before == Word.Table || before == Word.References || before == Word.Recursive) return
  if (count == CALLS_MAX) {
    more = true
    return
  }
  starts[count] = text.length
  if (lengthOf(schema) > 0) {
    appendPart(text, ptrOf(schema), lengthOf(schema))
    text.byte(0x2e)
  }
  appendPart(text, ptrOf(name), lengthOf(name))
  ends[count] = text.length
  count++
}

export function calls(): i32 {
  return count
}

export function hasMoreCalls(): bool {
  return more
}

export function callAt(at: i32): Slice {
  return slice(text.ptr + starts[at], ends[at] - starts[at])
}
