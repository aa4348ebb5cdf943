/**
 * Hostile WASM plugins in the executable, with traffic beside them: the gateway lives, whoever is
 * not concerned notices nothing but the time, and `onFailure` rules for whoever is.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { modulePath, readBytes } from '../fixtures/wasm/kit.ts'
import { query } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { memoryOf, until } from '../kit/traffic.ts'
import {
  type Entry,
  exchange,
  isUsable,
  listed,
  login,
  startWith,
  stepFailures,
} from './plugins-scene.ts'
import { beginTraffic, entryFor, hostileEntry } from './sandbox-scene.ts'

/** Attacks upon a call, each with words of the cause that the status must give. */
const ATTACKS: Readonly<Record<string, string>> = {
  'spin-in-hook': 'trapped (deadline)',
  'doubling-calls': 'trapped (deadline)',
  'indirect-tail-recursion': 'trapped (deadline)',
  'mutual-recursion': 'trapped (stack)',
  'all-memory-filled-for-ever': 'trapped (deadline)',
  'a-table-grown-for-ever': 'trapped (deadline)',
  'output-of-all-memory-for-ever': 'trapped (deadline)',
  'log-for-ever': 'trapped (deadline)',
  'kv-set-for-ever': 'trapped (deadline)',
  'metric-for-ever': 'trapped (deadline)',
  'session-set-for-ever': 'trapped (deadline)',
  'vectors-for-ever': 'trapped (deadline)',
  'extism-var-set-for-ever': 'trapped (deadline)',
  'eight-million-vectors': 'trapped (limit)',
  'output-at--1-for-1': 'trapped (pointer)',
  'a-call-behind-the-table': 'trapped (indirect)',
  exit: 'trapped (exit)',
}
/** Capital letters, which stand where no other statement of the tests has one. */
const MARKS = Object.keys(ATTACKS).map((name, at) => [name, String.fromCharCode(65 + at)] as const)

/** Attacks upon the start; none of these plugins ever runs. */
const UNSTARTABLE = [
  'spin-in-start',
  'spin-in-initialize',
  'spin-in-describe',
  'doubling-in-start',
  'a-start-that-traps',
  'a-start-that-leaves',
  'a-segment-outside-the-memory',
  'a-memory-of-4-GiB',
  'a-memory-shared',
  'a-memory-of-64-bit',
  'a-table-of-10-million',
  'a-second-memory',
  'exceptions-by-table',
  'structures',
  'import-of-the-meter',
  'a-million-functions',
  'a-million-blocks-deep',
  '4-G-locals',
  'a-section-longer-than-the-file',
  'code-that-does-not-type-check',
]

const MIB = 2 ** 20
/** Over what the gateway holds at the start: the plugin's limits, instances and what is garbage. */
const GROWN_BYTES_MAX = 400 * MIB
const STORM = 30
const ROW = (value: string) => ['RowDescription', `row ${value}`, 'SELECT 1', 'ready I']
const attack = (mark: string, value: number) => query(`/*${mark}*/select ${value}`)

let postgres: PostgresServer
beforeAll(async () => {
  postgres = await startPostgres()
}, 120_000)
afterAll(() => postgres.stop())

async function attackers(onFailure: 'open' | 'closed'): Promise<Entry[]> {
  return await Promise.all(MARKS.map(([name, mark]) => hostileEntry(name, mark, { onFailure })))
}

async function statusOf(gateway: RunningGateway, plugin: string) {
  return (await listed(gateway)).find(({ name }) => name === plugin)
}

for (const onFailure of ['open', 'closed'] as const) {
  describe(`a call that attacks, onFailure: ${onFailure},`, () => {
    let gateway: RunningGateway
    let heldAtStart = 0
    beforeAll(async () => {
      gateway = await startWith(postgres, { plugins: await attackers(onFailure) })
      heldAtStart = memoryOf(gateway.pid).now
    }, 60_000)
    afterAll(async () => {
      expect(memoryOf(gateway.pid).peak - heldAtStart).toBeLessThan(GROWN_BYTES_MAX)
      expect(await gateway.stop()).toEqual({ status: 0, signal: null })
    })

    for (const [name, mark] of MARKS) {
      const outcome = onFailure === 'open' ? 'lets pass' : 'refuses'
      test(`${name} ${outcome}, and harms nobody else`, async () => {
        const traffic = await beginTraffic(gateway, postgres)
        using wire = await login(gateway, postgres)
        const read = await exchange(wire, [attack(mark, 11)], 1)
        if (onFailure === 'open') expect(read).toEqual(ROW('11'))
        else {
          expect(read[0]).toStartWith(`ERROR 58000 plugin "${name}" failed`)
          expect(read.slice(1)).toEqual(['ready I'])
        }
        expect(await stepFailures(gateway, name)).toBe(1)
        expect((await statusOf(gateway, name))?.lastError).toContain(ATTACKS[name]!)
        // A new instance takes its place.
        await until('it is ready again', async () => {
          return (await statusOf(gateway, name))?.state === 'ready'
        })
        expect(await isUsable(wire)).toBeTrue()
        expect((await traffic.stop()).calls).toBeGreaterThan(0)
      })
    }
  })
}

