/** What happens around a call: counting, failing, replacing an instance, and being stopped. */
import { describe, expect, test } from 'bun:test'
import type { HookName } from '../../../src/hooks/hook.ts'
import { PluginLife } from '../../../src/plugins/life.ts'
import { DEFAULT_LIMITS } from '../../../src/plugins/limits.ts'
import { makeBelongings } from '../../../src/plugins/wasm/belongings.ts'
import { Guest } from '../../../src/plugins/wasm/guest.ts'
import { loadModule } from '../../../src/plugins/wasm/load.ts'
import { Runner } from '../../../src/plugins/wasm/runner.ts'
import { fromClientVerdict } from '../../../src/plugins/wasm/verdicts.ts'
import { makeScene, makeSpec, modulePath, query } from '../../fixtures/wasm/kit.ts'
import { TurnedClock } from '../turned-clock.ts'

const HOOK: HookName = 'onTrafficFromClient'

async function make(cpuShareMax = DEFAULT_LIMITS.cpuShareMax) {
  const { surroundings } = makeScene()
  const spec = makeSpec(modulePath('verdicts'))
  const { module, shape } = await loadModule(spec, surroundings)
  const belongings = makeBelongings('v', surroundings.log, { ...DEFAULT_LIMITS, cpuShareMax })
  const clock = new TurnedClock()
  let broken = false
  let made = 0
  const open = async (): Promise<() => void> => {
    made++
    if (broken) throw new Error('no memory left')
    const guest = await Guest.open(module, shape, belongings)
    return () => runner.use(guest)
  }
  const nothing = (): void => undefined
  const life = new PluginLife({
    body: { open, rest: () => runner.rest(), discard: nothing, close: nothing },
    label: () => 'v',
    log: surroundings.log,
    clock,
    restarts: true,
    stableMs: null,
    lossLevel: 'debug',
  })
  const runner: Runner = new Runner(life, belongings)
  await life.start()
  const run = (marker: string) => runner.run(HOOK, null, query(marker), fromClientVerdict)
  const doom = () => {
    broken = true
  }
  return { runner, run, life, clock, doom, made: () => made - 1, belongings }
}

describe('a runner', () => {
  test('counts calls, failures and the time they took', async () => {
    const { runner, run } = await make()
    await run('')
    await run('/*seven*/')
    expect(runner.counts.calls).toBe(2)
    expect(runner.counts.failures).toBe(1)
    expect(runner.counts.spentMs).toBeGreaterThan(0)
    expect(runner.lastError).toContain('returned 7')
  })

  test('makes one new instance for all who wait for it', async () => {
    const { run, made, life } = await make()
    expect(run('/*deny*/')).not.toBeInstanceOf(Promise)
    await run('/*trap*/')
    expect(life.state).toBe('restarting')
    const waiting = [run('/*deny*/'), run('/*close*/'), run('')]
    const verdicts = await Promise.all(waiting)
    expect(verdicts.map((verdict) => verdict.kind)).toEqual(['deny', 'close', 'continue'])
    expect(made()).toBe(1)
    expect(life.state).toBe('ready')
    expect(run('/*deny*/')).not.toBeInstanceOf(Promise)
  })

  test('fails at once while a second trap in a row is waited out, and then works', async () => {
    const { run, made, life, clock } = await make()
    await run('/*trap*/')
    const verdicts = await Promise.all([run('/*trap*/'), run('/*deny*/')])
    expect(verdicts.map((verdict) => verdict.kind)).toEqual(['failure', 'failure'])
    expect(run('')).toMatchObject({
      kind: 'failure',
      cause: expect.stringContaining('it is restarted at 2026-01-01T00:00:00.100Z'),
    })
    expect(made()).toBe(1)
    clock.turn(100)
    expect(await run('/*deny*/')).toMatchObject({ kind: 'deny' })
    expect(made()).toBe(2)
    expect(life.failuresInARow).toBe(0)
  })

  test('takes traps between which a call succeeded for no row', async () => {
    const { run, life } = await make()
    for (let round = 0; round < 10; round++) {
      await run('/*trap*/')
      expect(await run('/*deny*/')).toMatchObject({ kind: 'deny' })
    }
    expect(life.report()).toMatchObject({ state: 'ready', restarts: 10 })
  })

  test('fails where no instance can be made, until one can', async () => {
    const { run, doom, life, clock } = await make()
    doom()
    await run('/*trap*/')
    expect(await run('')).toMatchObject({
      kind: 'failure',
      cause: expect.stringContaining('no memory left'),
    })
    for (let tries = 0; tries < 10; tries++) {
      clock.turn(life.report().nextTryInMs ?? 0)
      await life.attempt
    }
    expect(life.state).toBe('broken')
    expect(run('')).toMatchObject({
      kind: 'failure',
      cause: expect.stringContaining('the plugin is not called until'),
    })
  })

  test('that is stopped does not come back by a renewal under way', async () => {
    const { run, life } = await make()
    await run('/*trap*/')
    const waiting = run('')
    await life.stop()
    expect(await waiting).toMatchObject({ cause: expect.stringContaining('was stopped') })
    expect(await run('')).toMatchObject({ kind: 'failure' })
    expect(life.state).toBe('stopped')
  })

  test('that took more of the loop than its share rests, and works again', async () => {
    const { runner, run, life, clock, belongings } = await make(1)
    const verdicts: string[] = []
    while (life.state === 'ready') verdicts.push((await run('/*deny*/')).kind)
    expect(new Set(verdicts)).toEqual(new Set(['deny']))
    expect(run('')).toMatchObject({
      kind: 'failure',
      cause: expect.stringContaining('its calls took over 1% of a second'),
    })
    expect(belongings.hits.of('cpuShareMax')).toBe(1)
    clock.turn(1000)
    expect(await run('/*deny*/')).toMatchObject({ kind: 'deny' })
    expect(runner.counts.failures).toBe(1)
  })
})
