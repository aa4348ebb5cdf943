/**
 * Upgrades of a gateway that runs: another process takes over its sockets, sessions stay where they
 * are, and where that process is no good the first goes on.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PluginReport } from '../../src/admin/report.ts'
import { findProgram } from '../bench/programs.ts'
import { run } from '../kit/command.ts'
import { DatagramClient, startDatagramServer } from '../kit/datagrams.ts'
import { cancelRequest, query } from '../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { runningProcesses } from '../kit/processes.ts'
import { auditPlugins, until, waits } from '../kit/traffic.ts'
import { connectWire, openSession, type Wire } from '../kit/wire.ts'
import { buildPlugins, fixture, scripted, sha256 } from './plugins-scene.ts'
import {
  loginConfig,
  type Place,
  type Program,
  startUpgradable,
  statusOf,
  type Upgradable,
} from './upgrade-scene.ts'

setDefaultTimeout(30_000)
const CANCELLED = {
  name: 'ErrorResponse',
  code: '57014',
  message: 'canceling statement due to user request',
}

type Keys = Readonly<Record<string, unknown>>

let postgres: PostgresServer
beforeAll(async () => {
  await buildPlugins()
  postgres = await startPostgres()
}, 120_000)
afterAll(() => postgres.stop())

/** The number that another process writes into a file sooner or later. */
async function numberIn(path: string): Promise<number> {
  const read = (): string => (existsSync(path) ? readFileSync(path, 'utf8').trim() : '')
  await until(`there is a number in ${path}`, () => read() !== '')
  return Number(read())
}

/** Those that have this file in their command line. */
function processesOf(program: string): readonly number[] {
  const all = runningProcesses()
  return all
    .filter(({ commandLine }) => commandLine.split('\0').includes(program))
    .map(({ pid }) => pid)
}

const configOf = (place: Place, top: Keys = {}): Keys => loginConfig(postgres, place, top)

const start = (top: Keys = {}): Promise<Upgradable> =>
  startUpgradable((place) => configOf(place, top))

function enter({ host, port }: Upgradable): Promise<Wire> {
  const { user, database } = postgres
  return openSession({ host, port, user, database })
}

describe.each([1, 2])('with %d workers', (workers) => {
  test('sessions go on where they are, and a cancel reaches them', async () => {
    await using gateway = await start({ workers })
    const first = gateway.pid
    const one = await connectWire(gateway)
    const { pid, secret } = await one.login({ user: postgres.user, database: postgres.database })
    const [row] = await one.rows('select pg_backend_pid()')
    const backend = Number(row![0])
    using witness = await openSession(postgres)
    const other = await enter(gateway)
    await other.rows("set application_name to 'stays'")
    await other.rows('begin')
    await gateway.upgrade()
    await gateway.upgrade()
    expect(await other.rows('show application_name')).toEqual([['stays']])
    one.send(query('select pg_sleep(20)'))
    await waits(witness, backend, 'PgSleep')
    using canceller = await connectWire(gateway)
    canceller.send(cancelRequest(pid, secret))
    await canceller.closed()
    expect(await one.readUntil('ReadyForQuery')).toContainEqual(expect.objectContaining(CANCELLED))
    const { upgrades, sessions } = await statusOf(gateway)
    expect({ upgrades, open: sessions.open }).toMatchObject({
      upgrades: { done: 2, earlier: { processes: expect.any(Number), sessions: 2 } },
      open: 0,
    })
    await other.rows('commit')
    await one.terminate()
    await other.terminate()
    await gateway.ended(first)
  })

  test('a program that is no good leaves the one before serving', async () => {
    await using gateway = await start({ workers, upgradeTimeout: '400ms' })
    const first = gateway.pid
    const none: readonly (readonly [string, Program, RegExp])[] = [
      ['one that fails', { script: '#!/bin/sh\nexit 3\n' }, /ended before it was ready/],
      ['one that hangs', { script: '#!/bin/sh\nexec sleep 60\n' }, /within 400 ms.*upgradeTimeout/],
      ['no program', { script: '#!/bin/sh\n', mode: 0o644 }, /cannot be started.*EACCES/],
    ]
    for (const [what, program, problem] of none) {
      gateway.install(program)
      const { status, stderr, stdout } = await gateway.postern('upgrade')
      expect({ what, status, stdout }).toEqual({ what, status: 1, stdout: '' })
      expect(stderr).toMatch(problem)
      expect(stderr).toStartWith(`not upgraded, process ${first} goes on:\n`)
      await until('the log says so', () => problem.test(gateway.log()))
      const wire = await enter(gateway)
      expect(await wire.rows('select 1')).toEqual([['1']])
      await wire.terminate()
    }
    gateway.install('postern')
    const { upgrades } = await statusOf(gateway)
    expect(upgrades).toMatchObject({ done: 0, refused: 3 })
    gateway.configure(configOf(gateway, { workers }))
    await gateway.postern('reload')
    expect((await gateway.upgrade()).outcome).toBe('done')
    await gateway.ended(first)
  })
})

