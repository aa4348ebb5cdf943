/** What becomes of sessions and their connections over reloads of the running executable. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { makeAuthority, makePemFolder } from '../kit/certificates.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { connectTls } from '../kit/tls-wire.ts'
import { metric, startBefore, statusOf, until } from '../kit/traffic.ts'
import { openSession, type Wire } from '../kit/wire.ts'
import { buildPlugins, type Entry, entryOf, login, startWith } from './plugins-scene.ts'
import {
  at,
  edit,
  editEntry,
  GLOBAL,
  isRefused,
  mustRefuse,
  RECONFIGURED,
  reload,
  runReload,
} from './reload-scene.ts'

let postgres: PostgresServer
beforeAll(async () => {
  await buildPlugins()
  postgres = await startPostgres()
}, 120_000)
afterAll(() => postgres.stop())

const words = (list: string): Entry => entryOf('words-assembly.wasm', { config: { words: list } })

describe('who cannot go over is ended after drainTimeout', () => {
  test('with an upstream that is gone: told so, and the old upstream is left alone', async () => {
    await using gateway = await startBefore(postgres, { top: { drainTimeout: '500ms' } })
    using wire = await openSession({ ...postgres, port: gateway.port })
    edit(gateway, GLOBAL, (tree) => {
      at(tree, 'clients', 'default', 'writes')['dialTimeout'] = '7s'
    })
    await reload(gateway)
    expect(await wire.rows('select 1')).toEqual([['1']])
    using fresh = await openSession({ ...postgres, port: gateway.port })
    expect(await wire.expect('ErrorResponse')).toMatchObject(RECONFIGURED)
    await wire.closed()
    expect(await fresh.rows('select 1')).toEqual([['1']])
    expect(await metric(gateway, 'postern_sessions_expelled_total')).toBe(1)
    await until('the old generation is gone', async () => {
      return (await metric(gateway, 'postern_generations_live')) === 1
    })
  })

  test('raw sessions stay where nothing changes for them, else they are closed', async () => {
    const raw = entryOf('raw.wasm')
    await using gateway = await startWith(postgres, {
      plugins: [raw],
      server: { protocol: 'raw' },
    })
    edit(gateway, GLOBAL, (tree) => {
      tree['drainTimeout'] = '500ms'
    })
    await reload(gateway)
    using wire = await login(gateway, postgres)
    expect((await reload(gateway)).changes).toEqual([])
    expect((await statusOf(gateway)).generations).toEqual([{ number: 3, sessions: 1 }])
    editEntry(gateway, { limits: { callDeadline: '49ms' } })
    await reload(gateway)
    expect(await wire.rows('select 1')).toEqual([['1']])
    await wire.closed()
  })

  test('and until then no more than generationsMax are live', async () => {
    await using gateway = await startWith(postgres, { plugins: [words('alpha')] })
    using wire = await login(gateway, postgres)
    const others: Wire[] = []
    for (const list of ['beta', 'gamma', 'delta']) {
      const held = await login(gateway, postgres)
      others.push(held)
      await held.query('begin')
      editEntry(gateway, { config: { words: list } })
      await reload(gateway)
    }
    editEntry(gateway, { config: { words: 'epsilon' } })
    await mustRefuse(
      gateway,
      postgres,
      '4 generations are live already (generationsMax)',
      '3 sessions',
    )
    for (const held of others) await held.query('rollback')
    await until('the old ones are gone', async () => {
      return (await statusOf(gateway)).generations.length === 1
    })
    expect((await reload(gateway)).generation).toBe(5)
    expect(await isRefused(wire, 'select 1 as epsilon')).toBeTrue()
    for (const held of others) held.destroy()
  })
})

test('a pool keeps its connections, and another size of it holds for new clients', async () => {
  const { user, database, password } = postgres
  await using gateway = await startBefore(postgres, {
    client: { startupParams: { user, database, password } },
    server: { auth: 'trust' },
    top: { pools: { default: { writes: { size: 2 } } } },
  })
  const open = () => openSession({ ...postgres, port: gateway.port })
  const backend = async (wire: Wire) => (await wire.rows('select pg_backend_pid()'))[0]![0]
  using staying = await open()
  using leaving = await open()
  const [stays, left] = [await backend(staying), await backend(leaving)]
  await leaving.terminate()
  edit(gateway, GLOBAL, (tree) => {
    at(tree, 'servers', 'default')['sessionsMax'] = 77
  })
  await reload(gateway)
  expect(await backend(staying)).toBe(stays)
  {
    using again = await open()
    expect(await backend(again)).toBe(left)
    await again.terminate()
  }
  edit(gateway, GLOBAL, (tree) => {
    at(tree, 'pools', 'default', 'writes')['size'] = 3
  })
  expect((await reload(gateway)).changes).toEqual(['pools.default.writes.size'])
  expect(await backend(staying)).toBe(stays)
  expect((await statusOf(gateway)).generations).toEqual([{ number: 3, sessions: 1 }])
  using fresh = await open()
  expect([stays, left]).not.toContain(await backend(fresh))
  // Those of the pool before are kept no more, and each count is there once.
  const opened = await metric(gateway, 'postern_pool_opened_total', { block: 'writes' })
  expect(opened).toBe(3)
  await staying.terminate()
  using witness = await openSession(postgres)
  await until('the connections before are gone', async () => {
    const sql = `select from pg_stat_activity where pid in (${stays}, ${left})`
    return (await witness.rows(sql)).length === 0
  })
})

test('an encrypted session goes on, and new clients see the new certificate', async () => {
  using folder = makePemFolder()
  const authority = await makeAuthority()
  const issue = (subject: string) => authority.issue({ subject, addresses: ['127.0.0.1'] })
  const first = folder.put('first', await issue('CN=first'))
  await using gateway = await startBefore(postgres, {
    server: { enableTLS: true, requireTLS: true, ...first },
  })
  const open = async () => {
    const { wire, tls } = await connectTls(gateway, { ca: authority.certificate })
    await wire.login(postgres)
    return { wire, subject: tls.getPeerCertificate().subject.CN }
  }
  const staying = await open()
  const second = folder.put('second', await issue('CN=second'))
  edit(gateway, GLOBAL, (tree) => {
    Object.assign(at(tree, 'servers', 'default'), second)
  })
  await reload(gateway)
  expect((await statusOf(gateway)).generations).toEqual([{ number: 2, sessions: 1 }])
  expect(await staying.wire.rows('select 1')).toEqual([['1']])
  const fresh = await open()
  expect([staying.subject, fresh.subject]).toEqual(['first', 'second'])
  const broken = folder.write('broken.crt', 'no certificate')
  edit(gateway, GLOBAL, (tree) => {
    at(tree, 'servers', 'default')['certFile'] = broken
  })
  const { status, stderr } = await runReload(gateway)
  expect([status, stderr.includes('servers.default.certFile')]).toEqual([1, true])
  for (const { wire } of [staying, fresh]) {
    expect(await wire.rows('select 1')).toEqual([['1']])
    wire.destroy()
  }
})
