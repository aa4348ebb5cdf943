/**
 * Which locals a metered function keeps in globals while it asks for fuel. The engine keeps a value
 * that outlives any call in a loop out of its registers in the whole loop, and so made tight loops
 * three times as slow. A local that is put aside before the call and taken back behind it does not
 * outlive it. Saving one or not changes only the speed.
 */
import { I32, VALUE_BYTES } from './opcodes.ts'
import type { BodyScan } from './scan.ts'

/** A local, and the global that holds it meanwhile. */
export interface Saved {
  readonly local: number
  readonly global: number
}

/** Globals for saved locals, by their type's byte; they stand behind the fuel in this order. */
export const SPARE_GLOBALS: ReadonlyMap<number, number> = new Map([
  [I32, 16],
  [VALUE_BYTES.i64, 8],
  [VALUE_BYTES.f32, 4],
  [VALUE_BYTES.f64, 8],
])

/** The types of a function's locals, its parameters first. */
export interface LocalTypes {
  readonly params: Uint8Array
  /** Runs of one type, each with the index behind its last local. */
  readonly groups: readonly { readonly end: number; readonly type: number }[]
}

function typeOf(local: number, { params, groups }: LocalTypes): number {
  return params[local] ?? groups.find(({ end }) => local < end)!.type
}

/**
 * The locals that loops use, each with a global of its type as long as these last: those of loops
 * without calls first, for in the others a value may have to outlive a call of the guest's own.
 */
export function spareFor(scan: BodyScan, types: LocalTypes, fuel: number): readonly Saved[] {
  const { touched, calls } = scan
  const quiet = touched.flatMap((locals, loop) => (calls[loop] === 0 ? (locals ?? []) : []))
  const others = touched.flatMap((locals, loop) => (calls[loop] === 0 ? [] : (locals ?? [])))
  const saved: Saved[] = []
  const taken = new Map<number, number>()
  for (const local of new Set([...quiet, ...others])) {
    const global = spareGlobal(typeOf(local, types), taken, fuel)
    if (global !== null) saved.push({ local, global })
  }
  return saved
}

function spareGlobal(type: number, taken: Map<number, number>, fuel: number): number | null {
  let first = fuel + 1
  for (const [each, count] of SPARE_GLOBALS) {
    if (each !== type) {
      first += count
      continue
    }
    const used = taken.get(type) ?? 0
    taken.set(type, used + 1)
    return used < count ? first + used : null
  }
  return null
}
