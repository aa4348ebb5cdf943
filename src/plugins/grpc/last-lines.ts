/** The last words of a process: the end of what it printed on standard error, within bounds. */
import { shown } from './handshake.ts'

/** Lines that are kept. */
export const LAST_LINES_MAX = 20
/** Characters that are kept, of all lines together, as they are shown. */
export const LAST_LINES_CHARACTERS_MAX = 4096

export class LastLines {
  readonly #lines: string[] = []
  #characters = 0

  /** Keeps a line, in quotes and without control characters; older ones make room. */
  add(line: string): void {
    if (line.trim() === '') return
    const kept = shown(line)
    this.#lines.push(kept)
    this.#characters += kept.length
    while (this.#lines.length > LAST_LINES_MAX || this.#characters > LAST_LINES_CHARACTERS_MAX) {
      this.#characters -= this.#lines.shift()?.length ?? 0
    }
  }

  /** What is kept, the oldest first. */
  get all(): readonly string[] {
    return this.#lines
  }
}
