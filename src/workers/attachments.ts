/** What the gateway has told a worker of the plugins that it runs. */
import type { Attachment, AttachmentSource } from '../plugins/plugin.ts'

interface Known {
  reach: Attachment | string
  readonly watching: Set<() => void>
}

/** Plugins of earlier generations that are remembered; each reload may bring others. */
const KNOWN_MAX = 10_000

export class Attachments {
  readonly #doubt: (id: number) => void
  readonly #known = new Map<number, Known>()

  constructor(doubt: (id: number) => void) {
    this.#doubt = doubt
  }

  /** How a plugin is reached from now on, or why it cannot be. */
  told(id: number, reach: Attachment | string): void {
    const known = this.#knownAs(id)
    known.reach = reach
    for (const changed of [...known.watching]) changed()
  }

  source(id: number): AttachmentSource {
    const known = this.#knownAs(id)
    return {
      current: () => known.reach,
      watch(changed) {
        known.watching.add(changed)
        return () => void known.watching.delete(changed)
      },
      doubted: () => this.#doubt(id),
    }
  }

  #knownAs(id: number): Known {
    const known = this.#known.get(id)
    if (known !== undefined) return known
    const made = { reach: 'the plugin is not running', watching: new Set<() => void>() }
    this.#known.set(id, made)
    if (this.#known.size > KNOWN_MAX) this.#forgetOne()
    return made
  }

  /** The oldest that no plugin here is reached by. */
  #forgetOne(): void {
    for (const [id, { watching }] of this.#known) {
      if (watching.size > 0) continue
      this.#known.delete(id)
      return
    }
  }
}
