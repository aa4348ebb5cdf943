/** Runs the steps of onConfigLoaded and onRun: each sees what the ones before it changed. */
import type { SettingsStep } from './step.ts'

export interface SettingsAccount {
  failed(plugin: string, cause: string): void
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
    if (verdict.kind === 'merge') changes = { ...changes, ...verdict.changes }
    if (verdict.kind !== 'failure') continue
    account.failed(step.plugin, verdict.cause)
    if (step.onFailure === 'closed') {
      return { kind: 'refused', plugin: step.plugin, cause: verdict.cause }
    }
  }
  return { kind: 'settled', changes }
}
