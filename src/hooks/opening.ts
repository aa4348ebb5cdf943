/** Runs the steps of onOpening over a new session, in order, until one of them decides. */
import { failureRefusal } from './chain.ts'
import type { OpeningStep, SessionFacts } from './step.ts'
import { CONTINUE, type OpeningVerdict } from './verdict.ts'

export interface OpeningAccount {
  failed(plugin: string, cause: string): void
  /** Why a session cannot be routed to this block, or null; left out: any block will do. */
  routeFlaw?(block: string): string | null
}

/** The chain as one function: a promise only where a step returned one; null without steps. */
export function openingChain(
  steps: readonly OpeningStep[],
  account: OpeningAccount,
): ((session: SessionFacts) => OpeningVerdict | Promise<OpeningVerdict>) | null {
  if (steps.length === 0) return null

  /** What a verdict means for the chain: an outcome, or null to ask the next step. */
  function outcome(step: OpeningStep, verdict: OpeningVerdict): OpeningVerdict | null {
    if (verdict.kind === 'continue') return null
    const cause = failureOf(verdict, account)
    if (cause === null) return verdict
    account.failed(step.plugin, cause)
    return step.onFailure === 'open' ? null : { kind: 'deny', ...failureRefusal(step.plugin) }
  }

  function ask(session: SessionFacts, first: number): OpeningVerdict | Promise<OpeningVerdict> {
    for (let index = first; index < steps.length; index++) {
      const step = steps[index]!
      const verdict = step.decide(session)
      if (verdict instanceof Promise) {
        return verdict.then((known) => outcome(step, known) ?? ask(session, index + 1))
      }
      const decided = outcome(step, verdict)
      if (decided !== null) return decided
    }
    return CONTINUE
  }

  return (session) => ask(session, 0)
}

/** Why a verdict is a failure; null where it is none. */
function failureOf(verdict: OpeningVerdict, account: OpeningAccount): string | null {
  if (verdict.kind === 'failure') return verdict.cause
  return verdict.kind === 'route' ? (account.routeFlaw?.(verdict.block) ?? null) : null
}
