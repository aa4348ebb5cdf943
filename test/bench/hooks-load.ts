/** What many plugins leave behind, and how long others wait while a big one is loaded. */
import { DEFAULT_LIMITS } from '../../src/plugins/limits.ts'
import { makeBelongings } from '../../src/plugins/wasm/belongings.ts'
import { Guest } from '../../src/plugins/wasm/guest.ts'
import { loadModule } from '../../src/plugins/wasm/load.ts'
import { createWasmPlugin } from '../../src/plugins/wasm/plugin.ts'
import { hostile } from '../fixtures/wasm/hostile/all.ts'
import { fileOf, makeScene, makeSpec } from '../fixtures/wasm/kit.ts'
import { HAS_GO, WORDS, WORDS_GO } from '../fixtures/wasm/words.ts'
import type { Figure } from './hooks-figure.ts'

const INSTANCES = 2000
const RELOADS = 10_000
const WARM_UP_RELOADS = 500
const MB = 1e6
/** More than this is growth, less is what a collector has not come to yet. */
const GROWTH_MB_MAX = 32
const GAP_MS_MAX = 20
const LOADS = 5

/** Megabytes held, after everything that nobody holds is gone. */
function heldMegabytes(): number {
  Bun.gc(true)
  Bun.gc(true)
  return process.memoryUsage.rss() / MB
}

async function rustPath(): Promise<string> {
  const rust = WORDS.find(({ language }) => language === 'Rust')
  if (rust === undefined) throw new Error('there is no plugin in Rust')
  return await rust.path()
}

/** Instances that all live at once, twice: the second time must need no more than the first. */
async function measureInstances(): Promise<readonly Figure[]> {
  const { surroundings } = makeScene({ level: 'silent' })
  const { module, shape } = await loadModule(makeSpec(await rustPath()), surroundings)
  const atBegin = heldMegabytes()
  const openAll = async (): Promise<number> => {
    const guests: Guest[] = []
    for (let left = INSTANCES; left > 0; left--) {
      const belongings = makeBelongings('many', surroundings.log, DEFAULT_LIMITS)
      const guest = await Guest.open(module, shape, belongings)
      guest.describe()
      guest.finish()
      guests.push(guest)
    }
    const held = heldMegabytes()
    if (guests.length !== INSTANCES) throw new Error('instances are missing')
    return held
  }
  const first = await openAll()
  const second = await openAll()
  const name = `${INSTANCES} instances at once`
  return [
    { name, value: first - atBegin, unit: 'MB', most: null },
    { name: `${name}, again: growth`, value: second - first, unit: 'MB', most: GROWTH_MB_MAX },
  ]
}

async function measureReloads(): Promise<readonly Figure[]> {
  const { surroundings } = makeScene({ level: 'silent' })
  const meter = { declare: () => ({ record: () => true, withdraw: () => undefined }) }
  const spec = makeSpec(await rustPath())
  const reload = async (times: number): Promise<void> => {
    for (let left = times; left > 0; left--) {
      const plugin = createWasmPlugin(spec, { ...surroundings, meter })
      await plugin.start()
      await plugin.stop()
    }
  }
  await reload(WARM_UP_RELOADS)
  const before = heldMegabytes()
  const startedAt = performance.now()
  await reload(RELOADS)
  const each = (performance.now() - startedAt) / RELOADS
  const grown = heldMegabytes() - before
  return [
    { name: 'one reload', value: each, unit: 'ms', most: null },
    { name: `${RELOADS} reloads: growth`, value: grown, unit: 'MB', most: GROWTH_MB_MAX },
  ]
}

/** The longest time between two turns of a timer of one millisecond while something runs. */
async function longestGap(run: () => Promise<void>): Promise<number> {
  let longest = 0
  let lastAt = performance.now()
  const tick = (): void => {
    const now = performance.now()
    longest = Math.max(longest, now - lastAt)
    lastAt = now
  }
  const timer = setInterval(tick, 1)
  await run()
  tick()
  clearInterval(timer)
  return longest
}

async function measureGap(name: string, path: string): Promise<Figure> {
  const gaps: number[] = []
  for (let left = LOADS; left > 0; left--) {
    const plugin = createWasmPlugin(makeSpec(path), makeScene({ level: 'silent' }).surroundings)
    gaps.push(await longestGap(() => plugin.start()))
    await plugin.stop()
  }
  const title = `longest gap while ${name} is loaded, of ${LOADS}`
  return { name: title, value: Math.max(...gaps), unit: 'ms', most: GAP_MS_MAX }
}

/** Instances, reloads, and loads of big modules. */
export async function measureLoads(): Promise<readonly Figure[]> {
  const gaps = [
    await measureGap(
      '3 MB of three functions',
      await fileOf(hostile('3-MB-in-three-functions').make()),
    ),
    await measureGap('50,000 functions', await fileOf(hostile('50000-functions').make())),
    ...(HAS_GO ? [await measureGap('a module of Go', await WORDS_GO.path())] : []),
  ]
  return [...(await measureInstances()), ...(await measureReloads()), ...gaps]
}
