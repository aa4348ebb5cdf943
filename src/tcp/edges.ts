/**
 * What is only shown: requests for encryption and the end of a client to the steps that want to
 * see them, whose answers are ignored, and traffic to observers.
 */
import type { ObserverLine } from '../hooks/observers.ts'
import type { FromClientStep, SessionFacts } from '../hooks/step.ts'
import type { Flow } from '../protocols/protocol.ts'
import type { DirectionHooks } from './direction-hooks.ts'

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

/** What goes on is told to those that only watch, each in the units that it asks for. */
export function showTraffic(
  { observers, observes }: DirectionHooks,
  { line, facts }: Watched,
  flow: Flow,
  out: Uint8Array,
): void {
  if (observers.length === 0) return
  const request = observes === 'onTrafficToClient' ? facts.lastRequest : null
  for (const observer of observers) {
    const share = flow.share(out, observer.step.unit, observer.tags)
    if (share === 'whole') line?.traffic(observer, observes, out, request)
    if (share !== 'parts') continue
    for (const part of flow.parts(out, observer.step.unit, observer.tags)) {
      if (part.wanted) line?.traffic(observer, observes, part.bytes, request)
    }
  }
}

/** Whose traffic it is. */
interface Watched {
  readonly line: ObserverLine | null
  readonly facts: SessionFacts
}

function shown(steps: readonly FromClientStep[], facts: SessionFacts, bytes: Uint8Array) {
  const copy = bytes.slice()
  const nothing = { fields: null, about: null }
  return steps.map((step) => ({
    plugin: step.plugin,
    decided: step.decide(facts, copy, nothing),
  }))
}