test('a configuration that it refuses leaves the one before serving, and says why', async () => {
  await using gateway = await start()
  gateway.configure(configOf(gateway, { servers: { default: { address: 'nowhere' } } }))
  const report = await gateway.tryUpgrade()
  expect(report).toMatchObject({ outcome: 'refused', pid: null })
  expect(report.problems.join('\n')).toContain('servers.default.address')
  const wire = await enter(gateway)
  expect(await wire.rows('select 1')).toEqual([['1']])
  await wire.terminate()
})

test('a configuration that no reload takes is taken by an upgrade, by a signal too', async () => {
  await using gateway = await start()
  const first = gateway.pid
  const { servers, clients, pools } = configOf(gateway) as Record<string, { default: unknown }>
  // The group has another name, on the same address.
  gateway.configure({
    ...configOf(gateway),
    workers: 2,
    servers: { shop: servers!.default },
    clients: { shop: clients!.default },
    pools: { shop: pools!.default },
  })
  expect((await gateway.postern('reload')).status).toBe(1)
  gateway.signal('SIGUSR2')
  await gateway.ended(first)
  const status = await statusOf(gateway)
  gateway.follow(status.pid)
  expect(status.listeners.map(({ group }) => group)).toContain('shop')
  expect(status.workers).toHaveLength(2)
  const wire = await enter(gateway)
  expect(await wire.rows('select 1')).toEqual([['1']])
  await wire.terminate()
})

test('two upgrades at once are one, and a reload waits for none', async () => {
  await using gateway = await start()
  gateway.install({ script: '#!/bin/sh\necho $$ > child\nexec sleep 60\n' })
  const first = gateway.tryUpgrade()
  const child = await numberIn(join(gateway.folder, 'child'))
  await until('it is under way', async () => {
    return (await statusOf(gateway)).upgrades?.isUnderWay === true
  })
  const second = await gateway.tryUpgrade()
  expect(second.problems.join()).toMatch(/an upgrade is under way for \d+ s/)
  const reloaded = await gateway.postern('reload')
  expect(reloaded.stderr).toContain('an upgrade is under way')
  process.kill(child)
  expect((await first).outcome).toBe('refused')
  expect((await gateway.postern('reload')).status).toBe(0)
})

test('a stop in the middle of an upgrade stops both', async () => {
  await using gateway = await start()
  gateway.install({ script: '#!/bin/sh\necho $$ > child\nexec sleep 60\n' })
  const upgrade = gateway.postern('upgrade')
  const pid = await numberIn(join(gateway.folder, 'child'))
  gateway.signal('SIGTERM')
  await gateway.ended(gateway.pid)
  await gateway.ended(pid)
  expect((await upgrade).status).toBe(1)
})

test('a stop right behind the signal for an upgrade leaves nothing of it', async () => {
  await using gateway = await start()
  gateway.install({ script: '#!/bin/sh\nwhile :; do sleep 0.05; done\n' })
  gateway.signal('SIGUSR2')
  gateway.signal('SIGTERM')
  await gateway.ended(gateway.pid)
  const left = processesOf(gateway.program)
  for (const pid of left) process.kill(pid, 'SIGKILL')
  expect(left).toEqual([])
})

