/** How late a loop without an end is dead: behind its deadline, in each place where it can run. */
import { DEFAULT_LIMITS } from '../../src/plugins/limits.ts'
import { makeBelongings } from '../../src/plugins/wasm/belongings.ts'
import { Guest } from '../../src/plugins/wasm/guest.ts'
import { type Loaded, loadModule } from '../../src/plugins/wasm/load.ts'
import { hostile } from '../fixtures/wasm/hostile/all.ts'
import { fileOf, makeScene, makeSession, makeSpec, query } from '../fixtures/wasm/kit.ts'
import type { Figure } from './hooks-figure.ts'
import { median } from './report.ts'

/** Behind the deadline: of code that has run before, and of code that never has. */
const LATE_MS_MAX = { warm: 5, cold: 30 } as const
const DEATHS = 9
const STARTS = 3
const HARMLESS_CALLS = 20_000
const { callDeadlineMs, startDeadlineMs } = DEFAULT_LIMITS

type Temperature = keyof typeof LATE_MS_MAX

/** How late one loop was dead, and whether a busy machine had its deadline given twice. */
interface Death {
  readonly lateMs: number
  readonly isExtended: boolean
}

const { surroundings } = makeScene({ level: 'silent' })

async function loaded(name: string, mark?: string): Promise<Loaded> {
  return await loadModule(makeSpec(await fileOf(hostile(name).make(mark))), surroundings)
}

/** Judged is the middle one of those whose deadline was not extended; the latest is shown. */
function figuresOf(
  place: string,
  temperature: Temperature,
  deaths: readonly Death[],
): readonly Figure[] {
  const name = `endless loop in ${place}, ${temperature}`
  const own = deaths.filter(({ isExtended }) => !isExtended).map(({ lateMs }) => lateMs)
  const extended = deaths.length - own.length
  const rest = extended === 0 ? '' : ` (${extended} more were given twice the time)`
  if (own.length === 0) {
    const latest = Math.max(...deaths.map(({ lateMs }) => lateMs))
    return [{ name: `${name}${rest}`, value: latest, unit: 'ms', most: null }]
  }
  return [
    { name: `${name}${rest}`, value: median(own), unit: 'ms', most: LATE_MS_MAX[temperature] },
    { name: `${name}: latest of ${own.length}`, value: Math.max(...own), unit: 'ms', most: null },
  ]
}

/** Milliseconds that something takes which must trap. */
async function trapping(run: () => unknown): Promise<number> {
  const startedAt = performance.now()
  try {
    await run()
  } catch {
    return performance.now() - startedAt
  }
  throw new Error('an endless loop has ended well')
}

/** In a call; with a mark the code has run before, and the marked statement brings the loop. */
async function inCall({ module, shape }: Loaded, isWarm: boolean): Promise<Death> {
  const belongings = makeBelongings('late', surroundings.log, DEFAULT_LIMITS)
  const guest = await Guest.open(module, shape, belongings)
  const session = makeSession()
  const call = (bytes: Uint8Array): number =>
    guest.call('onTrafficFromClient', session, bytes, performance.now())
  const calm = query('select 1')
  for (let left = isWarm ? HARMLESS_CALLS : 0; left > 0; left--) {
    call(calm)
    guest.finish()
  }
  const took = await trapping(() => call(query('/*A*/select 1')))
  const isExtended = belongings.consumption.deadlineExtensions > 0
  return { lateMs: took - callDeadlineMs, isExtended }
}

/** Start section, `_initialize` and `describe`, of a module that is loaded already. */
async function atStart({ module, shape }: Loaded): Promise<Death> {
  const belongings = makeBelongings('late', surroundings.log, DEFAULT_LIMITS)
  const took = await trapping(async () => {
    const guest = await Guest.open(module, shape, belongings)
    return guest.describe()
  })
  const isExtended = belongings.consumption.deadlineExtensions > 0
  return { lateMs: took - startDeadlineMs, isExtended }
}

async function several(count: number, run: () => Promise<Death>): Promise<readonly Death[]> {
  const deaths: Death[] = []
  for (let left = count; left > 0; left--) deaths.push(await run())
  return deaths
}

const CALLS = [
  ['a hook', 'spin-in-hook'],
  ['tail calls of a hook', 'mutual-tail-recursion'],
  ['nested loops of a hook', 'nested-loops'],
  ['fills of all memory', 'all-memory-filled-for-ever'],
  ['calls of `log`', 'log-for-ever'],
  ['calls of `kv_set`', 'kv-set-for-ever'],
] as const

const STARTS_OF = [
  ['describe', 'spin-in-describe'],
  ['_initialize', 'spin-in-initialize'],
  ['the start section', 'spin-in-start'],
] as const

/** Every place, cold and warm. */
export async function measureDeaths(): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  for (const [place, name] of CALLS) {
    // Compiled anew for each: code that never has run.
    const cold = await several(DEATHS, async () => inCall(await loaded(name), false))
    const marked = await loaded(name, 'A')
    const warm = await several(DEATHS, () => inCall(marked, true))
    figures.push(...figuresOf(place, 'cold', cold), ...figuresOf(place, 'warm', warm))
  }
  const alloc = await several(DEATHS, async () => inCall(await loaded('spin-in-alloc'), false))
  figures.push(...figuresOf('postern_alloc', 'cold', alloc))
  for (const [place, name] of STARTS_OF) {
    const cold = await several(STARTS, async () => atStart(await loaded(name)))
    const same = await loaded(name)
    await atStart(same)
    const warm = await several(STARTS, () => atStart(same))
    figures.push(...figuresOf(place, 'cold', cold), ...figuresOf(place, 'warm', warm))
  }
  return figures
}
