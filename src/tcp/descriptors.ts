/**
 * Keeps sessions from taking the last file descriptor. Where none is left, the kernel wakes a
 * listener for a client that cannot be accepted, again and again: a whole processor for nothing.
 * So clients are refused while there are still some, which metrics, log and plugins need too.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** A session has one to its client and one to its server. */
const SESSION = 2
/** A connection that a pool keeps; while a session has it, it is counted twice, to be safe. */
const KEPT = 1
/** A client that is only told why it is refused. */
const REFUSED = 1
/** Kept for all that is not a session, as far as the limit of the process allows. */
const HEADROOM_MAX = 128
const HEADROOM_SHARE = 4

export interface DescriptorLimit {
  /** What the process may open. */
  readonly max: number
  /** What was open before there was any session. */
  readonly open: number
}

/** Counts the descriptors of sessions; one for the process, as the limit is. */
export class Descriptors {
  readonly max: number
  /** Sessions that fit at once. */
  readonly sessionsMax: number
  readonly #forSessions: number
  readonly #forRefused: number
  #held = 0

  constructor({ max, open }: DescriptorLimit) {
    const headroom = Math.min(HEADROOM_MAX, Math.floor(max / HEADROOM_SHARE))
    this.max = max
    this.#forSessions = Math.max(SESSION, max - open - headroom)
    this.#forRefused = this.#forSessions + Math.floor(headroom / 2)
    this.sessionsMax = Math.floor(this.#forSessions / SESSION)
  }

  /** For a session; false where it would take what others need. */
  takeForSession(): boolean {
    return this.#take(SESSION, this.#forSessions)
  }

  /** For a client that is heard out and refused. */
  takeForRefused(): boolean {
    return this.#take(REFUSED, this.#forRefused)
  }

  sessionEnded(): void {
    this.#held -= SESSION
  }

  refusedEnded(): void {
    this.#held -= REFUSED
  }

  /** A connection to a server is kept beside sessions, or no longer. */
  keptOpened(): void {
    this.#held += KEPT
  }

  keptClosed(): void {
    this.#held -= KEPT
  }

  #take(count: number, max: number): boolean {
    if (this.#held + count > max) return false
    this.#held += count
    return true
  }
}

let ofProcess: Descriptors | null = null

/** Those of this process; looked up once, when the first listener starts. */
export function processDescriptors(): Descriptors {
  ofProcess ??= new Descriptors(readLimit())
  return ofProcess
}

/** No limit where the system does not tell. Bun has raised it as far as it may by then. */
function readLimit(): DescriptorLimit {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8')
    const max = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY)
    return { max, open: readdirSync('/proc/self/fd').length }
  } catch {
    return { max: Number.POSITIVE_INFINITY, open: 0 }
  }
}