test('clients that stay are ended after drainTimeout', async () => {
  await using gateway = await start({ drainTimeout: '300ms' })
  const first = gateway.pid
  const idle = await enter(gateway)
  const busy = await enter(gateway)
  busy.send(query('select pg_sleep(20)'))
  await gateway.upgrade()
  expect(await idle.readUntil('ErrorResponse')).toContainEqual(
    expect.objectContaining({ code: '57P01' }),
  )
  await gateway.ended(first)
  idle.destroy()
  busy.destroy()
})

test('a stop afterwards ends the clients of both', async () => {
  await using gateway = await start()
  const first = gateway.pid
  const idle = await enter(gateway)
  await gateway.upgrade()
  gateway.signal('SIGTERM')
  expect(await idle.readUntil('ErrorResponse')).toContainEqual(
    expect.objectContaining({ code: '57P01' }),
  )
  await gateway.ended(first)
  await gateway.ended(gateway.pid)
  idle.destroy()
})

describe.each([1, 2])('a Unix socket with %d workers', (workers) => {
  test('stays at its path, until the last one stops', async () => {
    const psql = findProgram('psql')!
    await using gateway = await startUpgradable((place) => {
      const address = join(place.folder, '.s.PGSQL.6432')
      const server = { network: 'unix', address, auth: 'trust' }
      return configOf(place, { workers, servers: { default: server } })
    })
    const path = join(gateway.folder, '.s.PGSQL.6432')
    const { user, database } = postgres
    const asks = async (): Promise<string> => {
      const argv = [psql, '-h', gateway.folder, '-p', '6432', '-U', user, '-Atc', 'select 7']
      return (await run([...argv, database])).stdout
    }
    for (let turn = 0; turn < 2; turn++) {
      const before = gateway.pid
      await gateway.upgrade()
      await gateway.ended(before)
      expect(await asks()).toBe('7\n')
    }
    gateway.signal('SIGTERM')
    await gateway.ended(gateway.pid)
    expect(existsSync(path)).toBe(false)
  })
})

test('plugins of both runtimes: each process has its own, as long as it is there', async () => {
  const audit = auditPlugins() as { plugins: readonly Keys[] }
  await using gateway = await startUpgradable((place) => configOf(place), {
    plugins: { plugins: [...audit.plugins, scripted()] },
  })
  const pluginOf = async () => {
    const { stdout, stderr } = await gateway.postern('plugin', 'list', '--json')
    if (stdout === '') throw new Error(stderr)
    const { plugins } = JSON.parse(stdout) as { plugins: readonly PluginReport[] }
    return plugins.find(({ name }) => name === 'scripted')!.pid!
  }
  const first = gateway.pid
  const plugin = await pluginOf()
  const wire = await enter(gateway)
  await gateway.upgrade()
  expect(await pluginOf()).not.toBe(plugin)
  expect(await wire.rows('select 1')).toEqual([['1']])
  expect((await statusOf(gateway)).plugins).toEqual({ total: 2, ready: 2 })
  const next = await enter(gateway)
  expect(await next.rows('select 2')).toEqual([['2']])
  await wire.terminate()
  await gateway.ended(first)
  await gateway.ended(plugin)
  expect(await next.rows('select 3')).toEqual([['3']])
  await next.terminate()
})

test('of a new process that hangs in a plugin nothing is left, nor of the plugin', async () => {
  await using gateway = await start({ upgradeTimeout: '2s' })
  const plugin = join(gateway.folder, 'plugin')
  const script = `#!/bin/sh\necho $$ > ${plugin}.pid\nsleep 60\n`
  writeFileSync(plugin, script, { mode: 0o755 })
  const entry = { name: 'hangs', localPath: plugin, checksum: sha256(plugin) }
  gateway.configure(configOf(gateway), { plugins: [entry] })
  expect((await gateway.tryUpgrade()).problems.join()).toContain('upgradeTimeout')
  await gateway.ended(await numberIn(`${plugin}.pid`))
  expect(readdirSync(join(gateway.folder, 'run/postern'))).toEqual([String(gateway.pid)])
})

