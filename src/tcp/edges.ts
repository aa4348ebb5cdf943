/**
 * Requests for encryption and the end of a client: shown to the steps that want to see them. What
 * they answer is ignored.
 */
import type { ObserverLine } from '../hooks/observers.ts'
import type { FromClientStep, SessionFacts } from '../hooks/step.ts'

const NOTHING: Uint8Array = new Uint8Array(0)

/** Resolves when all steps have seen the bytes; null where there is none. */
export function showRequest(
  steps: readonly FromClientStep[],
  facts: SessionFacts,
  bytes: Uint8Array,
): Promise<unknown> | null {
  if (steps.length === 0) return null
  return Promise.all(shown(steps, facts, bytes).map(({ decided }) => decided))
}

/** A plugin hears of the end of the session only when it has been shown that of the client. */
export function showEnd(
  steps: readonly FromClientStep[],
  facts: SessionFacts,
  line: ObserverLine | null,
): void {
  for (const { plugin, decided } of shown(steps, facts, NOTHING)) {
    if (decided instanceof Promise) line?.after(plugin, decided)
  }
}

function shown(steps: readonly FromClientStep[], facts: SessionFacts, bytes: Uint8Array) {
  const copy = bytes.slice()
  const nothing = { fields: null, about: null }
  return steps.map((step) => ({
    plugin: step.plugin,
    decided: step.decide(facts, copy, nothing),
  }))
}
