/** Runs the steps of onConfigLoaded and onRun: each sees what the ones before it changed. */
import type { SettingsStep } from './step.ts'

export interface SettingsAccount {
  failed(plugin: string, cause: string): void
  /** Why these changes cannot be used, or null; left out: any will do. */
  flaw?(changes: Readonly<Record<string, unknown>>): string | null
}

export type SettingsOutcome =
  | { readonly kind: 'settled'; readonly changes: Readonly<Record<string, unknown>> }
  /** A step that is set to refuse has failed: the start (or the reload) is refused. */
  | { readonly kind: 'refused'; readonly plugin: string; readonly cause: string }

/** All changes of all steps, the later over the earlier. */
export async function runSettings(
  steps: readonly SettingsStep[],
  params: Readonly<Record<string, unknown>>,
  account: SettingsAccount,
): Promise<SettingsOutcome> {
  let changes: Readonly<Record<string, unknown>> = {}
  for (const step of steps) {
    const verdict = await step.decide({ ...params, ...changes })
    if (verdict.kind === 'continue') continue
    const all = verdict.kind === 'merge' ? { ...changes, ...verdict.changes } : changes
    const cause = verdict.kind === 'failure' ? verdict.cause : (account.flaw?.(all) ?? null)
    if (cause !== null) {
      account.failed(step.plugin, cause)
      if (step.onFailure === 'closed') return { kind: 'refused', plugin: step.plugin, cause }
    } else changes = all
    if (verdict.kind === 'merge' && verdict.isLast === true) break
  }
  return { kind: 'settled', changes }
}