test('a gateway that is killed in the middle of an upgrade is replaced all the same', async () => {
  await using gateway = await start()
  const [first, plugin] = [gateway.pid, join(gateway.folder, 'plugin')]
  const goOn = `${plugin}.go`
  const wait = `while [ ! -e ${goOn} ]; do sleep 0.02; done`
  const script = `#!/bin/sh\necho > ${plugin}.begun\n${wait}\nexec ${fixture('scripted')}\n`
  writeFileSync(plugin, script, { mode: 0o755 })
  const entry = { name: 'slow', localPath: plugin, checksum: sha256(plugin), env: ['HOOKS=16,18'] }
  gateway.configure(configOf(gateway), { plugins: [entry] })
  const upgrade = gateway.postern('upgrade')
  await until('the new process starts its plugin', () => existsSync(`${plugin}.begun`))
  process.kill(first, 'SIGKILL')
  expect((await upgrade).status).toBe(1)
  writeFileSync(goOn, '')
  await until('it serves', () => gateway.log().split(' ready version=').length === 3)
  const { pid } = await statusOf(gateway)
  gateway.follow(pid)
  expect(pid).not.toBe(first)
  const wire = await enter(gateway)
  expect(await wire.rows('select 1')).toEqual([['1']])
  await wire.terminate()
})

test('connections to the database that the old process needs no more are closed', async () => {
  await using gateway = await start()
  const [stays, goes] = [await enter(gateway), await enter(gateway)]
  const pidOf = async (wire: Wire) => (await wire.rows('select pg_backend_pid()'))[0]![0]!
  const [used, unused] = [await pidOf(stays), await pidOf(goes)]
  await goes.terminate()
  using witness = await openSession(postgres)
  const isThere = async (pid: string): Promise<boolean> =>
    (await witness.rows(`select from pg_stat_activity where pid = ${pid}`)).length === 1
  expect(await isThere(unused)).toBe(true)
  await gateway.upgrade()
  await until('it is closed', async () => !(await isThere(unused)))
  expect(await isThere(used)).toBe(true)
  expect(await pidOf(stays)).toBe(used)
  await stays.terminate()
})

test('datagrams are taken by the new process from one moment on, and none is lost', async () => {
  const echo = await startDatagramServer()
  const udp = { network: 'udp' }
  await using gateway = await startUpgradable((place) => ({
    ...configOf(place),
    servers: { default: { ...udp, protocol: 'raw', address: `127.0.0.1:${place.port}` } },
    clients: { default: { writes: { ...udp, address: `127.0.0.1:${echo.port}` } } },
    pools: {},
    drainTimeout: '200ms',
  }))
  using client = await DatagramClient.open(gateway.port)
  for (let turn = 0; turn < 3; turn++) {
    const before = gateway.pid
    expect(await client.ask(`before ${turn}`)).toBe(`before ${turn}`)
    await gateway.upgrade()
    expect(await client.ask(`after ${turn}`)).toBe(`after ${turn}`)
    await gateway.ended(before)
  }
  echo.stop()
})

test('what an upgrade lists no more is closed, and what is new is opened', async () => {
  await using gateway = await start()
  const { port, folder, metricsPort: other } = gateway
  // The page and the clients change places: both are sockets that are there.
  gateway.configure(configOf({ folder, port: other, metricsPort: port }))
  await gateway.upgrade()
  expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200)
  const { host, user, database } = { ...postgres, host: '127.0.0.1' }
  const wire = await openSession({ host, port: other, user, database })
  expect(await wire.rows('select 1')).toEqual([['1']])
  await wire.terminate()
  gateway.configure(configOf(gateway, { metrics: { default: { enabled: false } } }))
  await gateway.upgrade()
  expect(fetch(`http://127.0.0.1:${other}/healthz`)).rejects.toThrow()
})
