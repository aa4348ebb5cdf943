/** Reloads of the running executable: what changes, what does not, and why one is refused. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../kit/free-port.ts'
import { type RunningGateway, startGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { metric, startBefore, statusOf, until } from '../kit/traffic.ts'
import { connectWire, openSession } from '../kit/wire.ts'
import {
  buildPlugins,
  CallsFile,
  type Entry,
  entryOf,
  linesWith,
  listed,
  login,
  samples,
  scripted,
  startWith,
} from './plugins-scene.ts'
import {
  at,
  edit,
  editEntry,
  fileOf,
  GLOBAL,
  isRefused,
  mustRefuse,
  otherModule,
  PLUGINS,
  RECONFIGURED,
  reload,
  replaceFile,
} from './reload-scene.ts'

const MODULE = 'words-assembly.wasm'

let postgres: PostgresServer
let folder: string
beforeAll(async () => {
  await buildPlugins()
  postgres = await startPostgres()
  folder = mkdtempSync(join(tmpdir(), 'reload-'))
}, 120_000)
afterAll(async () => {
  await postgres.stop()
  rmSync(folder, { recursive: true })
})

const words = (list: string): Entry => entryOf(MODULE, { config: { words: list } })

describe('what cannot be taken into use changes nothing and says why', () => {
  let gateway: RunningGateway
  let global = ''
  let plugins = ''
  beforeAll(async () => {
    gateway = await startWith(postgres, { plugins: [words('alpha')] })
    global = readFileSync(fileOf(gateway, GLOBAL), 'utf8')
    plugins = readFileSync(fileOf(gateway, PLUGINS), 'utf8')
  })
  afterAll(() => gateway.stop())
  const restore = (): void => {
    replaceFile(fileOf(gateway, GLOBAL), global)
    replaceFile(fileOf(gateway, PLUGINS), plugins)
  }

  test('a broken file, with the place of every problem', async () => {
    replaceFile(fileOf(gateway, GLOBAL), 'servers: [')
    await mustRefuse(gateway, postgres, `${fileOf(gateway, GLOBAL)}:1:`)
    restore()
    edit(gateway, GLOBAL, (tree) => {
      at(tree, 'servers', 'default')['sessionsMax'] = 'many'
      at(tree, 'servers', 'default')['sesionsMin'] = 1
    })
    await mustRefuse(gateway, postgres, 'sessionsMax must be a whole number', 'sesionsMin')
    restore()
  })

  test('a required plugin that does not start; the others run on', async () => {
    const [before] = await listed(gateway)
    const gone = { name: 'gone', localPath: join(folder, 'gone'), required: true }
    edit(gateway, PLUGINS, (tree) => {
      tree['plugins'] = [words('beta'), { ...gone, checksum: 'ab'.repeat(32) }]
    })
    await mustRefuse(gateway, postgres, 'plugin "gone": it is required', 'does not exist')
    restore()
    expect((await listed(gateway))[0]).toMatchObject({ state: 'ready', pid: before!.pid })
    using wire = await login(gateway, postgres)
    expect(await isRefused(wire, 'select 1 as alpha')).toBeTrue()
    expect(await isRefused(wire, 'select 1 as beta')).toBeFalse()
  })

  test('an address that is taken, by another server or for the metrics', async () => {
    const taken = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
    const other = await freePort()
    edit(gateway, GLOBAL, (tree) => {
      at(tree, 'servers', 'another')['address'] = `127.0.0.1:${other}`
      at(tree, 'servers', 'default')['address'] = `127.0.0.1:${taken.port}`
      at(tree, 'clients', 'another', 'writes')['address'] = `127.0.0.1:${postgres.port}`
    })
    await mustRefuse(
      gateway,
      postgres,
      `servers.default.address: cannot listen on 127.0.0.1:${taken.port}`,
    )
    // What was opened for it is closed again.
    await expect(connectWire({ host: '127.0.0.1', port: other })).rejects.toThrow('ECONNREFUSED')
    restore()
    edit(gateway, GLOBAL, (tree) => {
      at(tree, 'metrics', 'default')['address'] = `127.0.0.1:${taken.port}`
    })
    await mustRefuse(
      gateway,
      postgres,
      `metrics.default.address: 127.0.0.1:${taken.port} is in use`,
    )
    expect(await metric(gateway, 'postern_generation_number')).toBe(1)
    restore()
    taken.stop(true)
    expect((await reload(gateway)).generation).toBe(2)
  })
})

const KINDS = [
  { kind: 'wasm', before: () => words('alpha'), after: () => words('beta') },
  {
    kind: 'grpc',
    before: () => scripted({ TAG: 'alpha' }),
    after: () => scripted({ TAG: 'beta' }),
  },
] as const
const ASKED = {
  wasm: { alpha: 'select 1 as alpha', beta: 'select 1 as beta' },
  grpc: { alpha: 'select 1 /*alpha:deny*/', beta: 'select 1 /*beta:deny*/' },
} as const

