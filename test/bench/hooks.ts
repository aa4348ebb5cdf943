/**
 * The benchmark of the sandbox, in this process: what a hook costs, how soon a loop is dead, what
 * many plugins leave behind.
 */
import { measureCalls } from './hooks-calls.ts'
import { measureDeaths } from './hooks-death.ts'
import { type Figure, figureTable, isMet } from './hooks-figure.ts'
import { measureLoads } from './hooks-load.ts'

export interface HooksOptions {
  /** One object a line instead of tables. */
  readonly json: boolean
  readonly say: (line: string) => void
}

const PARTS: Readonly<Record<string, () => Promise<readonly Figure[]>>> = {
  'calls of a hook': measureCalls,
  'death of an endless loop': measureDeaths,
  'many plugins and big ones': measureLoads,
}

/** Runs all parts; true where every target was met. */
export async function measureHooks({ json, say }: HooksOptions): Promise<boolean> {
  let met = true
  for (const [part, measure] of Object.entries(PARTS)) {
    const figures = await measure()
    met &&= figures.every(isMet)
    if (json) for (const figure of figures) say(JSON.stringify({ ...figure, isMet: isMet(figure) }))
    else say(`\n${part}\n${figureTable(figures)}`)
  }
  return met
}
