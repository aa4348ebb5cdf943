/** Two gateways, as they are deployed, whose plugins share what they keep through a real Redis. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { type RunningGateway, runPostern } from '../kit/gateway.ts'
import { openRaw, type RawClient } from '../kit/raw-client.ts'
import { type RunningRedis, redisProgram, startRedis } from '../kit/redis.ts'
import { metric, startBefore, until } from '../kit/traffic.ts'

setDefaultTimeout(60_000)

const NOTES = resolve(import.meta.dir, '../../dist/test-plugins/notes.wasm')
const PASSWORD = 'pass/w@rd:1'

/** The plugins file with these keys at its top. */
function plugins(keys: Readonly<Record<string, unknown>>) {
  const checksum = createHash('sha256').update(readFileSync(NOTES)).digest('hex')
  return { ...keys, plugins: [{ name: 'notes', localPath: NOTES, checksum, required: true }] }
}

/** A server that says nothing. */
async function startSilent(): Promise<Server & { readonly port: number }> {
  const server = createServer((socket) => socket.on('error', () => {}).resume())
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as { readonly port: number }
  return Object.assign(server, { port })
}

describe.skipIf(redisProgram === null)('two gateways (needs redis-server or valkey-server)', () => {
  let redis: RunningRedis
  let server: Awaited<ReturnType<typeof startSilent>>
  let gateways: readonly RunningGateway[] = []
  let clients: readonly RawClient[] = []
  const start = (): Promise<RunningGateway> => {
    const { port } = server
    const store = `redis://:${encodeURIComponent(PASSWORD)}@127.0.0.1:${redis.port}/2`
    return startBefore(
      { host: '127.0.0.1', port },
      {
        server: { protocol: 'raw' },
        plugins: plugins({ store, storeStalenessMax: '1s', storeTimeout: '500ms' }),
      },
    )
  }
  const answers = (client: RawClient | undefined, words: string, answer: string): Promise<void> =>
    until(`${words}: ${answer}`, async () => (await client?.ask(words)) === answer)

  beforeAll(async () => {
    redis = await startRedis(['--requirepass', PASSWORD])
    server = await startSilent()
    gateways = await Promise.all([start(), start()])
    clients = await Promise.all(gateways.map(openRaw))
  })
  afterAll(async () => {
    for (const client of clients) client.close()
    for (const gateway of gateways) expect((await gateway.stop()).status).toBe(0)
    server.close()
    await redis[Symbol.asyncDispose]()
  })

  test('have what the other has kept, and no more what it has deleted', async () => {
    const [one, other] = clients
    expect(await one?.ask('SET colour blue')).toBe('OK')
    expect(await one?.ask('GET colour')).toBe('blue')
    await answers(other, 'GET colour', 'blue')
    expect(await other?.ask('DEL colour')).toBe('OK')
    await answers(one, 'GET colour', 'NONE')
    for (const gateway of gateways) expect(await metric(gateway, 'postern_store_up')).toBe(1)
    expect(await metric(gateways[0]!, 'postern_store_sent_total')).toBeGreaterThan(0)
    expect(await metric(gateways[0]!, 'postern_store_received_total')).toBeGreaterThan(0)
  })

  test('go on while Redis is gone, say so, and come together when it is back', async () => {
    const [one, other] = clients
    await one?.ask('SET kept before')
    await answers(other, 'GET kept', 'before')
    await redis.kill()
    await until('it is noticed', async () => (await metric(gateways[0]!, 'postern_store_up')) === 0)
    expect(await one?.ask('SET alone 1')).toBe('OK')
    expect(await one?.ask('GET kept')).toBe('before')
    expect(await other?.ask('GET alone')).toBe('NONE')
    expect(gateways[0]?.log()).toContain('are not shared through 127.0.0.1:')
    await redis.restart()
    await answers(other, 'GET alone', '1')
    expect(await other?.ask('GET kept')).toBe('before')
    for (const gateway of gateways) expect(gateway.log()).not.toContain('w@rd')
    for (const gateway of gateways)
      expect(gateway.log()).not.toContain(encodeURIComponent(PASSWORD))
  })

  test('are followed by one that starts later and has all from its first client on', async () => {
    await clients[0]?.ask('SET early yes')
    await until(
      'it is sent',
      async () => (await metric(gateways[0]!, 'postern_store_queued')) === 0,
    )
    await using late = await start()
    const client = await openRaw(late)
    expect(await client.ask('GET early')).toBe('yes')
    client.close()
  })

  test('may be told of the store by a reload, and that there is none any more', async () => {
    const { port } = server
    const behind = { host: '127.0.0.1', port }
    await using late = await startBefore(behind, {
      server: { protocol: 'raw' },
      plugins: plugins({}),
    })
    // Closed before the gateway is stopped, which would wait for it.
    using client = await openRaw(late)
    const reload = async (keys: Readonly<Record<string, unknown>>): Promise<void> => {
      const file = join(dirname(late.folder), 'postern_plugins.yaml')
      writeFileSync(file, JSON.stringify(plugins(keys)))
      const { stdout, stderr } = await runPostern(['reload'], { env: late.env })
      expect(stderr).toBe('')
      expect(stdout).toMatch(/different are\s+store\n/)
    }
    await clients[0]?.ask('SET reloaded 1')
    expect(await client.ask('GET reloaded')).toBe('NONE')
    expect(await client.ask('SET older yes')).toBe('OK')
    writeFileSync(
      join(dirname(late.folder), 'url'),
      `redis://:${encodeURIComponent(PASSWORD)}@127.0.0.1:${redis.port}/2\n`,
    )
    await reload({ store: 'file:url' })
    await answers(client, 'GET reloaded', '1')
    await answers(clients[0], 'GET older', 'yes')
    await reload({})
    await client.ask('SET own 1')
    await Bun.sleep(300)
    expect(await clients[0]?.ask('GET own')).toBe('NONE')
    expect(await client.ask('GET reloaded')).toBe('1')
  })
})

test('a gateway starts without its store, and says so', async () => {
  const server = await startSilent()
  await using gateway = await startBefore(
    { host: '127.0.0.1', port: server.port },
    { server: { protocol: 'raw' }, plugins: plugins({ store: 'redis://127.0.0.1:1' }) },
  )
  const client = await openRaw(gateway)
  expect(await client.ask('SET a 1')).toBe('OK')
  expect(await client.ask('GET a')).toBe('1')
  client.close()
  expect(gateway.log()).toContain('data of plugins are not shared through 127.0.0.1:1/0')
  expect(await metric(gateway, 'postern_store_up')).toBe(0)
  await gateway.stop()
  server.close()
})

test('an address that is none is refused without being shown', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-store-'))
  writeFileSync(join(folder, 'postern.yaml'), '{}')
  writeFileSync(join(folder, 'postern_plugins.yaml'), 'store: http://user:secret@redis\n')
  const { status, stderr } = await runPostern(['config', 'lint'], { cwd: folder })
  expect(status).toBe(1)
  expect(stderr).toContain('postern_plugins.yaml:1:8: store must be redis://[USER:PASSWORD@]HOST')
  expect(stderr).not.toContain('secret')
  rmSync(folder, { recursive: true })
})
