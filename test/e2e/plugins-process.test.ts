/**
 * The processes of gRPC plugins: what they are started with, and that whatever they print, on
 * whichever way, is read for ever, becomes records of the log, and holds up nobody.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { query } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { memoryOf, until } from '../kit/traffic.ts'
import { openSession } from '../kit/wire.ts'
import {
  buildPlugins,
  type Entry,
  entryOf,
  exchange,
  fixture,
  HAS_GO,
  linesWith,
  listed,
  login,
  scripted,
  sha256,
  startWith,
} from './plugins-scene.ts'

const FLOOD_MB = process.env['POSTERN_LONG'] === undefined ? 8 : 100
setDefaultTimeout(FLOOD_MB * 10_000)
/** What may wait for the collector while a flood is read; it is the same for more of it. */
const FLOOD_GROWTH_BYTES_MAX = 250e6

let postgres: PostgresServer
const folder = mkdtempSync(join(tmpdir(), 'pp-'))
beforeAll(async () => {
  await buildPlugins()
  postgres = await startPostgres()
}, 600_000)
afterAll(async () => {
  await postgres.stop()
  rmSync(folder, { recursive: true })
})

const ROW = (value: string) => ['RowDescription', `row ${value}`, 'SELECT 1', 'ready I']
const COOKIE = '5712b87aa5d7e9f9e9ab643e6603181c5b796015cb1c09d6f5ada882bf2a1872'

/** The scripted plugin behind a script that runs first. */
function behind(name: string, lines: readonly string[], more: Entry = {}): Entry {
  const localPath = join(folder, name)
  writeFileSync(localPath, ['#!/bin/sh', ...lines, `exec ${fixture('scripted')}`, ''].join('\n'))
  chmodSync(localPath, 0o755)
  return { name, localPath, checksum: sha256(localPath), ...more }
}

/** The environment and arguments of the process of a plugin, as the kernel knows them. */
async function startedWith(gateway: RunningGateway, name: string) {
  const plugin = (await listed(gateway)).find((each) => each.name === name)
  const split = (file: string) => readFileSync(`/proc/${plugin?.pid}/${file}`, 'utf8').split('\0')
  const environment = Object.fromEntries(
    split('environ').map((line) => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]),
  )
  return { environment, args: split('cmdline').slice(0, -1) }
}

const OURS = {
  POSTERN_TEST_SECRET: 'secret',
  PGPASSWORD: 'secret',
  BUN_SECRET: 'secret',
  GATEWAYD_SECRET: 'secret',
  LC_TIME: 'C',
  APP_ONE: 'one',
  APP_TWO: 'two',
  OTHER: 'other',
}

async function environmentFor(more: Entry) {
  const plugin = { ...scripted(), ...more }
  await using gateway = await startWith(postgres, { plugins: [plugin], env: OURS })
  return (await startedWith(gateway, 'scripted')).environment
}

describe('a plugin is started', () => {
  test('with its arguments behind its path, and the cookie in both its forms', async () => {
    const plugin = { ...scripted(), args: ['--level', 'two words', ''] }
    await using gateway = await startWith(postgres, { plugins: [plugin] })
    const { args, environment } = await startedWith(gateway, 'scripted')
    expect(args).toEqual([fixture('scripted'), '--level', 'two words', ''])
    expect(environment).toMatchObject({
      GATEWAYD_PLUGIN: COOKIE,
      MAGIC_COOKIE_KEY: 'GATEWAYD_PLUGIN',
      MAGIC_COOKIE_VALUE: COOKIE,
      PLUGIN_MIN_PORT: '50000',
      PLUGIN_MAX_PORT: '60000',
      PLUGIN_PROTOCOL_VERSIONS: '1',
    })
  })

  test('with little of our environment where its entry asks for nothing', async () => {
    const environment = await environmentFor({})
    expect(environment['LC_TIME']).toBe('C')
    expect(environment['PATH']).toBe(process.env['PATH'])
    const kept = Object.keys(OURS).filter((name) => name in environment)
    expect(kept).toEqual(['LC_TIME'])
  })

  test('with names, wildcards, or all of it, but for what is protected', async () => {
    const some = await environmentFor({ inheritEnv: ['APP_*', 'PGPASSWORD'] })
    const kept = Object.keys(OURS).filter((name) => name in some)
    expect(kept).toEqual(['PGPASSWORD', 'APP_ONE', 'APP_TWO'])
    const all = await environmentFor({ inheritEnv: true })
    expect(all).toMatchObject(OURS)
    expect(await environmentFor({ inheritEnv: ['*'] })).not.toHaveProperty('PGPASSWORD')
  })

  test('with its own env over ours, and nothing over the handshake', async () => {
    const environment = await environmentFor({
      inheritEnv: true,
      env: [
        'APP_ONE=its own',
        'APP_TWO=',
        'GATEWAYD_PLUGIN=forged',
        'MAGIC_COOKIE_KEY=GATEWAYD_PLUGIN',
      ],
    })
    expect(environment).toMatchObject({ APP_ONE: 'its own', APP_TWO: '', GATEWAYD_PLUGIN: COOKIE })
  })

  test('with a folder for its socket that nobody else can enter', async () => {
    await using gateway = await startWith(postgres, { plugins: [scripted()] })
    const { environment } = await startedWith(gateway, 'scripted')
    const sockets = String(environment['PLUGIN_UNIX_SOCKET_DIR'])
    expect(statSync(sockets).mode & 0o777).toBe(0o700)
    const [socket] = readdirSync(sockets)
    expect(join(sockets, socket!).length).toBeLessThan(100)
    expect((await gateway.stop()).status).toBe(0)
    expect(() => statSync(sockets)).toThrow('ENOENT')
  })
})

