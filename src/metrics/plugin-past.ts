/** How the counts of plugins of one name are added up; state and memory are those of the newer. */
import type { HookCalls } from './calls.ts'
import type { Summing } from './past.ts'
import type { PluginCounts, SandboxCounts } from './plugin-families.ts'

export const PLUGIN_SUMMING: Summing<PluginCounts> = {
  nameOf: ({ name }) => name,
  sum: summed,
  copy: frozen,
}

function summed(one: PluginCounts, other: PluginCounts): PluginCounts {
  return {
    ...one,
    restarts: one.restarts + other.restarts,
    calls: summedCalls(one.calls, other.calls),
    sandbox: summedSandboxes(one.sandbox, other.sandbox),
  }
}

function frozen(counts: PluginCounts): PluginCounts {
  return { ...counts, calls: summedCalls(counts.calls, []), sandbox: copied(counts.sandbox) }
}

function copied(sandbox: SandboxCounts | null): SandboxCounts | null {
  if (sandbox === null) return null
  return { ...sandbox, traps: [...sandbox.traps], limitHits: [...sandbox.limitHits] }
}

function summedCalls(one: readonly HookCalls[], other: readonly HookCalls[]): readonly HookCalls[] {
  const all = new Map<string, HookCalls>()
  for (const calls of [...one, ...other]) {
    const known = all.get(calls.hook)
    if (known === undefined) all.set(calls.hook, { ...calls, buckets: [...calls.buckets] })
    else {
      known.failures += calls.failures
      known.timeouts += calls.timeouts
      known.spentMs += calls.spentMs
      for (const [index, count] of calls.buckets.entries()) known.buckets[index]! += count
    }
  }
  return [...all.values()]
}

function summedSandboxes(
  one: SandboxCounts | null,
  other: SandboxCounts | null,
): SandboxCounts | null {
  if (one === null || other === null) return copied(one)
  return {
    traps: summedNames(one.traps, other.traps),
    limitHits: summedNames(one.limitHits, other.limitHits),
    fuel: one.fuel + other.fuel,
    deadlineHits: one.deadlineHits + other.deadlineHits,
    deadlineExtensions: one.deadlineExtensions + other.deadlineExtensions,
    memoryBytes: one.memoryBytes,
  }
}

type Named = Iterable<readonly [name: string, count: number]>

function summedNames(one: Named, other: Named): Named {
  const all = new Map<string, number>()
  for (const [name, count] of [...one, ...other]) all.set(name, (all.get(name) ?? 0) + count)
  return [...all]
}
