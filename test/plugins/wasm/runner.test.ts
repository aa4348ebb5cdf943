/** What happens around a call: counting, failing, replacing an instance, and being stopped. */
import { describe, expect, test } from 'bun:test'
import type { HookName } from '../../../src/hooks/hook.ts'
import type { PluginState } from '../../../src/plugins/plugin.ts'
import { checkAbi } from '../../../src/plugins/wasm/abi.ts'
import { Guest } from '../../../src/plugins/wasm/guest.ts'
import type { Belongings } from '../../../src/plugins/wasm/host.ts'
import { Journal } from '../../../src/plugins/wasm/journal.ts'
import { readModule } from '../../../src/plugins/wasm/module.ts'
import { Runner } from '../../../src/plugins/wasm/runner.ts'
import { PluginStore } from '../../../src/plugins/wasm/store.ts'
import { fromClientVerdict } from '../../../src/plugins/wasm/verdicts.ts'
import { WASI_NAMES } from '../../../src/plugins/wasm/wasi.ts'
import { makeScene, modulePath, query, readBytes } from '../../fixtures/wasm/kit.ts'

const HOOK: HookName = 'onTrafficFromClient'

async function make() {
  const scene = makeScene()
  const bytes = readBytes(modulePath('verdicts'))
  const shape = checkAbi(readModule(bytes, 'v'), 'v', WASI_NAMES)
  const module = await WebAssembly.compile(new Uint8Array(bytes))
  const belongings: Belongings = {
    name: 'v',
    journal: new Journal(scene.surroundings.log),
    store: null,
    variables: new PluginStore(),
    metrics: null,
    labelCounts: [],
    config: new Map(),
  }
  const states: PluginState[] = []
  let broken = false
  let made = 0
  const renew = (): Promise<Guest> => {
    made++
    if (broken) return Promise.reject(new Error('no memory left'))
    return Guest.open(module, shape, belongings)
  }
  const runner = new Runner({
    journal: belongings.journal,
    renew,
    onBroken: () => void states.push('broken'),
  })
  runner.use(await Guest.open(module, shape, belongings))
  const run = (marker: string) => runner.run(HOOK, null, query(marker), fromClientVerdict)
  const doom = () => {
    broken = true
  }
  return { runner, run, states, doom, made: () => made, scene }
}

describe('a runner', () => {
  test('counts calls, failures and the time they took', async () => {
    const { runner, run } = await make()
    await run('')
    await run('/*seven*/')
    expect(runner.calls).toBe(2)
    expect(runner.failures).toBe(1)
    expect(runner.spentMs).toBeGreaterThan(0)
    expect(runner.lastError).toContain('returned 7')
  })

  test('makes one new instance for all who wait for it', async () => {
    const { run, made, runner } = await make()
    await run('/*trap*/')
    expect(runner.renewing).toBe(true)
    const waiting = [run('/*deny*/'), run('/*close*/'), run('')]
    const verdicts = await Promise.all(waiting)
    expect(verdicts.map((verdict) => verdict.kind)).toEqual(['deny', 'close', 'continue'])
    expect(made()).toBe(1)
    expect(runner.renewing).toBe(false)
  })

  test('makes another one when a call that waited traps as well', async () => {
    const { run, made } = await make()
    await run('/*trap*/')
    const verdicts = await Promise.all([run('/*trap*/'), run('/*deny*/')])
    expect(verdicts.map((verdict) => verdict.kind)).toEqual(['failure', 'deny'])
    expect(made()).toBe(2)
  })

  test('tells once that no instance can be made, and fails from then on', async () => {
    const { run, doom, states, scene } = await make()
    doom()
    await run('/*trap*/')
    expect(await run('')).toMatchObject({ kind: 'failure' })
    expect(await run('')).toMatchObject({ kind: 'failure' })
    expect(states).toEqual(['broken'])
    expect(scene.lines.at(-1)?.msg).toContain('no new instance: no memory left')
  })

  test('that is stopped does not come back by a renewal under way', async () => {
    const { run, runner, states } = await make()
    await run('/*trap*/')
    const waiting = run('')
    runner.stop()
    expect(await waiting).toMatchObject({ cause: expect.stringContaining('not running') })
    expect(await run('')).toMatchObject({ kind: 'failure' })
    expect(states).toEqual([])
  })
})
