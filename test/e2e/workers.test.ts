/** Several processes that serve the clients of one gateway: who gets them, and what is lost. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../kit/free-port.ts'
import { bind, cancelRequest, concat, execute, parse, query, sync } from '../kit/frontend.ts'
import { type RunningGateway, runPostern } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { asleep, metric, startBefore, statusOf, until } from '../kit/traffic.ts'
import { connectWire, Wire } from '../kit/wire.ts'
import { login } from './plugins-scene.ts'
import { at, edit, GLOBAL, reload, runReload } from './reload-scene.ts'
import {
  answering,
  enterAll,
  type Keys,
  type Place,
  replaced,
  sessionsOf,
  startWorkers,
  workersOf,
} from './workers-scene.ts'

setDefaultTimeout(20_000)

let postgres: PostgresServer
beforeAll(async () => {
  postgres = await startPostgres()
}, 60_000)
afterAll(() => postgres.stop())

const start = (server?: Keys, top?: Keys) => startWorkers(postgres, server, top)
const several = (gateway: RunningGateway, count?: number) => enterAll(gateway, postgres, count)
const enter = (place: Place) => login(place, postgres)

describe('sessions', () => {
  test.each([
    ['in a burst', (gateway: RunningGateway) => several(gateway)],
    [
      'one after the other',
      async (gateway: RunningGateway) => {
        const wires: Wire[] = []
        while (wires.length < 20) wires.push(await enter(gateway))
        return wires
      },
    ],
  ])('that come %s are shared out evenly', async (_, come) => {
    await using gateway = await start()
    const wires = await come(gateway)
    const [one = 0, other = 0] = await sessionsOf(gateway)
    expect(one + other).toBe(20)
    expect(Math.abs(one - other)).toBeLessThanOrEqual(4)
    expect(await answering(wires)).toHaveLength(20)
    const status = await statusOf(gateway)
    expect(status.sessions).toMatchObject({ open: 20, total: 20 })
    expect(status.listeners[0]).toMatchObject({ sessions: 20 })
    expect(await metric(gateway, 'postern_sessions_open')).toBe(20)
    expect(await metric(gateway, 'postern_worker_sessions', { worker: '1' })).toBe(other)
    for (const wire of wires) wire.destroy()
  })

  test('are bounded by sessionsMax whichever worker they come to', async () => {
    await using gateway = await start({ sessionsMax: 5 })
    const wires = await several(gateway, 5)
    await expect(enter(gateway)).rejects.toThrow('53300')
    wires[0]!.destroy()
    await until('a place is free', async () => (await statusOf(gateway)).sessions.open === 4)
    wires.push(await enter(gateway))
    for (const wire of wires) wire.destroy()
  })

  test('come through a Unix socket too', async () => {
    const path = join(tmpdir(), `postern-workers-${process.pid}.sock`)
    await using gateway = await start({ network: 'unix', address: path })
    const { user, database } = postgres
    const enterThere = async () => {
      const wire = new Wire(createConnection({ path }), 5000)
      await wire.login({ user, database })
      return wire
    }
    const wires = await Promise.all(Array.from({ length: 10 }, enterThere))
    expect(Math.min(...(await sessionsOf(gateway)))).toBeGreaterThanOrEqual(4)
    expect(await answering(wires)).toHaveLength(10)
    for (const wire of wires) wire.destroy()
    await gateway.stop()
    expect(existsSync(path)).toBe(false)
  })
})

test('the connections of a pool are shared by the workers, and no more are opened', async () => {
  const { user, password, database } = postgres
  await using gateway = await startBefore(postgres, {
    server: { auth: 'trust' },
    client: { startupParams: { user, password, database } },
    top: { workers: 2, pools: { default: { writes: { size: 5 } } } },
  })
  const visit = async (): Promise<void> => {
    const wire = await enter(gateway)
    expect(await wire.rows('select pg_sleep(0.2), 1')).toHaveLength(1)
    wire.destroy()
  }
  const visits = Promise.all(Array.from({ length: 12 }, visit))
  const place = { group: 'default', block: 'writes', mode: 'session', sizeMax: 5 }
  await until('the status tells who has connections', async () => {
    const { pools = [] } = await statusOf(gateway)
    expect(pools).toMatchObject([place])
    return pools[0]!.lent > 2 || pools[0]!.waiting > 2
  })
  await visits
  expect(await metric(gateway, 'postern_pool_size')).toBe(5)
  expect(await metric(gateway, 'postern_pool_opened_total')).toBeLessThanOrEqual(5)
})

test('clients of both workers share connections between transactions', async () => {
  const { user, password, database } = postgres
  await using gateway = await startBefore(postgres, {
    server: { auth: 'trust' },
    client: { startupParams: { user, password, database } },
    top: { workers: 2, pools: { default: { writes: { size: 4, mode: 'transaction' } } } },
  })
  const wires = await several(gateway, 20)
  const prepared = concat(parse({ name: 'twice', sql: 'select $1::int * 2' }), sync())
  for (const wire of wires) wire.send(prepared)
  await Promise.all(wires.map((wire) => wire.readUntil('ReadyForQuery')))
  for (let round = 0; round < 3; round++) {
    const asked = wires.map(async (wire, index) => {
      wire.send(concat(bind({ statement: 'twice', values: [String(index)] }), execute(), sync()))
      const said = await wire.readUntil('ReadyForQuery')
      expect(said).toContainEqual(
        expect.objectContaining({ name: 'DataRow', values: [String(2 * index)] }),
      )
    })
    await Promise.all(asked)
  }
  expect(await metric(gateway, 'postern_pool_opened_total')).toBeLessThanOrEqual(4)
}, 30_000)

describe('a CancelRequest', () => {
  const cases = [
    ['of the database', null],
    ['of a pool', 'session'],
    ['of shared connections', 'transaction'],
  ] as const
  test.each(cases)('with a key %s reaches its session through any worker', async (_, mode) => {
    const isPooled = mode !== null
    const { user: role, password } = postgres
    const startupParams = { user: role, password, database: postgres.database }
    await using gateway = await startBefore(postgres, {
      server: isPooled ? { auth: 'trust' } : {},
      client: isPooled ? { startupParams } : {},
      top: { workers: 2, pools: { default: { writes: { size: 8, mode: mode ?? 'session' } } } },
    })
    const { user, database } = postgres
    const sleepers: { wire: Wire; pid: number; secret: Uint8Array }[] = []
    while (sleepers.length < 6) {
      const wire = await connectWire(gateway)
      sleepers.push({ wire, ...(await wire.login({ user, database })) })
      wire.send(query('select pg_sleep(30)'))
    }
    await asleep(postgres, sleepers.length)
    // Those that sleep are spread over both workers, which nobody who cancels can know.
    for (const { wire, pid, secret } of sleepers) {
      const canceller = await connectWire(gateway)
      canceller.send(cancelRequest(pid, secret))
      await canceller.closed()
      const said = await wire.readUntil('ReadyForQuery')
      expect(said).toContainEqual(expect.objectContaining({ code: '57014' }))
    }
    expect(await metric(gateway, 'postern_worker_cancels_carried_total')).toBeGreaterThan(0)
  })
})

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('the end of the gateway', () => {
  test('by SIGKILL is the end of its workers', async () => {
    const gateway = await start()
    const pids = (await workersOf(gateway)).map(({ pid }) => pid!)
    await gateway.kill()
    await until('they have ended', () => !pids.some(isAlive))
  })

  test('waits for what its workers still do', async () => {
    await using gateway = await start()
    const wires = await several(gateway, 4)
    for (const wire of wires) wire.send(query('select pg_sleep(0.5), 7'))
    await Bun.sleep(100)
    const stopped = gateway.stop()
    for (const wire of wires) {
      const said = await wire.readUntil('ReadyForQuery')
      expect(said.map(({ name }) => name)).toContain('DataRow')
      expect(await wire.read()).toMatchObject({ code: '57P01' })
      await wire.closed()
    }
    expect(await stopped).toEqual({ status: 0, signal: null })
  })

  test('is at once at a second signal', async () => {
    const gateway = await start()
    const [wire] = await several(gateway, 1)
    wire!.send(query('select pg_sleep(30)'))
    await Bun.sleep(100)
    process.kill(gateway.pid, 'SIGTERM')
    await gateway.logged('stopping')
    process.kill(gateway.pid, 'SIGTERM')
    expect(await gateway.exited).toMatchObject({ status: 1 })
  })
})

describe('a reload', () => {
  test('takes all workers along, also to sockets that are new', async () => {
    await using gateway = await start()
    const wires = await several(gateway, 4)
    const [moved, side] = [await freePort(), await freePort()]
    edit(gateway, GLOBAL, (tree) => {
      at(tree, 'servers', 'default')['address'] = `127.0.0.1:${moved}`
      at(tree, 'servers', 'side')['address'] = `127.0.0.1:${side}`
      at(tree, 'clients', 'side', 'writes')['address'] = `127.0.0.1:${postgres.port}`
    })
    expect(await reload(gateway)).toMatchObject({ outcome: 'done', generation: 2 })
    expect(await answering(wires)).toHaveLength(4)
    for (const port of [moved, side]) {
      const all = await Promise.all(
        Array.from({ length: 6 }, () => enter({ host: '127.0.0.1', port })),
      )
      expect(await answering(all)).toHaveLength(6)
      wires.push(...all)
    }
    await expect(enter(gateway)).rejects.toThrow()
    const workers = await workersOf(gateway)
    expect(workers.map(({ generation }) => generation)).toEqual([2, 2])
    process.kill(workers[0]!.pid!, 'SIGKILL')
    await replaced(gateway)
    const again = await enter({ host: '127.0.0.1', port: side })
    for (const wire of [...wires, again]) wire.destroy()
  })

  test('is refused where the number of workers would be another', async () => {
    await using gateway = await start()
    edit(gateway, GLOBAL, (tree) => {
      tree['workers'] = 3
    })
    const { status, stdout, stderr } = await runReload(gateway)
    expect(status).toBe(1)
    expect(stdout + stderr).toContain('workers: 2 cannot become 3; restart for it')
    expect((await statusOf(gateway)).generation).toBe(1)
  })
})

describe('what cannot work is refused at the start', () => {
  const check = async (config: Keys) => {
    const file = join(tmpdir(), `postern-workers-${process.pid}.yaml`)
    await Bun.write(file, JSON.stringify(config))
    const { status, stderr } = await runPostern(['run', '--check', '-c', file])
    rmSync(file)
    return `${status}: ${stderr}`
  }

  test.each([0, -1, 257, 1.5, 'many'])('%p workers', async (workers) => {
    expect(await check({ workers })).toMatch(
      /^1: [\s\S]*workers must be auto or a whole number from 1 to 256/,
    )
  })

  test('a pool that cannot be shared', async () => {
    const pools = { default: { writes: { mode: 'session', size: 3 } } }
    expect(await check({ workers: 4, pools })).toContain(
      'pools.default.writes.size: 3 connections cannot be shared by 4 workers',
    )
  })

  test('auto is a worker for each processor', async () => {
    expect(await check({ workers: 'auto' })).toStartWith('0: ')
  })
})

test('nobody becomes a worker by accident', async () => {
  const { status, stderr } = await runPostern(['--worker-of-a-gateway'])
  expect(status).toBe(2)
  expect(stderr).toContain('a worker is started by its gateway: set workers in its file')
})

test('a worker has its number in every line that it logs, and shows no secret', async () => {
  const [user, password] = [postgres.user, 'a-planted-secret']
  const client = { startupParams: { user, password, database: 'postgres' } }
  await using gateway = await startBefore(postgres, {
    server: { auth: 'trust' },
    client,
    top: { workers: 2, loggers: { default: { output: ['stderr'], level: 'debug' } } },
  })
  const wire = await connectWire(gateway)
  wire.send(Buffer.from('this is no message of PostgreSQL at all'))
  await wire.readUntil('ErrorResponse')
  await gateway.logged('"worker":')
  for (const { pid } of await workersOf(gateway)) {
    expect(readFileSync(`/proc/${pid}/comm`, 'utf8')).toBe('postern-worker\n')
    for (const file of ['cmdline', 'environ']) {
      expect(readFileSync(`/proc/${pid}/${file}`, 'utf8')).not.toContain(password)
    }
  }
  expect(gateway.log()).not.toContain(password)
  for (const line of gateway.log().split('\n').filter(Boolean)) JSON.parse(line)
})
