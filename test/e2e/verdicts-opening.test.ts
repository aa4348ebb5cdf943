/**
 * What a plugin of any runtime decides about a client that has just connected, and about its
 * startup packet: let in, sent elsewhere, told why not in the words of the protocol, or cut off.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Client } from 'pg'
import { cancelRequest, query, sslRequest, startup } from '../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { asleep } from '../kit/traffic.ts'
import { connectWire, openSession, type Wire } from '../kit/wire.ts'
import {
  buildPlugins,
  type Entry,
  entryOf,
  login,
  readToEnd,
  scripted,
  startWith,
  stepFailures,
} from './plugins-scene.ts'

const REFUSAL = 'FATAL 42501 no entry | a marker said so | leave it out'
const FAILED_CLOSED = 'FATAL 58000'

/** A plugin that has one answer for whoever connects. */
type Doorman = (wish: string, more?: Entry) => Entry
const wasm =
  (file: string): Doorman =>
  (wish, more = {}) =>
    entryOf(file, { config: { opening: wish }, ...more })
const DOORMEN: Readonly<Record<string, { readonly plugin: string; readonly entry: Doorman }>> = {
  'WASM (direct)': { plugin: 'verdicts', entry: wasm('verdicts.wasm') },
  'WASM (PDK)': { plugin: 'verdicts-pdk', entry: wasm('verdicts-pdk.wasm') },
  'gRPC (TypeScript)': {
    plugin: 'scripted',
    entry: (wish, more) => scripted({ HOOKS: '11', OPENING: wish, BLOCK: 'replica' }, more),
  },
}
/** How each runtime is told to answer what this hook does not take. */
const UNFIT: Readonly<Record<string, string>> = { scripted: 'error' }

let postgres: PostgresServer
let replica: PostgresServer

beforeAll(async () => {
  const named = (name: string) => startPostgres({ settings: { cluster_name: name } })
  const servers = await Promise.all([named('primary'), named('replica'), buildPlugins()])
  postgres = servers[0]
  replica = servers[1]
}, 120_000)
afterAll(async () => {
  await postgres.stop()
  await replica.stop()
})

const doors = (plugins: readonly Entry[]) => startWith(postgres, { plugins, blocks: { replica } })

/** Which of the two servers a session has come to. */
async function clusterOf(wire: Wire): Promise<string | null | undefined> {
  return (await wire.rows('show cluster_name'))[0]?.[0]
}

const withoutEncryption = (wire: Wire) =>
  wire.readBytes(1).then((byte) => expect(byte[0]).toBe(0x4e))

