/** What ended a guest's call by force: one kind for each reason, whoever found it. */
import { NamedCounts } from '../../metrics/named-counts.ts'
import type { LimitName } from '../limits.ts'

/** Every kind of trap, as logs and metrics name it. */
export const TRAP_KINDS = [
  'deadline',
  'memory',
  'stack',
  'unreachable',
  'arithmetic',
  'indirect',
  'limit',
  'pointer',
  'abort',
  'exit',
  'other',
] as const
export type TrapKind = (typeof TRAP_KINDS)[number]

/** Thrown through the guest by what it called, and made of whatever else ended it. */
export class Trap extends Error {
  readonly kind: TrapKind
  /** The limit that was hit, which is counted by who ends the call; null: none. */
  readonly limit: LimitName | null

  constructor(kind: TrapKind, sentence: string, limit: LimitName | null = null) {
    super(sentence)
    this.name = 'Trap'
    this.kind = kind
    this.limit = limit
  }
}

/** The engine's words for what happened, as JavaScriptCore has them. */
const ENGINE: readonly (readonly [RegExp, TrapKind])[] = [
  [/^Unreachable code/, 'unreachable'],
  [/^(Division by zero|Integer overflow|Out of bounds Trunc)/, 'arithmetic'],
  [/call_indirect|call_ref|null reference|table access|table index/, 'indirect'],
  [/^Out of bounds memory|segment writes outside of memory|Out of memory/i, 'memory'],
]
/** The engine quotes our own source behind its words. */
const QUOTED_SOURCE = /\s*\(evaluating '.*$/s

function kindOf(sentence: string): TrapKind {
  return ENGINE.find(([words]) => words.test(sentence))?.[1] ?? 'other'
}

/** Anything that came out of a guest's call as a trap. */
export function trapOf(thrown: unknown): Trap {
  if (thrown instanceof Trap) return thrown
  if (!(thrown instanceof Error)) return new Trap('other', String(thrown))
  const sentence = thrown.message.replace(QUOTED_SOURCE, '')
  if (thrown instanceof RangeError && sentence.startsWith('Maximum call stack')) {
    return new Trap('stack', 'it calls itself too deep')
  }
  return new Trap(kindOf(sentence), sentence)
}

/** How often one plugin trapped, by kind, over all its instances. */
export type TrapCounts = NamedCounts<TrapKind>

/** None yet. */
export function noTraps(): TrapCounts {
  return new NamedCounts(TRAP_KINDS)
}
