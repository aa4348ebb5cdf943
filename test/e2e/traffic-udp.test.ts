/** Services that speak in datagrams, behind the executable: names are asked for, plugins look. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { Resolver } from 'node:dns/promises'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DatagramClient, type DatagramServer, startDatagramServer } from '../kit/datagrams.ts'
import { type RunningGateway, runPostern, startGateway } from '../kit/gateway.ts'
import { metric, mustBeSound, until } from '../kit/traffic.ts'
import { buildPlugins, type Entry, entryOf, scripted } from './plugins-scene.ts'

setDefaultTimeout(30_000)

/** Answers each question for an address (RFC 1035) with 192.0.2.N, N being the name's length. */
function answerName(query: Uint8Array): Uint8Array {
  const question = query.subarray(12, query.indexOf(0, 12) + 5)
  const header = Buffer.from([query[0]!, query[1]!, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0])
  const record = [0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, question.length - 6]
  return Buffer.concat([header, question, Buffer.from(record)])
}

const UDP = { network: 'udp' }

function start(
  ports: readonly number[],
  { server = {}, plugins, top = {} }: { server?: Entry; plugins?: readonly Entry[]; top?: Entry },
): Promise<RunningGateway> {
  const blocks = ports.map((port, index) => [
    index === 0 ? 'writes' : `other${index}`,
    { ...UDP, address: `127.0.0.1:${port}`, retries: 0 },
  ])
  return startGateway({
    config: {
      ...top,
      servers: { default: { ...UDP, protocol: 'raw', ...server } },
      clients: { default: Object.fromEntries(blocks) },
    },
    ...(plugins === undefined ? {} : { plugins: { plugins: [...plugins] } }),
  })
}

describe('a service of names', () => {
  let names: DatagramServer
  let gateway: RunningGateway
  beforeAll(async () => {
    names = await startDatagramServer(answerName)
    gateway = await start([names.port], {})
  })
  afterAll(async () => {
    await mustBeSound(gateway)
    expect((await gateway.stop()).status).toBe(0)
    names.stop()
  })

  test('answers a real resolver through it, many questions at a time', async () => {
    const resolver = new Resolver()
    resolver.setServers([`127.0.0.1:${gateway.port}`])
    const asked = Array.from(
      { length: 200 },
      (_, at) => `${'n'.repeat(1 + (at % 50))}${100 + at}.example`,
    )
    const answers = await Promise.all(asked.map((name) => resolver.resolve4(name)))
    expect(answers).toEqual(asked.map((name) => [`192.0.2.${name.length}`]))
    const moved = await metric(gateway, 'postern_datagrams_total', { direction: 'to_client' })
    expect(moved).toBeGreaterThanOrEqual(200)
  })

  const dig = Bun.which('dig')
  test.skipIf(dig === null)('answers dig (needs dig of dnsutils)', async () => {
    const args = ['@127.0.0.1', '-p', String(gateway.port), '+short', 'name.example']
    const { stdout } = Bun.spawn([dig ?? '', ...args])
    expect(await new Response(stdout).text()).toBe('192.0.2.12\n')
  })
})

test('plugins of both runtimes decide about datagrams, one behind the other', async () => {
  await buildPlugins()
  const echo = await startDatagramServer()
  const gateway = await start([echo.port], { plugins: [scripted(), entryOf('raw.wasm')] })
  using client = await DatagramClient.open(gateway.port)
  expect(await client.ask('plain')).toBe('plain')
  expect(await client.ask('/*replace*/ original, in upper')).toBe('/*REPLACE*/ REPLACED, IN UPPER')
  expect(await client.ask('respond')).toBe('pong\n')
  expect(await client.ask('secret')).toBe('******')
  expect(await client.ask('/*respond*/')).toContain('from the plugin')
  expect(await client.ask('deny', 200)).toBeNull()
  expect(await client.ask('/*deny*/', 200)).toBeNull()
  const denied = { cause: 'denied' }
  expect(await metric(gateway, 'postern_datagrams_dropped_total', denied)).toBe(2)
  const long = 'x'.repeat(65_507)
  expect((await client.ask(long)) === long).toBeTrue()
  expect(await client.ask('close')).toBe('bye\n')
  expect(await metric(gateway, 'postern_sessions_open')).toBe(0)
  expect(await client.ask('again')).toBe('again')
  await mustBeSound(gateway)
  expect((await gateway.stop()).status).toBe(0)
  echo.stop()
})