/** What a plugin prints on standard error, and how a line of our log must look. */
const PRINTED: readonly (readonly [printed: string, level: string, words: readonly string[]])[] = [
  [
    `{"@level":"warn","@message":"from hclog","@module":"m","rows":3,"plugin":"forged"}`,
    'WRN',
    ['from hclog', 'plugin=talker', 'fields={"module":"m","rows":3,"plugin":"forged"}'],
  ],
  [`{"level":"error","msg":"of another library"}`, 'DBG', ['of another library']],
  ['[ERROR] with a prefix', 'ERR', [' with a prefix']],
  ['[WARN]  with another', 'WRN', ['with another']],
  ['[NONSENSE] plain', 'DBG', ['[NONSENSE] plain']],
  [String.raw`red \033[31m and a bell \007`, 'DBG', ['red ', 'and a bell ']],
  [String.raw`no text \377\376 at all`, 'DBG', ['no text \ufffd\ufffd at all']],
  ['panic: runtime error', 'ERR', ['panic: runtime error']],
  ['goroutine 1 [running]:', 'ERR', ['goroutine 1 [running]:']],
]

test('what a plugin prints is a record each, with its level, and forges nothing', async () => {
  const lines = PRINTED.map(([printed]) => `printf '${printed}\\n' >&2`)
  const long = `head -c 200000 /dev/zero | tr '\\0' 'l' >&2; echo >&2`
  const plugin = behind('talker', [long, ...lines])
  const env = { POSTERN_LOGGERS_DEFAULT_LEVEL: 'debug' }
  await using gateway = await startWith(postgres, { plugins: [plugin], env })
  await gateway.logged('goroutine 1')
  for (const [, level, words] of PRINTED) {
    const told = linesWith(gateway.log(), [` ${level} `, ...words])
    expect(told, words.join()).toHaveLength(1)
    expect(told[0]).toContain('plugin=talker')
  }
  // What would move the cursor or ring a bell is shown and not obeyed.
  expect(gateway.log()).not.toContain('\u001b[31m')
  expect(gateway.log()).not.toContain('\u0007')
  const pieces = gateway
    .log()
    .split('\n')
    .filter((line) => line.includes('l'.repeat(1000)))
  expect(pieces.map((line) => /l{1000,}/.exec(line)?.[0].length)).toEqual([
    65_536, 65_536, 65_536, 3392,
  ])
})

describe.skipIf(!HAS_GO)('a plugin that floods (needs Go)', () => {
  test(`every output with ${FLOOD_MB} MB is not held up, and fills no memory`, async () => {
    const plugin = entryOf('echo-go', { env: [`FLOOD_MB=${FLOOD_MB}`], timeout: '10m' })
    await using gateway = await startWith(postgres, { plugins: [plugin] })
    const { host, port } = gateway
    // Printing takes its time.
    using wire = await openSession({ ...postgres, host, port, timeoutMs: FLOOD_MB * 1000 })
    using other = await login(gateway, postgres)
    await exchange(wire, [query('select 1')], 1)
    const before = memoryOf(gateway.pid).now
    wire.send(query('select 1 /*flood*/'))
    let isOver = false
    const reply = exchange(wire, [], 1).finally(() => {
      isOver = true
    })
    // Others are served meanwhile.
    let served = 0
    for (; !isOver; served++)
      expect(await exchange(other, [query('select 2')], 1)).toEqual(ROW('2'))
    expect(await reply).toEqual(ROW('1'))
    expect(served).toBeGreaterThan(0)
    expect(memoryOf(gateway.pid).peak - before).toBeLessThan(FLOOD_GROWTH_BYTES_MAX)
    const status = (await listed(gateway))[0]
    expect(status).toMatchObject({ state: 'ready', restarts: 0 })
    const written = /wchar: (\d+)/.exec(readFileSync(`/proc/${status?.pid}/io`, 'utf8'))?.[1]
    expect(Number(written)).toBeGreaterThan(4 * FLOOD_MB * 1024 * 1024)
    await until('it is served as before', async () => {
      return Bun.deepEquals(await exchange(wire, [query('select 3')], 1), ROW('3'))
    })
  })
})