describe.each(KINDS)('another entry of a $kind plugin', ({ kind, before, after }) => {
  test('holds for idle sessions at once, within a transaction only behind it', async () => {
    const { alpha, beta } = ASKED[kind]
    await using gateway = await startWith(postgres, { plugins: [before()] })
    using idle = await login(gateway, postgres)
    using within = await login(gateway, postgres)
    await within.query('begin')
    const calls = await samples(gateway, 'postern_plugin_calls_total')
    const [old] = await listed(gateway)
    editEntry(gateway, after())
    const { changes } = await reload(gateway)
    expect(changes).toEqual([`plugin "${old!.name}" was started`])

    expect([await isRefused(idle, alpha), await isRefused(idle, beta)]).toEqual([false, true])
    expect(await isRefused(within, beta)).toBeFalse()
    expect((await statusOf(gateway)).generations).toEqual([
      { number: 1, sessions: 1 },
      { number: 2, sessions: 1 },
    ])
    expect(await isRefused(within, 'commit')).toBeFalse()
    expect([await isRefused(within, alpha), await isRefused(within, beta)]).toEqual([false, true])
    await until('the old generation is gone', async () => {
      return (await statusOf(gateway)).generations.length === 1
    })
    if (old!.pid !== null) expect(() => process.kill(old!.pid!, 0)).toThrow('ESRCH')
    // Of both plugins of one name there is one series, which goes on.
    const page = await (await fetch(`http://127.0.0.1:${gateway.metricsPort}/metrics`)).text()
    const states = linesWith(page, ['postern_plugin_state{', 'state="ready"'])
    expect(states).toHaveLength(1)
    expect(await samples(gateway, 'postern_plugin_calls_total')).toBeGreaterThan(calls)
  })
})

test('a plugin of which nothing has changed runs on, in whatever place', async () => {
  const plugins = [scripted({ TAG: 'one' }, { name: 'one' }), words('alpha')]
  await using gateway = await startWith(postgres, { plugins })
  const [one] = await listed(gateway)
  using wire = await login(gateway, postgres)
  await wire.query('begin')
  edit(gateway, PLUGINS, (tree) => {
    tree['plugins'] = plugins.toReversed()
  })
  const { changes } = await reload(gateway)
  expect(changes).toEqual([
    'plugin "words-assembly" has another place',
    'plugin "one" has another place',
  ])
  const [, moved] = await listed(gateway)
  expect(moved).toMatchObject({ name: 'one', pid: one!.pid, priority: 1001 })
  // The same with other bytes in the file is another plugin.
  const copy = join(folder, 'copy.wasm')
  const module = readFileSync(String(words('')['localPath']))
  writeFileSync(copy, module)
  editEntry(gateway, { localPath: copy })
  await reload(gateway)
  await using plain = await startWith(postgres, {
    plugins: [{ name: 'copied', localPath: copy }],
    args: ['--dev'],
  })
  expect((await reload(plain)).changes).toEqual([])
  replaceFile(copy, otherModule(module, 1))
  expect((await reload(plain)).changes).toEqual(['plugin "copied" was started'])
})

test('of two servers one changes its address: nobody notices', async () => {
  const [second, third] = [await freePort(), await freePort()]
  const behind = { address: `127.0.0.1:${postgres.port}` }
  const servers = { default: {}, other: { address: `127.0.0.1:${second}` } }
  await using gateway = await startBefore(postgres)
  edit(gateway, GLOBAL, (tree) => {
    Object.assign(at(tree, 'servers'), { other: servers.other })
    at(tree, 'clients', 'other')['writes'] = behind
  })
  expect((await reload(gateway)).changes).toContain('servers.other is new')
  using steady = await openSession({ ...postgres, port: gateway.port })
  using moved = await openSession({ ...postgres, port: second })
  edit(gateway, GLOBAL, (tree) => {
    at(tree, 'servers', 'other')['address'] = `127.0.0.1:${third}`
  })
  expect((await reload(gateway)).changes).toEqual(['servers.other.address'])
  for (const wire of [steady, moved]) expect(await wire.rows('select 1')).toEqual([['1']])
  using fresh = await openSession({ ...postgres, port: third })
  expect(await fresh.rows('select 1')).toEqual([['1']])
  await expect(connectWire({ host: '127.0.0.1', port: second })).rejects.toThrow('ECONNREFUSED')
  expect(await metric(gateway, 'postern_sessions_total', { group: 'other' })).toBe(2)

  // A server that is gone drains: what idles is told at once.
  edit(gateway, GLOBAL, (tree) => {
    delete at(tree, 'servers')['other']
    delete at(tree, 'clients')['other']
  })
  const { changes } = await reload(gateway)
  expect(changes).toContain('servers.other is gone')
  expect(await moved.expect('ErrorResponse')).toMatchObject(RECONFIGURED)
  expect(await steady.rows('select 1')).toEqual([['1']])
  expect(await metric(gateway, 'postern_sessions_total', { group: 'other' })).toBe(2)
})

