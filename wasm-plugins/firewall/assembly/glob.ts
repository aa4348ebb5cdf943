/**
 * Patterns in which `*` stands for any bytes, none too, and everything else for itself. A text is
 * passed once, whatever the pattern is: each piece between two stars is looked for behind the one
 * before it, by Knuth, Morris and Pratt, and never given back.
 */
import { lengthOf, ptrOf, Slice } from '../../sdk/assembly/slice'

const STAR: u8 = 0x2a

@final
export class Glob {
  private readonly bytes: StaticArray<u8>
  /** For each byte of a piece: how much of the piece's beginning ends there. */
  private readonly borders: StaticArray<i32>
  /** Of a pattern for names with a schema the pattern of the name alone. */
  short: Glob | null = null

  constructor(pattern: Slice) {
    const length = lengthOf(pattern)
    this.bytes = new StaticArray<u8>(length)
    this.borders = new StaticArray<i32>(length)
    for (let at = 0; at < length; at++) this.bytes[at] = load<u8>(ptrOf(pattern) + at)
    for (let from = 0; from < length; from = this.endOf(from) + 1) this.prepare(from)
  }

  /** True for a star alone. */
  get isEverything(): bool {
    return this.bytes.length == 1 && this.bytes[0] == STAR
  }

  /** True where the whole text is as the pattern says. */
  matches(text: Slice): bool {
    const length = lengthOf(text)
    const ptr = ptrOf(text)
    const first = this.endOf(0)
    if (!this.isAt(0, first, ptr, length)) return false
    if (first == this.bytes.length) return length == first
    let at = first
    let from = first + 1
    while (true) {
      const to = this.endOf(from)
      if (to == this.bytes.length) {
        const rest = to - from
        return length - at >= rest && this.isAt(from, to, ptr + length - rest, rest)
      }
      at = this.find(from, to, ptr, at, length)
      if (at < 0) return false
      from = to + 1
    }
  }

  /** Where the piece that begins at `from` ends: at a star, or with the pattern. */
  private endOf(from: i32): i32 {
    let at = from
    while (at < this.bytes.length && this.bytes[at] != STAR) at++
    return at
  }

  private prepare(from: i32): void {
    const to = this.endOf(from)
    let border = 0
    for (let at = from + 1; at < to; at++) {
      while (border > 0 && this.bytes[at] != this.bytes[from + border]) {
        border = this.borders[from + border - 1]
      }
      if (this.bytes[at] == this.bytes[from + border]) border++
      this.borders[at] = border
    }
  }

  private isAt(from: i32, to: i32, ptr: usize, length: i32): bool {
    if (length < to - from) return false
    for (let at = from; at < to; at++) if (load<u8>(ptr + at - from) != this.bytes[at]) return false
    return true
  }

  /** Behind the first place of a piece in the text from `at` on, or -1. */
  private find(from: i32, to: i32, ptr: usize, at: i32, length: i32): i32 {
    if (from == to) return at
    let met = 0
    for (; at < length; at++) {
      const byte = load<u8>(ptr + at)
      while (met > 0 && byte != this.bytes[from + met]) met = this.borders[from + met - 1]
      if (byte == this.bytes[from + met]) met++
      if (met == to - from) return at + 1
    }
    return -1
  }
}

/** Lists of patterns. */
export type Globs = StaticArray<Glob>

export function matchesAny(globs: Globs, text: Slice): bool {
  for (let at = 0; at < globs.length; at++) if (globs[at].matches(text)) return true
  return false
}
