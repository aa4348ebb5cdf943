/**
 * Something that is built from files: at the start, and again whenever one of the files changes.
 * What cannot be built leaves in use what there was. Files are looked at by their properties, not
 * by notices of the system: those miss a folder that is swapped, and network file systems.
 */
import { type Stats, statSync } from 'node:fs'
import { stat } from 'node:fs/promises'

export interface WatchedOptions<Built> {
  readonly paths: readonly string[]
  /** Reads the files and builds; what it throws ends the start, and is told at a change. */
  build(): Built
  /** The files have changed, and were built anew. */
  rebuilt(built: Built): void
  /** The files have changed, and cannot be used. */
  failed(cause: unknown): void
}

const LOOK_EVERY_MS = 500
/** The stamp of a file that is not there. */
const MISSING = 'missing'

export class WatchedFiles<Built> {
  readonly #options: WatchedOptions<Built>
  #built: Built
  #seen: string
  #looking: Promise<void> | null = null
  #lookedAt = 0
  #timer: Timer | null = null

  /** Throws what `build` throws. */
  constructor(options: WatchedOptions<Built>) {
    this.#options = options
    // Before they are read: what changes meanwhile is read once more, and not missed.
    this.#seen = options.paths.map(stampNow).join('\n')
    this.#built = options.build()
  }

  get current(): Built {
    return this.#built
  }

  /** Looks now and then until `stop`. */
  watch(): void {
    this.#timer ??= setInterval(() => void this.look(), LOOK_EVERY_MS)
    this.#timer.unref()
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  /** Looks once, unless it has done so lately: for those who look where they need the files. */
  async lookIfDue(now: number): Promise<void> {
    if (now - this.#lookedAt >= LOOK_EVERY_MS) await this.look()
  }

  /** Looks once; never rejects. */
  async look(): Promise<void> {
    this.#lookedAt = performance.now()
    this.#looking ??= this.#compare()
    await this.#looking
    this.#looking = null
  }

  async #compare(): Promise<void> {
    const found = await fingerprint(this.#options.paths)
    if (found === this.#seen) return
    this.#seen = found
    try {
      this.#built = this.#options.build()
    } catch (cause) {
      return this.#options.failed(cause)
    }
    this.#options.rebuilt(this.#built)
  }
}

/** What tells one content of the files from another: a rename over a file gives another inode. */
async function fingerprint(paths: readonly string[]): Promise<string> {
  const found = paths.map((path) => stat(path).then(stampOf, () => MISSING))
  return (await Promise.all(found)).join('\n')
}

function stampNow(path: string): string {
  try {
    return stampOf(statSync(path))
  } catch {
    return MISSING
  }
}

function stampOf({ ino, size, mtimeMs, ctimeMs }: Stats): string {
  return `${ino} ${size} ${mtimeMs} ${ctimeMs}`
}
