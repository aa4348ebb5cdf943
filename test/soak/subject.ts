/** What the soak is made of: a plugin with its configuration, and what its clients do. */
import type { Random } from '../kit/pipelines.ts'
import type { WireAddress } from '../kit/wire.ts'
import type { Session } from './session.ts'
import type { Tally } from './tally.ts'

/** One or a few statements, whose answers are checked as they come. */
export interface Act {
  readonly name: string
  /** How often, beside the others of its role. */
  readonly weight: number
  run(session: Session, random: Random): Promise<void>
}

/** Who logs in where, and does what. */
export interface Role {
  readonly user: string
  readonly database: string
  /** How many sessions are this one's, beside those of other roles. */
  readonly weight: number
  readonly acts: readonly Act[]
}

/** What a subject is put into. */
export interface Scene {
  readonly server: WireAddress & { readonly user: string }
  readonly gateway: WireAddress & { readonly folder: string }
  /** The plugin's own. */
  readonly database: string
  readonly tally: Tally
}

/** What goes on beside the sessions. */
export interface Beside {
  /** Called with every sample. */
  look?(): void
  stop?(): Promise<void>
}

export interface Subject {
  /** Keys of the plugin's entry over those that all have. */
  readonly entry: Readonly<Record<string, unknown>>
  /** Keys of the default logger. */
  readonly logger: Readonly<Record<string, unknown>>
  /**
   * Counters of the plugin that must have counted, or the soak has soaked nothing: each is a name
   * on the metrics page.
   */
  readonly signs: readonly string[]
  begin(scene: Scene): Promise<{ readonly roles: readonly Role[]; readonly beside: Beside }>
}

/** Log lines that nobody reads. */
export const UNREAD_LOG = { output: ['file'], fileName: '/dev/null', level: 'info' } as const

/** One of them at random, by weight. */
export function pickByWeight<Item extends { readonly weight: number }>(
  items: readonly Item[],
  random: Random,
): Item {
  let left = random.below(items.reduce((sum, { weight }) => sum + weight, 0))
  const found = items.find(({ weight }) => {
    left -= weight
    return left < 0
  })
  if (found === undefined) throw new Error('nothing to pick from')
  return found
}