test('limits and the level of the log are taken into use, its outputs are not', async () => {
  await using gateway = await startWith(postgres, { plugins: [words('alpha')] })
  using first = await login(gateway, postgres)
  edit(gateway, GLOBAL, (tree) => {
    at(tree, 'servers', 'default')['sessionsMax'] = 1
    at(tree, 'loggers', 'default')['level'] = 'debug'
    at(tree, 'loggers', 'default')['noColor'] = true
  })
  expect((await reload(gateway)).changes.toSorted()).toEqual([
    'loggers.default.level',
    'loggers.default.noColor',
    'servers.default.sessionsMax',
  ])
  await expect(login(gateway, postgres)).rejects.toThrow('sessionsMax is 1')
  expect(await first.rows('select 1')).toEqual([['1']])
  first.send(new Uint8Array([0, 0, 0, 0, 0]))
  await gateway.logged('no message type')
  await gateway.logged('keys of loggers.default other than its level have changed')
})

test('a plugin that runs on is told of the signal, and of what is configured', async () => {
  using recorded = new CallsFile()
  const env = { HOOKS: '1,2,3,6,7,8', RECORD_FILE: recorded.file }
  await using gateway = await startWith(postgres, { plugins: [scripted(env)] })
  const before = recorded.calls().length
  process.kill(gateway.pid, 'SIGHUP')
  await gateway.logged('the configuration was reloaded')
  const told = recorded.calls().slice(before)
  // Where it listens already is no question.
  expect(told.map(({ method }) => method).toSorted()).toEqual([
    'OnConfigLoaded',
    'OnNewLogger',
    'OnNewPool',
    'OnNewServer',
    'OnSignal',
  ])
  const port = await freePort()
  edit(gateway, GLOBAL, (tree) => {
    at(tree, 'servers', 'default')['address'] = `127.0.0.1:${port}`
  })
  await reload(gateway)
  expect(recorded.calls().at(-1)?.method).toBe('OnRun')
})

test('two processes that serve their metrics at one path are told of', async () => {
  const METRICS_SOCKET = join(folder, 'metrics.sock')
  await using gateway = await startWith(postgres, { plugins: [scripted({ METRICS_SOCKET })] })
  editEntry(gateway, { env: ['HOOKS=16,18', `METRICS_SOCKET=${METRICS_SOCKET}`, 'TAG=other'] })
  await reload(gateway)
  await gateway.logged(`serves its metrics at ${METRICS_SOCKET}, as the process does`)
})

test('SIGHUP reloads, many at once are few, and a run by flags reloads too', async () => {
  const args = ['--upstream', `127.0.0.1:${postgres.port}`]
  await using gateway = await startGateway({ args })
  using wire = await openSession({ ...postgres, port: gateway.port })
  for (let signal = 0; signal < 50; signal++) process.kill(gateway.pid, 'SIGHUP')
  await gateway.logged('the configuration was reloaded')
  // Behind all that is under way.
  await reload(gateway)
  const { generation, reloads } = await statusOf(gateway)
  expect(generation).toBeWithin(3, 20)
  expect(reloads).toEqual({ done: generation - 1, refused: 0, lastError: '' })
  expect(await wire.rows('select 1')).toEqual([['1']])
})

test('with --watch a changed file is taken into use, and a broken one is not', async () => {
  const clients = { default: { writes: { address: `127.0.0.1:${postgres.port}` } } }
  await using gateway = await startGateway({ config: { clients }, args: ['--watch'] })
  edit(gateway, GLOBAL, (tree) => {
    at(tree, 'servers', 'default')['sessionsMax'] = 77
  })
  await gateway.logged('servers.default.sessionsMax')
  writeFileSync(fileOf(gateway, GLOBAL), 'servers: [')
  await gateway.logged('the configuration was not reloaded')
  expect((await statusOf(gateway)).listeners[0]!.sessionsMax).toBe(77)
})
