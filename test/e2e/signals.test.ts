/**
 * What comes of a result of a plugin on GatewayD's own library: signals and the policies that rule
 * on them, settings that it changes, fields that it adds, and values of types that are none.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { freePort } from '../kit/free-port.ts'
import { bind, copyData, copyDone, execute, parse, query, sync } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { connectWire } from '../kit/wire.ts'
import {
  type Entry,
  entryOf,
  exchange,
  HAS_GO,
  isUsable,
  linesWith,
  login,
  readToEnd,
  startWith,
  stepFailures,
} from './plugins-scene.ts'
import { buildRecorders, type RecorderAnswer, Recording } from './recorder-scene.ts'

const DENIED = 'ERROR 42000 Request terminated | Policy terminated the request | -'
const TERMINATE = { name: 'terminate', metadata: { terminate: true } }
const PASSTHROUGH = { name: 'passthrough', metadata: null }
const BUILT_IN = {
  terminate: 'Signal.terminate == true && Policy.terminate == "stop"',
  log: 'Signal.log == true && Policy.log == "enabled"',
}
const rowOf = (value: string) => ['RowDescription', `row ${value}`, 'SELECT 1', 'ready I']
const signals = (...all: readonly unknown[]) => ({ set: { __signals__: all } })

let postgres: PostgresServer
beforeAll(async () => {
  await buildRecorders()
  postgres = await startPostgres()
}, 600_000)
afterAll(() => postgres.stop())

/** A gateway with one recorder that answers at the hook of statements, where these hold a mark. */
async function answering(answer: RecorderAnswer, file: Entry = {}, when = '/*mark*/') {
  const recording = new Recording()
  const answers = { OnTrafficFromClient: { ...answer, when } }
  const gateway = await startWith(postgres, {
    plugins: [recording.entry({ hooks: '16', answers })],
    file,
  })
  const all = new AsyncDisposableStack()
  all.use(recording)
  all.use(gateway)
  return { gateway, recording, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

async function said(gateway: RunningGateway, sql = "select 'said' /*mark*/"): Promise<string[]> {
  using wire = await login(gateway, postgres)
  const read = await exchange(wire, [query(sql)], 1)
  expect(await isUsable(wire)).toBeTrue()
  return read
}

describe.skipIf(!HAS_GO)('a policy of the plugins file (needs Go)', () => {
  const terminate = (policy: string, metadata: Entry = {}): Entry => ({
    policies: [{ name: 'terminate', policy, metadata }],
  })

  test('that is the built-in one terminates', async () => {
    for (const file of [{}, terminate(BUILT_IN.terminate, { terminate: 'stop' })]) {
      await using scene = await answering(signals(TERMINATE), file)
      expect(await said(scene.gateway)).toEqual([DENIED, 'ready I'])
    }
  })

  test('with other metadata, or false, switches termination off, which the log tells', async () => {
    const off = [terminate(BUILT_IN.terminate, { terminate: 'continue' }), terminate('false')]
    for (const file of off) {
      await using scene = await answering(signals(TERMINATE), file)
      expect(await said(scene.gateway)).toEqual(rowOf('said'))
      expect(linesWith(scene.gateway.log(), ['WRN', 'signal "terminate" off'])).toHaveLength(1)
    }
  })

  test('that is true terminates whatever the signal says', async () => {
    const unmeant = { name: 'terminate', metadata: { terminate: false } }
    await using scene = await answering(signals(unmeant), terminate('true'))
    expect(await said(scene.gateway)).toEqual([DENIED, 'ready I'])
    await using mild = await answering(signals(unmeant))
    expect(await said(mild.gateway)).toEqual(rowOf('said'))
  })

  test('of log decides whether signals are written', async () => {
    const metadata = { log: true, level: 'warn', message: 'a word', key: { $bytes: 'raw' } }
    const log = signals({ name: 'log', metadata })
    await using heard = await answering(log)
    await said(heard.gateway)
    expect(linesWith(heard.gateway.log(), ['WRN', 'a word', 'recorder', 'raw'])).toHaveLength(1)
    const policies = [{ name: 'log', policy: BUILT_IN.log, metadata: { log: 'disabled' } }]
    await using unheard = await answering(log, { policies })
    await said(unheard.gateway)
    expect(linesWith(unheard.gateway.log(), ['a word'])).toEqual([])
  })

  test('that is the standard one terminates what has no signal', async () => {
    const file = { defaultPolicy: 'terminate' }
    // Logging in must pass: the plugin says so of everything but of what is marked.
    const pass = (answer: RecorderAnswer) => answering(answer, file, '')
    await using mute = await pass({})
    using wire = await connectWire(mute.gateway)
    await expect(wire.login(postgres)).rejects.toThrow('Request terminated')
    await using clear = await pass(signals(PASSTHROUGH))
    expect(await said(clear.gateway)).toEqual(rowOf('said'))
    await using unknown = await pass(signals({ name: 'applaud', metadata: {} }))
    using other = await connectWire(unknown.gateway)
    await expect(other.login(postgres)).rejects.toThrow('Request terminated')
  })
})

describe.skipIf(!HAS_GO)('signals (needs Go)', () => {
  test('without an action are dropped, with one error a second', async () => {
    await using scene = await answering(signals({ name: 'applaud', metadata: {} }, PASSTHROUGH))
    using wire = await login(scene.gateway, postgres)
    const beganAt = performance.now()
    for (let times = 0; times < 50; times++) {
      const read = await exchange(wire, [query("select 'said' /*mark*/")], 1)
      expect(read).toEqual(rowOf('said'))
    }
    const words = ['ERR', 'signals without an action are dropped: "applaud"']
    const told = linesWith(scene.gateway.log(), words)
    expect(told.length).toBeGreaterThan(0)
    expect(told.length).toBeLessThanOrEqual(1 + (performance.now() - beganAt) / 1000)
    expect(await stepFailures(scene.gateway, 'recorder')).toBe(0)
  })

  test('act at every hook as far as it can: log anywhere, terminate at settings', async () => {
    using recording = new Recording()
    const log = { name: 'log', metadata: { log: true, level: 'error', message: 'it is over' } }
    const first = recording.entry({
      name: 'first',
      answers: {
        OnClosed: signals(log),
        OnConfigLoaded: { set: { __signals__: [TERMINATE], 'servers.default.sessionsMax': 7 } },
      },
    })
    const second = recording.entry({ name: 'second' })
    await using gateway = await startWith(postgres, { plugins: [first, second] })
    const asked = recording.of('OnConfigLoaded').map(({ plugin }) => plugin)
    expect(asked).toEqual(['first'])
    expect(recording.of('OnRun').map(({ plugin }) => plugin)).toEqual(['first', 'second'])
    const wire = await login(gateway, postgres)
    await wire.terminate()
    await gateway.logged('it is over')
    expect(linesWith(gateway.log(), ['ERR', 'it is over', 'first'])).toHaveLength(1)
    expect(await stepFailures(gateway, 'first', 'onClosed')).toBe(0)
  })

  test('terminate refuses a copy, or fails it at a row, and the session goes on', async () => {
    await using scene = await answering(signals(TERMINATE))
    using wire = await login(scene.gateway, postgres)
    await wire.query('create temp table kept (word text)')
    const refused = await exchange(wire, [query('copy kept from stdin /*mark*/')], 1)
    expect(refused).toEqual([DENIED, 'ready I'])
    wire.send(query('copy kept from stdin'))
    await wire.expect('CopyInResponse')
    wire.send(copyData('one\n'))
    const rest = [copyData('/*mark*/\n'), copyData('two\n'), copyDone()]
    expect(await exchange(wire, rest, 1)).toEqual([DENIED, 'ready I'])
    expect(await wire.rows('select count(*) from kept')).toEqual([['0']])
    const extended = [parse({ sql: 'select 1 /*mark*/' }), bind(), execute(), sync()]
    expect(await exchange(wire, extended, 1)).toEqual([DENIED, 'ready I'])
    expect(await isUsable(wire)).toBeTrue()
  })

  test('a response that ends with a frontend Terminate closes behind the rest', async () => {
    const error = 'E\0\0\0\x1cSERROR\0C28000\0Mgo away\0\0'
    const response = { $bytes: `${error}X\0\0\0\x04` }
    await using scene = await answering({ set: { __signals__: [TERMINATE], response } })
    using wire = await login(scene.gateway, postgres)
    wire.send(query('select 1 /*mark*/'))
    expect(await readToEnd(wire)).toEqual(['ERROR 28000 go away | - | -'])
  })
})

test.skipIf(!HAS_GO)('values of wrong types change nothing (needs Go)', async () => {
  const set = {
    request: 'select 2',
    response: 5,
    error: 7,
    client: 'nobody',
    __terminal__: 'true',
    __signals__: ['terminate', 5, null, { name: 7 }, { name: 'terminate', metadata: 'stop' }],
    __outputs__: [{ verdict: true, terminal: true }],
  }
  await using scene = await answering({ set })
  expect(await said(scene.gateway)).toEqual(rowOf('said'))
  await using empty = await answering({ drop: ['request', 'client', 'server', 'error'] })
  expect(await said(empty.gateway)).toEqual(rowOf('said'))
  await using listed = await answering({ set: { __signals__: { name: 'terminate' } } })
  expect(await said(listed.gateway)).toEqual(rowOf('said'))
  for (const { gateway } of [scene, empty, listed]) {
    expect(await stepFailures(gateway, 'recorder')).toBe(0)
  }
})

describe.skipIf(!HAS_GO)('fields that a plugin adds (needs Go)', () => {
  const FIELDS = { seen: { by: ['first'], count: 2 }, raw: { $bytes: '\xff' }, query: 'e30=' }

  async function chain(between: readonly Entry[], mark = '') {
    const recording = new Recording()
    const answers = { OnTrafficFromClient: { set: FIELDS, when: 'select' } }
    const first = recording.entry({ name: 'first', hooks: '16', answers })
    const last = recording.entry({ name: 'last', hooks: '16' })
    const gateway = await startWith(postgres, { plugins: [first, ...between, last] })
    using wire = await login(gateway, postgres)
    const read = await exchange(wire, [query(`select 'original' ${mark}`)], 1)
    await gateway.stop()
    const calls = recording.of('OnTrafficFromClient').filter(({ plugin }) => plugin === 'last')
    recording[Symbol.dispose]()
    const given = calls.map(({ params }) => params).find((params) => 'seen' in params)
    return { read, given }
  }

  const travelled = { seen: FIELDS.seen, raw: { bytes: '\xff' } }

  test('come to the next one, with what the library parsed', async () => {
    const { given } = await chain([])
    expect(given).toMatchObject({ ...travelled, query: 'e30=' })
  })

  test('come past a WASM plugin that lets pass', async () => {
    const { given, read } = await chain([entryOf('verdicts.wasm')])
    expect(read).toEqual(rowOf('original'))
    expect(given).toMatchObject({ ...travelled, query: 'e30=' })
  })

  test('come past a WASM plugin that rewrites, but for what would be a lie then', async () => {
    const { given, read } = await chain([entryOf('verdicts.wasm')], '/*replace*/')
    expect(read).toEqual(rowOf('replaced'))
    expect(given).toMatchObject(travelled)
    expect(Object.keys(given ?? {})).not.toContain('query')
  })
})

describe.skipIf(!HAS_GO)('settings (needs Go)', () => {
  test('that OnConfigLoaded returns are used, and the next plugin is told of them', async () => {
    using recording = new Recording()
    const set = { 'servers.default.sessionsMax': 1, 'loggers.default.level': 'debug' }
    const first = recording.entry({ name: 'first', answers: { OnConfigLoaded: { set } } })
    const second = recording.entry({
      name: 'second',
      answers: { OnConfigLoaded: { set: { 'servers.default.sessionsMax': 2 } } },
    })
    await using gateway = await startWith(postgres, { plugins: [first, second] })
    expect(recording.params('OnConfigLoaded')[1]).toMatchObject(set)
    const loggers = { default: expect.objectContaining({ level: 'debug' }) }
    expect(recording.params('OnNewLogger')[0]).toEqual(loggers)
    using _one = await login(gateway, postgres)
    using _two = await login(gateway, postgres)
    await expect(login(gateway, postgres)).rejects.toThrow('53300')
    await gateway.stop()
    expect(gateway.log()).toContain(' DBG ')
  })

  test('that cannot be used are a failure of the plugin', async () => {
    using recording = new Recording()
    const set = { 'servers.default.sessionsMax': 'many', 'servers.default.idleTimeout': 5 }
    const entry = recording.entry({ answers: { OnConfigLoaded: { set } } })
    await using gateway = await startWith(postgres, { plugins: [entry] })
    await gateway.logged('metrics on')
    const words = ['WRN', 'failed at onConfigLoaded', 'servers.default.sessionsMax']
    expect(linesWith(gateway.log(), words)).toHaveLength(1)
    expect(await stepFailures(gateway, 'recorder', 'onConfigLoaded')).toBe(1)
    const closed = { ...entry, onFailure: 'closed' }
    await expect(startWith(postgres, { plugins: [closed] })).rejects.toThrow('onConfigLoaded')
  })

  test('the address that OnRun returns is listened on', async () => {
    using recording = new Recording()
    const port = await freePort()
    const address = `127.0.0.1:${port}`
    const entry = recording.entry({ answers: { OnRun: { set: { address } } } })
    await using gateway = await startWith(postgres, { plugins: [entry] })
    using wire = await login({ host: '127.0.0.1', port }, postgres)
    expect(await isUsable(wire)).toBeTrue()
    await expect(connectWire({ host: '127.0.0.1', port: gateway.port })).rejects.toThrow()
  })

  test('an address that is none is a failure of the plugin', async () => {
    using recording = new Recording()
    for (const address of ['nowhere', 5]) {
      const entry = recording.entry({ answers: { OnRun: { set: { address } } } })
      await using gateway = await startWith(postgres, { plugins: [entry] })
      using wire = await login(gateway, postgres)
      expect(await isUsable(wire)).toBeTrue()
      expect(await stepFailures(gateway, 'recorder', 'onRun')).toBe(1)
    }
  })
})
