/** Workers that die, hang or cannot do what they shall: what that costs, and whom. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mustRun } from '../kit/command.ts'
import { freePort } from '../kit/free-port.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { metric, startBefore, statusOf } from '../kit/traffic.ts'
import { connectWire } from '../kit/wire.ts'
import { at, edit, GLOBAL, reload, runReload } from './reload-scene.ts'
import {
  answering,
  enterAll,
  type Keys,
  replaced,
  sessionsOf,
  startWorkers,
  workersOf,
} from './workers-scene.ts'

const IS_LONG = process.env['POSTERN_LONG'] === '1'
setDefaultTimeout(IS_LONG ? 120_000 : 20_000)

let postgres: PostgresServer
beforeAll(async () => {
  postgres = await startPostgres()
}, 60_000)
afterAll(() => postgres.stop())

const start = (server?: Keys, top?: Keys) => startWorkers(postgres, server, top)
const several = (gateway: RunningGateway, count?: number) => enterAll(gateway, postgres, count)

describe('a worker that is killed', () => {
  test('costs its own sessions alone, is replaced, and what it counted stays', async () => {
    await using gateway = await start()
    const wires = await several(gateway)
    const before = await workersOf(gateway)
    const bytes = await metric(gateway, 'postern_bytes_total', { direction: 'to_client' })
    process.kill(before[0]!.pid!, 'SIGKILL')
    await replaced(gateway)
    expect(await answering(wires)).toHaveLength(before[1]!.sessions)
    expect(await metric(gateway, 'postern_sessions_total')).toBe(20)
    const after = await metric(gateway, 'postern_bytes_total', { direction: 'to_client' })
    expect(after).toBeGreaterThanOrEqual(bytes)
    expect((await statusOf(gateway)).sessions.total).toBe(20)
    expect(gateway.log()).toContain('its sessions are lost, and it is replaced')
    // The new one has the fewest, so that it gets those that come now.
    const more = await several(gateway, 8)
    expect((await sessionsOf(gateway))[0]).toBeGreaterThanOrEqual(4)
    for (const wire of [...wires, ...more]) wire.destroy()
  })

  test('every second under load: nobody who comes is refused', async () => {
    await using gateway = await start()
    const deaths = IS_LONG ? 30 : 4
    let isOver = false
    const failures: unknown[] = []
    let entered = 0
    const come = async (): Promise<void> => {
      while (!isOver) {
        const wire = await connectWire(gateway)
        try {
          const { user, database } = postgres
          await wire.login({ user, database })
          entered += 1
          await wire.rows('select 1')
        } catch (thrown) {
          failures.push(thrown)
        }
        wire.destroy()
      }
    }
    const load = Promise.all([come(), come(), come(), come()])
    for (let death = 0; death < deaths; death++) {
      await Bun.sleep(1000)
      const living = (await workersOf(gateway)).filter(({ pid }) => pid !== null)
      process.kill(living[death % living.length]!.pid!, 'SIGKILL')
    }
    isOver = true
    await load
    expect(entered).toBeGreaterThan(deaths * 10)
    // Those that were with the worker at its end: at most one for each who comes.
    expect(failures.length).toBeLessThanOrEqual(deaths * 4)
    const status = await statusOf(gateway)
    expect(status.workers!.reduce((sum, { restarts }) => sum + restarts, 0)).toBeGreaterThan(0)
  })
})

describe('a worker that hangs', () => {
  test('keeps nobody from the others', async () => {
    await using gateway = await start()
    const [hung] = await workersOf(gateway)
    process.kill(hung!.pid!, 'SIGSTOP')
    try {
      const wires = await several(gateway)
      expect(await answering(wires)).toHaveLength(20)
      expect(await sessionsOf(gateway)).toEqual([0, 20])
      process.kill(hung!.pid!, 'SIGCONT')
      const more = await several(gateway)
      expect((await sessionsOf(gateway))[0]).toBeGreaterThanOrEqual(10)
      for (const wire of [...wires, ...more]) wire.destroy()
    } finally {
      process.kill(hung!.pid!, 'SIGCONT')
    }
  })
})

test('a worker that hangs for longer than workerTimeout is replaced', async () => {
  await using gateway = await start({}, { workerTimeout: '1500ms' })
  const wires = await several(gateway)
  const before = await workersOf(gateway)
  process.kill(before[0]!.pid!, 'SIGSTOP')
  await gateway.logged('a worker says nothing for 1500 ms (workerTimeout)')
  await replaced(gateway)
  const after = await workersOf(gateway)
  expect(after.map(({ restarts }) => restarts)).toEqual([1, 0])
  expect(after[1]!.pid).toBe(before[1]!.pid)
  expect(await answering(wires)).toHaveLength(before[1]!.sessions)
  const more = await several(gateway, 8)
  expect(await answering(more)).toHaveLength(8)
  for (const wire of [...wires, ...more]) wire.destroy()
})

test('a reload that one worker cannot follow is refused by all', async () => {
  await using gateway = await start()
  const wires = await several(gateway, 4)
  const [first] = await workersOf(gateway)
  const port = await freePort()
  edit(gateway, GLOBAL, (tree) => {
    at(tree, 'servers', 'side')['address'] = `127.0.0.1:${port}`
    at(tree, 'clients', 'side', 'writes')['address'] = `127.0.0.1:${postgres.port}`
  })
  const limit = (most: string) => mustRun(['prlimit', '--pid', `${first!.pid}`, `--nofile=${most}`])
  await limit('4:')
  const { status, stdout, stderr } = await runReload(gateway)
  expect(status).toBe(1)
  expect(stdout + stderr).toContain('worker 0: a listening socket that was announced did not come')
  expect(await statusOf(gateway)).toMatchObject({ generation: 1, reloads: { refused: 1 } })
  await expect(connectWire({ host: '127.0.0.1', port })).rejects.toThrow()
  await limit('1000:')
  expect(await reload(gateway)).toMatchObject({ outcome: 'done', generation: 2 })
  const more = await enterAll({ host: '127.0.0.1', port }, postgres, 6)
  expect(await answering([...wires, ...more])).toHaveLength(10)
  for (const wire of [...wires, ...more]) wire.destroy()
})

test('a system that has nothing left for workers is told of at the start', async () => {
  const under = ['prlimit', '--nofile=13:13']
  const starting = startBefore(postgres, { top: { workers: 2 }, under })
  await expect(starting).rejects.toThrow(/worker \d: the system starts no process for it: EMFILE/)
})