for (const [runtime, { plugin, entry }] of Object.entries(DOORMEN)) {
  const isGrpc = plugin === 'scripted'
  describe(runtime, () => {
    test('continue lets in', async () => {
      await using gateway = await doors([entry('')])
      using wire = await login(gateway, postgres)
      expect(await clusterOf(wire)).toBe('primary')
    })

    test('route sends to another block, and a CancelRequest after it', async () => {
      await using gateway = await doors([entry('route')])
      using wire = await login(gateway, postgres)
      expect(await clusterOf(wire)).toBe('replica')
      const { user, password, database } = postgres
      const { host, port } = gateway
      using other = await connectWire({ host, port })
      const { pid, secret } = await other.login({ user, password, database })
      other.send(query('select pg_sleep(30)'))
      await asleep(replica, 1)
      using canceller = await connectWire({ host, port })
      canceller.send(cancelRequest(pid, secret))
      await canceller.closed()
      const read = await other.readUntil('ReadyForQuery')
      expect(read.find(({ name }) => name === 'ErrorResponse')).toMatchObject({ code: '57014' })
    })

    test('close cuts off, with last words where there are any', async () => {
      await using gateway = await doors([entry(isGrpc ? 'terminate' : 'close')])
      using wire = await connectWire(gateway)
      wire.send(startup({ user: postgres.user }))
      expect(await readToEnd(wire)).toEqual(isGrpc ? ['ERROR 28000 not today | - | -'] : [])
      await using silent = await doors([entry('close')])
      using cut = await connectWire(silent)
      await cut.closed()
    })

    test('a failure lets in where it fails open, and is counted', async () => {
      await using gateway = await doors([entry(UNFIT[plugin] ?? 'replace')])
      using wire = await login(gateway, postgres)
      expect(await clusterOf(wire)).toBe('primary')
      expect(await stepFailures(gateway, plugin, 'onOpening')).toBe(1)
    })

    test('a failure refuses where it fails closed, every time', async () => {
      const closed = { onFailure: 'closed' }
      await using gateway = await doors([entry(UNFIT[plugin] ?? 'replace', closed)])
      for (const count of [1, 2]) {
        using wire = await connectWire(gateway)
        wire.send(startup({ user: postgres.user }))
        const [said, ...more] = await readToEnd(wire)
        expect(said).toStartWith(`${FAILED_CLOSED} plugin "${plugin}" failed`)
        expect(more).toEqual([])
        expect(await stepFailures(gateway, plugin, 'onOpening')).toBe(count)
      }
    })

    // A gRPC plugin has no words for this: its terminate is a close with last words.
    if (isGrpc) return
    test('deny tells why, also after encryption was asked for', async () => {
      await using gateway = await doors([entry('deny')])
      for (const isEncryptionAsked of [false, true]) {
        using wire = await connectWire(gateway)
        if (isEncryptionAsked) {
          wire.send(sslRequest())
          await withoutEncryption(wire)
        }
        wire.send(startup({ user: postgres.user }))
        expect(await readToEnd(wire)).toEqual([REFUSAL])
      }
      const { host, port } = gateway
      const client = new Client({ host, port, user: postgres.user, database: 'postgres' })
      await expect(client.connect()).rejects.toMatchObject({ code: '42501', message: 'no entry' })
    })
  })
}

test('the first doorman that decides ends the chain', async () => {
  const named = (name: string) => ({ name })
  const [wasmDenies, grpcCloses] = [
    DOORMEN['WASM (direct)']!.entry('deny', named('denies')),
    DOORMEN['gRPC (TypeScript)']!.entry('terminate', named('closes')),
  ]
  const said = async (plugins: readonly Entry[]): Promise<string[]> => {
    await using gateway = await doors(plugins)
    using wire = await connectWire(gateway)
    wire.send(startup({ user: postgres.user }))
    return await readToEnd(wire)
  }
  expect(await said([wasmDenies, grpcCloses])).toEqual([REFUSAL])
  expect(await said([grpcCloses, wasmDenies])).toEqual(['ERROR 28000 not today | - | -'])
})

test('a gRPC plugin may route by the startup packet, once and for the whole session', async () => {
  await using gateway = await doors([scripted({ BLOCK: 'replica' })])
  const { user, password, database } = postgres
  const { host, port } = gateway
  const params = { application_name: '/*route*/' }
  // Without the mark, every other session would come to the other block.
  for (let sessions = 0; sessions < 3; sessions++) {
    using routed = await openSession({ host, port, user, password, database, params })
    expect(await clusterOf(routed)).toBe('replica')
    await routed.query('begin')
    expect(await clusterOf(routed)).toBe('replica')
  }
})

test('a block that nobody knows is a failed step: open stays, closed refuses', async () => {
  const params = { application_name: '/*route*/' }
  const { user, password, database } = postgres
  await using open = await doors([scripted({ BLOCK: 'nowhere' })])
  const { host } = open
  using wire = await openSession({ host, port: open.port, user, password, database, params })
  expect(await clusterOf(wire)).toBe('primary')
  expect(await stepFailures(open, 'scripted')).toBe(1)
  await using closed = await doors([scripted({ BLOCK: 'nowhere' }, { onFailure: 'closed' })])
  using refused = await connectWire(closed)
  refused.send(startup({ user, database, params }))
  expect((await readToEnd(refused))[0]).toStartWith(FAILED_CLOSED)
})