test('in a storm of endless loops the plugin is left out, and nobody else notices', async () => {
  const plugins = [await hostileEntry('spin-in-hook', 'A', { onFailure: 'open' })]
  await using gateway = await startWith(postgres, { plugins })
  const traffic = await beginTraffic(gateway, postgres)
  using wire = await login(gateway, postgres)
  using other = await login(gateway, postgres)
  const storm = Array.from({ length: STORM }, (_, at) => attack('A', at))
  const calm = Array.from({ length: STORM }, (_, at) => query(`select ${at}`))
  const [read, unharmed] = await Promise.all([
    exchange(wire, storm, STORM),
    exchange(other, calm, STORM),
  ])
  expect(unharmed).toEqual(calm.flatMap((_, at) => ROW(String(at))))
  expect(read).toEqual(storm.flatMap((_, at) => ROW(String(at))))
  expect(await stepFailures(gateway, 'spin-in-hook')).toBeGreaterThanOrEqual(STORM)
  // It is not made anew for each of them: others wait for the loop as well.
  expect(gateway.log()).toMatch(/it is restarted in \d+ ms|plugin broken/)
  expect((await traffic.stop()).calls).toBeGreaterThan(0)
  expect(await isUsable(wire)).toBeTrue()
  expect(await gateway.stop()).toEqual({ status: 0, signal: null })
})

test('a loop without an end at the begin and the end of sessions keeps nobody out', async () => {
  await using gateway = await startWith(postgres, {
    plugins: [await hostileEntry('spin-at-begin-and-end')],
  })
  for (let turn = 0; turn < 5; turn++) {
    const wire = await login(gateway, postgres)
    expect(await isUsable(wire)).toBeTrue()
    await wire.terminate()
  }
  expect(await stepFailures(gateway, 'spin-at-begin-and-end', 'onOpening')).toBe(5)
  await until('all ends were told', async () => {
    return (await stepFailures(gateway, 'spin-at-begin-and-end', 'onClosed')) === 5
  })
  expect(await gateway.stop()).toEqual({ status: 0, signal: null })
})

test('an endless loop at the begin of sessions refuses them, where it is closed', async () => {
  const entry = await hostileEntry('spin-at-begin-and-end', undefined, { onFailure: 'closed' })
  await using gateway = await startWith(postgres, { plugins: [entry] })
  const refusal = 'login: ErrorResponse FATAL 58000: plugin "spin-at-begin-and-end" failed'
  for (let turn = 0; turn < 3; turn++) {
    await expect(login(gateway, postgres)).rejects.toThrow(refusal)
  }
  expect(await gateway.stop()).toEqual({ status: 0, signal: null })
})

test('twenty plugins that attack at their start leave a good one at work', async () => {
  const hostiles = await Promise.all(UNSTARTABLE.map((name) => hostileEntry(name)))
  const good = await entryFor('good', readBytes(modulePath('words-assembly')))
  const plugins = [...hostiles, { ...good, required: true }]
  await using gateway = await startWith(postgres, { plugins })
  using wire = await login(gateway, postgres)
  expect(await exchange(wire, [query('select 5')], 1)).toEqual(ROW('5'))
  const refused = await exchange(wire, [query('drop table t')], 1)
  expect(refused[0]).toStartWith('ERROR 42501 the word drop is not permitted')
  const states = await listed(gateway)
  expect(states.map(({ name, state }) => [name, state])).toEqual([
    ...UNSTARTABLE.map((name) => [name, 'broken']),
    ['good', 'ready'],
  ])
  for (const { name, lastError } of states.slice(0, -1)) {
    expect(`${name}: ${lastError}`).not.toBe(`${name}: `)
  }
  const traffic = await beginTraffic(gateway, postgres)
  expect(await isUsable(wire)).toBeTrue()
  expect((await traffic.stop()).calls).toBeGreaterThan(0)
  expect(await gateway.stop()).toEqual({ status: 0, signal: null })
})
