/** Sessions whose database was the primary, and what makes the gateway ask whether it still is. */
import { expect, test } from 'bun:test'
import type { KeptServer } from '../../src/tcp/kept-server.ts'
import { ServerPool } from '../../src/tcp/server-pool.ts'
import { Pool } from '../../src/upstream/pool.ts'
import { Roles } from '../../src/upstream/roles.ts'
import type { Probing, Upstream } from '../../src/upstream/upstream.ts'
import { concat, query } from '../kit/frontend.ts'
import { upstreamOn } from '../kit/service.ts'
import { server as says } from '../protocols/postgres/stage.ts'
import { startFakeServer } from './fake-server.ts'
import { ANN, GREETING, setScene } from './scene.ts'

/** Has the upstreams of a service looked after as a generation does. */
function keep(upstreams: readonly Upstream[]): void {
  new Roles(upstreams, { moved() {}, lost() {}, outdated() {} }).keep()
}

test('a session is ended whatever it does when another database is the primary', async () => {
  await using other = await startFakeServer()
  await using scene = await setScene({ others: [other.port], dial: { role: 'primary' } })
  const [writes, reads1] = scene.service.upstreams
  keep(scene.service.upstreams)
  writes!.role.learn({ kind: 'primary', timeline: 1 })
  const { wire, server } = await scene.logIn()
  wire.send(query('insert'))
  await server.read(query('insert').length)
  reads1!.role.learn({ kind: 'primary', timeline: 2 })
  expect(await wire.expect('ErrorResponse')).toMatchObject({
    severity: 'FATAL',
    code: '57P01',
    message: 'the database behind this session is no longer the primary',
  })
  await wire.closed()
  const next = await scene.connect()
  next.send(ANN)
  const end = await other.next()
  await end.read(ANN.length)
  end.send(GREETING)
  await next.readUntil('ReadyForQuery')
})

test('a client is refused while no database is known to be the primary', async () => {
  await using scene = await setScene({ dial: { role: 'primary' } })
  keep(scene.service.upstreams)
  scene.service.upstreams[0]!.role.learn({ kind: 'standby', timeline: 0 })
  const wire = await scene.connect()
  wire.send(ANN)
  expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '57P03' })
  await wire.closed()
})

test('a refused write, and a lost connection, are looked into at once', async () => {
  let asked = 0
  let wanted = Promise.withResolvers<void>()
  const probing: Probing = {
    periodMs: 0,
    atOnce: false,
    question: null,
    inquiry: async () => {
      asked += 1
      wanted.resolve()
      return { kind: 'answered' }
    },
    changed() {},
  }
  await using scene = await setScene({ dial: { role: 'primary', probing } })
  const [upstream] = scene.service.upstreams
  keep(scene.service.upstreams)
  upstream!.watch()
  await wanted.promise
  upstream!.role.learn({ kind: 'primary', timeline: 1 })
  const before = asked
  const { wire, server } = await scene.logIn()
  wanted = Promise.withResolvers()
  server.send(concat(says.error('25006', 'cannot execute INSERT'), says.ready()))
  await wire.readUntil('ReadyForQuery')
  await wanted.promise
  expect(asked).toBeGreaterThan(before)
  wanted = Promise.withResolvers()
  server.socket.destroy()
  await wanted.promise
  await upstream!.stop()
})

test('connections that are kept to a database which is no primary any more are closed', () => {
  const upstream = upstreamOn(1, 0, { dial: { role: 'primary' } })
  keep([upstream])
  const closed: string[] = []
  const pool = new Pool<KeptServer>({ sizeMax: 2, waitTimeoutMs: 0 })
  const now = performance.now()
  const times = { openedAtMs: now, lentAtMs: now, heardAtMs: now }
  const kept = { ...times, close: () => closed.push('kept') } as unknown as KeptServer
  pool.take(() => pool.giveBack(kept))
  const limits = { checkPeriodMs: 0, idleTimeoutMs: 0, lifetimeMs: 0 }
  const serverPool = new ServerPool({ upstream, pool, keeping: null, ...limits })
  upstream.role.learn({ kind: 'primary', timeline: 1 })
  serverPool.check(now)
  expect(closed).toEqual([])
  upstream.role.learn({ kind: 'standby', timeline: 0 })
  serverPool.check(now)
  expect(closed).toEqual(['kept'])
  expect(pool.kept).toEqual([])
  expect(pool.lent).toBe(0)
})
