/**
 * Plugins that fail, time out, answer what cannot be used, or die: what they were asked about
 * passes or is refused as `onFailure` says, they are asked again, and the gateway lives.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { query } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { until } from '../kit/traffic.ts'
import {
  buildPlugins,
  CallsFile,
  type Entry,
  entryOf,
  exchange,
  isUsable,
  listed,
  login,
  samples,
  scripted,
  startWith,
  stepFailures,
} from './plugins-scene.ts'

const SLOW_MS = 400
const TIMEOUT = '150ms'

interface Patient {
  readonly entry: (more: Entry) => Entry
  readonly plugin: string
  /** Marks that make it fail, each with words of the cause that its status must give. */
  readonly faults: Readonly<Record<string, string>>
  /** Marks for answers that only the gateway finds unusable, with words that its log must give. */
  readonly flaws: Readonly<Record<string, string>>
  readonly refusal: string
}

const WASM_FAULTS = {
  trap: 'trapped',
  seven: 'returned 7, which is no verdict',
  'no-output': 'returned replace, but no output',
}
const WASM_REFUSAL = 'ERROR 42501 denied by verdicts | a marker said so | leave it out'
const PATIENTS: Readonly<Record<string, Patient>> = {
  'WASM (direct)': {
    entry: (more) => entryOf('verdicts.wasm', more),
    plugin: 'verdicts',
    faults: WASM_FAULTS,
    flaws: {},
    refusal: WASM_REFUSAL,
  },
  'WASM (PDK)': {
    entry: (more) => entryOf('verdicts-pdk.wasm', more),
    plugin: 'verdicts-pdk',
    faults: { ...WASM_FAULTS, error: 'the PDK says no', code: 'returned 3' },
    flaws: {},
    refusal: WASM_REFUSAL,
  },
  gRPC: {
    entry: (more) => scripted({ SLOW_MS: String(SLOW_MS) }, { timeout: TIMEOUT, ...more }),
    plugin: 'scripted',
    faults: {
      error: 'it reports: the plugin is not well',
      fail: 'failed as it was told to',
      slow: 'was not answered in 150 ms',
    },
    flaws: {
      garbage: 'unusable replacement',
      babble: '2 ReadyForQuery messages in one answer',
    },
    refusal: 'ERROR 42000 Request terminated | Policy terminated the request | -',
  },
}

let postgres: PostgresServer
beforeAll(async () => {
  await buildPlugins()
  postgres = await startPostgres()
}, 120_000)
afterAll(() => postgres.stop())

const ROW = (value: string) => ['RowDescription', `row ${value}`, 'SELECT 1', 'ready I']

for (const [runtime, { entry, plugin, faults, flaws, refusal }] of Object.entries(PATIENTS)) {
  for (const onFailure of ['open', 'closed'] as const) {
    describe(`${runtime}, onFailure: ${onFailure}`, () => {
      let gateway: RunningGateway
      beforeAll(async () => {
        gateway = await startWith(postgres, { plugins: [entry({ onFailure })] })
      }, 30_000)
      afterAll(() => gateway.stop())

      for (const [fault, words] of Object.entries({ ...faults, ...flaws })) {
        const outcome = onFailure === 'open' ? 'lets pass' : 'refuses'
        test(`${fault} ${outcome}, is counted, and the next is judged`, async () => {
          using wire = await login(gateway, postgres)
          const before = await stepFailures(gateway, plugin)
          const read = await exchange(wire, [query(`select 11 /*${fault}*/`)], 1)
          if (onFailure === 'open') expect(read).toEqual(ROW('11'))
          else {
            const sentence = `plugin "${plugin}" failed, and it is set to refuse`
            expect(read[0]).toStartWith(`ERROR 58000 ${sentence}`)
            expect(read.slice(1)).toEqual(['ready I'])
          }
          expect(await stepFailures(gateway, plugin)).toBe(before + 1)
          expect(await exchange(wire, [query('select 1 /*deny*/')], 1)).toEqual([
            refusal,
            'ready I',
          ])
          expect(await isUsable(wire)).toBeTrue()
          const state = (await listed(gateway)).find(({ name }) => name === plugin)
          if (fault in faults) expect(state?.lastError).toContain(words)
          expect(state?.state).toBe('ready')
        })
      }

      test('a failing transaction is PostgreSQL’s own where it refuses', async () => {
        using wire = await login(gateway, postgres)
        await wire.query('begin')
        const [fault] = Object.keys(faults)
        const read = await exchange(wire, [query(`select 1 /*${fault}*/`)], 1)
        expect(read.at(-1)).toBe(onFailure === 'open' ? 'ready T' : 'ready E')
        expect(await isUsable(wire)).toBeTrue()
      })
    })
  }
}

const LOGGED = { seven: entryOfWasm, garbage: entryOfGrpc, babble: entryOfGrpc }
function entryOfWasm(): Entry {
  return PATIENTS['WASM (direct)']!.entry({ name: 'patient' })
}
function entryOfGrpc(): Entry {
  return PATIENTS['gRPC']!.entry({ name: 'patient' })
}