test('a reload keeps every session and every answer; SIGTERM ends in order', async () => {
  const servers = [await startDatagramServer(), await startDatagramServer()]
  const ports = servers.map(({ port }) => port)
  const gateway = await start(ports, {
    server: { loadBalancer: { consistentHash: { useSourceIp: false } } },
  })
  const clients = await Promise.all(
    Array.from({ length: 10 }, () => DatagramClient.open(gateway.port)),
  )
  const file = join(dirname(gateway.folder), 'postern.yaml')
  const config = readFileSync(file, 'utf8')
  for (let turn = 0; turn < 6; turn++) {
    const asked = clients.map((client, at) => client.ask(`${turn} ${at}`))
    const sessionsMax = 1000 + turn
    writeFileSync(file, config.replace('"protocol"', `"sessionsMax": ${sessionsMax}, "protocol"`))
    const { stderr } = await runPostern(['reload'], { env: gateway.env })
    expect(stderr).toBe('')
    expect(await Promise.all(asked)).toEqual(clients.map((_, at) => `${turn} ${at}`))
  }
  expect(await metric(gateway, 'postern_sessions_total')).toBe(10)
  await until('one generation lives', async () => {
    return (await metric(gateway, 'postern_generations_live')) === 1
  })
  for (const { heard } of servers) expect(heard.length).toBeGreaterThan(0)
  expect(await gateway.stop()).toEqual({ status: 0, signal: null })
  for (const client of clients) client[Symbol.dispose]()
  for (const server of servers) server.stop()
})

test('a reload may turn a server from streams to datagrams', async () => {
  const echo = await startDatagramServer()
  const gateway = await start([echo.port], {})
  const file = join(dirname(gateway.folder), 'postern.yaml')
  const config = readFileSync(file, 'utf8')
  using client = await DatagramClient.open(gateway.port)
  expect(await client.ask('a')).toBe('a')
  writeFileSync(file, config.replaceAll('"udp"', '"tcp"'))
  expect((await runPostern(['reload'], { env: gateway.env })).stderr).toBe('')
  const socket = await Bun.connect({
    hostname: gateway.host,
    port: gateway.port,
    socket: { data() {} },
  })
  socket.end()
  await until('the sessions in datagrams have ended', async () => {
    return (await metric(gateway, 'postern_sessions_open')) === 0
  })
  writeFileSync(file, config)
  expect((await runPostern(['reload'], { env: gateway.env })).stderr).toBe('')
  await until('it answers', async () => (await client.ask('b', 300)) === 'b')
  expect((await gateway.stop()).status).toBe(0)
  echo.stop()
})

test('what cannot be is refused with its place and its cure', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-udp-'))
  const lint = async (config: Entry): Promise<string> => {
    writeFileSync(join(folder, 'postern.yaml'), JSON.stringify(config))
    const { status, stderr } = await runPostern(['config', 'lint'], { cwd: folder })
    expect(status).toBe(1)
    return stderr
  }
  const clients = { default: { writes: { network: 'udp', address: 'localhost:53' } } }
  const server = { network: 'udp', protocol: 'raw' }
  const asked = { servers: { default: { network: 'udp' } }, clients }
  expect(await lint(asked)).toContain('servers.default.protocol must be raw for the network udp')
  expect(await lint({ servers: { default: { protocol: 'raw' } }, clients })).toContain(
    'clients.default.writes.network must not be udp, because servers.default.network is not',
  )
  expect(await lint({ servers: { default: server } })).toContain(
    'clients.default.writes.network must be udp, because servers.default.network is udp',
  )
  const pools = { default: { writes: { size: 5 } } }
  expect(await lint({ servers: { default: server }, clients, pools })).toContain(
    'pools.default.writes must be left out, or be mode: none, for the network udp',
  )
  rmSync(folder, { recursive: true })
})
