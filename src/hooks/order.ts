/** Puts the steps of one hook in order. */

interface Placed {
  readonly plugin: string
  readonly priority: number
}

/**
 * Ascending by priority. Two steps of one priority cannot come from one plugins file; where they
 * are registered otherwise the later wins, as in GatewayD, and `replaced` is told.
 */
export function inOrder<Step extends Placed>(
  steps: readonly Step[],
  replaced: (loser: Step, winner: Step) => void,
): readonly Step[] {
  const byPriority = new Map<number, Step>()
  for (const step of steps) {
    const before = byPriority.get(step.priority)
    if (before !== undefined) replaced(before, step)
    byPriority.set(step.priority, step)
  }
  return [...byPriority.values()].sort((a, b) => a.priority - b.priority)
}