for (const [fault, entry] of Object.entries(LOGGED)) {
  test(`failures by ${fault} in a row are logged once, and all are counted`, async () => {
    await using gateway = await startWith(postgres, { plugins: [entry()] })
    using wire = await login(gateway, postgres)
    const one = query(`select 1 /*${fault}*/`)
    await exchange(
      wire,
      Array.from({ length: 20 }, () => one),
      20,
    )
    expect(await stepFailures(gateway, 'patient')).toBe(20)
    const all = Object.values(PATIENTS).map(({ faults, flaws }) => ({ ...faults, ...flaws })[fault])
    const words = all.find((some) => some !== undefined)
    const lines = gateway.log().split('\n')
    const told = lines.filter((line) => words !== undefined && line.includes(words))
    expect(told).toHaveLength(1)
    expect(told[0]).toContain('plugin "patient" failed at onTrafficFromClient')
  })
}

test('a late answer is thrown away: it is not the answer to the next call', async () => {
  const entry = scripted({ SLOW_MS: String(SLOW_MS) }, { timeout: TIMEOUT })
  await using gateway = await startWith(postgres, { plugins: [entry] })
  using wire = await login(gateway, postgres)
  const statements = ['select 1 /*slow*/', 'select 2', "select 'original' /*replace*/"]
  expect(await exchange(wire, statements.map(query), 3)).toEqual([
    ...ROW('1'),
    ...ROW('2'),
    ...ROW('replaced'),
  ])
  expect(await stepFailures(gateway, 'scripted')).toBe(1)
})

for (const onFailure of ['open', 'closed'] as const) {
  test(`a gRPC plugin killed while it is asked fails ${onFailure} at once, and after`, async () => {
    using record = new CallsFile()
    // Its answers would take a minute, and so would the timeout: only its end can end the call.
    const entry = scripted({ RECORD_FILE: record.file }, { timeout: '1m', onFailure })
    const plugins = [entry, entryOf('verdicts.wasm')]
    await using gateway = await startWith(postgres, { plugins, file: { reloadOnCrash: false } })
    using wire = await login(gateway, postgres)
    using other = await login(gateway, postgres)
    wire.send(query('select 3 /*slow*/'))
    await record.saw('select 3')
    const before = await listed(gateway)
    process.kill(before[0]!.pid!, 'SIGKILL')
    const reply = await exchange(wire, [], 1)
    const refused = /^ERROR 58000 plugin "scripted" failed/
    if (onFailure === 'open') expect(reply).toEqual(ROW('3'))
    else expect(reply[0]).toMatch(refused)
    for (const session of [wire, other]) {
      const next = await exchange(session, [query('select 4')], 1)
      if (onFailure === 'open') expect(next).toEqual(ROW('4'))
      else expect(next[0]).toMatch(refused)
      // The chain behind it still judges.
      const denied = await exchange(session, [query('select 1 /*deny*/')], 1)
      expect(denied[0]).toMatch(onFailure === 'open' ? /^ERROR 42501/ : refused)
    }
    await gateway.logged('was killed by SIGKILL')
    expect(await stepFailures(gateway, 'scripted')).toBeGreaterThanOrEqual(5)
    const states = await listed(gateway)
    expect(states.map(({ name, state }) => [name, state])).toEqual([
      ['scripted', 'failing'],
      ['verdicts', 'ready'],
    ])
    const failing = ['plugin="scripted"', 'state="failing"']
    expect(await samples(gateway, 'postern_plugin_state', ...failing)).toBe(1)
    expect((await gateway.stop()).status).toBe(0)
  })
}

test('a gRPC plugin that answers no ping has failed for all calls at once', async () => {
  const plugins = [scripted({}, { timeout: TIMEOUT })]
  await using gateway = await startWith(postgres, { plugins, file: { reloadOnCrash: false } })
  using wire = await login(gateway, postgres)
  expect(await exchange(wire, [query('select 1 /*hang*/')], 1)).toEqual(ROW('1'))
  await gateway.logged('answers neither calls nor pings')
  const startedAt = performance.now()
  expect(await exchange(wire, [query('select 2'), query('select 3')], 2)).toEqual([
    ...ROW('2'),
    ...ROW('3'),
  ])
  // Without a wait for the timeout of each of the calls, of which there are four.
  expect(performance.now() - startedAt).toBeLessThan(4 * 150)
  expect((await listed(gateway))[0]?.state).toBe('failing')
  expect((await gateway.stop()).status).toBe(0)
})

test('an observer with a verdict has failed, and traffic never noticed', async () => {
  const plugins = [
    scripted({ HOOKS: '17' }),
    entryOf('verdicts.wasm', { config: { observer: 'deny' } }),
  ]
  await using gateway = await startWith(postgres, { plugins })
  using wire = await login(gateway, postgres)
  expect(await exchange(wire, [query('select 1 /*meddle*/')], 1)).toEqual(ROW('1'))
  expect(await isUsable(wire)).toBeTrue()
  const complaints = () => stepFailures(gateway, 'scripted', 'onTrafficToServer')
  await until('the observer has answered', async () => (await complaints()) === 1)
  expect(await stepFailures(gateway, 'verdicts', 'onTrafficToServer')).toBe(3)
  expect(await stepFailures(gateway, 'verdicts', 'onOpened')).toBe(1)
})
